"""Sessions: everything a merchant sees of one is derived from what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ground.story import ENROLLED, NOON, OFFER, TWO_STAGE, Story, asked_for, held, paid
from tollhouse.merchant import Settings
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Details
from tollhouse.session import Offer, RefundStatus, Status, refund_status

DAY = 24 * 3600


SEEN: dict[str, tuple[Callable[[], Story], str, str | None, Reason | None]] = {
    "created": (lambda: Story().create(), "created", None, None),
    "dropped": (lambda: Story().create().cancel(), "cancelled", None, Reason.CANCELLED_BY_MERCHANT),
    "waits for the decision": (lambda: Story().start(), "in_progress", "confirm", None),
    "confirmed": (lambda: Story().start().confirm(), "in_progress", None, None),
    "confirms itself": (lambda: Story(Settings(auto_confirm=True)).start(), "in_progress", None, None),
    "waits for the payer": (asked_for, "in_progress", None, None),
    "challenged": (lambda: asked_for().ask().reply("C"), "in_progress", None, None),
    "not authenticated": (lambda: asked_for().ask().reply("N"), "cancelled", None, Reason.NOT_AUTHENTICATED),
    "the payer did not act": (
        lambda: asked_for().wait(3600).sweep(),
        "cancelled",
        None,
        Reason.ACTION_TIMEOUT,
    ),
    "held": (held, "in_progress", "capture", None),
    "capturing": (lambda: held().capture(), "in_progress", None, None),
    "releasing": (lambda: held().cancel(), "in_progress", None, None),
    "paid": (paid, "accepted", None, None),
    "declined": (
        lambda: Story().start().confirm().answered("51"),
        "cancelled",
        None,
        Reason.INSUFFICIENT_FUNDS,
    ),
    "unknown": (lambda: Story().start().confirm().answered(""), "in_progress", None, None),
    "unknown for a day": (
        lambda: Story().start().confirm().be_stuck(Kind.SALE),
        "error",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "undone": (
        lambda: Story().start().confirm().answered("").answered("00"),
        "cancelled",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "undone after a day": (
        lambda: Story().start().confirm().be_stuck(Kind.SALE).answered("00"),
        "cancelled",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "refunding": (lambda: paid().refund(100), "in_progress", None, None),
    "refunded": (lambda: paid().refund(100).answered("00"), "accepted", None, None),
    "refund declined": (lambda: paid().refund(100).answered("05"), "accepted", None, None),
    "refund unknown for a day": (
        lambda: paid().refund(100).be_stuck(Kind.REFUND),
        "error",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "capture unknown for a day": (
        lambda: held().capture().be_stuck(Kind.CAPTURE),
        "error",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "release unknown for a day": (
        lambda: held().cancel().be_stuck(Kind.REVERSAL),
        "error",
        None,
        Reason.ACQUIRER_TIMEOUT,
    ),
    "late approval reversed for days": (
        lambda: Story().start().confirm().answered("05").hear_late("00").be_stuck(Kind.REVERSAL),
        "cancelled",
        None,
        Reason.DECLINED_BY_ISSUER,
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen(name: str) -> None:
    """Status, next action and reason follow from payments and operations (wire-api 8.1)."""
    tell, status, next_action, reason = SEEN[name]
    session = tell().session
    assert (session.status, session.next_action, session.reason) == (status, next_action, reason)
    assert (session.finished_at is not None) == (status in ("accepted", "cancelled"))


def test_every_status_is_seen() -> None:
    """The table above meets every status."""
    assert {status for _, status, _, _ in SEEN.values()} == set(Status)


@pytest.mark.parametrize(
    ("state", "is_stuck", "status"),
    [
        (State.PLANNED, False, RefundStatus.IN_PROGRESS),
        (State.SUBMITTED, False, RefundStatus.IN_PROGRESS),
        (State.REVERSING, False, RefundStatus.IN_PROGRESS),
        (State.SUBMITTED, True, RefundStatus.ERROR),
        (State.REVERSING, True, RefundStatus.ERROR),
        (State.APPROVED, False, RefundStatus.ACCEPTED),
        (State.DECLINED, False, RefundStatus.DECLINED),
        (State.REVERSED, False, RefundStatus.DECLINED),
    ],
)
def test_refund_status(state: State, is_stuck: bool, status: RefundStatus) -> None:
    """A refund shows four statuses; one undone after silence counts as declined (wire-api 8.4)."""
    refund = paid().refund(100).last(Kind.REFUND)
    assert refund_status(replace(refund, state=state, is_stuck=is_stuck)) is status


DUE: dict[str, tuple[Callable[[], Story], float | None]] = {
    "created without a card": (lambda: Story().create(Offer()), 30 * DAY),
    "created with a card": (lambda: Story().create(), DAY),
    "waits for the decision": (lambda: Story().start(), 240 * 60),
    "confirmed": (lambda: Story().start().confirm(), 0),
    "held": (held, 3 * DAY + 23 * 3600),
    "held shorter": (
        lambda: Story(replace(TWO_STAGE, hold_period=3600)).start().confirm().answered("00"),
        3600,
    ),
    "not sent": (lambda: Story().start().confirm().not_sent(), 2),
    "capture unanswered": (lambda: held().capture().answered(""), 5),
    "reversal to be sent": (lambda: Story().start().confirm().answered(""), 0),
    "nothing found while in flight": (lambda: Story().start().confirm().answered("").answered("25"), 65),
    "paid": (paid, None),
    "dropped": (lambda: Story().create().cancel(), None),
    "waits for the payer": (asked_for, 3600),
    "waits for the payer and a merchant's limit": (lambda: asked_until("2026-03-02 12:10:00"), 600),
    "waits for the directory server": (lambda: asked_for().ask(), 12),
    "challenged": (lambda: asked_for().ask().reply("C"), 3600),
    "authenticated": (lambda: asked_for().ask().wait(3).reply("Y"), 3),
    "not authenticated": (lambda: asked_for().ask().reply("N"), None),
}


def asked_until(limit: str) -> Story:
    """A payer who must act before the merchant's own limit."""
    offer = replace(ENROLLED, details=Details(customer={}, options={"expiration_at": limit}))
    return Story().start(offer).confirm()


