"""`tollhouse db roles`: what it makes, what it prints, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Console
from tests.servers import execute, fetch, run_apart, with_database
from tollhouse.store.cluster import DATABASE, SUPERUSER
from tollhouse.store.embedded import Embedded
from tollhouse.store.roles import make, roles_of


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


def test_the_roles_are_written_down_before_and_after(superuser: Console) -> None:
    """Who makes them, once before it is done and once with how it ended."""
    superuser.run("db", "roles")
    query = "SELECT outcome FROM vault.audit_entry WHERE what = 'database.roles' ORDER BY number"
    assert run_apart(fetch(superuser.dsn, query)) == [("granted",), ("done",)]


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["audit", "report"], 1),
        (["audit", "verify"], 1),
        (["audit", "export"], 1),
        (["scan", "--database"], 2),
        (["db", "roles"], 1),
    ],
)
def test_the_gateways_login_is_told_whose_a_command_is(
    superuser: Console, postgres: Embedded, words: list[str], exit_code: int
) -> None:
    """What reads the vault's schema names who may run it, in one line."""
    name = superuser.dsn.partition("@/")[2].partition("?")[0]
    roles = roles_of(DATABASE)
    run_apart(make(superuser.dsn, roles))
    console = Console(with_database(postgres.dsn_as(roles.gateway), name), superuser.home)
    assert "run this as the owner of the tables, or with the vault's login" in console.failure(*words)
    assert getattr(console.end(*words).exception, "exit_code", None) == exit_code


@pytest.mark.parametrize("words", [["verify"], ["anchor"], ["export"]])
def test_the_vaults_login_reads_the_audit_log(
    superuser: Console, console: Console, postgres: Embedded, words: list[str]
) -> None:
    """It proves it and takes it along; what it asks for is written down as ever."""
    console.create()
    name = superuser.dsn.partition("@/")[2].partition("?")[0]
    roles = roles_of(DATABASE)
    run_apart(make(superuser.dsn, roles))
    Console(with_database(postgres.dsn_as(roles.vault), name), console.home).run("audit", *words)
