"""3-D Secure on the ground floor: who is asked, what each answer and result leads to, and when it is too late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ground.authenticated import ALWAYS, AUTO, HOUR, NEVER, challenged, charges, fails, goes_on
from tests.ground.promises import check_announcements
from tests.ground.story import (
    DS_ID,
    ENROLLED,
    NOON,
    OFFER,
    SEALED_CVV,
    TWO_STAGE,
    Story,
    asked_for,
    confirmed,
)
from tollhouse.authentication import Enrolment, State, Wish
from tollhouse.exemption import Exemption
from tollhouse.merchant import Settings
from tollhouse.operation import Kind
from tollhouse.outcome import Reason
from tollhouse.payment import Details, HoldExpiry, Phase
from tollhouse.session import Offer

# --- who is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "offer", "exemption", "is_asked"),
    [
        (ALWAYS, ENROLLED, None, True),
        (ALWAYS, ENROLLED, Exemption.LOW_VALUE, True),
        (ALWAYS, OFFER, None, False),
        (AUTO, ENROLLED, None, True),
        (AUTO, ENROLLED, Exemption.LOW_VALUE, False),
        (AUTO, OFFER, None, False),
        (NEVER, ENROLLED, None, False),
        (NEVER, OFFER, None, False),
    ],
)
def test_who_is_asked(settings: Settings, offer: Offer, exemption: Exemption | None, is_asked: bool) -> None:
    """`always` and `auto` ask payers whose card takes part, `auto` unless exempt, `never` nobody."""
    story = Story(settings).start(offer, exemption).confirm()
    assert story.payment.phase is (Phase.AWAIT_ACTION if is_asked else Phase.CONFIRMED)
    assert len(story.session.authentications) == is_asked
    assert len(charges(story)) == (not is_asked)
    assert [charge.exemption for charge in charges(story)] == ([] if is_asked else [exemption])


def test_asking_the_payer() -> None:
    """Confirmed, a payment has a link, 60 minutes and an opened attempt; the caller is shown the moment before."""
    story = Story().start(ENROLLED).confirm()
    assert story.changes[-1].answer.payments[0].phase is Phase.CONFIRMED
    assert story.announced == ["ready_to_confirm", "action_required"]
    assert story.payment.action_link is not None
    assert len(story.payment.action_link) == 22
    assert story.payment.action_deadline_at == NOON + timedelta(minutes=60)
    attempt = story.attempt
    assert (attempt.state, attempt.wish, attempt.version) == (State.OPENED, Wish.NO_PREFERENCE, "2.2.0")
    assert story.events[-1].session.payments[0].phase is Phase.AWAIT_ACTION
    assert story.payment.sealed_cvv == SEALED_CVV
    assert not story.changes[-1].goes_on


def test_payers_are_asked_in_projects_that_confirm_by_themselves() -> None:
    """Auto confirm: the first event is that the payer must act."""
    story = Story(Settings(auto_confirm=True)).start(ENROLLED)
    assert story.payment.phase is Phase.AWAIT_ACTION
    assert story.announced == ["action_required"]
    story.ask().reply("Y").answered("00")
    assert story.announced == ["action_required", "payment_finished"]


def test_two_stages() -> None:
    """The hold carries the authentication, the capture nothing."""
    story = asked_for(TWO_STAGE).ask().reply("Y").answered("00")
    assert story.payment.phase is Phase.HELD
    assert story.last(Kind.AUTHORIZATION).authentication_id == story.attempt.id
    story.capture(1000).answered("00")
    assert story.last(Kind.CAPTURE).authentication_id is None
    assert story.announced == ["ready_to_confirm", "action_required", "ready_to_capture", "payment_finished"]


def test_a_hold_that_captures_itself() -> None:
    """Timers of a hold run as without 3-D Secure."""
    story = asked_for(replace(TWO_STAGE, hold_expiry=HoldExpiry.CAPTURE)).ask().reply("A").answered("00")
    assert story.wait(4 * 24 * HOUR).sweep().answered("00").payment.phase is Phase.SUCCEEDED


# --- what the directory server answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [ALWAYS, AUTO], ids=["always", "auto"])
@pytest.mark.parametrize(
    ("status", "always_goes_on", "auto_goes_on"),
    [
        ("Y", True, True),
        ("A", True, True),
        ("N", False, False),
        ("R", False, False),
        ("U", False, True),
        ("I", False, True),
        ("", False, True),
    ],
)
def test_an_outcome_at_once(settings: Settings, status: str, always_goes_on: bool, auto_goes_on: bool) -> None:
    """Without a challenge the answer decides, by the project's policy; silence too."""
    story = asked_for(settings).ask().reply(status)
    assert story.attempt.state is (State.FINISHED if status else State.LAPSED)
    if always_goes_on if settings is ALWAYS else auto_goes_on:
        goes_on(story, proven=status in ("Y", "A"))
    else:
        fails(story)
    check_announcements(story)


