"""The connection to Postgres is lost around a commit: what became of it is found out, and never done twice."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.contracts.cable import Cable, Cut, cable_to
from tests.contracts.shelf import SHOP, PostgresShelf, claiming, following, known, opened, started
from tests.servers import run_apart
from tests.worlds import MemoryWorld, memory_world
from tollhouse.boot.chance import SystemClock
from tollhouse.change import Change
from tollhouse.flows.settle import settle
from tollhouse.ports import CommitUnclear, Stale, StoreUnreachable
from tollhouse.store import rows
from tollhouse.store.embedded import Embedded
from tollhouse.store.migrate import apply
from tollhouse.store.postgres import PostgresStore, open_pool
from tollhouse.store.projects import insert_project
from tollhouse.store.queries import QUERIES

CHAINS = 12
UNCLEAR_MIN = 12  # so many lost answers are enough


class Counting(PostgresStore):
    """Counts the commits whose answer was lost."""

    unclear = 0

    async def commit(self, change: Change) -> None:
        try:
            await super().commit(change)
        except CommitUnclear:
            self.unclear += 1
            raise


def world_of(store: PostgresStore) -> MemoryWorld:
    """A world whose books are in Postgres and whose time is real."""
    return memory_world(store=store, clock=SystemClock())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as a socket needs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is pushed here is closed after the test, also after one that fails."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def cabled(
    database: str, postgres_shelf: PostgresShelf, folder: Path
) -> AsyncIterator[tuple[PostgresStore, Cable]]:
    """A store at the end of a cable; its connection has carried commits before."""
    async with cable_to(database, folder) as (dsn, cable):
        store = await PostgresStore.open(dsn, node="n1")
        for number in range(101, 103):
            await store.commit(opened(number))
        yield store, cable
        await store.close()


async def settled(world: MemoryWorld, change: Change) -> Change:
    """Settle a change; where even the look-up was cut, look again before it is tried again."""
    is_known = True
    while True:
        try:
            if not is_known and await world.store.find_change("shop", change.session.id, change.id):
                return change
            return await settle(world, change)
        except StoreUnreachable:
            is_known = False


async def chain(world: MemoryWorld, number: int, is_enough: Callable[[], bool]) -> Change:
    """A session and change after change of it, each settled before the next, until it is enough. The last one."""
    change = await settled(world, claiming(started(number), f"key {number}"))
    while not is_enough():
        change = await settled(world, following(change))
    return change


async def assert_each_once(pool: asyncpg.Pool, *last: Change) -> None:
    """Every session has each of its versions once, one event and one key: nothing is lost, nothing is doubled."""
    for change in last:
        id, version = change.session.id, change.session.version
        found = await pool.fetch("select version from history where session_id = $1 order by version", id)
        assert [number for (number,) in found] == list(range(1, version + 1))
        for table in ("event", "idempotency_key"):
            assert await pool.fetchval(f"select count(*) from {table} where session_id = $1", id) == 1
        assert rows.session_of(await pool.fetchrow(QUERIES["find_session"], "shop", id)) == change.session


# --- cut at a moment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cut", "is_true"), [(Cut.BEFORE, False), (Cut.AFTER, True)])
async def test_lost_answer_is_unclear(cabled: tuple[PostgresStore, Cable], cut: Cut, is_true: bool) -> None:
    """A connection that is lost around a commit says only that; the change's id tells whether it became true."""
    store, cable = cabled
    change = started(1)
    cable.cut(cut)
    with pytest.raises(CommitUnclear):
        await store.commit(change)
    assert cable.cuts == 1
    assert await store.find_change("shop", change.session.id, change.id) is is_true
    assert (await store.find_session("shop", change.session.id) is not None) is is_true


@pytest.mark.parametrize("cuts", [[Cut.BEFORE], [Cut.AFTER], [Cut.BEFORE, Cut.BEFORE], [Cut.AFTER, Cut.BEFORE]])
async def test_settle_finds_the_truth(cabled: tuple[PostgresStore, Cable], pool: asyncpg.Pool, cuts: list[Cut]) -> None:
    """Whether or not the lost commit became true: in the end it is true once, and its caller knows."""
    store, cable = cabled
    cable.cut(*cuts)
    change = await settle(world_of(store), claiming(started(0), "key 0"))
    assert cable.cuts == len(cuts)
    assert await store.find_session("shop", change.session.id) == change.session
    await assert_each_once(pool, change)


