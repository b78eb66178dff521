"""Reads the audit log: for its proof, and for whoever reviews it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollhouse.audit import CHECKPOINT, Act, Entry, Head, Link, Proof, anchor_findings, read_checkpoint

BATCH_SIZE = 2000
CHAINS = """
WITH RECURSIVE chains AS (
    (SELECT min(chain) AS chain FROM (
        SELECT min(chain) AS chain FROM vault.audit_link UNION ALL SELECT min(chain) FROM vault.audit_entry) AS first)
    UNION ALL
    SELECT (SELECT min(chain) FROM (
        SELECT min(chain) AS chain FROM vault.audit_link WHERE chain > chains.chain UNION ALL
        SELECT min(chain) FROM vault.audit_entry WHERE chain > chains.chain) AS next)
    FROM chains WHERE chains.chain IS NOT NULL
)
SELECT chain FROM chains WHERE chain IS NOT NULL
"""
LINKS = "SELECT number, last, digest FROM vault.audit_link WHERE chain = $1 AND number > $2 ORDER BY number LIMIT $3"
ENTRIES = "SELECT * FROM vault.audit_entry WHERE chain = $1 AND number > $2 AND number <= $3 ORDER BY number"
# What no link covers: numbers beyond the last link, or entries that name another link than the one that covers them.
STRAYS = """
SELECT number FROM vault.audit_entry AS entry WHERE chain = $1 AND link IS DISTINCT FROM (
    SELECT link.number FROM vault.audit_link AS link WHERE link.chain = entry.chain AND link.last >= entry.number
    ORDER BY link.number LIMIT 1)
ORDER BY number LIMIT 100
"""
CHECKPOINTS = "SELECT number, details FROM vault.audit_entry WHERE chain = $1 AND what = $2 ORDER BY number"
HEADS = """
SELECT link.chain, link.number, link.digest FROM vault.audit_link AS link
JOIN unnest($1::text[], $2::bigint[]) AS wanted (chain, number) USING (chain, number)
"""
EXPORT = """
SELECT * FROM vault.audit_entry WHERE ($1::timestamptz IS NULL OR at >= $1) AND ($2::timestamptz IS NULL OR at < $2)
ORDER BY at, chain, number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a proof walked over, and what it found."""

    chains: int
    entries: int
    checkpoints: int
    findings: tuple[str, ...]


async def prove(pool: asyncpg.Pool, key: Ed25519PublicKey) -> Proven:
    """Walk all chains as they stand in one moment, and hold them against all checkpoints."""
    findings: list[str] = []
    entries = checkpoints = 0
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        chains = [row["chain"] for row in await connection.fetch(CHAINS)]
        for chain in chains:
            proof = await _walk(connection, chain)
            findings += proof.end([row["number"] for row in await connection.fetch(STRAYS, chain)])
            entries += proof.entries
        for chain in chains:
            count, found = await _hold_against_checkpoints(connection, chain, key)
            checkpoints += count
            findings += found
    return Proven(chains=len(chains), entries=entries, checkpoints=checkpoints, findings=tuple(findings))


async def export(
    pool: asyncpg.Pool, *, since: datetime | None, until: datetime | None
) -> AsyncIterator[tuple[str, Entry]]:
    """Every entry of that time with its chain, oldest first."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for row in connection.cursor(EXPORT, since, until, prefetch=BATCH_SIZE):
            yield row["chain"], _entry(row)


async def _walk(connection: asyncpg.Connection, chain: str) -> Proof:
    proof = Proof(chain)
    while links := [Link(**row) for row in await connection.fetch(LINKS, chain, proof.head.number, BATCH_SIZE)]:
        first, last = proof.entries, max(link.last for link in links)
        entries = [_entry(row) for row in await connection.fetch(ENTRIES, chain, first, last)]
        for link in links:
            covered = [one for one in entries if proof.entries < one.number <= link.last]
            entries = entries[len(covered) :]
            proof.feed(link, covered)
    return proof


async def _hold_against_checkpoints(
    connection: asyncpg.Connection, chain: str, key: Ed25519PublicKey
) -> tuple[int, list[str]]:
    findings: list[str] = []
    rows = await connection.fetch(CHECKPOINTS, chain, CHECKPOINT)
    for row in rows:
        witness = f"the checkpoint in chain {chain}, entry {row['number']},"
        try:
            vouched = read_checkpoint(row["details"], chain=chain, key=key)
        except ValueError as problem:
            findings.append(f"chain {chain}, entry {row['number']}: a checkpoint is forged: {problem}")
            continue
        wanted = [list(vouched), [head.number for head in vouched.values()]]
        found = {one["chain"]: Head(one["number"], one["digest"]) for one in await connection.fetch(HEADS, *wanted)}
        findings += anchor_findings(witness, vouched, found)
    return len(rows), findings


def _entry(row: asyncpg.Record) -> Entry:
    words = {name: row[name] for name in ("what", "outcome", "subject", "who", "origin", "details")}
    return Entry(number=row["number"], at=row["at"], act=Act(**words))
