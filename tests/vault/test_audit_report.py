"""The daily report: what is unusual is found, and what is usual is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg

from tollhouse.vault.audit_report import Report, report

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
ENTRY = """
INSERT INTO vault.audit_entry (chain, number, link, at, what, outcome, subject, who, origin, details)
VALUES ($1, $2, 1, $3, $4, $5, 'shop/card_1', $6, '192.0.2.7', $7)
"""


async def reported(pool: asyncpg.Pool, *acts: tuple[str, float, str, str, str]) -> Report:
    """The report of a day in which this was written: chain, hours ago, act, outcome, details."""
    for number, (chain, hours, what, outcome, details) in enumerate(acts, start=1):
        at = NOW - timedelta(hours=hours)
        await pool.execute(ENTRY, chain, number, at, what, outcome, f"node {chain}", details)
    return await report(pool, since=NOW - timedelta(days=1), until=NOW, now=NOW)


async def test_a_usual_day(pool: asyncpg.Pool) -> None:
    """Payments, a process that ended, one that lives, a few refusals, and what lies before the day: nothing to say."""
    found = await reported(
        pool,
        ("a", 30, "key.retire", "failed", ""),
        ("a", 5, "process.start", "done", "gateway"),
        ("a", 4, "card.reveal", "granted", "0100 rrn 600112345678"),
        ("a", 4.1, "card.reveal", "granted", "3-D Secure"),
        ("a", 3, "process.stop", "done", ""),
        ("b", 5, "process.start", "done", "worker"),
        ("b", 0.1, "card.keep", "done", ""),
        ("b", 0.1, "call", "refused", "wrong signature 49 times"),
        ("b", 0.1, "call", "refused", "wrong signature 49 times (told by node-1)"),
        ("b", 0.1, "call", "refused", "9" * 30 + " times"),
        ("c", 2, "project.set", "granted", ""),
        ("c", 2, "project.set", "done", ""),
    )
    assert found.unusual == ()
    assert found.refused == (("192.0.2.7", 99),)
    assert [count for _, count in found.reveals] == [2]
    assert sum(one.count for one in found.counts) == 11


async def test_an_unusual_day(pool: asyncpg.Pool) -> None:
    """A card outside of a payment, a failure, a flood, a command without an end, a process that fell silent."""
    found = await reported(
        pool,
        ("a", 5, "card.reveal", "granted", "up to 500 after the first"),
        ("a", 4, "card.reveal", "failed", "0100 rrn 600112345678"),
        ("b", 3, "call", "refused", "wrong signature 99 times"),
        ("b", 3, "call", "refused", "wrong signature"),
        ("c", 2, "key.rotate", "granted", ""),
        ("d", 2, "process.start", "done", "gateway"),
    )
    assert [one.why for one in found.unusual] == [
        "opened outside of a payment",
        "failed",
        "100 refused accesses",
        "began and has no end",
        "began, fell silent, and did not end",
    ]
    assert found.unusual[-1].who == "node d"
