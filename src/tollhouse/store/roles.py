"""The database roles of the gateway and of the vault: neither reads what is the other's, neither owns anything.

Their names come from the database's, so that databases of one server share no role and no password. Everything here may
be done again at any time, and by several at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from tollhouse.store.migrate import connected

NAME_BYTES_MAX = 63
# Any fixed number: whoever changes the roles of this database takes the same one.
_LOCK = 0x726F6C65
# What the gateway does with a table of schema public; with one that is not here: the first.
_RIGHTS: dict[str, frozenset[str]] = {
    "SELECT, INSERT, UPDATE": frozenset(),
    "SELECT, INSERT, UPDATE, DELETE": frozenset({"card_range", "card_token", "event", "public_token", "released_card"}),
    "SELECT, INSERT, DELETE": frozenset({"delivery_attempt", "note"}),
    "SELECT, INSERT": frozenset({"alarm", "history", "transfer"}),
    "SELECT": frozenset({"project", "project_key", "schema_migration"}),
}
# And the vault with one of its own; the audit log can only be added to, and the owner alone retires its old part.
_VAULT_RIGHTS: dict[str, frozenset[str]] = {
    "SELECT, INSERT, UPDATE": frozenset(),
    "SELECT, INSERT, UPDATE, DELETE": frozenset({"card"}),
    "SELECT, INSERT": frozenset({"audit_entry", "audit_link"}),
    "SELECT": frozenset({"audit_retirement"}),
}
# What moves secrets of projects to another key needs besides schema vault.
_VAULT_READS = ("project", "project_key", "schema_migration")
_FACTS = """
SELECT current_database() AS database, tableowner AS owner FROM pg_tables
WHERE schemaname = 'public' AND tablename = 'schema_migration'
"""
_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'vault') ORDER BY 1, 2"
_MAY_GRANT = """
SELECT pg_has_role(current_user, $2, 'MEMBER')
    AND (SELECT count(*) = cardinality($1::text[]) FROM pg_roles WHERE rolname = ANY($1::text[]))
"""
# Roles of every server whose members go around the rights on tables.
_MIGHTY = (
    "pg_execute_server_program", "pg_read_all_data", "pg_read_server_files", "pg_write_all_data",
    "pg_write_server_files",
)  # fmt: skip
_TOO_MIGHTY = """
SELECT rolname FROM pg_roles WHERE rolname = ANY($1::text[])
    AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication OR pg_has_role(oid, $2, 'MEMBER')
        OR EXISTS (SELECT FROM pg_roles AS mighty WHERE mighty.rolname = ANY($3::text[])
            AND pg_has_role(pg_roles.oid, mighty.oid, 'MEMBER')))
ORDER BY 1
"""


class RolesRefused(Exception):
    """The roles cannot be made or are not what they must be; the text is one line for people."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of the two roles."""

    gateway: str
    vault: str

    @property
    def both(self) -> list[str]:
        return [self.gateway, self.vault]


def roles_of(database: str) -> Roles:
    """The names for a database. Raises `RolesRefused` where they would be too long for Postgres."""
    roles = Roles(gateway=f"{database}_gateway", vault=f"{database}_vault")
    if max(len(name.encode()) for name in roles.both) > NAME_BYTES_MAX:
        raise RolesRefused(
            f"the name of database {database} is too long for roles named after it; choose a shorter one"
        )
    return roles


async def make(dsn: str, roles: Roles | None = None) -> Roles:
    """Makes the roles where they are missing and gives them their rights. Raises `RolesRefused`.

    The login needs the right to make roles for that; for the rights alone it must own the tables.
    """
    async with connected(dsn) as connection:
        database, owner = await _facts(connection)
        roles = roles or roles_of(database)
        try:
            for name in roles.both:
                await connection.execute(_creation(name))
        except asyncpg.InsufficientPrivilegeError:
            raise RolesRefused(
                f"this login may not make the roles {roles.gateway} and {roles.vault};"
                " have a superuser run what `tollhouse db roles --print` shows"
            ) from None
        await _grant(connection, roles, database, owner)
    return roles


