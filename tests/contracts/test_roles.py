"""The database roles of gateway and vault: each reaches its own, and nothing of the other's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.servers import drop_database, execute, fetch, with_database
from tests.vault.keepers import Keeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.boot.rewrapping import piles_of
from tollhouse.store.cluster import DATABASE, SUPERUSER
from tollhouse.store.embedded import Embedded
from tollhouse.store.migrate import check
from tollhouse.store.postgres import open_pool
from tollhouse.store.queries import QUERIES
from tollhouse.store.roles import Roles, RolesRefused, grant_again, make, roles_of, script
from tollhouse.vault.keys import KEK
from tollhouse.vault.rotation import retire, rotate

# Those that the embedded server lets in, whichever database they are used on.
ROLES = roles_of(DATABASE)
OF_COMMANDS = {
    "insert_project",
    "insert_project_key",
    "update_project",
    "retire_project_key",
    "replace_project_secrets",
}
INSERT_PROJECT = """
INSERT INTO project (name, is_live, settings, sealed_secrets, webhook_public_pem, webhook_public_ed25519, created_at)
VALUES ('shop', false, '{}', '', '', '', now())
"""
REFUSED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
def superuser(postgres: Embedded, database: str) -> str:
    """The test's database as a superuser reaches it."""
    return with_database(postgres.dsn_as(SUPERUSER), name_of(database))


def name_of(dsn: str) -> str:
    """The database of a DSN."""
    return dsn.partition("@/")[2].partition("?")[0]


def login(postgres: Embedded, database: str, role: str) -> str:
    """The test's database as a role reaches it."""
    return with_database(postgres.dsn_as(role), name_of(database))


@pytest.fixture
async def gateway(postgres: Embedded, database: str, superuser: str) -> AsyncIterator[asyncpg.Connection]:
    """The database as the gateway reaches it."""
    await make(superuser, ROLES)
    opened = await asyncpg.connect(login(postgres, database, ROLES.gateway))
    yield opened
    await opened.close()


@pytest.fixture
async def vault(postgres: Embedded, database: str, superuser: str) -> AsyncIterator[asyncpg.Connection]:
    """The database as the vault reaches it."""
    await make(superuser, ROLES)
    opened = await asyncpg.connect(login(postgres, database, ROLES.vault))
    yield opened
    await opened.close()


async def tables_of(dsn: str, schema: str) -> list[str]:
    """Every table of a schema."""
    rows = await fetch(dsn, f"SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname='{schema}'")
    assert len(rows) > 3
    return [name for (name,) in rows]


async def assert_refused(connection: asyncpg.Connection, statement: str) -> None:
    """It is refused for want of rights, not for another reason."""
    with pytest.raises(REFUSED, match="permission denied"):
        await connection.execute(statement)


async def refuses(connection: asyncpg.Connection, statement: str) -> bool:
    """Whether a statement is refused for want of rights; any other failure is raised."""
    changing = connection.transaction()
    await changing.start()
    try:
        await connection.execute(statement)
    except REFUSED:
        return True
    finally:
        await changing.rollback()
    return False


async def columns_of(dsn: str, table: str) -> list[str]:
    """The columns of a table, quoted."""
    query = f"SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
    return [name for (name,) in await fetch(dsn, query)]


async def attacks_on(dsn: str, table: str) -> list[str]:
    """What somebody may want to do with a table."""
    columns = await columns_of(dsn, table)
    return [
        *(f"SELECT {column} FROM {table}" for column in columns),
        *(f"UPDATE {table} SET {column} = NULL" for column in columns),
        f"SELECT count(*) FROM {table}",
        f"INSERT INTO {table} DEFAULT VALUES",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"LOCK TABLE {table} IN ACCESS SHARE MODE",
        f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
        f"COPY {table} TO STDOUT",
        f"CREATE VIEW public.peephole AS SELECT * FROM {table}",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table}",
        f"GRANT SELECT ON {table} TO PUBLIC",
    ]


async def test_the_gateway_reaches_nothing_of_the_vault(gateway: asyncpg.Connection, database: str) -> None:
    """Each table and column of schema vault is refused to it: read, written, emptied, locked, looked at by a view."""
    for table in await tables_of(database, "vault"):
        for attack in await attacks_on(database, table):
            assert await refuses(gateway, attack), attack


