"""The old part of the audit log goes into a signed file: exactly that, not too early, and the rest stays proven."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vault.test_audit_log import ACT, KEY, new_log, tampered
from tollhouse.audit import BEGINNING, Anchor, Entry, link_digest
from tollhouse.vault.audit_file import ProvenFile, prove_file, remove, write_file
from tollhouse.vault.audit_log import INSERT, AuditLog
from tollhouse.vault.audit_rows import load_heads, prove

NOW = datetime.now(UTC)
BEFORE = NOW - timedelta(days=400)


async def history(pool: asyncpg.Pool, chain: str, ages: list[int]) -> None:
    """A chain with one entry in each link, so many days old."""
    digest = BEGINNING
    for number, days in enumerate(ages, start=1):
        entry = Entry(number=number, at=NOW - timedelta(days=days), act=ACT)
        digest = link_digest(chain, number, digest, [entry])
        words = [[number], [ACT.what], [ACT.outcome], [ACT.subject], [""], [""], [""]]
        await pool.execute(INSERT, chain, number, number, 1, digest, entry.at, *words)
        await pool.execute("ALTER TABLE vault.audit_link DISABLE TRIGGER USER")
        statement = "UPDATE vault.audit_link SET at = $1 WHERE chain = $2 AND number = $3"
        await pool.execute(statement, entry.at, chain, number)
        await pool.execute("ALTER TABLE vault.audit_link ENABLE TRIGGER USER")


async def retired(pool: asyncpg.Pool, path: Path) -> ProvenFile:
    """Take out what is old; what the file is."""
    written = await write_file(pool, KEY, before=BEFORE, path=path)
    await remove(pool, KEY, written)
    return prove_file(path, KEY.public_key())


async def findings(pool: asyncpg.Pool, *anchors: Anchor) -> tuple[str, ...]:
    """What a proof finds now."""
    return (await prove(pool, KEY.public_key(), anchors)).findings


@pytest.fixture
async def log(pool: asyncpg.Pool) -> AuditLog:
    """One chain that is wholly old, one that grew on, one that is young, and a checkpoint for all."""
    await history(pool, "gone", [900, 800])
    await history(pool, "grown", [700, 600, 10, 500])
    await history(pool, "young", [20])
    opened = new_log(pool)
    await opened.write(ACT)
    await opened.vouch(KEY)
    return opened


@pytest.mark.usefixtures("log")
async def test_beginnings_of_chains_go(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """What is old and has nothing young before it goes into the file; the rest is whole; anchors from before hold."""
    anchor = Anchor(at=NOW, heads=await load_heads(pool))
    file = await retired(pool, tmp_path / "old.jsonl")
    assert (file.chains, file.entries, file.findings) == (2, 4, ())
    left = await pool.fetch("SELECT chain, number FROM vault.audit_entry WHERE chain IN ('gone', 'grown', 'young')")
    assert {tuple(row) for row in left} == {("grown", 3), ("grown", 4), ("young", 1)}
    assert await findings(pool, anchor) == ()
    again = await retired(pool, tmp_path / "again.jsonl")
    assert (again.chains, again.entries, again.findings) == (0, 0, ())


@pytest.mark.usefixtures("log")
async def test_what_is_tampered_with_after_it_is_found(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """A cut right behind the retired part, a row of retirement that is gone, and one that somebody else signed."""
    await retired(pool, tmp_path / "old.jsonl")
    told = await tampered(pool, "DELETE FROM vault.audit_entry WHERE chain = 'grown' AND number = 3")
    assert any("chain grown, link 3: its entries are not 3 to 3" in one for one in told)
    await pool.execute("ALTER TABLE vault.audit_retirement DISABLE TRIGGER USER")
    await pool.execute("UPDATE vault.audit_retirement SET signature = $1 WHERE chain = 'grown'", bytes(64))
    await pool.execute("ALTER TABLE vault.audit_retirement ENABLE TRIGGER USER")
    told = await findings(pool)
    assert any("chain grown: that it was retired up to link 2 is forged" in one for one in told)
    assert any("chain grown, link 3: the links between 0 and it are gone" in one for one in told)


@pytest.mark.usefixtures("log")
async def test_the_table_lets_only_this_through(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Without its signed row nothing goes, what is young never does, and rows of retirement are only added."""
    for chain in ("gone", "young"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only be added to"):
            await pool.execute("DELETE FROM vault.audit_link WHERE chain = $1", chain)
    await pool.execute(
        "INSERT INTO vault.audit_retirement (chain, number, last, digest, before, file_sha256, signature)"
        " VALUES ('young', 1, 1, $1, now(), $1, $2)",
        bytes(32),
        bytes(64),
    )
    for statement in (
        "DELETE FROM vault.audit_entry WHERE chain = 'young'",
        "DELETE FROM vault.audit_retirement",
        "UPDATE vault.audit_retirement SET number = 2",
        "TRUNCATE vault.audit_entry",
        "TRUNCATE vault.audit_retirement",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only be added to"):
            await pool.execute(statement)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"project.set", b"project.sot", "not as they were written"),
        (b'"chain": "gone"', b'"chain": "gane"', "not as they were written"),
        (b'"entries": 4', b'"entries": 4, "x": 1', ""),
        (b'"before": "2', b'"before": "1', "the signature is not that of these lines"),
    ],
)
async def test_a_changed_file_is_found(pool: asyncpg.Pool, tmp_path: Path, old: bytes, new: bytes, told: str) -> None:
    """Every changed byte before the signature shows, and where."""
    path = tmp_path / "old.jsonl"
    await retired(pool, path)
    path.write_bytes(path.read_bytes().replace(old, new))
    shown = "; ".join(prove_file(path, KEY.public_key()).findings)
    assert told in shown
    assert bool(told) == bool(shown)


