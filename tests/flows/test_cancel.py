"""`session/cancel`: drops what has not begun, refuses what was prepared, releases what is held."""

from __future__ import annotations

import pytest

from tests.builders import (
    announced,
    call,
    captured,
    confirmed,
    created,
    driven,
    held,
    moved,
    prepared,
    releasing,
    succeeded,
)
from tests.worlds import PROJECT, TWO_STAGE, memory_world
from tollhouse.flows.cancel import cancel
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Phase
from tollhouse.refusal import StateForbids
from tollhouse.session import Status


async def test_cancel_of_a_created_session() -> None:
    """It ends at once, without an event, and its security code is erased."""
    world = memory_world()
    session = await created(world, with_card=True)
    settled = await cancel(world, call(), session.id)
    assert settled.answer.status is Status.CANCELLED
    assert settled.answer.reason is Reason.CANCELLED_BY_MERCHANT
    assert settled.answer.finished_at == world.clock.now()
    assert announced(world, session) == []
    assert world.vault.cvvs == set()
    assert settled.answer.offer.card is None


async def test_cancel_of_a_prepared_payment() -> None:
    """The answer still shows a pending payment; then it fails, without a word to the acquirer."""
    world = memory_world()
    session = await prepared(world)
    settled = await cancel(world, call(), session.id)
    assert settled.answer.payments[0].phase is Phase.CANCELLING
    (payment,) = settled.session.payments
    assert (payment.phase, payment.decision) == (Phase.FAILED, Decision.CANCELLED)
    assert settled.session.reason is Reason.CANCELLED_BY_MERCHANT
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert world.link.sent == []
    assert world.vault.cvvs == set()


async def test_cancel_of_a_hold() -> None:
    """The authorization is reversed at the acquirer and voided in the ledger; only then the payment fails."""
    world = memory_world()
    session = await releasing(world)
    assert session.payments[0].phase is Phase.CANCELLING
    assert announced(world, session) == ["ready_to_confirm", "ready_to_capture"]
    after = await driven(world, session)
    assert after.status is Status.CANCELLED
    assert after.reason is Reason.CANCELLED_BY_MERCHANT
    assert world.link.types == ["0100", "0400"]
    assert announced(world, session)[-1] == "payment_finished"
    assert [(o.kind, o.state) for o in after.operations] == [
        (Kind.AUTHORIZATION, State.APPROVED),
        (Kind.REVERSAL, State.APPROVED),
    ]
    assert moved(world, session) == [
        ("pending", "acquirer_receivable", "payer_funds", 4990),
        ("voided", "payer_funds", "acquirer_receivable", 4990),
    ]


async def test_cancel_again() -> None:
    """The same decision again answers with the session as it stands."""
    world = memory_world()
    for session, project in ((await releasing(world), TWO_STAGE), (await prepared(world), PROJECT)):
        await cancel(world, call(project), session.id)
        assert not (await cancel(world, call(project), session.id)).is_written


@pytest.mark.parametrize("build", [confirmed, succeeded, captured])
async def test_too_late_to_cancel(build: object) -> None:
    """What was confirmed and not held, or captured, cannot be cancelled (P4)."""
    world = memory_world()
    session = await build(world)  # type: ignore[operator]
    with pytest.raises(StateForbids, match="confirmed"):
        await cancel(world, call(world.books.projects[session.project]), session.id)


async def test_held_is_shown_as_to_be_captured() -> None:
    """Before the decision about a hold the merchant is told to capture."""
    world = memory_world()
    assert (await held(world)).next_action == "capture"