@pytest.mark.parametrize("name", DUE)
def test_when_somebody_is_needed(name: str) -> None:
    """A session is due at its earliest timer or attempt, and never once all is over (wire-api 8.6)."""
    tell, seconds = DUE[name]
    session = tell().session
    assert session.due_at == (None if seconds is None else NOON + timedelta(seconds=seconds))


def test_submitted_is_due_at_the_answer_limit() -> None:
    """While an answer is awaited, the session is due when the time to send and the answer limit are over."""
    story = Story().start().confirm()
    story.send()
    assert story.session.due_at == NOON + timedelta(seconds=20)


def test_unclear_is_due_before_a_person_after_a_day() -> None:
    """An unclear operation makes its session due a day later even if its next attempt lies further away."""
    story = held().capture().answered("")
    unclear = story.last(Kind.CAPTURE)
    far = replace(unclear, next_attempt_at=NOON + timedelta(days=9))
    assert story.session.with_operation(far).due_at == NOON + timedelta(days=1)


def test_undone_is_what_a_reversal_acknowledged() -> None:
    """A charge is undone once its reversal is approved: not while that is planned, sent or unanswered."""
    story = Story().start().confirm().answered("")
    sale = story.last(Kind.SALE)
    assert not story.session.is_undone(sale.id)
    story.answered("")
    assert not story.session.is_undone(sale.id)
    story.answered("00")
    assert story.session.is_undone(sale.id)
    assert not story.session.is_undone(story.last(Kind.REVERSAL).id)


def test_two_live_charges_are_a_bug() -> None:
    """A payment with two living charges cannot be acted upon (P1)."""
    story = Story().start().confirm()
    second = replace(story.last(Kind.SALE), id="op_twice")
    with pytest.raises(AssertionError):
        story.session.with_operation(second).charge_of(story.payment.id)


def test_offer_is_forgotten_at_the_start() -> None:
    """What was given at create moves into the payment and stays nowhere else."""
    story = Story().create(OFFER).start(Offer())
    assert story.session.offer == Offer()
    assert (story.payment.card, story.payment.sealed_cvv) == (OFFER.card, OFFER.sealed_cvv)
