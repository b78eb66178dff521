"""Anchors outside the database: a cut end, a chain that is gone and an older database are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vault.test_audit_log import ACT, KEY, new_log, tampered
from tollhouse.audit import DONE, Act, Anchor, anchor_line, link_digest, read_anchor
from tollhouse.vault.anchors import FILE, keep_anchor
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.audit_rows import export, load_heads, prove


@pytest.fixture
async def logs(pool: asyncpg.Pool) -> AsyncIterator[tuple[AuditLog, AuditLog]]:
    """Two chains of three and one links, and no checkpoint."""
    old, young = new_log(pool, "old"), new_log(pool, "young")
    for _ in range(3):
        await old.write(ACT)
    await young.write(ACT)
    yield old, young
    await old.close()
    await young.close()


async def anchored(pool: asyncpg.Pool, key: Ed25519PrivateKey = KEY) -> Anchor:
    """What is kept outside, read again from its line."""
    line = anchor_line(Anchor(at=datetime(2026, 11, 23, tzinfo=UTC), heads=await load_heads(pool)), key=key)
    found = read_anchor(f"12:00 info audit anchor line={line} node=x", key=key.public_key())
    assert found is not None
    return found


async def found_with(pool: asyncpg.Pool, anchor: Anchor) -> tuple[str, ...]:
    """What a proof finds that knows the anchor."""
    return (await prove(pool, KEY.public_key(), [anchor])).findings


@pytest.mark.usefixtures("logs")
async def test_what_an_anchor_names_is_there(pool: asyncpg.Pool) -> None:
    """Nothing is found while the database holds all of it, also when the chains have grown since."""
    anchor = await anchored(pool)
    assert {head.number for head in anchor.heads.values()} == {3, 1}
    await new_log(pool, "later").write(ACT)
    assert await found_with(pool, anchor) == ()


async def test_a_cut_end_is_found(pool: asyncpg.Pool, logs: tuple[AuditLog, AuditLog]) -> None:
    """The newest link goes with its entry before any checkpoint: only the anchor knows, and names chain and link."""
    anchor, chain = await anchored(pool), logs[0].chain
    cut = f"DELETE FROM vault.{{}} WHERE chain = '{chain}' AND number = 3"
    assert await tampered(pool, cut.format("audit_entry"), cut.format("audit_link")) == ()
    (finding,) = await found_with(pool, anchor)
    assert finding == f"chain {chain}, link 3: is gone, but the anchor of 2026-11-23T00:00:00+00:00 vouches for it"


async def test_a_young_chain_that_is_gone_is_found(pool: asyncpg.Pool, logs: tuple[AuditLog, AuditLog]) -> None:
    """All of a chain goes, and no other vouched for it: the anchor names it."""
    anchor, chain = await anchored(pool), logs[1].chain
    cut = f"DELETE FROM vault.{{}} WHERE chain = '{chain}'"
    assert await tampered(pool, cut.format("audit_entry"), cut.format("audit_link")) == ()
    (finding,) = await found_with(pool, anchor)
    assert finding.startswith(f"chain {chain}, link 1: is gone")


async def test_an_older_database_is_found(pool: asyncpg.Pool, logs: tuple[AuditLog, AuditLog]) -> None:
    """The database is set back as a whole: each chain that had grown since is named."""
    for table in ("audit_entry", "audit_link"):
        await pool.execute(f"CREATE TABLE vault.{table}_copy AS SELECT * FROM vault.{table}")
    for log in logs:
        await log.write(ACT)
    anchor = await anchored(pool)
    back = [
        statement
        for table in ("audit_entry", "audit_link")
        for statement in (
            f"TRUNCATE vault.{table}",
            f"INSERT INTO vault.{table} SELECT * FROM vault.{table}_copy",
            f"DROP TABLE vault.{table}_copy",
        )
    ]
    assert await tampered(pool, *back) == ()
    assert len(await found_with(pool, anchor)) == len(logs)


async def test_an_end_that_was_made_anew_is_found(pool: asyncpg.Pool, logs: tuple[AuditLog, AuditLog]) -> None:
    """An entry is changed and its digest made again: the link is another one than the anchor knows."""
    anchor, chain = await anchored(pool), logs[1].chain
    entries = [entry async for name, entry in export(pool, since=None, until=None) if name == chain]
    again = [
        type(one)(
            number=one.number,
            at=one.at,
            act=Act(what="other", outcome=DONE, subject="shop", who="node young", origin="here"),
        )
        for one in entries
    ]
    digest = link_digest(chain, 1, bytes(32), again).hex()
    findings = await tampered(
        pool,
        f"UPDATE vault.audit_entry SET what = 'other' WHERE chain = '{chain}'",
        f"UPDATE vault.audit_link SET digest = '\\x{digest}' WHERE chain = '{chain}'",
    )
    assert findings == ()
    (finding,) = await found_with(pool, anchor)
    assert finding.startswith(f"chain {chain}, link 1: is another one than the anchor")


@pytest.mark.usefixtures("logs")
async def test_an_anchor_by_another_key_is_forged(pool: asyncpg.Pool) -> None:
    """An anchor or a checkpoint that another key signed vouches for nothing and is told."""
    other = Ed25519PrivateKey.generate()
    line = anchor_line(Anchor(at=datetime.now(UTC), heads=await load_heads(pool)), key=other)
    with pytest.raises(ValueError, match="not of this database's audit key"):
        read_anchor(line, key=KEY.public_key())
    log = new_log(pool, "forger")
    await log.vouch(other)
    await log.close()
    (finding,) = (await prove(pool, KEY.public_key())).findings
    assert (
        finding
        == f"chain {log.chain}, entry 1: a checkpoint is forged: its signature is not of this database's audit key"
    )


@pytest.mark.usefixtures("logs")
async def test_switched_off_triggers_are_found(pool: asyncpg.Pool) -> None:
    """Somebody took away what keeps rows from being changed: told, although nothing was changed yet."""
    await pool.execute("ALTER TABLE vault.audit_link DISABLE TRIGGER append_only")
    (finding,) = (await prove(pool, KEY.public_key())).findings
    assert finding == "table vault.audit_link: what keeps rows from being changed is switched off"


async def test_an_older_anchor_knows_what_was_signed_again(pool: asyncpg.Pool) -> None:
    """Somebody rewrites a chain, an honest process goes on with it and signs its end: the anchor before tells."""
    log = new_log(pool, "node")
    await log.write(ACT)
    old = await anchored(pool)
    entry = next(iter([entry async for name, entry in export(pool, since=None, until=None) if name == log.chain]))
    other = Act(what="other", outcome=DONE, subject="shop", who=entry.act.who, origin=entry.act.origin)
    digest = link_digest(log.chain, 1, bytes(32), [type(entry)(number=1, at=entry.at, act=other)]).hex()
    rewritten = (
        f"UPDATE vault.audit_entry SET what = 'other' WHERE chain = '{log.chain}'",
        f"UPDATE vault.audit_link SET digest = '\\x{digest}' WHERE chain = '{log.chain}'",
    )
    assert await tampered(pool, *rewritten) == ()
    await log.close()
    again = AuditLog(pool, process="node", who="node node", origin="here", tell=pytest.fail)
    again.chain = log.chain
    again._head = None
    await again.write(ACT)
    await again.close()
    new = await anchored(pool)
    assert (await prove(pool, KEY.public_key(), [new])).findings == ()
    for anchors in ([old, new], [new, old]):
        (finding,) = (await prove(pool, KEY.public_key(), anchors)).findings
        assert finding.startswith(f"chain {log.chain}, link 1: is another one than the anchor of")


CHANGES = {
    "another timing": "CREATE OR REPLACE TRIGGER append_only BEFORE TRUNCATE ON vault.audit_link"
    " FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()",
    "a condition": "CREATE OR REPLACE TRIGGER kept_long_enough BEFORE DELETE ON vault.audit_link"
    " FOR EACH ROW WHEN (false) EXECUTE FUNCTION vault.refuse_unretired()",
    "a rule": "CREATE RULE nothing AS ON DELETE TO vault.audit_link DO INSTEAD NOTHING",
}


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_trigger_that_is_another_one_is_found(pool: asyncpg.Pool, change: str) -> None:
    """Of the same name with the same function, and yet letting something through."""
    await pool.execute(change)
    (finding,) = (await prove(pool, KEY.public_key())).findings
    assert finding == "table vault.audit_link: what keeps rows from being changed is switched off"


@pytest.mark.usefixtures("logs")
async def test_a_trigger_that_does_nothing_is_found(pool: asyncpg.Pool) -> None:
    """Somebody left the triggers and changed what they do."""
    await pool.execute(
        "CREATE OR REPLACE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN /* RAISE EXCEPTION */ RETURN NULL; END $$"
    )
    findings = (await prove(pool, KEY.public_key())).findings
    assert len(findings) == 3
    assert all("is switched off" in finding for finding in findings)


async def test_a_clock_that_was_ahead_silences_no_checkpoint(pool: asyncpg.Pool) -> None:
    """A checkpoint from the future, by the clock of one process, keeps no later process from vouching."""
    ahead, later = new_log(pool, "ahead"), new_log(pool, "later")
    await ahead.write(ACT)
    await ahead.vouch(KEY)
    await pool.execute("ALTER TABLE vault.audit_entry DISABLE TRIGGER USER")
    await pool.execute("UPDATE vault.audit_entry SET at = at + interval '1 year' WHERE what = 'audit.checkpoint'")
    await later.write(ACT)
    await later.vouch(KEY)
    found = await pool.fetchval(
        "SELECT count(*) FROM vault.audit_entry WHERE what = 'audit.checkpoint' AND chain = $1", later.chain
    )
    assert found == 1
    await ahead.close()
    await later.close()


async def test_a_process_keeps_anchors_by_itself(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """At its end the file in the home names the newest link of its chain; a second look with no news adds nothing."""
    log = new_log(pool, "node")
    log.follow(KEY, keep_anchor=lambda line: keep_anchor(tmp_path, line))
    await log.write(ACT)
    await log.close(KEY)
    await log.anchor(KEY)
    (line,) = (tmp_path / FILE).read_text().splitlines()
    anchor = read_anchor(line, key=KEY.public_key())
    assert anchor is not None
    assert anchor.heads == await load_heads(pool)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


async def test_anchors_that_cannot_be_kept_are_told(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """The log goes on, and says so."""
    told: list[str] = []
    log = AuditLog(pool, process="node", who="node", origin="here", tell=told.append)
    log.follow(KEY, keep_anchor=lambda line: keep_anchor(tmp_path / "away", line))
    await log.write(ACT)
    await log.vouch(KEY)
    await log.anchor(KEY)
    assert told == ["anchors of the audit log cannot be kept: No such file or directory"]
    await asyncio.wait_for(log.close(), 5)
