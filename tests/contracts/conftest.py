"""The books of the contracts' tests: in memory and in Postgres, with the same projects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests.contracts.shelf import PROJECTS, MemoryShelf, PostgresShelf, Shelf
from tollhouse.ports import Store
from tollhouse.store.postgres import PostgresStore


@pytest.fixture(params=["memory", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """Where the books stand: a fresh database, or nowhere."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def shelf(dsn: str | None) -> AsyncIterator[Shelf]:
    """Empty books with three projects: shop, inn and quiet, which has no webhook address."""
    async with AsyncExitStack() as stack:
        shelf = MemoryShelf() if dsn is None else PostgresShelf(dsn, stack)
        for project in PROJECTS:
            await shelf.keep(project)
        yield shelf


@pytest.fixture
async def store(shelf: Shelf) -> Store:
    """The books as node n1 sees them."""
    return await shelf.open("n1")


@pytest.fixture
async def postgres_shelf(database: str) -> AsyncIterator[PostgresShelf]:
    """Empty books in Postgres with the same projects."""
    async with AsyncExitStack() as stack:
        shelf = PostgresShelf(database, stack)
        for project in PROJECTS:
            await shelf.keep(project)
        yield shelf


@pytest.fixture
async def pool(postgres_shelf: PostgresShelf) -> asyncpg.Pool:
    """Connections to look into those books with."""
    return await postgres_shelf.pool()


@pytest.fixture
async def postgres_store(postgres_shelf: PostgresShelf) -> PostgresStore:
    """Those books as node n1 sees them."""
    return await postgres_shelf.open("n1")
