"""Runs what a command wants to read or change on the configured database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg

from tollhouse.boot.config import Config
from tollhouse.cli.db import database_of
from tollhouse.cli.failure import Failure

CONNECTIONS_MAX = 2

Result = TypeVar("Result")


def on_database(config: Config, work: Callable[[asyncpg.Pool], Awaitable[Result]]) -> Result:
    """What the work returns, given a pool of connections to a database whose schema is current.

    An embedded database that does not run is started meanwhile. What goes wrong is a `Failure` of one line.
    """
    if not config.database_url and not (config.home / "postgres").exists():
        raise Failure(
            f"there is no database in {config.home}; `tollhouse up` makes one,"
            " or set TOLLHOUSE_HOME or TOLLHOUSE_DATABASE_URL to where it is"
        )
    with database_of(config) as dsn:
        return asyncio.run(_run(dsn, work))


@contextmanager
def told_who_may(exit_code: int = 1) -> Iterator[None]:
    """Around what not every login of the database may do: a `Failure` says whose it is."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as problem:
        raise Failure(
            f"this login of the database may not do that: {problem};"
            " run this as the owner of the tables, or with the vault's login",
            exit_code,
        ) from None


async def _run(dsn: str, work: Callable[[asyncpg.Pool], Awaitable[Result]]) -> Result:
    from tollhouse.store.migrate import check, place
    from tollhouse.store.postgres import LOST, open_pool

    await check(dsn)
    try:
        pool = await open_pool(dsn, connections_max=CONNECTIONS_MAX)
        try:
            with told_who_may():
                return await work(pool)
        finally:
            await pool.close()
    except LOST as lost:
        why = str(lost) or type(lost).__name__
        raise Failure(f"the database at {place(dsn)} went away: {why}; run this again") from None
