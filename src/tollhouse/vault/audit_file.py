"""The old part of the audit log as a file: written, proven without a database, and only then removed from the tables.

A file is lines of JSON: what it is; of each chain the links with their entries; at the end the signature over the
SHA-256 of all lines before.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tollhouse.audit import BEGINNING, Act, Anchor, Entry, Head, Link, Proof, Retirement
from tollhouse.vault.audit_rows import BATCH_SIZE, ENTRIES, LINKS, entry_of, load_retired
from tollhouse.vault.key_file import sync_folder

KIND = "tollhouse audit log 1"
_SIGNED = b"tollhouse audit file 1 "
# Of each chain what lies before the first entry that is young; links are never divided.
OLD = """
WITH young_entry AS (SELECT chain, min(number) AS number FROM vault.audit_entry WHERE at >= $1 GROUP BY chain),
    young_link AS (SELECT chain, min(number) AS number FROM vault.audit_link WHERE at >= $1 GROUP BY chain)
SELECT link.chain, max(link.number) AS number FROM vault.audit_link AS link
LEFT JOIN young_entry ON young_entry.chain = link.chain LEFT JOIN young_link ON young_link.chain = link.chain
WHERE (young_entry.number IS NULL OR link.last < young_entry.number)
    AND (young_link.number IS NULL OR link.number < young_link.number)
