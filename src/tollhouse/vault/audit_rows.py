"""Reads the audit log: for its proof, and for whoever reviews it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollhouse.audit import (
    CHECKPOINT,
    Act,
    Anchor,
    Entry,
    Head,
    Heads,
    Link,
    Proof,
    Retirement,
    anchor_findings,
    read_checkpoint,
)

BATCH_SIZE = 2000
CHECKPOINTS_AT_ONCE = 200
ANCHORS_AT_ONCE = 2000
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
WITH covered AS (
    SELECT number, last, COALESCE(lag(last) OVER (ORDER BY number), $2) AS before
    FROM vault.audit_link WHERE chain = $1)
SELECT entry.number FROM vault.audit_entry AS entry LEFT JOIN covered ON covered.number = entry.link
WHERE entry.chain = $1 AND (covered.number IS NULL OR entry.number <= covered.before OR entry.number > covered.last)
ORDER BY entry.number LIMIT 100
"""
CHECKPOINTS = "SELECT number, details FROM vault.audit_entry WHERE chain = $1 AND what = $2 ORDER BY number"
HEADS = """
SELECT link.chain, link.number, link.digest FROM vault.audit_link AS link
JOIN unnest($1::text[], $2::bigint[]) AS wanted (chain, number) USING (chain, number)
"""
ALL_HEADS = "SELECT DISTINCT ON (chain) chain, number, digest FROM vault.audit_link ORDER BY chain, number DESC"
RETIREMENTS = """
SELECT chain, number, last, digest, before, file_sha256, signature FROM vault.audit_retirement ORDER BY chain, number
"""
# The triggers with their times (bits of pg_trigger.tgtype), and what they do, as the migrations 0006 and 0010 have it;
# and no rules, which would turn a change into something else before any trigger.
TRIGGERS_GONE = """
SELECT wanted.place FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[])
    AS wanted (place, tab, name, body, times)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = to_regclass(wanted.tab) AND tgname = wanted.name AND tgenabled IN ('O', 'A')
        AND md5(prosrc) = wanted.body AND tgtype = wanted.times AND tgqual IS NULL AND tgattr = ''::int2vector)
UNION SELECT relname FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
WHERE ev_class IN (SELECT to_regclass(tab) FROM unnest($2::text[]) AS tab)
"""
BODIES = {"append_only": "b0520a8e64fbabc9b80ad4a99ddb840b", "kept_long_enough": "0fae2666bd6348d1051075a23626ad09"}
EACH_ROW, BEFORE, DELETE, UPDATE, TRUNCATE = 1, 2, 8, 16, 32
TRIGGERS = [
    (table, f"vault.{table}", name, BODIES[name], times)
    for table, name, times in (
        ("audit_entry", "append_only", BEFORE + UPDATE + TRUNCATE),
        ("audit_entry", "kept_long_enough", BEFORE + DELETE + EACH_ROW),
        ("audit_link", "append_only", BEFORE + UPDATE + TRUNCATE),
        ("audit_link", "kept_long_enough", BEFORE + DELETE + EACH_ROW),
        ("audit_retirement", "append_only", BEFORE + DELETE + UPDATE + TRUNCATE),
    )
]
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


async def prove(pool: asyncpg.Pool, key: Ed25519PublicKey, anchors: Iterable[Anchor] = ()) -> Proven:
    """Walk all chains as they stand in one moment, and hold them against all checkpoints and these anchors.

    One snapshot for all of it: a chain that grows, or is retired, meanwhile would look as if it did not fit.
    """
    findings: list[str] = []
    entries = checkpoints = 0
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        gone = await connection.fetch(TRIGGERS_GONE, *map(list, zip(*TRIGGERS, strict=True)))
        findings += [f"table vault.{row['place']}: what keeps rows from being changed is switched off" for row in gone]
        retired, forged = await load_retired(connection, key)
        findings += forged
        ends = {chain: one.head for chain, one in retired.items()}
        chains = [row["chain"] for row in await connection.fetch(CHAINS)]
        for chain in chains:
            proof = await _walk(connection, chain, retired.get(chain))
            first = retired[chain].last if chain in retired else 0
            findings += proof.end([row["number"] for row in await connection.fetch(STRAYS, chain, first)])
            entries += proof.entries - first
        for chain in chains:
            count, found = await _hold_against_checkpoints(connection, chain, key, ends)
            checkpoints += count
            findings += found
        for vouched in witnesses(anchors):
            findings += await _hold_against(connection, vouched, ends)
    return Proven(chains=len(chains), entries=entries, checkpoints=checkpoints, findings=tuple(findings))