async def test_the_gateway_calls_nothing_of_the_vault(gateway: asyncpg.Connection, database: str) -> None:
    """Functions of schema vault cannot be named by it, and none that it may call runs with another's rights."""
    functions = await fetch(
        database, "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'vault'::regnamespace"
    )
    assert functions
    for (function,) in functions:
        assert await refuses(gateway, f"SELECT {function.partition('(')[0]}()"), function
    mighty = """
        SELECT oid::regprocedure FROM pg_proc
        WHERE prosecdef AND pronamespace IN ('public'::regnamespace, 'vault'::regnamespace)"""
    assert await fetch(database, mighty) == []


@pytest.mark.parametrize("role", ROLES.both)
async def test_neither_becomes_more(postgres: Embedded, database: str, superuser: str, role: str) -> None:
    """A role cannot become the other, the owner or the superuser, and makes no objects."""
    await make(superuser, ROLES)
    other = ROLES.vault if role == ROLES.gateway else ROLES.gateway
    connection = await asyncpg.connect(login(postgres, database, role))
    for attack in (
        f"SET ROLE {other}",
        "SET ROLE tollhouse",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION tollhouse",
        "CREATE TABLE public.own (n int)",
        "CREATE TABLE vault.own (n int)",
        "CREATE ROLE another",
        f"ALTER ROLE {role} SUPERUSER",
        "SELECT pg_read_file('PG_VERSION')",
        "SET session_replication_role = replica",
    ):
        assert await refuses(connection, attack), attack
    await connection.close()


async def test_the_vault_reaches_no_payments(vault: asyncpg.Connection, database: str) -> None:
    """Sessions, payments, ledger and the rest are refused to it; of projects it may change the sealed secrets alone."""
    for table in await tables_of(database, "public"):
        if table not in ("public.project", "public.project_key", "public.schema_migration"):
            for attack in await attacks_on(database, table):
                assert await refuses(vault, attack), attack
    for column in await columns_of(database, "project"):
        refused = await refuses(vault, f"UPDATE project SET {column} = {column}")
        assert refused == (column != "sealed_secrets"), column
    assert await refuses(vault, "INSERT INTO project DEFAULT VALUES")
    assert await refuses(vault, "DELETE FROM project")


