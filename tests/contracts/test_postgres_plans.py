"""What a payment does to the books costs the same however large they are: every row is found by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from tests.contracts.shelf import PostgresShelf, bodied, claiming
from tests.ground.story import NOON, Story
from tests.lives import acting, captured, challenged, paid, reversed_late, stepped_up, told
from tests.servers import execute
from tollhouse.change import Note
from tollhouse.ports import ClaimedDelivery
from tollhouse.store.postgres import POINT_LOOKUPS, PostgresStore, open_pool
from tollhouse.webhook import Attempt, after_attempt

COPIES = 100
ROWS_READ_MAX = 400  # by everything that is done below, in each table
LARGE = (
    *("session", "payment", "operation", "authentication", "transfer", "history", "note", "alarm"),
    *("event", "delivery_attempt", "idempotency_key"),
)
# Copies of what stands, under further names. Of the copies nothing is due, and nothing waits for its merchant.
GROWN = f"""
create temporary view copies as select '-' || number as mark from generate_series(1, {COPIES}) number;
create function pg_temp.marked(kept anyelement, mark text, more jsonb) returns anyelement language sql as $$
    select jsonb_populate_record(kept, more || coalesce((select jsonb_object_agg(key, value || mark)
        from jsonb_each_text(to_jsonb(kept))
        where key in ('id', 'session_id', 'payment_id', 'operation_id', 'target_id', 'resolves_id', 'rrn', 'key',
            'event_id', 'change_id', 'subject', 'authentication_id', 'action_link', 'card_fingerprint')), '{{}}'))
$$;
""" + "".join(
    f"""insert into {table} select (pg_temp.marked(r, mark, '{more}')).*
        from {table} r, copies;"""
    for table, more in {
        **dict.fromkeys(LARGE, "{}"),
        "session": '{"due_at": null}',
        "event": '{"state": "delivered"}',
    }.items()
)


async def scans(connection: asyncpg.Connection | asyncpg.Pool) -> dict[str, tuple[int, int]]:
    """For each large table how often it was read from end to end, and how many of its rows were read."""
    await connection.execute("select pg_stat_force_next_flush()")
    found = await connection.fetch(
        """select relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows_read
           from pg_stat_user_tables where relname = any($1)""",
        LARGE,
    )
    return {row["relname"]: (row["seq_scan"], row["rows_read"]) for row in found}


async def everything(store: PostgresStore, number: int) -> None:
    """What the gateway does for its payments, from the first call to the last webhook, and what its loops ask."""
    stories = [paid(number), captured(number + 1), reversed_late(number + 2), told(number + 3).create()]
    stories += [guarded(stepped_up(number + 4)), guarded(acting(number + 5)), guarded(challenged(number + 6))]
    for story in stories:
        for change in story.changes:
            note = Note(kind="request", data={})
            await store.commit(replace(claiming(bodied(change), f"key {change.id}"), notes=(note,)))
            await store.find_key("shop", f"key {change.id}")
            await store.find_change("shop", story.session.id, change.id)
            await store.find_session("shop", story.session.id)
        for payment in story.session.payments:
            await store.find_link(payment.action_link or "link")
            await store.low_value_use("shop", payment.card.fingerprint)
        for authentication in story.session.authentications:
            await store.find_authentication(authentication.id)
        for operation in story.session.operations:
            assert operation.references is not None
            named = operation.references
            await store.find_operation(rrn=named.rrn, stan=named.stan, terminal=named.terminal)
    name = ("shop", stories[0].session.id)
    for sessions in ([name], None):
        while found := await store.claim_deliveries(NOON + timedelta(hours=1), sessions=sessions, limit=9):
            for claimed in found:
                await deliver(store, claimed)
    await store.claim_due(NOON + timedelta(days=60), limit=9)


def guarded(story: Story) -> Story:
    """The story with a card of its own, as the vault's fingerprint tells it."""
    card = replace(story.payment.card, fingerprint=f"f-{story.session.id}")
    story.changes = [
        replace(one, session=one.session.with_payment(replace(one.session.payments[0], card=card)))
        for one in story.changes
    ]
    story.session = story.changes[-1].session
    return story


async def deliver(store: PostgresStore, claimed: ClaimedDelivery) -> None:
    """One attempt of a webhook."""
    made = Attempt(number=1, at=NOON, status=200, error=None, excerpt="", duration_seconds=0)
    after = after_attempt(claimed.delivery, made, window_seconds=1800, jitter_percent=0, signature="s")
    await store.finish_delivery(after, made)


async def assert_nothing_is_scanned(store: PostgresStore, number: int) -> None:
    """Do everything once, and look at what was read for it."""
    before = await scans(store.pool)
    await everything(store, number)
    after = await scans(store.pool)
    assert {table: after[table][0] - before[table][0] for table in LARGE} == dict.fromkeys(LARGE, 0)
    read = {table: after[table][1] - before[table][1] for table in LARGE}
    assert {table: rows for table, rows in read.items() if rows > ROWS_READ_MAX} == {}


@pytest.fixture
async def one(database: str, postgres_shelf: PostgresShelf) -> AsyncIterator[PostgresStore]:
    """A store with one connection, so that all its reading is counted when it is asked."""
    store = PostgresStore(await open_pool(database, connections_max=1), node="n1")
    yield store
    await store.close()


async def grow(store: PostgresStore, database: str) -> None:
    """Make plans for everything, and then the tables some hundred times larger."""
    for number in range(100, 800, 100):
        await everything(store, number)
    await execute(database, f"begin; {GROWN} commit;")


async def test_young_books(one: PostgresStore, database: str) -> None:
    """Plans from when the tables were empty do not read them from end to end when they have grown."""
    await grow(one, database)
    await assert_nothing_is_scanned(one, 900)


async def test_grown_books(one: PostgresStore, database: str) -> None:
    """Large tables with statistics are read by an index by the planner's own choice, without the pool's settings."""
    await grow(one, database)
    await execute(database, "analyze")
    for name in POINT_LOOKUPS:
        await one.pool.execute(f"set {name} = on")
    for number in range(800, 1500, 100):
        await everything(one, number)
    await assert_nothing_is_scanned(one, 1500)
