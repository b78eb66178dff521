"""Everything that a database holds, as text: every row of every table, and where the server keeps copies of values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

_BLOCK_BYTES = 1 << 20
_COPY_SECONDS_MAX = 7 * 86400.0

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name,
    format('SELECT * FROM %I.%I', n.nspname, c.relname) AS query,
    pg_table_size(c.oid) AS size,
    ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum
    ) AS columns,
    ARRAY(
        SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum
    ) AS key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg_temp_%' AND n.nspname NOT LIKE 'pg_toast_temp_%'
ORDER BY 1
"""
_LARGE_OBJECTS = "pg_catalog.pg_largeobject"
# Samples of values that the planner keeps, large objects, comments, what others ask at this moment.
_CATALOG = (
    (
        "pg_catalog.pg_stats",
        "SELECT schemaname, tablename, attname, most_common_vals::text, histogram_bounds::text FROM pg_stats"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        ("schemaname", "tablename", "attname", "most_common_vals", "histogram_bounds"),
        ("schemaname", "tablename", "attname"),
    ),
    (_LARGE_OBJECTS, "SELECT loid, pageno, data FROM pg_largeobject", ("loid", "pageno", "data"),
     ("loid", "pageno")),
    ("pg_catalog.pg_description", "SELECT objoid, description FROM pg_description WHERE objoid >= 16384",
     ("objoid", "description"), ("objoid",)),
    ("pg_catalog.pg_stat_activity", "SELECT pid, application_name, query FROM pg_stat_activity",
     ("pid", "application_name", "query"), ("pid",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows to be read, by one query. `key` names the columns that tell a row from others."""

    name: str
    query: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    size: int = 0


Take = Callable[[Table, bytes], None]


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that changes nothing."""
    connection = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "on"})
    try:
        yield connection
    finally:
        await connection.close()


async def load_tables(connection: asyncpg.Connection) -> list[Table]:
    """Everything to be read."""
    rows = await connection.fetch(_TABLES)
    tables = [
        Table(name=row["name"], query=row["query"], columns=(*row["columns"],), key=(*row["key"],), size=row["size"])
        for row in rows
    ]
    has_objects = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)")
    more = [Table(name=name, query=query, columns=columns, key=key) for name, query, columns, key in _CATALOG]
    # Only a superuser may read large objects: where there are none, nobody is asked to be one.
    return tables + [table for table in more if has_objects or table.name != _LARGE_OBJECTS]


async def dump(connection: asyncpg.Connection, table: Table, take: Take) -> str | None:
    """Hands over a table's rows in the text form of COPY, whole lines at a time; returns why they cannot be read."""
    waiting = bytearray()

    async def receive(piece: bytes) -> None:
        waiting.extend(piece)
        if len(waiting) >= _BLOCK_BYTES:
            end = waiting.rfind(b"\n") + 1
            take(table, bytes(waiting[:end]))
            del waiting[:end]

    try:
        await connection.copy_from_query(table.query, output=receive, timeout=_COPY_SECONDS_MAX)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError) as problem:
        return str(problem)
    if waiting:
        take(table, bytes(waiting))
    return None


async def is_ours(connection: asyncpg.Connection) -> bool:
    """Whether this is a database of Tollhouse that can be written to."""
    found: bool = await connection.fetchval(
        "SELECT to_regclass('vault.audit_entry') IS NOT NULL AND NOT pg_is_in_recovery()"
    )
    return found
