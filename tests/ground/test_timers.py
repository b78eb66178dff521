"""Timers of merchants' decisions (wire-api 8.6): what happens when nobody decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ground.story import NOON, SEALED_CVV, TWO_STAGE, Story, held
from tollhouse import decision
from tollhouse.operation import Kind
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, HoldExpiry
from tollhouse.refusal import RequestInvalid
from tollhouse.session import Offer, Status

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("tell", "seconds", "reason"),
    [
        (lambda: Story().create(Offer()), 30 * DAY, Reason.CANCELLED),
        (lambda: Story().start(), 240 * 60, Reason.CONFIRM_TIMEOUT),
    ],
)
def test_timer_ends_a_session(tell: Callable[[], Story], seconds: int, reason: Reason) -> None:
    """Unstarted for 30 days or undecided for 240 minutes, a session is cancelled, and not a moment earlier."""
    story = tell().wait(seconds - 1).sweep()
    assert story.session.status in (Status.CREATED, Status.IN_PROGRESS)
    story.wait(1).sweep()
    assert (story.session.status, story.session.reason) == (Status.CANCELLED, reason)
    assert not story.take(decision.expire(story.session, now=story.now, ids=story.ids))


def test_undecided_session_erases_the_security_code() -> None:
    """The end of the decision time is announced once, and the security code goes with it."""
    story = Story().start().wait(240 * 60).sweep()
    assert (story.erased, story.announced) == ([SEALED_CVV], ["ready_to_confirm", "payment_finished"])
    assert story.payment.decision is Decision.TIMED_OUT


def test_given_card_is_forgotten_after_a_day() -> None:
    """A card given at create is kept for 24 hours; the session lives on and wants it again."""
    story = Story().create().wait(DAY).sweep()
    assert (story.session.status, story.session.offer.card, story.erased) == (Status.CREATED, None, [SEALED_CVV])
    assert story.session.due_at == NOON + timedelta(days=30)
    with pytest.raises(RequestInvalid, match="payment_details"):
        story.start(Offer())


@pytest.mark.parametrize(
    ("hold_expiry", "kind"), [(HoldExpiry.RELEASE, Kind.REVERSAL), (HoldExpiry.CAPTURE, Kind.CAPTURE)]
)
def test_end_of_the_hold(hold_expiry: HoldExpiry, kind: Kind) -> None:
    """A hold nobody captured is released, or captured whole if the project says so."""
    story = Story(replace(TWO_STAGE, hold_expiry=hold_expiry, hold_period=7200)).start().confirm().answered("00")
    assert not story.wait(7199).sweep().last(Kind.AUTHORIZATION).next_attempt_at
    operation = story.wait(1).sweep().last(kind)
    assert operation.amount_minor == 2590
    story.answered("00")
    assert story.payment.reason is (Reason.CAPTURE_TIMEOUT if kind is Kind.REVERSAL else None)


def test_timers_are_silent_once_decided() -> None:
    """A confirmed payment has no decision timer, a captured one no hold timer (P4)."""
    story = held().capture()
    assert (story.payment.decision_deadline_at, story.payment.hold_deadline_at) == (None, None)
    assert decision.expire(story.session, now=story.now + timedelta(days=99), ids=story.ids) is None