async def test_the_audit_log_is_only_added_to(vault: asyncpg.Connection) -> None:
    """The vault's role has no right to change or to remove entries, whatever triggers there are."""
    assert await refuses(vault, "INSERT INTO vault.audit_retirement DEFAULT VALUES")
    for table in ("vault.audit_entry", "vault.audit_link", "vault.audit_retirement"):
        for attack in (f"UPDATE {table} SET number = 1", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            assert await refuses(vault, attack), attack


@pytest.mark.parametrize("table", ["transfer", "history"])
async def test_the_books_are_only_added_to(gateway: asyncpg.Connection, table: str) -> None:
    """The gateway's role has no right to change the ledger or a session's history."""
    for attack in (f"UPDATE {table} SET project = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        assert await refuses(gateway, attack), attack
    assert not await refuses(gateway, f"SELECT * FROM {table}")


async def test_the_gateway_may_run_every_query_but_those_of_commands(gateway: asyncpg.Connection) -> None:
    """Each query of the store is permitted to it; only what makes and changes projects is the owner's."""
    refused = {name for name, query in QUERIES.items() if await refuses(gateway, f"EXPLAIN (GENERIC_PLAN) {query}")}
    assert refused == OF_COMMANDS


async def test_the_vault_works_under_its_role(postgres: Embedded, database: str, superuser: str, home: Path) -> None:
    """Cards are kept and filled in, keys rotated, rewrapped (a project's secrets too) and retired, all as the vault."""
    await make(superuser, ROLES)
    await execute(database, INSERT_PROJECT)
    keeper = Keeper({"TOLLHOUSE_VAULT_KEYS": "file"}, home)
    pool = await open_pool(login(postgres, database, ROLES.vault))
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        sealed = await vault.seal_secrets("shop", b"secret")
        await execute(database, f"UPDATE project SET sealed_secrets = '\\x{sealed.hex()}'")
        await rotate(keys, KEK)
        assert await rewrap_all(keys) == 2
        await retire(keys, KEK, 1, piles_of(keys, KEK))
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        ((sealed,),) = await fetch(database, "SELECT sealed_secrets FROM project")
        assert await vault.open_secrets("shop", sealed) == b"secret"
        await check(login(postgres, database, ROLES.vault))
        await vault.close()
    await pool.close()


async def test_later_tables_are_covered(gateway: asyncpg.Connection, database: str) -> None:
    """A table that a later migration makes is reached by the right role at once, and by that alone."""
    await execute(database, "CREATE TABLE vault.later (n int)", "CREATE TABLE public.later (n int)")
    assert not await refuses(gateway, "INSERT INTO public.later VALUES (1)")
    assert await refuses(gateway, "SELECT n FROM vault.later")
    rights = f"SELECT has_table_privilege('{ROLES.vault}', 'vault.later', 'INSERT'),"
    rights += f" has_table_privilege('{ROLES.vault}', 'public.later', 'SELECT')"
    assert await fetch(database, rights) == [(True, False)]


async def test_many_at_once(postgres: Embedded, migrated: str) -> None:
    """Several who make the same new roles at the same moment, on several databases, all come to the same end."""
    names = [f"crowd_{number}" for number in range(3)]
    for name in names:
        await execute(postgres.dsn, f"CREATE DATABASE {name} TEMPLATE {migrated}")
    dsns = [with_database(postgres.dsn_as(SUPERUSER), name) for name in names]
    crowd = Roles(gateway="crowd_gateway", vault="crowd_vault")
    made = await asyncio.gather(*(make(dsn, crowd) for dsn in dsns * 3))
    assert set(made) == {crowd}
    for dsn, name in zip(dsns, names, strict=True):
        query = "SELECT has_table_privilege('crowd_vault', 'vault.card', 'INSERT')"
        assert await fetch(dsn, query) == [(True,)]
        await drop_database(postgres.dsn, name)
    await execute(postgres.dsn_as(SUPERUSER), "DROP ROLE crowd_gateway", "DROP ROLE crowd_vault")


async def test_who_may_not_make_roles_is_told(database: str) -> None:
    """An owner without the right to make roles is told what a superuser has to run, and nothing is changed."""
    with pytest.raises(RolesRefused, match="may not make the roles .*_gateway and .*_vault; have a superuser run"):
        await make(database)
    assert await grant_again(database) is None


@pytest.mark.parametrize("might", ["CREATEDB", "IN ROLE pg_read_server_files", "IN ROLE pg_execute_server_program"])
async def test_a_mighty_role_is_refused(superuser: str, might: str) -> None:
    """A role of the right name that may do more than it should is refused, not used."""
    name = "mighty_" + might.split("_", 1)[-1].lower()
    roles = Roles(gateway=f"{name}_gateway", vault=f"{name}_vault")
    await execute(superuser, f"CREATE ROLE {roles.gateway} LOGIN {might}")
    with pytest.raises(RolesRefused, match=f"role {roles.gateway} may do more than"):
        await make(superuser, roles)
    await execute(superuser, f"DROP ROLE {roles.gateway}", f"DROP ROLE {roles.vault}")


async def test_the_script_does_the_same(database: str, superuser: str) -> None:
    """What is printed for a superuser makes roles that the owner then keeps up to date without more rights."""
    statements = await script(database)
    await execute(superuser, statements)
    roles = roles_of(name_of(database))
    assert await grant_again(database) == roles
    query = f"SELECT has_table_privilege('{roles.gateway}', 'session', 'INSERT'),"
    query += f" has_schema_privilege('{roles.gateway}', 'vault', 'USAGE'),"
    query += f" has_table_privilege('{roles.vault}', 'vault.card', 'UPDATE')"
    assert await fetch(database, query) == [(True, False, True)]
    for role in roles.both:
        await execute(superuser, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_database_without_schema_is_refused(postgres: Embedded, empty_database: str) -> None:
    """Roles come after the schema; the line says how to bring it."""
    with pytest.raises(RolesRefused, match="no schema yet; run `tollhouse db migrate` first"):
        await make(with_database(postgres.dsn_as(SUPERUSER), name_of(empty_database)))


def test_names_that_do_not_fit() -> None:
    """A database's name that leaves no room for the roles' names is refused before anything is made."""
    assert roles_of("d" * 55).gateway == "d" * 55 + "_gateway"
    with pytest.raises(RolesRefused, match="too long"):
        roles_of("d" * 56)
