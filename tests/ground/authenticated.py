"""What tests of 3-D Secure on the ground floor have in common: projects, a challenge, and how it may end."""

from __future__ import annotations

from tests.ground.story import (
    SEALED_CVV,
    Story,
    asked_for,
)
from tollhouse.authentication import State
from tollhouse.merchant import Settings
from tollhouse.operation import CHARGES, Operation
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.session import Status
from tollhouse.verdict import Policy

ALWAYS, AUTO, NEVER = (Settings(threeds=policy) for policy in (Policy.ALWAYS, Policy.AUTO, Policy.NEVER))
HOUR = 3600


def charges(story: Story) -> list[Operation]:
    """The payment's charges, oldest first."""
    return [operation for operation in story.session.operations if operation.kind in CHARGES]


def challenged(settings: Settings = AUTO) -> Story:
    """The issuer asks the payer."""
    return asked_for(settings).ask().reply("C")


def goes_on(story: Story, *, proven: bool) -> None:
    """The charge is planned, with the authentication if that is over, and the payer is no longer awaited."""
    (charge,) = charges(story)
    assert story.payment.phase is Phase.CONFIRMED
    assert story.payment.action_deadline_at is None
    assert story.payment.sealed_cvv == SEALED_CVV
    assert charge.authentication_id == (story.attempt.id if story.attempt.state is State.FINISHED else None)
    assert proven == (story.attempt.result is not None and story.attempt.result.status in ("Y", "A"))
    assert story.answered("00").session.status is Status.ACCEPTED
    assert story.announced == ["ready_to_confirm", "action_required", "payment_finished"]


def fails(story: Story, reason: Reason = Reason.NOT_AUTHENTICATED) -> None:
    """The payment failed for this reason, nothing was ever sent, and the security code is erased."""
    assert (story.payment.phase, story.payment.reason) == (Phase.FAILED, reason)
    assert story.session.status is Status.CANCELLED
    assert charges(story) == []
    assert story.erased == [SEALED_CVV]
    assert story.announced == ["ready_to_confirm", "action_required", "payment_finished"]
    assert story.session.due_at is None