GROUP BY link.chain ORDER BY link.chain
"""
RETIRE = """
INSERT INTO vault.audit_retirement (chain, number, last, digest, before, file_sha256, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
REMOVE_ENTRIES = "DELETE FROM vault.audit_entry WHERE chain = $1 AND number <= $2"
REMOVE_LINKS = "DELETE FROM vault.audit_link WHERE chain = $1 AND number <= $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is in a file."""

    sha256: bytes
    entries: int
    retirements: tuple[Retirement, ...]
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenFile:
    """What a proof of a file walked over, and what it found."""

    before: str
    chains: int
    entries: int
    findings: tuple[str, ...]


async def write_file(pool: asyncpg.Pool, key: Ed25519PrivateKey, *, before: datetime, path: Path) -> Written:
    """Write what is older than `before` into a new file, on the disk on return. Raises `OSError`."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        retired, _ = await load_retired(connection, key.public_key())
        old = {row["chain"]: row["number"] for row in await connection.fetch(OLD, before)}
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            digest, entries, ends = hashlib.sha256(), 0, []
            _put(file, digest, {"file": KIND, "before": before.astimezone(UTC).isoformat()})
            for chain, number in old.items():
                count, head, last = await _write_chain(connection, file, digest, chain, number, retired.get(chain))
                entries += count
                ends.append((chain, head, last))
            total = digest.digest()
            signature = b64encode(key.sign(_SIGNED + total)).decode()
            file.write(_line({"end": True, "entries": entries, "signature": signature}))
            file.flush()
            os.fsync(file.fileno())
    sync_folder(path.parent)  # the rows go next: the file's name must not be lost after them
    made = [Retirement(chain=c, head=head, last=last, before=before, file_sha256=total) for c, head, last in ends]
    return Written(sha256=total, entries=entries, retirements=tuple(made), key=key.public_key())


async def remove(pool: asyncpg.Pool, key: Ed25519PrivateKey, written: Written) -> None:
    """Remove what lies in the file, chain by chain, each with its signed row in one database transaction."""
    async with pool.acquire() as connection:
        for one in written.retirements:
            signature = one.signed_by(key)
            row = (one.chain, one.head.number, one.last, one.head.digest, one.before, one.file_sha256, signature)
            async with connection.transaction():
                await connection.execute(RETIRE, *row)
                await connection.execute(REMOVE_ENTRIES, one.chain, one.last)
                await connection.execute(REMOVE_LINKS, one.chain, one.head.number)


def prove_file(path: Path, key: Ed25519PublicKey, anchors: Iterable[Anchor] = ()) -> ProvenFile:
    """Walk the chains of a file, hold them against these anchors, and check its signature.

    Raises `OSError`, and `ValueError` when it is none of ours.
    """
    walk = _Walk(anchors)
    with path.open("rb") as file:
        try:
            for line in file:
                walk.feed(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"line {walk.lines + 1} is none of a retired audit log") from None
    walk.end(key)
    return ProvenFile(before=walk.before, chains=walk.chains, entries=walk.entries, findings=tuple(walk.findings))


class _Walk:
    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self._vouched = {
            (chain, head.number): (anchor, head.digest) for anchor in anchors for chain, head in anchor.heads.items()
        }
        self.lines = self.chains = self.entries = 0
        self.before = ""
        self.findings: list[str] = []
        self._digest = hashlib.sha256()
        self._proof: Proof | None = None
        self._end: dict[str, Any] | None = None

    def feed(self, line: bytes) -> None:
        """The next line."""
        content = json.loads(line)
        if self.lines == 0:
            if content["file"] != KIND:
                raise ValueError("another kind of file")
            self.before = content["before"]
        elif self._end is not None:
            raise ValueError("something stands behind the end")
        elif "end" in content:
            self._end = content
        elif "begins" in content:
            self._leave_chain()
            self.chains += 1
            self._proof = _proof_of(content["chain"], content["begins"])
        else:
            if self._proof is None:
                raise ValueError("a link of no chain")
            entries = [_read_entry(one) for one in content["entries"]]
            self.entries += len(entries)
            link = Link(number=content["link"], last=content["last"], digest=bytes.fromhex(content["digest"]))
            self._proof.feed(link, entries)
            self._hold_against_anchor(self._proof.chain, link)
        if self._end is None:
            self._digest.update(line)
        self.lines += 1

    def end(self, key: Ed25519PublicKey) -> None:
        """No line is left."""
        self._leave_chain()
        if self._end is None:
            self.findings.append(f"line {self.lines}: the end of the file is missing")
            return
        try:
            key.verify(b64decode(self._end["signature"]), _SIGNED + self._digest.digest())
        except (InvalidSignature, ValueError, KeyError, TypeError):
            self.findings.append(f"line {self.lines}: the signature is not that of these lines by the given audit key")

    def _hold_against_anchor(self, chain: str, link: Link) -> None:
        anchor, digest = self._vouched.get((chain, link.number), (None, link.digest))
        if anchor is not None and digest != link.digest:
            at = anchor.at.isoformat(timespec="seconds")
            self.findings.append(
                f"chain {chain}, link {link.number}: is another one than the anchor of {at} vouches for"
            )

    def _leave_chain(self) -> None:
        if self._proof is not None:
            self.findings += self._proof.end(())
        self._proof = None


async def _write_chain(
    connection: asyncpg.Connection,
    file: BinaryIO,
    digest: Any,
    chain: str,
    number: int,
    retired: Retirement | None,
) -> tuple[int, Head, int]:
    head, last = (retired.head, retired.last) if retired else (Head(0, BEGINNING), 0)
    first = last
    _put(file, digest, {"chain": chain, "begins": [head.number, last, head.digest.hex()]})
    while head.number < number:
        size = min(BATCH_SIZE, number - head.number)
        links = [Link(**row) for row in await connection.fetch(LINKS, chain, head.number, size)]
        entries = iter([entry_of(row) for row in await connection.fetch(ENTRIES, chain, last, links[-1].last)])
        for link in links:
            covered = [_shown_entry(one) for one in _next(entries, link.last - last)]
            line = {"link": link.number, "last": link.last, "digest": link.digest.hex(), "entries": covered}
            _put(file, digest, line)
            head, last = Head(link.number, link.digest), link.last
    return last - first, head, last


def _next(entries: Iterator[Entry], count: int) -> Iterable[Entry]:
    return islice(entries, count)


def _proof_of(chain: str, begins: list[Any]) -> Proof:
    number, last, digest = begins
    never = datetime.fromtimestamp(0, UTC)
    head = Head(number, bytes.fromhex(digest))
    return Proof(chain, Retirement(chain=chain, head=head, last=last, before=never, file_sha256=b""))


def _shown_entry(entry: Entry) -> dict[str, object]:
    return {"number": entry.number, "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds")} | asdict(
        entry.act
    )


def _read_entry(content: dict[str, Any]) -> Entry:
    number, at = content.pop("number"), datetime.fromisoformat(content.pop("at"))
    return Entry(number=number, at=at, act=Act(**content))


def _put(file: BinaryIO, digest: Any, content: dict[str, object]) -> None:
    line = _line(content)
    digest.update(line)
    file.write(line)


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