@pytest.mark.usefixtures("log")
async def test_a_cut_or_foreign_file_is_found(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Lines that are gone, an end that is missing, another key, and what is no such file at all."""
    path = tmp_path / "old.jsonl"
    await retired(pool, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert any("the signature" in one for one in prove_file(path, KEY.public_key()).findings)
    path.write_bytes(b"".join(lines[:-1]))
    assert any("the end of the file is missing" in one for one in prove_file(path, KEY.public_key()).findings)
    path.write_bytes(b"".join(lines))
    assert prove_file(path, Ed25519PrivateKey.generate().public_key()).findings
    path.write_bytes(b"rubbish\n")
    with pytest.raises(ValueError, match="line 1 is none of a retired audit log"):
        prove_file(path, KEY.public_key())


@pytest.mark.usefixtures("log")
async def test_a_chain_that_was_rewritten_before_it_went(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """The file is whole by itself; an anchor from before says that it is another history."""
    anchor = Anchor(at=NOW, heads=await load_heads(pool))
    for table in ("vault.audit_entry", "vault.audit_link"):
        await pool.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await pool.execute(f"DELETE FROM {table} WHERE chain = 'gone'")
        await pool.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    await history(pool, "gone", [901, 801])
    assert any("another one than the anchor" in finding for finding in await findings(pool, anchor))
    path = tmp_path / "old.jsonl"
    assert (await retired(pool, path)).findings == ()
    held = prove_file(path, KEY.public_key(), [anchor])
    assert len(held.findings) == 1
    assert "chain gone, link 2: is another one than the anchor of" in held.findings[0]


async def test_a_long_chain_is_proven_and_goes(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Many links: an entry that names another link is a stray; what is old is found to the last link."""
    count = 3000
    digest, rows = BEGINNING, []
    for number in range(1, count + 1):
        entry = Entry(number=number, at=NOW - timedelta(days=800 - number // 5), act=ACT)
        digest = link_digest("long", number, digest, [entry])
        rows.append(("long", number, number, 1, entry.at, digest))
    columns = [list(column) for column in zip(*rows, strict=True)]
    words = (ACT.what, ACT.outcome, ACT.subject)
    await pool.execute(
        "INSERT INTO vault.audit_link (chain, number, last, acts, at, digest)"
        " SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[], $5::timestamptz[], $6::bytea[])",
        *columns,
    )
    await pool.execute(
        "INSERT INTO vault.audit_entry SELECT chain, number, number, at, $1, $2, $3, '', '', '' FROM vault.audit_link",
        *words,
    )
    assert await findings(pool) == ()
    file = await retired(pool, tmp_path / "old.jsonl")
    old = sum(at < BEFORE for at in columns[4])
    assert 0 < old < count
    assert (file.chains, file.entries, file.findings) == (1, old, ())
    assert await findings(pool) == ()
    await pool.execute("ALTER TABLE vault.audit_entry DISABLE TRIGGER USER")
    await pool.execute("UPDATE vault.audit_entry SET link = link - 1 WHERE number = $1", count)
    assert f"chain long, entry {count}: no link covers it" in await findings(pool)
