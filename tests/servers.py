"""Helpers around the tests' Postgres: run statements, name databases, clean up."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

DROP_SECONDS_MAX = STATEMENT_SECONDS_MAX = 60


def run_apart(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end in a thread of its own, so that a fixture serves tests with and without a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def execute(dsn: str, *statements: str) -> None:
    """Runs statements one by one, outside of a transaction."""
    connection = await asyncpg.connect(dsn, command_timeout=STATEMENT_SECONDS_MAX)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def drop_database(dsn: str, name: str) -> None:
    """Drops a database whoever is connected. A worker of autovacuum may not be ended by us: it is soon gone itself."""
    async with asyncio.timeout(DROP_SECONDS_MAX):
        while True:
            try:
                return await execute(dsn, f"DROP DATABASE {name} WITH (FORCE)")
            except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
                await asyncio.sleep(0.1)


async def fetch(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of one query."""
    connection = await asyncpg.connect(dsn, command_timeout=STATEMENT_SECONDS_MAX)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def remove_database(home: Path) -> None:
    """Removes the files of a home's stopped server, which lie outside of the home when the tests run as root."""
    pointer = home / "postgres"
    if pointer.exists():
        shutil.rmtree(pointer.resolve())
