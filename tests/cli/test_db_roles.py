"""`tollhouse db roles`: what it makes, what it prints, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Console
from tests.servers import execute, fetch, run_apart, with_database
from tollhouse.store.cluster import SUPERUSER
from tollhouse.store.embedded import Embedded


@pytest.fixture
def superuser(postgres: Embedded, database: str, home: Path) -> Iterator[Console]:
    """The console of a superuser on the test's database; the roles it made are gone after the test."""
    name = database.partition("@/")[2].partition("?")[0]
    dsn = with_database(postgres.dsn_as(SUPERUSER), name)
    yield Console(dsn, home)
    for role in (f"{name}_gateway", f"{name}_vault"):
        if run_apart(fetch(dsn, f"SELECT FROM pg_roles WHERE rolname = '{role}'")):
            run_apart(execute(dsn, f"DROP OWNED BY {role}", f"DROP ROLE {role}"))


def rights(console: Console) -> list[tuple[str, bool, bool]]:
    """Who may read sessions, and who cards."""
    query = """
        SELECT substring(rolname from '_([a-z]+)$'), has_table_privilege(oid, 'session', 'SELECT'),
            has_schema_privilege(oid, 'vault', 'USAGE') AND has_table_privilege(oid, 'vault.card', 'SELECT')
        FROM pg_roles WHERE rolname IN (current_database() || '_gateway', current_database() || '_vault') ORDER BY 1"""
    found: list[tuple[str, bool, bool]] = run_apart(fetch(console.dsn, query))
    return found


BOTH = [("gateway", True, False), ("vault", False, True)]


def test_roles_are_made_and_named(superuser: Console) -> None:
    """Both are made, with the rights of each; a second time changes nothing."""
    for _ in range(2):
        said = superuser.run("db", "roles")
        assert said.startswith("the gateway's role is test_")
        assert "_vault" in said
        assert rights(superuser) == BOTH


def test_what_is_printed_is_what_would_be_done(superuser: Console, console: Console) -> None:
    """Printing changes nothing and needs no right; run by a superuser it makes the roles, which `migrate` keeps."""
    printed = console.run("db", "roles", "--print")
    assert rights(superuser) == []
    run_apart(execute(superuser.dsn, printed))
    assert rights(superuser) == BOTH
    run_apart(execute(console.dsn, "CREATE TABLE vault.later (n int)", "REVOKE SELECT ON session FROM PUBLIC"))
    console.run("db", "migrate")
    assert rights(superuser) == BOTH


def test_an_owner_without_the_right_is_told(superuser: Console, console: Console) -> None:
    """Who may not make roles is told in one line who has to run what."""
    assert "have a superuser run what `tollhouse db roles --print` shows" in console.failure("db", "roles")
    assert rights(superuser) == []