async def grant_again(dsn: str) -> Roles | None:
    """Gives the roles of this database their rights on what a migration brought.

    None where there are no roles, or where the login is not the owner, who alone migrates.
    """
    async with connected(dsn) as connection:
        database, owner = await _facts(connection)
        if len(database.encode()) + len("_gateway") > NAME_BYTES_MAX:
            return None
        roles = roles_of(database)
        if not await connection.fetchval(_MAY_GRANT, roles.both, owner):
            return None
        await _grant(connection, roles, database, owner)
    return roles


async def script(dsn: str) -> str:
    """The statements that do what `make` does, for a superuser to read and run."""
    async with connected(dsn) as connection:
        database, owner = await _facts(connection)
        roles, tables = roles_of(database), await _tables(connection)
    statements = [*map(_creation, roles.both), "BEGIN", *_grants(roles, database, owner, tables), "COMMIT"]
    return "".join(f"{statement};\n" for statement in statements)


async def _facts(connection: asyncpg.Connection) -> tuple[str, str]:
    row = await connection.fetchrow(_FACTS)
    if row is None:
        raise RolesRefused("the database has no schema yet; run `tollhouse db migrate` first")
    return row["database"], row["owner"]


async def _tables(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    return [(row["schemaname"], row["tablename"]) for row in await connection.fetch(_TABLES)]


async def _grant(connection: asyncpg.Connection, roles: Roles, database: str, owner: str) -> None:
    mighty = [row["rolname"] for row in await connection.fetch(_TOO_MIGHTY, roles.both, owner, _MIGHTY)]
    if mighty:
        raise RolesRefused(f"role {mighty[0]} may do more than a role of Tollhouse should; take its other rights away")
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for statement in _grants(roles, database, owner, await _tables(connection)):
                await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as problem:
        raise RolesRefused(f"rights cannot be given: {problem}; log in as {owner}, who owns the tables") from None


def _creation(name: str) -> str:
    """Makes a role unless it exists, also where somebody makes it at the same moment. It has no password."""
    return f"""\
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_text(name)}) THEN
        CREATE ROLE {_name(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    RAISE NOTICE 'made by another';
END $$"""


def _grants(roles: Roles, database: str, owner: str, tables: Sequence[tuple[str, str]]) -> list[str]:
    """Takes everything away and gives what is needed; in one database transaction, so that nobody sees the gap."""
    gateway, vault, both = _name(roles.gateway), _name(roles.vault), f"{_name(roles.gateway)}, {_name(roles.vault)}"
    later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {_name(owner)} IN SCHEMA"
    found = [f"GRANT CONNECT ON DATABASE {_name(database)} TO {both}"]
    for schema in ("public", "vault"):
        found += [
            f"REVOKE ALL ON SCHEMA {schema} FROM {both}",
            f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {both}",
            f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {both}",
            f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM {both}",
        ]
    for schema, role in (("public", gateway), ("vault", vault)):
        found += [
            f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}",
            f"{later} {schema} GRANT SELECT, INSERT, UPDATE ON TABLES TO {role}",
            f"{later} {schema} GRANT USAGE, SELECT ON SEQUENCES TO {role}",
            f"{later} {schema} GRANT EXECUTE ON FUNCTIONS TO {role}",
        ]
    found += [f"GRANT {_rights(*table)} ON {_place(*table)} TO {_taker(table[0], gateway, vault)}" for table in tables]
    found += [f"GRANT USAGE ON SCHEMA public TO {vault}"]
    found += [f"GRANT SELECT ON public.{table} TO {vault}" for table in _VAULT_READS]
    return [*found, f"GRANT UPDATE (sealed_secrets) ON public.project TO {vault}"]


def _rights(schema: str, table: str) -> str:
    known = _VAULT_RIGHTS if schema == "vault" else _RIGHTS
    return next((rights for rights, names in known.items() if table in names), next(iter(known)))


def _taker(schema: str, gateway: str, vault: str) -> str:
    return vault if schema == "vault" else gateway


def _place(schema: str, table: str) -> str:
    return f"{_name(schema)}.{_name(table)}"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
