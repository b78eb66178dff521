"""What many tests share: one embedded Postgres for the run, and for each test a fresh database in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import drop_database, execute, remove_database, run_apart, with_database
from tollhouse.store.embedded import Embedded
from tollhouse.store.migrate import apply

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A running embedded server, gone without a trace after the run."""
    server = Embedded(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()
    remove_database(server.home)


@pytest.fixture(scope="session")
def postgres_dsn(postgres: Embedded) -> str:
    """The embedded server's own database, empty: for tests that make databases themselves."""
    return postgres.dsn


@pytest.fixture(scope="session")
def migrated(postgres_dsn: str) -> str:
    """The name of a database with the real migrations, from which each test's is copied."""
    run_apart(execute(postgres_dsn, "CREATE DATABASE migrated"))
    run_apart(apply(with_database(postgres_dsn, "migrated")))
    return "migrated"


@pytest.fixture
def empty_database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of an empty database of this test's own."""
    yield from _database(postgres_dsn, "template1")


@pytest.fixture
def database(postgres_dsn: str, migrated: str) -> Iterator[str]:
    """The DSN of a migrated database of this test's own."""
    yield from _database(postgres_dsn, migrated)


def _database(dsn: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    run_apart(execute(dsn, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG"))
    yield with_database(dsn, name)
    run_apart(drop_database(dsn, name))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home that nobody else enters; its database, wherever that lies, is removed after the test."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    yield folder
    remove_database(folder)