@pytest.mark.parametrize("cut", Cut)
async def test_whole_group_is_unclear(cabled: tuple[PostgresStore, Cable], pool: asyncpg.Pool, cut: Cut) -> None:
    """A lost connection makes every change of its group unclear; each finds out for itself, and is true once."""
    store, cable = cabled
    world = world_of(store)
    first = asyncio.create_task(settle(world, opened(200)))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(settle(world, claiming(started(number), f"key {number}"))) for number in range(10)]
    await first
    cable.cut(cut)
    await assert_each_once(pool, *await asyncio.gather(*rest))
    assert cable.cuts == 1


async def test_rival_wins_while_it_is_unclear(cabled: tuple[PostgresStore, Cable], database: str) -> None:
    """When a lost commit did not become true and somebody else was first, the loser is stale, not successful."""
    store, cable = cabled
    first = opened(1)
    await store.commit(first)
    rival = await PostgresStore.open(database, node="n2")
    ours = following(first, "ours")
    cable.cut(Cut.BEFORE)
    with pytest.raises(CommitUnclear):
        await store.commit(ours)
    await rival.commit(following(first, "theirs"))
    await rival.close()
    with pytest.raises(Stale):
        await settle(world_of(store), ours)
    assert not await store.find_change("shop", first.session.id, ours.id)


async def test_reads_that_are_cut(cabled: tuple[PostgresStore, Cable]) -> None:
    """A read that is cut is told as such, and the next one goes over a new connection."""
    store, cable = cabled
    await store.commit(opened(1))
    await store.find_session("shop", opened(1).session.id)
    cable.cut(Cut.AFTER)
    with pytest.raises(StoreUnreachable):
        await store.find_session("shop", opened(1).session.id)
    assert await store.find_session("shop", opened(1).session.id) == opened(1).session


# --- again and again --------------------------------------------------------------------------------------------------


async def kill_until(done: asyncio.Event, pool: asyncpg.Pool) -> None:
    """End every other connection to this database, over and over."""
    while not done.is_set():
        await pool.execute(
            """select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and usename = current_user and application_name <> 'killer'"""
        )
        await asyncio.sleep(0.03)


async def test_connections_are_killed_all_the_time(
    database: str, postgres_shelf: PostgresShelf, stack: AsyncExitStack
) -> None:
    """While every connection is ended over and over, commits go on: nothing is lost and nothing is doubled (P10)."""
    killer = await asyncpg.create_pool(database, min_size=1, max_size=1, server_settings={"application_name": "killer"})
    stack.push_async_callback(killer.close)
    store = Counting(await open_pool(database), node="n1")
    stack.push_async_callback(store.close)
    done = asyncio.Event()
    killing = asyncio.create_task(kill_until(done, killer))

    def is_enough() -> bool:
        return store.unclear >= UNCLEAR_MIN or killing.done()

    last = await asyncio.gather(*(chain(world_of(store), number, is_enough) for number in range(CHAINS)))
    done.set()
    await killing
    await assert_each_once(killer, *last)


@pytest.fixture
def server(home: Path) -> Iterator[Embedded]:
    """A server of this test's own, migrated, with the project shop."""
    own = Embedded(home)
    run_apart(_prepare(own.start()))
    yield own
    own.stop()


async def _prepare(dsn: str) -> None:
    await apply(dsn)
    pool = await open_pool(dsn)
    await insert_project(pool, known(SHOP))
    await pool.close()


async def test_server_is_killed_in_between(server: Embedded, stack: AsyncExitStack) -> None:
    """The server dies at once and comes back: what was answered is there, what was unclear is found out (P10)."""
    store = Counting(await open_pool(server.dsn), node="n1")
    stack.push_async_callback(store.close)
    done = asyncio.Event()
    running = [asyncio.create_task(chain(world_of(store), number, done.is_set)) for number in range(CHAINS)]
    for _ in range(2):
        unclear = store.unclear
        await asyncio.sleep(0.1)
        server.kill()
        while store.unclear == unclear:
            await asyncio.sleep(0.01)
        server.start()
    done.set()
    last = await asyncio.gather(*running)
    await assert_each_once(store.pool, *last)


async def test_server_is_away(server: Embedded, stack: AsyncExitStack) -> None:
    """While there is no server, reads say so and commits are unclear; when it is back everything goes on."""
    store = await PostgresStore.open(server.dsn, node="n1")
    stack.push_async_callback(store.close)
    await store.commit(opened(1))
    server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            await store.find_session("shop", opened(1).session.id)
    with pytest.raises(StoreUnreachable):
        await store.claim_due(opened(1).at, limit=1)
    with pytest.raises(CommitUnclear):
        await store.commit(opened(2))
    server.start()
    assert await store.find_session("shop", opened(1).session.id) == opened(1).session
    await store.commit(opened(2))