@pytest.mark.parametrize("status", ["Y", "A"])
def test_a_good_outcome_without_its_value(status: str) -> None:
    """It proves nothing: as if the issuer could not say."""
    goes_on(asked_for(AUTO).ask().reply(status, value=None), proven=True)
    fails(asked_for(ALWAYS).ask().reply(status, value=None))
    fails(challenged(AUTO).result(status, value=None))


def test_asked_is_kept_before_the_request_leaves() -> None:
    """Asking is a change of its own, with a lease, and due when the answer is."""
    story = asked_for().wait(10).ask()
    assert story.attempt.state is State.ASKED
    assert story.changes[-1].goes_on
    assert story.changes[-1].events == ()
    assert story.session.due_at == NOON + timedelta(seconds=10 + 12)


def test_a_challenge_waits_for_the_payer() -> None:
    """The answer's ids are kept; nothing is due before the payer's time is over; nobody is told again."""
    story = challenged()
    assert story.attempt.state is State.CHALLENGED
    assert (story.attempt.ds_transaction_id, story.attempt.acs_url) == (DS_ID, "https://acs.test/")
    assert story.session.due_at == NOON + timedelta(minutes=60)
    assert story.announced == ["ready_to_confirm", "action_required"]
    assert not story.changes[-1].goes_on


@pytest.mark.parametrize("begun", ["C", "D"])
@pytest.mark.parametrize("settings", [ALWAYS, AUTO], ids=["always", "auto"])
@pytest.mark.parametrize("status", ["Y", "A", "N", "U", "R"])
def test_the_result_of_a_challenge(settings: Settings, begun: str, status: str) -> None:
    """Only proof goes on: the issuer wanted the payer, so that nothing less will do, whatever the policy."""
    story = asked_for(settings).ask().reply(begun).wait(30).result(status)
    assert story.attempt.finished_at == story.now
    if status in ("Y", "A"):
        goes_on(story, proven=True)
    else:
        fails(story)


@pytest.mark.parametrize("begun", ["C", "D"])
def test_a_challenge_that_is_broken_off(begun: str) -> None:
    """An error message in place of the result fails the payment."""
    fails(asked_for(AUTO).ask().reply(begun).broken_off())


def test_before_the_answer_nobody_else_is_heard() -> None:
    """A result or an error that comes first may be anybody's: nothing follows, and the answer decides."""
    story = asked_for(AUTO).ask()
    version = story.session.version
    assert story.result("Y").broken_off().session.version == version
    assert story.attempt.state is State.ASKED
    fails(story.reply("N"))


# --- time -------------------------------------------------------------------------------------------------------------

EXPIRES = [
    ("2026-03-02 12:10:00", timedelta(minutes=10)),
    ("2026-03-02 13:00:00", timedelta(minutes=60)),
    ("2026-03-02 14:00:00", timedelta(minutes=60)),
    ("2026-03-02 11:00:00", timedelta(0)),
]


@pytest.mark.parametrize(("limit", "after"), EXPIRES)
def test_deadline(limit: str, after: timedelta) -> None:
    """Sixty minutes, or the merchant's own `expiration_at` if that is earlier; one that has passed is now."""
    offer = replace(ENROLLED, details=Details(customer={}, options={"expiration_at": limit}))
    story = Story().start(offer).confirm()
    assert story.payment.action_deadline_at == NOON + after
    fails(story.wait(after.total_seconds()).sweep(), Reason.ACTION_TIMEOUT)