def witnesses(anchors: Iterable[Anchor]) -> Iterator[dict[str, dict[str, Head]]]:
    """What all anchors vouch for, some at a time, each link once.

    All of them: whoever rewrites a chain finds an honest process that goes on with it and signs its new end.
    """
    seen: set[tuple[str, Head]] = set()
    some: dict[str, dict[str, Head]] = {}
    for number, anchor in enumerate(anchors, start=1):
        news = {chain: head for chain, head in anchor.heads.items() if (chain, head) not in seen}
        if not news:
            continue
        seen.update(news.items())
        witness = f"the anchor of {anchor.at.isoformat(timespec='seconds')}"
        some[f"{witness} ({number})" if witness in some else witness] = news
        if len(some) >= ANCHORS_AT_ONCE:
            yield some
            some = {}
    if some:
        yield some


async def load_heads(pool: asyncpg.Pool) -> dict[str, Head]:
    """How far every chain is."""
    return {row["chain"]: Head(row["number"], row["digest"]) for row in await pool.fetch(ALL_HEADS)}


async def load_retired(
    connection: asyncpg.Connection, key: Ed25519PublicKey
) -> tuple[dict[str, Retirement], list[str]]:
    """What was retired of each chain, and which of it is forged."""
    retired, forged = {}, []
    for row in await connection.fetch(RETIREMENTS):
        one = Retirement(
            chain=row["chain"],
            head=Head(row["number"], row["digest"]),
            last=row["last"],
            before=row["before"],
            file_sha256=row["file_sha256"],
        )
        if one.is_signed(row["signature"], key):
            retired[one.chain] = one
        else:
            forged.append(
                f"chain {one.chain}: that it was retired up to link {one.head.number} is forged:"
                " its signature is not of this database's audit key"
            )
    return retired, forged


async def export(
    pool: asyncpg.Pool, *, since: datetime | None, until: datetime | None
) -> AsyncIterator[tuple[str, Entry]]:
    """Every entry of that time with its chain, oldest first."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for row in connection.cursor(EXPORT, since, until, prefetch=BATCH_SIZE):
            yield row["chain"], entry_of(row)


async def _walk(connection: asyncpg.Connection, chain: str, retired: Retirement | None) -> Proof:
    proof = Proof(chain, retired)
    while links := [Link(**row) for row in await connection.fetch(LINKS, chain, proof.head.number, BATCH_SIZE)]:
        first, last = proof.entries, max(link.last for link in links)
        entries = deque(entry_of(row) for row in await connection.fetch(ENTRIES, chain, first, last))
        for link in links:
            covered = []
            while entries and entries[0].number <= link.last:
                covered.append(entries.popleft())
            proof.feed(link, covered)
    return proof


async def _hold_against_checkpoints(
    connection: asyncpg.Connection, chain: str, key: Ed25519PublicKey, retired: Heads
) -> tuple[int, list[str]]:
    findings: list[str] = []
    count = 0
    cursor = await connection.cursor(CHECKPOINTS, chain, CHECKPOINT)
    while rows := await cursor.fetch(CHECKPOINTS_AT_ONCE):
        count += len(rows)
        vouched: dict[str, Heads] = {}
        for row in rows:
            try:
                heads = read_checkpoint(row["details"], chain=chain, key=key)
            except ValueError as problem:
                findings.append(f"chain {chain}, entry {row['number']}: a checkpoint is forged: {problem}")
            else:
                vouched[f"the checkpoint in chain {chain}, entry {row['number']},"] = heads
        findings += await _hold_against(connection, vouched, retired)
    return count, findings


async def _hold_against(connection: asyncpg.Connection, vouched: Mapping[str, Heads], retired: Heads) -> list[str]:
    """What these witnesses vouch for and is not so, asked with one query."""
    named = {(chain, head.number) for heads in vouched.values() for chain, head in heads.items()}
    rows = await connection.fetch(HEADS, [chain for chain, _ in named], [number for _, number in named])
    links = {(row["chain"], row["number"]): Head(row["number"], row["digest"]) for row in rows}
    findings: list[str] = []
    for witness, heads in vouched.items():
        places = ((chain, head.number) for chain, head in heads.items())
        found = {place[0]: links[place] for place in places if place in links}
        findings += anchor_findings(witness, heads, found, retired)
    return findings


def entry_of(row: asyncpg.Record) -> Entry:
    """A row as a value."""
    words = {name: row[name] for name in ("what", "outcome", "subject", "who", "origin", "details")}
    return Entry(number=row["number"], at=row["at"], act=Act(**words))
