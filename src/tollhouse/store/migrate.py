"""Numbered SQL files become the schema: each once, in a database transaction of its own, and never changed later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tollhouse.store.login import cure_of

MIGRATIONS = Path(__file__).parent / "migrations"
SERVER_MAJOR_MIN = 15
_CONNECT_SECONDS_MAX = 10.0
_CLOSE_SECONDS_MAX = 5.0
_FILE_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
# Any fixed number: whoever migrates this database takes the same one.
_LOCK = 0x746F6C6C
_TABLE = """\
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class DatabaseUnreachable(Exception):
    """No login to the database; the text is one line for people and holds no password."""

    exit_code = 1


class SchemaNotCurrent(Exception):
    """The schema is not the one these files describe; the text is one line for people."""

    exit_code = 1


class MigrationFailed(Exception):
    """A migration cannot be read or applied; the text is one line for people."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `schema_migration`."""

    number: int
    name: str
    sha256: str
    applied_at: datetime


def load_migrations(folder: Path) -> list[Migration]:
    """The files of the folder in order."""
    found: dict[int, Migration] = {}
    for file in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise MigrationFailed(f"{file.name}: a migration is named as in 0007_refunds.sql; rename it")
        migration = Migration(int(match[1]), match[2], file.read_text())
        if other := found.get(migration.number):
            raise MigrationFailed(f"{other} and {migration} have the same number; renumber the newer one")
        found[migration.number] = migration
    return list(found.values())


async def apply(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """Applies what is missing and returns its names. Several may run at once: each migration is applied by one."""
    migrations = load_migrations(folder)
    async with connected(dsn) as connection:
        pending = _pending(migrations, await _load_applied(connection))
        return [str(migration) for migration in pending if await _apply_one(connection, migration)]


async def check(dsn: str, folder: Path = MIGRATIONS) -> None:
    """Raises `SchemaNotCurrent` unless the schema is exactly what the files of the folder describe."""
    migrations = load_migrations(folder)
    async with connected(dsn) as connection:
        pending = _pending(migrations, await _load_applied(connection))
    if pending:
        names = ", ".join(str(migration) for migration in pending)
        raise SchemaNotCurrent(f"the database at {place(dsn)} lacks {names}; run `tollhouse db migrate`")


async def load_state(dsn: str, folder: Path = MIGRATIONS) -> tuple[list[Migration], list[Applied]]:
    """The files, and the rows of what was applied."""
    async with connected(dsn) as connection:
        return load_migrations(folder), await _load_applied(connection)


def _pending(migrations: Sequence[Migration], applied: Sequence[Applied]) -> list[Migration]:
    """What is to be applied next; raises where files and rows tell different histories."""
    files = {migration.number: migration for migration in migrations}
    for row in applied:
        file = files.get(row.number)
        if file is None:
            raise SchemaNotCurrent(
                f"the database has migration {row.number:04d}_{row.name}, which this version does not know:"
                " a newer Tollhouse made it; run that version, or point to another database"
            )
        if file.sha256 != row.sha256:
            raise SchemaNotCurrent(
                f"migration {file} was changed after it was applied; put the file back and make a new migration"
            )
    last = max((row.number for row in applied), default=0)
    pending = [migration for migration in migrations if migration.number not in {row.number for row in applied}]
    if pending and pending[0].number < last:
        raise SchemaNotCurrent(
            f"migration {pending[0]} is new and {last:04d} is applied already; give it a newer number"
        )
    return pending


async def _load_applied(connection: asyncpg.Connection) -> list[Applied]:
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        return []
    rows = await connection.fetch("SELECT number, name, sha256, applied_at FROM schema_migration ORDER BY number")
    return [Applied(**row) for row in rows]


async def _apply_one(connection: asyncpg.Connection, migration: Migration) -> bool:
    """Whether it was us who applied it."""
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(_TABLE)
            if await connection.fetchval("SELECT 1 FROM schema_migration WHERE number = $1", migration.number):
                return False
            await connection.execute(migration.sql)
            if not connection.is_in_transaction():
                raise MigrationFailed(f"migration {migration} ends its own transaction; take out its COMMIT")
            await connection.execute(
                "INSERT INTO schema_migration (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"migration {migration} failed{_line(migration, error)}: {error}") from None
    return True


def _line(migration: Migration, error: asyncpg.PostgresError) -> str:
    position = getattr(error, "position", None)
    return f" at line {migration.sql[: int(position)].count(chr(10)) + 1}" if position else ""


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One login to a server that is new enough. Raises `DatabaseUnreachable`."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS_MAX)
    except TimeoutError:
        raise DatabaseUnreachable(_unreachable(dsn, f"no answer in {_CONNECT_SECONDS_MAX:.0f} s")) from None
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnreachable(_unreachable(dsn, " ".join(str(error).split()), cure_of(error, dsn))) from None
    try:
        major = connection.get_server_version().major
        if major < SERVER_MAJOR_MIN:
            raise DatabaseUnreachable(
                f"the database at {place(dsn)} is Postgres {major} and {SERVER_MAJOR_MIN} or newer is needed;"
                " point TOLLHOUSE_DATABASE_URL to another, or leave it empty for the embedded one"
            )
        yield connection
    finally:
        with suppress(TimeoutError):  # then it was cut off
            await connection.close(timeout=_CLOSE_SECONDS_MAX)


def _unreachable(dsn: str, reason: str, cure: str = "") -> str:
    usual = "start it, correct TOLLHOUSE_DATABASE_URL, or leave that empty for the embedded Postgres"
    return f"cannot reach the database at {place(dsn)}: {reason}; {cure or usual}"


def place(dsn: str) -> str:
    """Host, port and database of a DSN, without who logs in and how."""
    parts = urlsplit(dsn)
    asked: Mapping[str, list[str]] = parse_qs(parts.query)
    host = asked["host"][0] if "host" in asked else parts.netloc.rpartition("@")[2]
    return f"{host or 'localhost'}{parts.path}"
