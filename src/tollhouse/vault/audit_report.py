"""What a reviewer looks at daily: the audit log in numbers, what is unusual first (PCI DSS 10.4.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

FLOOD = 100  # refusals of one source
SILENT = timedelta(hours=1)
SHOWN_MAX = 20

COUNTS = """
SELECT what, outcome, who, count(*) AS count FROM vault.audit_entry
WHERE at >= $1 AND at < $2 AND what <> 'audit.checkpoint' GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC, 3
"""
# An entry that stands for many says at its end how many: "wrong signature 12 times", perhaps with who told it.
REFUSED = """
SELECT origin,
    sum(COALESCE(
        substring(details FROM '(?:^|[^0-9])([0-9]{1,9}) times(?: [(]told by [^)]*[)])?$')::bigint, 1))::bigint AS count
FROM vault.audit_entry WHERE at >= $1 AND at < $2 AND outcome = 'refused' GROUP BY 1 ORDER BY 2 DESC, 1
"""
REVEALS = """
SELECT date_trunc('hour', at, 'UTC') AS hour, count(*) AS count FROM vault.audit_entry
WHERE at >= $1 AND at < $2 AND what = 'card.reveal' AND outcome = 'granted' GROUP BY 1 ORDER BY 1
"""
# A card is opened for a message of a payment: to an acquirer (its number first) or to a directory server.
OUTSIDE = """
SELECT at, who, origin, what, subject, details FROM vault.audit_entry
WHERE at >= $1 AND at < $2 AND (
    (what = 'card.reveal' AND outcome = 'granted' AND details !~ '^([0-9]{4} rrn |3-D Secure)')
    OR (what = 'key.rewrap' AND outcome = 'granted' AND subject LIKE 'fingerprint%'))
ORDER BY at LIMIT $3
"""
FAILED_OPENS = """
SELECT at, who, origin, what, subject, details FROM vault.audit_entry
WHERE at >= $1 AND at < $2 AND outcome = 'failed' ORDER BY at LIMIT $3
"""
# A process that ended in order wrote so; one that runs writes something now and then.
WITHOUT_END = """
SELECT start.at, start.who, start.origin, start.what, start.subject, start.details FROM vault.audit_entry AS start
WHERE start.what = 'process.start' AND start.at >= $1 AND start.at < $2 AND NOT EXISTS (
    SELECT FROM vault.audit_entry AS later WHERE later.chain = start.chain AND later.number > start.number
        AND later.who = start.who AND (later.what = 'process.stop' OR later.at > $3))
    AND start.at <= $3
ORDER BY start.at LIMIT $4
"""
UNFINISHED = """
SELECT begun.at, begun.who, begun.origin, begun.what, begun.subject, begun.details FROM vault.audit_entry AS begun
WHERE begun.outcome = 'granted' AND begun.what NOT LIKE 'card.%' AND begun.at >= $1 AND begun.at < $2
    AND begun.at <= $3 AND NOT EXISTS (
    SELECT FROM vault.audit_entry AS later WHERE later.chain = begun.chain AND later.number > begun.number
        AND later.what = begun.what AND later.outcome IN ('done', 'failed'))
ORDER BY begun.at LIMIT $4
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How often somebody did something."""

    what: str
    outcome: str
    who: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusual:
    """Something to look into."""

    why: str
    at: datetime | None
    who: str
    origin: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A span of the audit log in numbers."""

    since: datetime
    until: datetime
    unusual: tuple[Unusual, ...]
    counts: tuple[Counted, ...]
    refused: tuple[tuple[str, int], ...]
    reveals: tuple[tuple[datetime, int], ...]


async def report(pool: asyncpg.Pool, *, since: datetime, until: datetime, now: datetime) -> Report:
    """The log between the two moments, as it stands in one moment."""
    span = (since, until)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        refused = [(row["origin"], row["count"]) for row in await connection.fetch(REFUSED, *span)]
        unusual = [
            *_told("opened outside of a payment", await connection.fetch(OUTSIDE, *span, SHOWN_MAX)),
            *_told("failed", await connection.fetch(FAILED_OPENS, *span, SHOWN_MAX)),
            *(
                Unusual(why=f"{count} refused accesses", at=None, who="", origin=origin, what="call")
                for origin, count in refused
                if count >= FLOOD
            ),
            *_told("began and has no end", await connection.fetch(UNFINISHED, *span, now - SILENT, SHOWN_MAX)),
            *_told("began, fell silent, and did not end", await _silent(connection, span, now)),
        ]
        return Report(
            since=since,
            until=until,
            unusual=tuple(unusual),
            counts=tuple(Counted(**row) for row in await connection.fetch(COUNTS, *span)),
            refused=tuple(refused),
            reveals=tuple((row["hour"], row["count"]) for row in await connection.fetch(REVEALS, *span)),
        )


async def _silent(
    connection: asyncpg.Connection, span: tuple[datetime, datetime], now: datetime
) -> Sequence[asyncpg.Record]:
    rows: Sequence[asyncpg.Record] = await connection.fetch(WITHOUT_END, *span, now - SILENT, SHOWN_MAX)
    return rows


def _told(why: str, rows: Sequence[asyncpg.Record]) -> list[Unusual]:
    return [
        Unusual(
            why=why,
            at=row["at"],
            who=row["who"],
            origin=row["origin"],
            what=" ".join(word for word in (row["what"], row["subject"], row["details"]) if word),
        )
        for row in rows
    ]
