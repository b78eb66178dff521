"""Decisions of merchants: calls by state (wire-api 8.5), amounts, timers, and what start needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ground.story import OFFER, ONE_STAGE, SEALED_CVV, TWO_STAGE, Story, held, paid
from tollhouse import decision
from tollhouse.card import Expiry
from tollhouse.change import Change
from tollhouse.merchant import Project, Settings
from tollhouse.money import Money
from tollhouse.operation import Kind
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, Phase
from tollhouse.refusal import (
    CaptureExceedsHold,
    CardHasExpired,
    NotPermitted,
    RefundExceedsCaptured,
    Refusal,
    RequestInvalid,
    StateForbids,
)
from tollhouse.session import Offer, Status

DAY = 24 * 3600


def _routing() -> Story:
    story = Story().start()
    story.session = story.session.with_payment(replace(story.payment, phase=Phase.ROUTING))
    return story


def _submitted() -> Story:
    story = Story().start().confirm()
    story.send()
    return story


def _automatic() -> Story:
    return Story(Settings(auto_confirm=True)).start()


def _unrouted() -> Story:
    story = Story()
    story.project = Project(name="shop", is_live=True)
    return story.start()


# `ok` carried out, `=` the same decision stands already, 409 refused. Captures: of the whole or the same amount, and
# of another one. Calls that this version has not (tokens, payouts, 3-D Secure) are missing.
CALLS = "                                      start confirm cancel capture capture_other refund"
TABLE: dict[str, tuple[Callable[[], Story], str]] = {
    "created": (lambda: Story().create(), "ok    409     ok     409     409           409"),
    "routing": (_routing, "                409   409     409    409     409           409"),
    "await_confirm": (lambda: Story().start(), "409 ok  ok     409     409           409"),
    "confirmed": (lambda: Story().start().confirm(), "409 = 409 409 409 409"),
    "confirmed by itself": (_automatic, "   409   =       409    409     409           409"),
    "not sent": (lambda: Story().start().confirm().not_sent(), "409 = 409 409 409 409"),
    "authorizing": (_submitted, "           409   =       409    409     409           409"),
    "unknown": (lambda: Story().start().confirm().answered(""), "409 = 409 409 409 409"),
    "held": (held, "                       409   =       ok     ok      ok            409"),
    "capturing": (lambda: held().capture(), "409 = 409 = 409 409"),
    "capture unknown": (lambda: held().capture().answered(""), "409 = 409 = 409 409"),
    "releasing": (lambda: held().cancel(), "409 409 = 409 409 409"),
    "release unknown": (lambda: held().cancel().answered(""), "409 409 = 409 409 409"),
    "hold over": (lambda: held().wait(4 * DAY).sweep(), "409 409 = 409 409 409"),
    "capture at the end of the hold": (
        lambda: (
            Story(replace(TWO_STAGE, hold_expiry=HoldExpiry.CAPTURE))
            .start()
            .confirm()
            .answered("00")
            .wait(4 * DAY)
            .sweep()
        ),
        "409 = 409 = 409 409",
    ),
    "cancelled before it began": (lambda: Story().create().cancel(), "409 409 = 409 409 409"),
    "cancelled": (lambda: Story().start().cancel(), "409 409 = 409 409 409"),
    "released": (lambda: held().cancel().answered("00"), "409 409 = 409 409 409"),
    "never started": (lambda: Story().create().wait(30 * DAY).sweep(), "409 409 = 409 409 409"),
    "decision over": (lambda: Story().start().wait(240 * 60).sweep(), "409 409 = 409 409 409"),
    "hold over and released": (lambda: held().wait(4 * DAY).sweep().answered("00"), "409 409 = 409 409 409"),
    "declined": (lambda: Story().start().confirm().answered("51"), "409 = 409 409 409 409"),
    "declined after confirming itself": (lambda: _automatic().answered("51"), "409 = 409 409 409 409"),
    "undone": (lambda: Story().start().confirm().answered("").answered("00"), "409 = 409 409 409 409"),
    "given up": (lambda: Story().start().confirm().wait(31).not_sent(), "409 = 409 409 409 409"),
    "capture declined": (lambda: held().capture(2000).answered("05"), "409 = 409 409 409 409"),
    "no route": (_unrouted, "                   409   409     409    409     409           409"),
    "paid": (paid, "                       409   =       409    =       409           ok"),
    "paid in part": (lambda: held().capture(2000).answered("00"), "409 = 409 409 409 ok"),
    "refund open": (lambda: paid().refund(1000), "409 = 409 = 409 ok"),
    "refund done": (lambda: paid().refund(1000).answered("00"), "409 = 409 = 409 ok"),
    "error while unknown": (lambda: Story().start().confirm().be_stuck(Kind.SALE), "409 = 409 409 409 409"),
    "error while capturing": (lambda: held().capture().be_stuck(Kind.CAPTURE), "409 = 409 = 409 409"),
    "error while releasing": (lambda: held().cancel().be_stuck(Kind.REVERSAL), "409 409 = 409 409 409"),
    "error while refunding": (lambda: paid().refund(1000).be_stuck(Kind.REFUND), "409 = 409 = 409 409"),
}


def _call(story: Story, name: str) -> str:
    session, now, ids = story.session, story.now, story.ids
    other = Money(1, "eur")
    try:
        match name:
            case "start":
                change = decision.start_payment(session, OFFER, story.project, now=now, ids=ids)
            case "confirm":
                change = decision.confirm(session, now=now, ids=ids)
            case "cancel":
                change = decision.cancel(session, now=now, ids=ids)
            case "capture":
                change = decision.capture(session, None, now=now, ids=ids)
            case "capture_other":
                change = decision.capture(session, other, now=now, ids=ids)
            case "refund":
                change = _refund(story, other)
            case _:
                raise AssertionError(name)
    except StateForbids:
        return "409"
    if change is None:
        return "="
    assert story.take(change)
    return "ok"


@pytest.mark.parametrize("call", CALLS.split())
@pytest.mark.parametrize("name", TABLE)
def test_calls_by_state(name: str, call: str) -> None:
    """Every cell of wire-api 8.5: carried out, stands already, or refused; what is carried out keeps every promise."""
    tell, row = TABLE[name]
    assert _call(tell(), call) == dict(zip(CALLS.split(), row.split(), strict=True))[call]


@pytest.mark.parametrize(
    ("name", "tell", "says"),
    [
        ("created", Story.confirm, "the session is not started"),
        ("await_confirm", Story.capture, "the session waits to be confirmed or cancelled"),
        ("confirmed", Story.cancel, "the session was confirmed$"),
        ("paid", Story.cancel, "the session was confirmed and paid"),
        ("declined", Story.cancel, "the session was confirmed and then declined"),
        ("cancelled", Story.confirm, "the session was cancelled by the merchant"),
        ("never started", Story.confirm, "cancelled because it was not started in time"),
        ("decision over", Story.confirm, "cancelled because nobody confirmed it in time"),
        ("hold over", Story.capture, "the hold was released because nobody captured it in time"),
        ("no route", Story.cancel, "the session was rejected before anybody decided"),
        ("paid", Story.start, "a payment can be started once"),
        ("declined", Story.refund, "only a succeeded payment can be refunded"),
    ],
)
def test_refusal_names_the_decision(name: str, tell: Callable[[Story], Story], says: str) -> None:
    """A refusal by state says which decision stands."""
    story = TABLE[name][0]()
    with pytest.raises(StateForbids, match=says):
        tell(story)


# --- start ------------------------------------------------------------------------------------------------------------


def test_answer_of_a_start_is_the_moment_before_routing() -> None:
    """The caller of a start sees the payment in progress; the webhook then says that it waits for the decision."""
    change = Story().start().changes[-1]
    assert change.answer.payments[0].phase is Phase.ROUTING
    assert change.session.payments[0].phase is Phase.AWAIT_CONFIRM
    assert [event.type for event in change.events] == ["ready_to_confirm"]
    assert change.is_new_session


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (replace(OFFER, card=None), "payment_details"),
        (replace(OFFER, money=None), "amount_details"),
        (replace(OFFER, details=Details()), "customer"),
    ],
)
def test_start_needs(given: Offer, path: str) -> None:
    """A payment needs a card, an amount and a customer, at create or at start; the refusal names what is missing."""
    with pytest.raises(RequestInvalid) as refused:
        Story().create(Offer()).start(given)
    assert refused.value.path == path


def test_start_takes_what_create_gave() -> None:
    """What was given at create need not be given again."""
    assert Story().create(OFFER).start(Offer()).payment.money == OFFER.money


def test_later_members_replace_earlier_ones_whole() -> None:
    """A member given at start replaces the one of create as a whole; its security code is erased."""
    earlier = replace(OFFER, details=Details(customer={"reference": "u-1", "contacts": []}, metadata="kept"))
    later = Offer(card=OFFER.card, sealed_cvv=None, details=Details(customer={"reference": "u-2"}))
    story = Story().create(earlier).start(later)
    assert story.payment.details == Details(customer={"reference": "u-2"}, metadata="kept")
    assert story.payment.sealed_cvv is None
    assert story.erased == [SEALED_CVV]


def test_expired_card_is_refused_at_start() -> None:
    """A card that expired between create and start is refused, and nothing is written."""
    assert OFFER.card is not None
    expired = replace(OFFER, card=replace(OFFER.card, expiry=Expiry(2026, 2)))
    story = Story().create()
    with pytest.raises(CardHasExpired):
        story.start(expired)
    assert story.session.version == 1


def test_no_route() -> None:
    """A payment no acquirer may take fails at once, its security code erased, with one announcement."""
    story = _unrouted()
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, Reason.ROUTING)
    assert (story.erased, story.announced) == ([SEALED_CVV], ["payment_finished"])
    assert story.changes[-1].answer.status is Status.IN_PROGRESS


def test_auto_confirm() -> None:
    """A project that confirms by itself gets no `ready_to_confirm`; its charge is planned with the start."""
    story = _automatic()
    assert (story.announced, story.payment.decision) == ([], Decision.CONFIRMED)
    assert [operation.kind for operation in story.session.operations] == [Kind.SALE]


@pytest.mark.parametrize(("settings", "kind"), [(ONE_STAGE, Kind.SALE), (TWO_STAGE, Kind.AUTHORIZATION)])
def test_capture_mode(settings: Settings, kind: Kind) -> None:
    """One-stage projects charge by a sale, two-stage ones by an authorization, for the whole amount."""
    story = Story(settings).start().confirm()
    assert [(operation.kind, operation.amount_minor) for operation in story.session.operations] == [(kind, 2590)]


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_answers_before_the_end() -> None:
    """The caller of a cancel sees the payment cancelling; its end follows in the same commit, with the webhook."""
    story = Story().start().cancel()
    change = story.changes[-1]
    assert (change.answer.status, change.answer.payments[0].phase) == (Status.IN_PROGRESS, Phase.CANCELLING)
    assert (story.session.status, story.payment.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_MERCHANT)
    assert (story.announced, story.erased) == (["ready_to_confirm", "payment_finished"], [SEALED_CVV])
    assert story.session.operations == ()


def test_cancel_of_an_unstarted_session() -> None:
    """It is cancelled at once, without a webhook; the card is forgotten and its security code erased."""
    story = Story().create().cancel()
    assert (story.announced, story.erased) == ([], [SEALED_CVV])
    assert (story.session.offer.card, story.session.offer.sealed_cvv) == (None, None)


def test_cancel_of_a_hold_voids_it() -> None:
    """The authorization is reversed under its own amount, and the payment fails once that is done."""
    story = held().cancel()
    reversal = story.last(Kind.REVERSAL)
    assert (reversal.amount_minor, reversal.target_id) == (2590, story.last(Kind.AUTHORIZATION).id)
    assert story.payment.phase is Phase.CANCELLING
    assert story.answered("00").payment.phase is Phase.FAILED


# --- capture and refund -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tell", "money", "refusal"),
    [
        (lambda story, money: story.capture(money), 2591, CaptureExceedsHold),
        (lambda story, money: story.capture().answered("00").refund(money), 2591, RefundExceedsCaptured),
        (lambda story, money: story.capture(2000).answered("00").refund(money), 2001, RefundExceedsCaptured),
        (lambda story, money: story.capture().answered("00").refund(1500).refund(money), 1091, RefundExceedsCaptured),
        (lambda story, money: story.capture().answered("00").refund(2590).refund(money), 1, RefundExceedsCaptured),
        (lambda story, money: story.capture().answered("00").refund().refund(None), None, RefundExceedsCaptured),
    ],
)
def test_too_much(tell: Callable[[Story, int | None], Story], money: int | None, refusal: type[Refusal]) -> None:
    """More than was held is not captured, and more than is left is not refunded (P3)."""
    with pytest.raises(refusal):
        tell(held(), money)


def test_capture_takes_all_by_default() -> None:
    """Without an amount the whole hold is captured."""
    assert held().capture().last(Kind.CAPTURE).amount_minor == 2590


def test_same_capture_again_stands() -> None:
    """The same amount again is answered with what stands; without an amount all is meant, which is another amount."""
    story = held().capture(2000)
    before = story.session
    assert story.capture(2000).session is before
    with pytest.raises(StateForbids, match="2000 was captured already"):
        story.capture()


def test_refund_takes_what_is_left_by_default() -> None:
    """Without an amount a refund gives back what earlier refunds left."""
    story = paid().refund(1000).refund()
    assert story.last(Kind.REFUND).amount_minor == 1590
    assert story.payment.refunded_minor == 2590


def test_declined_refund_may_be_tried_again() -> None:
    """What a declined refund had taken is free for the next one."""
    story = paid().refund().answered("05").refund()
    assert story.payment.refunded_minor == 2590


def _refund(story: Story, money: Money | None, *, payment_id: str | None = None) -> Change:
    return decision.refund(
        story.session,
        money,
        story.project,
        payment_id=payment_id,
        metadata={"why": "returned"},
        now=story.now,
        ids=story.ids,
    )


def test_other_currency_is_refused() -> None:
    """An amount in another currency than the payment's is a malformed request."""
    story, dollar = held(), Money(1, "usd")
    with pytest.raises(RequestInvalid, match=r"^amount_details.currency: eur expected"):
        decision.capture(story.session, dollar, now=story.now, ids=story.ids)
    with pytest.raises(RequestInvalid, match=r"^amount_details.currency: eur expected"):
        _refund(paid(), dollar)


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [(100, None, NotPermitted), (2590, None, None), (None, None, None), (2590, 2590, RefundExceedsCaptured)],
)
def test_partial_refunds_off(first: int | None, second: int | None, refusal: type[Refusal] | None) -> None:
    """A project without partial refunds refunds wholly or not at all."""
    story = Story(Settings(partial_refunds=False)).start().confirm().answered("00")
    if refusal is None:
        assert story.refund(first).payment.refunded_minor == 2590
        return
    with pytest.raises(refusal):
        story.refund(first).refund(second)


def test_refund_of_a_named_payment() -> None:
    """A refund may name its payment, and keeps its metadata; another name is a malformed request."""
    story = paid()
    assert _refund(story, None, payment_id=story.payment.id).session.operations[-1].metadata == {"why": "returned"}
    with pytest.raises(RequestInvalid, match=r"^payment_id"):
        _refund(story, None, payment_id="pm_unknown")
