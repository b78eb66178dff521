"""The loops of a node: they go on whatever happens, and a busy one forgets nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.builders import confirmed, prepared
from tests.worlds import TWO_STAGE, FakeHerald, MemoryWorld, memory_world
from tollhouse.ports import ClaimedDelivery, Posted
from tollhouse.store.memory import MemoryStore
from tollhouse.webhook import DeliveryState
from tollhouse.worker.loops import PROJECT_SENDING_MAX, SENDING_MAX, Deliverer, recover_loop
from tollhouse.worker.tasks import Tasks

PATIENCE_SECONDS = 20


class FailingStore(MemoryStore):
    """Fails at the first claims as a database does that has run out of something."""

    failures = 2

    async def claim_deliveries(
        self, now: datetime, *, sessions: Sequence[tuple[str, str]] | None, limit: int, busy: Sequence[str] = ()
    ) -> list[ClaimedDelivery]:
        """After the failures as ever."""
        self._fail()
        return await super().claim_deliveries(now, sessions=sessions, limit=limit, busy=busy)

    async def claim_due(self, now: datetime, *, limit: int) -> list[tuple[str, str]]:
        """After the failures as ever."""
        self._fail()
        return await super().claim_due(now, limit=limit)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no space left on device")


class SlowHerald(FakeHerald):
    """Its receivers answer only when they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def post(self, claimed: ClaimedDelivery, signature: str, at: datetime) -> Posted:
        """As the other, later."""
        posted = await super().post(claimed, signature, at)
        await self.may_answer.wait()
        return posted


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These loops beside the test."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def is_all_delivered(world: MemoryWorld) -> bool:
    """Whether no event waits any more."""
    every = [one for events in world.books.deliveries.values() for one in events.values()]
    return all(one.state is DeliveryState.DELIVERED for one in every)


def with_failing_store() -> MemoryWorld:
    """A world whose database fails for a while."""
    world = memory_world()
    return replace(world, store=FailingStore(world.books, node=world.node, clock=world.clock))


async def test_busy_node_still_looks_for_what_is_due() -> None:
    """A node that is told of sessions all the time also sends the due events that nobody tells it of."""
    world = memory_world()
    await prepared(world)
    deliverer = Deliverer(world, Tasks(world.log), polls=True)

    async def chatter() -> None:
        while True:
            deliverer.tell("shop", "ps_999")
            await asyncio.sleep(0.02)

    async with running(deliverer.run(), chatter()):
        await until(lambda: is_all_delivered(world))
    assert len(world.herald.posts) == 1


async def test_webhooks_go_on_after_a_failure() -> None:
    """A claim that fails for whatever reason is told in the log and tried again, also for what the node was told of."""
    world = with_failing_store()
    session = await prepared(world)
    deliverer = Deliverer(world, Tasks(world.log), polls=False)
    deliverer.tell(session.project, session.id)
    async with running(deliverer.run()):
        await until(lambda: is_all_delivered(world))
    assert ("warning", "webhooks are delayed", {"why": "RuntimeError"}) in world.log.lines


async def test_recovery_goes_on_after_a_failure() -> None:
    """A claim that fails for whatever reason is told in the log, and what is due is taken up later."""
    world = with_failing_store()
    session = await confirmed(world)
    world.clock.move(60)
    tasks = Tasks(world.log)
    async with running(recover_loop(world, tasks)):
        await until(lambda: world.session(session).payments[0].is_final)
    await tasks.close(patience_seconds=PATIENCE_SECONDS)
    assert ("warning", "recovery is delayed", {"why": "RuntimeError"}) in world.log.lines


async def test_no_more_is_claimed_than_can_be_sent() -> None:
    """What hangs keeps its place: the rest is claimed when there is room, so that no lease runs out while it waits."""
    herald = SlowHerald()
    world = memory_world(herald=herald)
    for _ in range(PROJECT_SENDING_MAX + 5):
        await prepared(world)
    deliverer = Deliverer(world, Tasks(world.log), polls=True)
    async with running(deliverer.run()):
        await until(lambda: len(herald.posts) == PROJECT_SENDING_MAX)
        assert len(world.books.delivery_leases) == PROJECT_SENDING_MAX
        herald.may_answer.set()
        await until(lambda: is_all_delivered(world))
    assert len(herald.posts) == PROJECT_SENDING_MAX + 5


async def test_one_merchant_that_hangs_does_not_keep_the_others_waiting() -> None:
    """A project whose receivers hang takes a part of the places; told or polled, another's webhooks still go out."""
    for polls in (True, False):
        herald = SlowHerald()
        world = memory_world(herald=herald)
        deliverer = Deliverer(world, Tasks(world.log), polls=polls)
        for _ in range(SENDING_MAX):
            session = await prepared(world)
            deliverer.tell(session.project, session.id)
        async with running(deliverer.run()):
            await until(lambda herald=herald: len(herald.posts) >= PROJECT_SENDING_MAX)
            other = await prepared(world, project=TWO_STAGE)
            deliverer.tell(other.project, other.id)
            await until(
                lambda herald=herald, other=other: any(
                    claimed.delivery.session_id == other.id for claimed, *_ in herald.posts
                )
            )
            herald.may_answer.set()
            await until(lambda world=world: is_all_delivered(world))
        assert len(herald.posts) == SENDING_MAX + 1