@pytest.mark.parametrize("place", ["opened", "challenged", "decoupled"])
def test_the_payer_does_not_act(place: str) -> None:
    """After 60 minutes, not before, wherever the payer left."""
    story = asked_for()
    if place != "opened":
        story.ask().reply("C" if place == "challenged" else "D")
    assert story.wait(HOUR - 1).sweep().payment.phase is Phase.AWAIT_ACTION
    fails(story.wait(1).sweep(), Reason.ACTION_TIMEOUT)
    assert story.attempt.state is State.LAPSED


@pytest.mark.parametrize("status", ["Y", "A", "N"])
def test_a_result_after_the_time_is_over(status: str) -> None:
    """Nobody has swept yet, for however long: the result itself finds that the time is over, and nothing is charged."""
    story = challenged().wait(HOUR).result(status)
    fails(story, Reason.ACTION_TIMEOUT)
    assert charges(story) == []
    check_announcements(story)


def test_nothing_begins_after_the_time_is_over() -> None:
    """Neither a first request nor another attempt, although no timer has said so yet."""
    for story, step in ((asked_for(), Story.ask), (challenged(), Story.retry)):
        version = story.wait(HOUR).session.version
        assert step(story).session.version == version
        fails(story.sweep(), Reason.ACTION_TIMEOUT)


def test_the_payer_is_late_while_the_answer_is_awaited() -> None:
    """At the deadline also an attempt whose answer is on its way is over."""
    story = asked_for().wait(HOUR - 1).ask().wait(2).sweep()
    fails(story, Reason.ACTION_TIMEOUT)
    version = story.session.version
    assert story.reply("Y").session.version == version


def test_nobody_hears_the_answer() -> None:
    """A node that asked and died: twelve seconds later the silence is concluded, and the policy decides."""
    assert asked_for().ask().wait(11).sweep().attempt.state is State.ASKED
    goes_on(asked_for(AUTO).ask().wait(12).sweep(), proven=False)
    fails(asked_for(ALWAYS).ask().wait(12).sweep())


@pytest.mark.parametrize("ended", ["result", "reply", "error", "retry", "ask"])
def test_what_comes_after_the_end_changes_nothing(ended: str) -> None:
    """Everything late: the payment's 60 minutes are over and stay over, without an alarm."""
    story = (asked_for() if ended == "ask" else challenged()).wait(HOUR).sweep()
    version = story.session.version
    attempt = story.attempt
    match ended:
        case "result":
            story.result("Y", attempt)
        case "reply":
            story.reply("Y", attempt)
        case "error":
            story.broken_off(attempt)
        case "retry":
            story.retry()
        case _:
            story.ask()
    assert story.session.version == version
    assert story.alarms == []
    fails(story, Reason.ACTION_TIMEOUT)


def test_the_version_is_the_cards() -> None:
    """Each attempt speaks the version that the card's range was enrolled with."""
    assert ENROLLED.card is not None
    card = replace(ENROLLED.card, enrolment=Enrolment(version="2.3.1", method_url="https://acs.test/method"))
    story = Story().start(replace(ENROLLED, card=card)).confirm()
    assert story.attempt.version == "2.3.1"


def test_without_3d_secure_nothing_is_different() -> None:
    """A card that takes no part: no link, no authentication, nothing claimed."""
    story = confirmed().answered("00")
    assert (story.session.authentications, story.payment.action_link) == ((), None)
    assert (charges(story)[0].authentication_id, charges(story)[0].exemption) == (None, None)


@pytest.mark.parametrize("status", ["N", "R"])
def test_a_refusal_after_silence_is_told(status: str) -> None:
    """The charge went out because nobody answered; when the issuer refuses after all, a person is told."""
    story = asked_for().ask().reply("")
    assert story.payment.phase is Phase.CONFIRMED
    assert story.alarms == []
    story.reply(status)
    assert [alarm.what for alarm in story.alarms] == [
        "refused by the issuer after its silence had let the payment go on without proof"
    ]
