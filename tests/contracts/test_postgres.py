"""The books in Postgres: how changes are committed there, its connections, and events that are sent again by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from tests.contracts.shelf import PostgresShelf, commit_all, following, opened, started
from tests.ground.story import NOON
from tollhouse.ports import Stale
from tollhouse.session import Lease
from tollhouse.store import reads
from tollhouse.store.postgres import CONNECTIONS_MAX, PostgresStore, open_pool
from tollhouse.webhook import Attempt, Delivery, DeliveryState, after_attempt

# --- commits ----------------------------------------------------------------------------------------------------------


async def test_changes_of_a_moment_share_a_commit(pool: asyncpg.Pool, postgres_store: PostgresStore) -> None:
    """What waits while one commit is on its way is written by the next as a whole: far fewer commits than changes."""
    changes = [opened(number) for number in range(60)]
    await asyncio.gather(*(postgres_store.commit(change) for change in changes))
    assert await pool.fetchval("select count(*) from history") == 60
    assert await pool.fetchval("select count(distinct xmin::text) from history") <= 3


async def test_lease_is_on_the_clock_of_the_database(pool: asyncpg.Pool, postgres_store: PostgresStore) -> None:
    """A lease runs from the instant of its commit as the database sees it; a commit without one ends it."""
    change = replace(opened(), lease=Lease(owner="n1", seconds=30))
    await postgres_store.commit(change)
    seconds = await pool.fetchval("select extract(epoch from lease_until - clock_timestamp()) from session")
    assert 0 < seconds <= 30
    await postgres_store.commit(following(change))
    assert await pool.fetchval("select lease_until from session") is None


async def test_address_decides_at_the_commit(pool: asyncpg.Pool, postgres_store: PostgresStore) -> None:
    """Whether the project has an address at the moment of the commit decides whether its event waits."""
    await commit_all(postgres_store, [started(1, "quiet"), started(2, "shop")])
    found = await pool.fetch("select project, state from event order by project")
    assert [tuple(row) for row in found] == [("quiet", "silent"), ("shop", "waiting")]


async def test_node_is_told_of_its_changes(database: str, postgres_shelf: PostgresShelf) -> None:
    """The node that commits a change is told once it is durable; one that is refused tells nothing."""
    told: list[tuple[str, bool]] = []
    store = await PostgresStore.open(
        database, node="n1", changed=lambda change: told.append((change.session.id, bool(change.events)))
    )
    changes = (started(1), opened(2), opened(3), started(2))
    found = await asyncio.gather(*(store.commit(change) for change in changes), return_exceptions=True)
    await store.close()
    assert [type(one) for one in found] == [type(None)] * 3 + [Stale]
    ids = [change.session.id for change in changes]
    assert sorted(told) == sorted([(ids[0], True), (ids[1], False), (ids[2], False)])


# --- connections ------------------------------------------------------------------------------------------------------


async def test_settings_of_the_pool(database: str) -> None:
    """Commits are on disk before they are answered, instants are in UTC, and rows are looked up by an index."""
    pool = await open_pool(database)
    names = ("synchronous_commit", "TimeZone", "jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin")
    found = {name: await pool.fetchval(f"show {name}") for name in names}
    assert found == {name: {"synchronous_commit": "on", "TimeZone": "UTC"}.get(name, "off") for name in names}
    assert pool.get_max_size() == CONNECTIONS_MAX
    await pool.close()


async def test_server_writes_durably(pool: asyncpg.Pool) -> None:
    """The embedded server itself waits for the disk."""
    assert [await pool.fetchval(f"show {name}") for name in ("fsync", "full_page_writes")] == ["on", "on"]


# --- sending again by hand --------------------------------------------------------------------------------------------


async def finished(postgres_store: PostgresStore, status: int) -> Delivery:
    """An event of one attempt, delivered or abandoned."""
    await postgres_store.commit(started(1))
    (claimed,) = await postgres_store.claim_deliveries(NOON, sessions=None, limit=9)
    made = Attempt(number=1, at=NOON, status=status, error=None, excerpt="", duration_seconds=0)
    after = after_attempt(claimed.delivery, made, window_seconds=0, jitter_percent=0, signature="signed once")
    await postgres_store.finish_delivery(after, made)
    return after


@pytest.mark.parametrize(("status", "state"), [(200, DeliveryState.DELIVERED), (500, DeliveryState.ABANDONED)])
async def test_resend(postgres_store: PostgresStore, pool: asyncpg.Pool, status: int, state: DeliveryState) -> None:
    """An event that is over goes out once more: same id, body and signature, a further attempt, a fresh window."""
    before = await finished(postgres_store, status)
    assert before.state is state
    later = NOON + timedelta(days=3)
    assert await reads.resend_event(pool, "shop", before.event_id, later)
    assert await postgres_store.claim_deliveries(later - timedelta(seconds=1), sessions=None, limit=9) == []
    (claimed,) = await postgres_store.claim_deliveries(later, sessions=None, limit=9)
    again = claimed.delivery
    assert again == replace(before, state=DeliveryState.WAITING, first_attempt_at=None, next_attempt_at=later)
    made = Attempt(number=2, at=later, status=200, error=None, excerpt="", duration_seconds=0)
    await postgres_store.finish_delivery(
        after_attempt(again, made, window_seconds=60, jitter_percent=0, signature="signed once"), made
    )
    found = await reads.find_event(pool, "shop", before.event_id)
    assert found is not None
    assert (found.state, [one.number for one in found.attempts]) == (DeliveryState.DELIVERED, [1, 2])


async def test_resend_of_nothing(postgres_store: PostgresStore, pool: asyncpg.Pool) -> None:
    """An event that is not there, or another project's, is not sent."""
    before = await finished(postgres_store, 200)
    assert not await reads.resend_event(pool, "shop", "evt_404", NOON)
    assert not await reads.resend_event(pool, "inn", before.event_id, NOON)
    assert await postgres_store.claim_deliveries(NOON, sessions=None, limit=9) == []
