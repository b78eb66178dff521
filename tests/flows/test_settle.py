"""Making a decision true when the connection to the database is lost around the commit."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.builders import OFFER, announced, call, card, confirmed, created, driven, prepared, succeeded
from tests.worlds import MemoryWorld, memory_world
from tollhouse.change import Change
from tollhouse.flows.confirm import confirm
from tollhouse.flows.refund import refund
from tollhouse.flows.settle import UNCLEAR_GAPS_SECONDS
from tollhouse.flows.start_payment import init_payment
from tollhouse.money import Money
from tollhouse.operation import Kind
from tollhouse.ports import CommitUnclear, Stale, StoreUnreachable
from tollhouse.refusal import Unavailable
from tollhouse.session import Status


def lose(world: MemoryWorld, *, times: int, is_written: bool) -> list[Change]:
    """The connection is lost around the next commits, before or after they were written. The changes asked for."""
    commit, asked = world.store.commit, []

    async def commit_unclear(change: Change) -> None:
        asked.append(change)
        if len(asked) > times:
            await commit(change)
            return
        if is_written:
            with suppress(Stale):  # written the first time
                await commit(change)
        raise CommitUnclear("the connection was lost")

    world.store.commit = commit_unclear  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("times", [1, 3])
async def test_refund_is_decided_once(times: int, is_written: bool) -> None:
    """Whether the lost commit was written or not: one refund, one change, and the call is answered with success."""
    world = memory_world()
    session = await succeeded(world)
    asked = lose(world, times=times, is_written=is_written)
    settled = await refund(world, call(), session.id, Money(100, "eur"), payment_id=None, metadata=None)
    assert settled.is_written
    assert len({change.id for change in asked}) == 1
    after = world.session(session)
    assert [o.kind for o in after.operations] == [Kind.SALE, Kind.REFUND]
    assert after.payments[0].refunded_minor == 100


@pytest.mark.parametrize("is_written", [True, False])
async def test_own_key_is_not_a_rivals(is_written: bool) -> None:
    """A key that our own lost commit used up does not turn the call away (P5)."""
    world = memory_world()
    lose(world, times=1, is_written=is_written)
    settled = await init_payment(world, call(key="k"), OFFER, card())
    assert world.session(settled.session).status is Status.IN_PROGRESS
    assert len(world.books.sessions) == 1
    assert len(world.vault.cvvs) == 1


async def test_submitted_commit_that_was_lost_is_sent_once() -> None:
    """After a lost commit of *submitted* that was written the message leaves once (P1)."""
    world = memory_world()
    session = await confirmed(world)
    lose(world, times=1, is_written=True)
    after = await driven(world, session)
    assert after.status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_event_is_announced_once() -> None:
    """A lost commit that was written announced its event; looking it up announces nothing more (P9)."""
    world = memory_world()
    lose(world, times=1, is_written=True)
    session = await prepared(world)
    assert announced(world, session) == ["ready_to_confirm"]


async def test_database_that_stays_away() -> None:
    """After all gaps nothing is known and nothing is decided: the caller is told that we cannot."""
    world = memory_world()
    session = await prepared(world)
    asked = lose(world, times=99, is_written=False)
    with pytest.raises(StoreUnreachable):
        await confirm(world, call(), session.id)
    assert len(asked) == len(UNCLEAR_GAPS_SECONDS) + 1
    assert world.session(session) == session


async def test_loser_of_every_race() -> None:
    """Who loses again and again gives up with a word to try again, instead of going on for ever."""
    world = memory_world()
    session = await prepared(world)

    async def always_stale(change: Change) -> None:
        raise Stale

    world.store.commit = always_stale  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await confirm(world, call(), session.id)


async def test_replayed_answer_is_rendered_before_the_commit() -> None:
    """A project that replays answers finds the first one's bytes with the key, as the caller got them."""
    world = memory_world()
    settled = await init_payment(world, call(key="k", keeps_answer=True), OFFER, card())
    used = await world.store.find_key("shop", "k")
    assert used is not None
    assert used.answer == world.wire.answer_body(settled.answer, 2)


async def test_key_without_an_answer() -> None:
    """A project that rejects repeated calls keeps no answer."""
    world = memory_world()
    session = await created(world)
    assert (await world.store.find_session("shop", session.id)) == session
    await init_payment(world, call(key="k"), OFFER, card())
    used = await world.store.find_key("shop", "k")
    assert used is not None
    assert used.answer is None
