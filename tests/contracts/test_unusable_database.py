"""A database that answers and cannot write: callers are told that it is away, as they are when it is."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from tests.servers import execute, run_apart
from tests.worlds import CountedIds
from tollhouse.change import Note
from tollhouse.decision import create_session, open_session
from tollhouse.ports import CommitUnclear, StoreUnreachable
from tollhouse.session import Offer
from tollhouse.store.postgres import PostgresStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def test_database_that_may_not_write_is_away(database: str) -> None:
    """After a failover to a replica, or with a full disk, what cannot be written is to be tried again, no bug."""
    name = urlsplit(database).path.removeprefix("/")
    run_apart(execute(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    store = await PostgresStore.open(database, node="n1")
    ids = CountedIds()
    session = open_session(project="shop", id=ids.new("ps"), api_version=2, now=NOON)
    try:
        with pytest.raises(CommitUnclear):
            await store.commit(create_session(session, Offer(), now=NOON, ids=ids))
        with pytest.raises(StoreUnreachable):
            await store.claim_due(NOON, limit=1)
    finally:
        await store.close()


async def test_lost_notes_make_no_noise(database: str) -> None:
    """Notes that an outage swallows leave no traceback each: nothing that a person has to look at was lost."""
    name = urlsplit(database).path.removeprefix("/")
    run_apart(execute(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["message"]))
    store = await PostgresStore.open(database, node="n1")
    for _ in range(3):
        store.note("shop", "ps_1", Note(kind="request", data={}), NOON)
    await store.close()
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []
