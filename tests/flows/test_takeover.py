"""Two nodes at one session: an answer is never lost to a lease, and a lost commit never passes for a rival's."""

from __future__ import annotations

import pytest

from tests.builders import (
    OFFER,
    alarms,
    announced,
    call,
    card,
    confirmed,
    driven,
    moved,
    prepared,
    recovered,
    succeeded,
)
from tests.worlds import MemoryWorld, Turn, memory_world, second_node
from tollhouse.change import Change
from tollhouse.flows.cancel import cancel
from tollhouse.flows.confirm import confirm
from tollhouse.flows.recover import claim, recover
from tollhouse.flows.refund import refund
from tollhouse.flows.start_payment import init_payment
from tollhouse.money import Money
from tollhouse.operation import Kind, State
from tollhouse.payment import Decision
from tollhouse.ports import CommitUnclear, KeyTaken, StoreUnreachable
from tollhouse.refusal import RefundExceedsCaptured, StateForbids
from tollhouse.session import Status
from tollhouse.store.memory import MemoryStore

LEASE_SECONDS = 26


class Unsteady(MemoryStore):
    """Books whose connection is lost before the next commits. In between a rival may act."""

    lost = 0

    async def commit(self, change: Change) -> None:
        """Lost, or as ever."""
        if self.lost:
            self.lost -= 1
            await self.meanwhile()
            raise CommitUnclear("the connection was lost")
        await super().commit(change)

    async def meanwhile(self) -> None:
        """Nobody acts."""


def unsteady_world() -> tuple[MemoryWorld, Unsteady]:
    """A world whose connection to the books is lost when told."""
    plain = memory_world()
    store = Unsteady(plain.books, node="n1", clock=plain.clock)
    return memory_world(books=plain.books, clock=plain.clock, vault=plain.vault, link=plain.link, store=store), store


async def test_answer_after_the_session_was_claimed() -> None:
    """An approval that comes when another node has just claimed the session makes the payment succeed, once."""
    world = memory_world()
    session = await confirmed(world)
    other = second_node(world)

    async def be_claimed() -> None:
        world.clock.move(LEASE_SECONDS)
        assert await claim(other) == [("shop", session.id)]

    world.link.script += [Turn(meanwhile=be_claimed)]
    after = await driven(world, session)
    assert after.status is Status.ACCEPTED
    await recover(other, "shop", session.id)
    assert world.session(session) == after
    assert world.link.types == ["0200"]
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert len(moved(world, session)) == 2


async def test_answer_after_the_other_has_reversed() -> None:
    """An approval that comes when another node has already reversed fails to turn it around: alarm, reversed (P7)."""
    world = memory_world()
    session = await confirmed(world)
    other = second_node(world)

    async def be_reversed() -> None:
        world.clock.move(LEASE_SECONDS)
        await recovered(other, session)

    world.link.script += [Turn(meanwhile=be_reversed)]
    after = await driven(world, session)
    assert after.status is Status.CANCELLED
    assert after.operations[0].state is State.REVERSED
    assert alarms(world, session) == ["approved after it was reversed; it is reversed (again)"]
    assert moved(world, session) == []
    assert [entry.standing for entry in world.link.bank.entries.values()] == ["reversed"]


async def test_whoever_takes_over_drives_on_alone() -> None:
    """When the first node hears of its answer at last, what is left to do stays with whoever has the lease now."""
    world = memory_world()
    session = await confirmed(world)
    other = second_node(world)

    async def be_claimed() -> None:
        world.clock.move(LEASE_SECONDS)
        await claim(other)

    world.link.script += [Turn(code="51", meanwhile=be_claimed)]
    after = await driven(world, session)
    assert after.status is Status.CANCELLED
    await recover(other, "shop", session.id)
    assert world.session(session) == after


async def test_rival_decides_while_a_commit_is_unclear() -> None:
    """A confirm whose commit was lost and a cancel that came in between: the cancel stands, the confirm is refused."""
    world, store = unsteady_world()
    session = await prepared(world)
    rival = second_node(world)

    async def be_cancelled() -> None:
        await cancel(rival, call(), session.id)

    store.lost, store.meanwhile = 1, be_cancelled  # type: ignore[method-assign]
    with pytest.raises(StateForbids, match="cancelled by the merchant"):
        await confirm(world, call(), session.id)
    assert world.session(session).payments[0].decision is Decision.CANCELLED


async def test_parallel_refunds_never_exceed() -> None:
    """Of two whole refunds at the same moment one is planned, the other refused, though both read the same (P3)."""
    world, store = unsteady_world()
    session = await succeeded(world)
    rival = second_node(world)

    async def be_refunded() -> None:
        await refund(rival, call(), session.id, Money(4990, "eur"), payment_id=None, metadata=None)

    store.lost, store.meanwhile = 1, be_refunded  # type: ignore[method-assign]
    with pytest.raises(RefundExceedsCaptured):
        await refund(world, call(), session.id, None, payment_id=None, metadata=None)
    assert [o.kind for o in world.session(session).operations] == [Kind.SALE, Kind.REFUND]


async def test_nothing_is_sent_while_it_is_unclear() -> None:
    """As long as nobody knows whether *submitted* was committed nothing leaves; the lease decides who goes on (P1)."""
    world, store = unsteady_world()
    session = await confirmed(world)
    store.lost = 99
    with pytest.raises(StoreUnreachable):
        await driven(world, session)
    assert world.link.sent == []
    store.lost = 0
    world.clock.move(LEASE_SECONDS)
    assert (await recovered(second_node(world), session)).status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_security_code_outlives_an_unclear_commit() -> None:
    """A code is erased after the commit that lets go of it, never before: an unclear cancel may not have happened."""
    world, store = unsteady_world()
    session = await prepared(world)
    store.lost = 99
    with pytest.raises(StoreUnreachable):
        await cancel(world, call(), session.id)
    assert world.session(session).payments[0].sealed_cvv in world.vault.cvvs
    store.lost = 0
    await cancel(world, call(), session.id)
    assert world.vault.cvvs == set()


async def test_commit_that_comes_too_late_to_send() -> None:
    """When *submitted* stands only after the send deadline nothing is written, and it is planned again (P1)."""
    world, store = unsteady_world()
    session = await confirmed(world)
    store.lost = 9  # the gaps between so many attempts are longer than the deadline
    after = await driven(world, session)
    assert world.link.sent == []
    assert [(o.kind, o.state) for o in after.operations] == [(Kind.SALE, State.PLANNED)]
    assert after.payments[0].sealed_cvv in world.vault.cvvs


async def test_loser_of_an_unclear_race_for_a_key() -> None:
    """When a rival used the key while our commit was lost, the call is turned away and leaves no code behind (P5)."""
    world, store = unsteady_world()
    rival = second_node(world)

    async def be_overtaken() -> None:
        await init_payment(rival, call(key="k"), OFFER, card())

    store.lost, store.meanwhile = 1, be_overtaken  # type: ignore[method-assign]
    with pytest.raises(KeyTaken):
        await init_payment(world, call(key="k"), OFFER, card())
    assert len(world.books.sessions) == 1
    assert len(world.vault.cvvs) == 1
