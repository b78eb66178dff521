"""Recovery: timers, orphans of dead processes, and leases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import announced, call, confirmed, created, held, prepared, recovered, succeeded
from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld, Turn, memory_world, second_node
from tollhouse.flows.confirm import confirm
from tollhouse.flows.drive import drive
from tollhouse.flows.recover import claim, recover
from tollhouse.merchant import CaptureMode, Settings
from tollhouse.operation import State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, HoldExpiry, Phase
from tollhouse.refusal import StateForbids
from tollhouse.session import PaymentSession, Status


class Died(Exception):
    """A process ended."""


async def die() -> None:
    """The end of a process while it waits."""
    raise Died


async def orphaned(world: MemoryWorld) -> PaymentSession:
    """A session whose process died while it waited for the answer to a sale."""
    session = await confirmed(world)
    world.link.script += [Turn(meanwhile=die)]
    with pytest.raises(Died):
        await drive(world, session)
    return world.session(session)


async def test_nothing_is_due() -> None:
    """Where nothing is due nothing is claimed."""
    world = memory_world()
    await succeeded(world)
    await prepared(world)
    assert await claim(world) == []


async def test_decision_deadline() -> None:
    """After 240 minutes without a decision the payment fails, the code is erased, and confirming is refused (P4)."""
    world = memory_world()
    session = await prepared(world)
    world.clock.move(240 * 60 - 1)
    assert await claim(world) == []
    world.clock.move(1)
    after = await recovered(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.CONFIRM_TIMEOUT)
    assert after.payments[0].decision is Decision.TIMED_OUT
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert world.vault.cvvs == set()
    assert world.link.sent == []
    with pytest.raises(StateForbids, match="nobody confirmed it in time"):
        await confirm(world, call(), session.id)


async def test_confirm_in_the_last_moment() -> None:
    """A sweep that read before the confirm loses: it reads again and finds nothing to do (P4)."""
    world = memory_world()
    session = await prepared(world)
    world.clock.move(240 * 60)
    find = world.store.find_session
    (claimed,) = await claim(world)

    async def find_before_confirm(project: str, session_id: str) -> object:
        found = await find(project, session_id)
        world.store.find_session = find  # type: ignore[method-assign]
        await confirm(second_node(world), call(), session_id)
        return found

    world.store.find_session = find_before_confirm  # type: ignore[assignment,method-assign]
    await recover(world, *claimed)
    after = world.session(session)
    assert after.payments[0].decision is Decision.CONFIRMED
    assert after.payments[0].phase is not Phase.FAILED


async def test_unstarted_session() -> None:
    """A session that nobody starts is cancelled after 30 days, without an event."""
    world = memory_world()
    session = await created(world)
    world.clock.move(30 * 86400)
    after = await recovered(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.CANCELLED)
    assert announced(world, session) == []


async def test_card_that_was_given_and_not_used() -> None:
    """A card given at create is forgotten after 24 hours, with its security code; the session goes on waiting."""
    world = memory_world()
    session = await created(world, with_card=True)
    world.clock.move(86400)
    after = await recovered(world, session)
    assert after.status is Status.CREATED
    assert after.offer.card is None
    assert after.offer.money == session.offer.money
    assert world.vault.cvvs == set()


@pytest.mark.parametrize("expiry", HoldExpiry)
async def test_hold_runs_out(expiry: HoldExpiry) -> None:
    """A hold that nobody decided about is released or captured, as the project has chosen."""
    world = memory_world()
    settings = Settings(capture_mode=CaptureMode.TWO_STAGE, hold_expiry=expiry, hold_period=3600)
    world.books.add_project(replace(TWO_STAGE, settings=settings))
    session = await confirmed(world, project=world.books.projects["inn"])
    await drive(world, session)
    world.clock.move(3600)
    after = await recovered(world, session)
    if expiry is HoldExpiry.RELEASE:
        assert (after.status, after.reason) == (Status.CANCELLED, Reason.CAPTURE_TIMEOUT)
        assert world.link.types == ["0100", "0400"]
    else:
        assert (after.status, after.payments[0].captured_minor) == (Status.ACCEPTED, 4990)
        assert world.link.types == ["0100", "0220"]


async def test_planned_and_orphaned() -> None:
    """A process that died before it sent leaves a planned operation: another sends it when the lease has run out."""
    world = memory_world()
    session = await confirmed(world)
    other = second_node(world)
    assert await claim(other) == []
    world.clock.move(26)
    after = await recovered(other, session)
    assert after.status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_submitted_and_orphaned() -> None:
    """What a dead process had sent is unclear: another reverses it, and never sends it again (P1)."""
    world = memory_world()
    session = await orphaned(world)
    other = second_node(world)
    world.clock.move(20)
    assert await claim(other) == []
    world.clock.move(6)
    after = await recovered(other, session)
    assert world.link.types == ["0200", "0400"]
    assert after.operations[0].state is State.REVERSED
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACQUIRER_TIMEOUT)


async def test_claim_takes_the_session_from_its_last_owner() -> None:
    """A claim moves the version: who held the session before cannot commit any more."""
    world = memory_world()
    session = await confirmed(world)
    world.clock.move(26)
    await claim(second_node(world))
    await drive(world, session)
    assert world.link.sent == []
    assert world.session(session).lease_owner == "n2"


async def test_drive_does_not_conclude_silence() -> None:
    """Only recovery may: whoever merely drives does not know whether somebody still waits for the answer."""
    world = memory_world()
    session = await orphaned(world)
    world.clock.move(24)
    await drive(world, session)
    assert world.session(session).operations[0].state is State.SUBMITTED


async def test_other_projects_hold() -> None:
    """A held session is not due before its hold runs out."""
    world = memory_world()
    session = await held(world)
    assert session.due_at is not None
    assert (session.due_at - world.clock.now()).total_seconds() == PROJECT.settings.hold_period
    assert await claim(world) == []
