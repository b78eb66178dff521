"""The registry of keys, `vault.key`: which versions there are, who keeps them, which is current, which are gone.

All nodes of a database read the same rows, so a version made by one is current for all within a second or two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from tollhouse.vault.keys import KEK, KeysRefused

LOCK_SECONDS_MAX = 10

SELECT = """
SELECT purpose, version, kind, check_value, held, held_version, parts, created_at, retired_at
FROM vault.key WHERE destroyed_at IS NULL ORDER BY purpose, version
"""
INSERT = """
INSERT INTO vault.key (purpose, version, kind, check_value, held, held_version, parts)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
GREATEST = "SELECT coalesce(max(version), 0) FROM vault.key WHERE purpose = $1"
RETIRE = "UPDATE vault.key SET retired_at = now() WHERE purpose = $1 AND version = $2"
BRING_BACK = "UPDATE vault.key SET retired_at = NULL WHERE purpose = $1 AND version = $2"
DESTROY = "UPDATE vault.key SET destroyed_at = now(), held = NULL WHERE purpose = $1 AND version = $2"
HOLD = "UPDATE vault.key SET held = $3, held_version = $4 WHERE purpose = $1 AND version = $2"
# Only in place of what was read, and never under a version that ended meanwhile.
HOLD_AGAIN = """
UPDATE vault.key SET held = $3, held_version = $4, kind = $5
WHERE purpose = $1 AND version = $2 AND held IS NOT DISTINCT FROM $6
    AND EXISTS (SELECT FROM vault.key WHERE purpose = 'kek' AND version = $4 AND retired_at IS NULL)
RETURNING version
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One version of a key. `held` is the key itself under another one, where its keyholder keeps it with us."""

    purpose: str
    version: int
    kind: str
    check_value: bytes = field(repr=False)
    held: bytes | None = field(default=None, repr=False)
    held_version: int | None = None
    parts: int | None = None
    created_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def is_retired(self) -> bool:
        """Nothing new is written under it any more."""
        return self.retired_at is not None


Rows = Sequence[KeyRow]


async def load_rows(pool: asyncpg.Pool | asyncpg.Connection) -> list[KeyRow]:
    """Every version that still exists, oldest first."""
    return [KeyRow(**row) for row in await pool.fetch(SELECT)]


def of_purpose(rows: Rows, purpose: str) -> list[KeyRow]:
    """The versions of one key, oldest first."""
    return [row for row in rows if row.purpose == purpose]


def current_of(rows: Rows, purpose: str) -> KeyRow | None:
    """The version under which is written: the newest that is not retired."""
    return next((row for row in reversed(of_purpose(rows, purpose)) if not row.is_retired), None)


def require_never(rows: Rows, purpose: str) -> None:
    """A first key is made only where there never was one: else somebody ended those that there are.

    Raises `KeysRefused`.
    """
    if ended := of_purpose(rows, purpose):
        raise KeysRefused(
            f"every version of the {purpose} key has ended in vault.key, up to {ended[-1].version};"
            " no command of ours does that: find out who did, and restore that table from a backup"
        )


def refuse_other_kind(rows: Rows, kinds: Sequence[str]) -> None:
    """Raises `KeysRefused` when none of these keeps a version of the key-encryption key that this database has."""
    for row in of_purpose(rows, KEK):
        if row.kind not in kinds:
            given = ",".join(kinds)
            raise KeysRefused(
                f"TOLLHOUSE_VAULT_KEYS={given}: the keys of this database are kept by {row.kind};"
                f" set TOLLHOUSE_VAULT_KEYS={row.kind}, where the vault runs apart with its home and settings too,"
                f" or {given},{row.kind} to move them, or use another database"
            )


@asynccontextmanager
async def steady(pool: asyncpg.Pool) -> AsyncIterator[Rows]:
    """The registry, which nobody changes meanwhile: what is sealed and written in here is found by a retirement."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
        try:
            await connection.execute("LOCK TABLE vault.key IN ROW EXCLUSIVE MODE")
        except asyncpg.LockNotAvailableError:
            raise KeysRefused("somebody is changing the keys of this database; run this again later") from None
        yield await load_rows(connection)


@asynccontextmanager
async def alone(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A database transaction beside which nobody else changes the registry; everybody may read it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
        try:
            await connection.execute("LOCK TABLE vault.key IN SHARE ROW EXCLUSIVE MODE")
        except asyncpg.LockNotAvailableError:
            raise KeysRefused("somebody else is changing the keys of this database; run this again later") from None
        yield connection


async def insert_row(connection: asyncpg.Connection, row: KeyRow) -> None:
    """Write a new version down."""
    await connection.execute(
        INSERT, row.purpose, row.version, row.kind, row.check_value, row.held, row.held_version, row.parts
    )


async def next_version(connection: asyncpg.Connection, purpose: str) -> int:
    """One more than any version there ever was."""
    greatest: int = await connection.fetchval(GREATEST, purpose)
    return greatest + 1
