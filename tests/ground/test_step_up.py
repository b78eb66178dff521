"""Soft declines: the payer is asked after all, and a second charge of the same payment goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.ground.authenticated import ALWAYS, AUTO, HOUR, NEVER, charges
from tests.ground.promises import check_announcements
from tests.ground.story import (
    ENROLLED,
    NOON,
    OFFER,
    TWO_STAGE,
    Story,
    asked_for,
)
from tollhouse.authentication import Wish
from tollhouse.event import EventType
from tollhouse.exemption import Exemption
from tollhouse.merchant import Settings
from tollhouse.operation import Kind
from tollhouse.outcome import Declined, Reason, is_soft_decline, outcome_of_code
from tollhouse.payment import Phase


def stepped_up(code: str = "1A", settings: Settings = AUTO) -> Story:
    """A payment that went out as exempt, and the issuer wants the payer."""
    return Story(settings).start(ENROLLED, Exemption.LOW_VALUE).confirm().answered(code)


@pytest.mark.parametrize(("brand", "code"), [("visa", "1A"), ("mastercard", "65"), ("mastercard", "1A"), (None, "65")])
def test_which_code_is_soft(brand: str | None, code: str) -> None:
    """1A for every scheme, 65 for all but Visa, whose 65 is a limit that was exceeded (wire-api 6.1)."""
    assert is_soft_decline(_declined(code), brand)
    assert not is_soft_decline(_declined("65"), "visa")
    assert not is_soft_decline(_declined("61"), brand)


def _declined(code: str) -> Declined:
    outcome = outcome_of_code(code)
    assert isinstance(outcome, Declined)
    return outcome


@pytest.mark.parametrize("settings", [AUTO, TWO_STAGE], ids=["one stage", "two stages"])
def test_a_soft_decline_steps_up(settings: Settings) -> None:
    """The payer must act, the issuer is asked by its own mandate, and a second charge goes out with the proof."""
    story = stepped_up(settings=settings)
    assert story.payment.phase is Phase.AWAIT_ACTION
    assert story.attempt.wish is Wish.MANDATE
    assert story.payment.action_deadline_at == NOON + timedelta(minutes=60)
    assert story.announced == ["ready_to_confirm", "action_required"]
    story.ask().reply("C").result("Y")
    first, second = charges(story)
    assert (first.exemption, first.authentication_id) == (Exemption.LOW_VALUE, None)
    assert (second.exemption, second.authentication_id) == (None, story.attempt.id)
    story.answered("00")
    first, second = charges(story)
    assert first.references is not None
    assert second.references is not None
    assert first.references.rrn != second.references.rrn
    assert story.payment.rrn == second.references.rrn
    assert story.payment.phase is (Phase.HELD if settings is TWO_STAGE else Phase.SUCCEEDED)
    check_announcements(story)


@pytest.mark.parametrize("status", ["N", "U", "R", "I", ""])
def test_after_a_soft_decline_only_proof_will_do(status: str) -> None:
    """The issuer asked for it: what `auto` would let pass otherwise fails here."""
    story = stepped_up().ask().reply(status)
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, Reason.NOT_AUTHENTICATED)
    assert len(charges(story)) == 1
    assert story.announced == ["ready_to_confirm", "action_required", "payment_finished"]


def test_a_second_soft_decline_is_the_end() -> None:
    """Once is enough: the second one is a decline like any other."""
    story = stepped_up().ask().reply("Y").answered("1A")
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, Reason.ACTIVITY_EXCEEDED)
    assert len(charges(story)) == 2


def test_a_soft_decline_after_authentication_steps_up_too() -> None:
    """The issuer wants more than it got at first; each charge uses up an authentication of its own."""
    story = asked_for().ask().reply("A").answered("1A")
    assert (story.payment.phase, story.attempt.wish) == (Phase.AWAIT_ACTION, Wish.MANDATE)
    story.ask().reply("Y").answered("00")
    assert story.payment.phase is Phase.SUCCEEDED
    assert len({charge.authentication_id for charge in charges(story)}) == 2
    assert story.announced.count(EventType.ACTION_REQUIRED) == 2


@pytest.mark.parametrize(
    "story",
    [
        lambda: Story(NEVER).start(ENROLLED).confirm(),
        lambda: Story(AUTO).start(OFFER).confirm(),
        lambda: Story(ALWAYS).start(OFFER).confirm(),
    ],
    ids=["never", "auto, not enrolled", "always, not enrolled"],
)
def test_who_is_not_stepped_up(story: Callable[[], Story]) -> None:
    """Where nobody can or may be asked, a soft decline is a decline."""
    told = story().answered("1A")
    assert told.payment.phase is Phase.FAILED
    assert told.payment.reason is Reason.ACTIVITY_EXCEEDED
    assert told.session.authentications == ()


def test_a_hard_decline_is_final() -> None:
    """Any other code leads nowhere, nor does Visa's 65."""
    assert stepped_up("05").payment.phase is Phase.FAILED
    assert stepped_up("65").payment.phase is Phase.FAILED


def test_no_step_up_when_all_three_attempts_are_used() -> None:
    """There would be none left to ask with."""
    story = asked_for().ask().reply("C").retry().ask().reply("C").retry().ask().reply("Y").answered("1A")
    assert story.payment.phase is Phase.FAILED


def test_the_second_charge_has_no_security_code() -> None:
    """It left with the first one."""
    story = stepped_up()
    assert story.payment.sealed_cvv is None
    story.ask().reply("Y")
    assert story.payment.sealed_cvv is None
    assert story.answered("00").erased == []


def test_the_same_promises_for_the_second_charge() -> None:
    """Without an answer it is reversed like any other; the first stays declined."""
    story = stepped_up().ask().reply("Y").answered("").answered("00")
    assert story.payment.phase is Phase.FAILED
    assert [charge.state for charge in charges(story)] == ["declined", "reversed"]


def test_a_second_charge_that_cannot_be_sent_is_given_up() -> None:
    """It waits, goes back to planned with its authentication, and fails after 30 seconds."""
    story = stepped_up().ask().reply("Y").not_sent()
    assert story.payment.phase is Phase.CONFIRMED
    assert charges(story)[1].authentication_id == story.attempt.id
    story.wait(31).not_sent()
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, Reason.ACQUIRER_INTERNAL)


def test_the_first_charge_is_approved_after_all() -> None:
    """While the payer acts, the declined charge turns out approved: it is reversed, and the payer goes on (P1)."""
    story = stepped_up().hear_late("00")
    assert story.payment.phase is Phase.AWAIT_ACTION
    assert "approved after it was declined" in story.alarms[0].what
    story.answered("00", Kind.REVERSAL).ask().reply("Y").answered("00")
    assert story.payment.phase is Phase.SUCCEEDED
    assert story.payment.rrn == charges(story)[1].references.rrn  # type: ignore[union-attr]


def test_a_payer_who_does_not_act_on_a_step_up() -> None:
    """The charge was declined, so it is certain that nothing was taken: the payment times out."""
    story = stepped_up().wait(HOUR).sweep()
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, Reason.ACTION_TIMEOUT)
    assert story.session.due_at is None
