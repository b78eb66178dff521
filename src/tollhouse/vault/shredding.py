"""The end of cards in the vault: with a row goes its wrapped data key, and with that whatever opens its card.

No key is needed for it, so that it also runs where the keys are not. What was written to the write-ahead log and to
backups before opens with the key-encryption key until that version of it is retired: see docs/reference/retention.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import asyncpg

from tollhouse.audit import GRANTED, Act
from tollhouse.vault.port import KeptRow

BATCH_SIZE = 200

NEXT = """
SELECT project, token, created_at FROM vault.card
WHERE (project, token) > ($1, $2) AND ($3::text IS NULL OR project = $3)
ORDER BY project, token LIMIT $4
"""
HAS = "SELECT true FROM vault.card WHERE project = $1 AND token = $2"
SHRED = """
DELETE FROM vault.card USING unnest($1::text[], $2::text[]) AS gone (project, token)
WHERE card.project = gone.project AND card.token = gone.token
"""


class Writes(Protocol):
    """An audit log."""

    async def write(self, act: Act) -> None:
        """Durable on return."""


class Shredder:
    """Names cards and erases some. `audit` has the name of each before it goes."""

    def __init__(self, pool: asyncpg.Pool, audit: Writes | None) -> None:
        self._pool, self._audit = pool, audit

    async def next_cards(self, after: tuple[str, str], project: str | None) -> list[KeptRow]:
        """The next page of all cards, or of a project's; those that come meanwhile may be left out."""
        return [KeptRow(*row) for row in await self._pool.fetch(NEXT, *after, project, BATCH_SIZE)]

    async def has(self, project: str, token: str) -> bool:
        """Whether the vault has this card."""
        return await self._pool.fetchval(HAS, project, token) is True

    async def shred(self, cards: Sequence[tuple[str, str]], why: str) -> int:
        """Erase these, all or none, and durable on return; how many there were. Twice is no error."""
        if not cards:
            return 0
        if self._audit is not None:
            await asyncio.gather(*(self._audit.write(_act(project, token, why)) for project, token in cards))
        columns = [project for project, _ in cards], [token for _, token in cards]
        status = await self._pool.execute(SHRED, *columns)
        return int(status.rsplit(" ", 1)[-1])


def _act(project: str, token: str, why: str) -> Act:
    return Act(what="card.shred", outcome=GRANTED, subject=f"{project}/{token}", details=why)
