"""The audit log in the database: what is written, what cannot be changed, and that every change is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vault.conftest import NewKeeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tollhouse.acquirers.message import NotSent
from tollhouse.audit import BEGINNING, CHECKPOINT, DONE, REFUSED, Act, link_digest
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.audit_rows import CHECKPOINTS_AT_ONCE, Proven, export, prove
from tollhouse.vault.denials import DENIALS_A_LOOK, DENIALS_MAX
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import KeysRefused

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACT = Act(what="project.set", outcome=DONE, subject="shop")


def new_log(pool: asyncpg.Pool, process: str = "node", tell: Callable[[str], None] = pytest.fail) -> AuditLog:
    """The log of one process."""
    return AuditLog(pool, process=process, who=f"node {process}", origin="here", tell=tell)


async def proven(pool: asyncpg.Pool) -> Proven:
    """What a proof finds now."""
    return await prove(pool, KEY.public_key())


async def tampered(pool: asyncpg.Pool, *statements: str) -> tuple[str, ...]:
    """What is found after somebody with all rights changed rows behind our back."""
    async with pool.acquire() as connection, connection.transaction():
        for table in ("audit_entry", "audit_link"):
            await connection.execute(f"ALTER TABLE vault.{table} DISABLE TRIGGER USER")
        for statement in statements:
            await connection.execute(statement)
        for table in ("audit_entry", "audit_link"):
            await connection.execute(f"ALTER TABLE vault.{table} ENABLE TRIGGER USER")
    return (await proven(pool)).findings


@pytest.fixture
async def log(pool: asyncpg.Pool) -> AsyncIterator[AuditLog]:
    """A log with three links of two entries each, and a checkpoint."""
    opened = new_log(pool)
    for number in range(3):
        await asyncio.gather(*(opened.write(Act(what=f"act {number}", outcome=DONE, subject=s)) for s in "ab"))
    await opened.vouch(KEY)
    yield opened
    await opened.close()


@pytest.mark.usefixtures("log")
async def test_what_was_written_is_whole(pool: asyncpg.Pool) -> None:
    """Every entry is there with who, what, when, from where and how it ended; the proof finds nothing."""
    found = await proven(pool)
    assert (found.chains, found.entries, found.checkpoints, found.findings) == (1, 7, 1, ())
    entries = [entry async for _, entry in export(pool, since=None, until=None)]
    assert [entry.number for entry in entries] == list(range(1, 8))
    assert {(entry.act.who, entry.act.origin) for entry in entries} == {("node node", "here")}


async def test_entries_that_wait_share_a_link(pool: asyncpg.Pool) -> None:
    """Hundreds at once are a few links, and each is durable when its writer goes on."""
    log = new_log(pool)
    await asyncio.gather(*(log.write(ACT) for _ in range(600)))
    assert await pool.fetchval("SELECT count(*) FROM vault.audit_entry") == 600
    assert await pool.fetchval("SELECT count(*) FROM vault.audit_link") <= 4
    assert (await proven(pool)).findings == ()
    await log.close()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("table", ["audit_entry", "audit_link"])
@pytest.mark.parametrize("statement", ["UPDATE vault.{} SET chain = 'x'", "DELETE FROM vault.{}", "TRUNCATE vault.{}"])
async def test_rows_are_only_added(pool: asyncpg.Pool, table: str, statement: str) -> None:
    """The tables' owner too is refused to change, remove or empty them."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only be added to"):
        await pool.execute(statement.format(table))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE vault.audit_entry SET subject = 'c' WHERE number = 3", "entries 3 to 3|entries 2 to 3|entries 3 to 4"),
        ("UPDATE vault.audit_entry SET at = at + interval '1 us' WHERE number = 1", "not as they were written"),
        ("DELETE FROM vault.audit_entry WHERE number = 4", "without a gap"),
        ("DELETE FROM vault.audit_entry WHERE number = 1", "without a gap"),
        ("UPDATE vault.audit_entry SET number = 15 - number WHERE number IN (7, 8)", "gap|no link covers"),
        ("UPDATE vault.audit_entry SET number = 103 - number WHERE number IN (1, 2)", "gap|no link covers"),
        ("DELETE FROM vault.audit_link WHERE number = 2", "are gone"),
        ("DELETE FROM vault.audit_link WHERE number = 1", "are gone"),
        ("UPDATE vault.audit_link SET digest = sha256('x') WHERE number = 2", "not as they were written"),
        ("DELETE FROM vault.audit_entry WHERE what = 'audit.checkpoint'", "without a gap"),
        (
            "INSERT INTO vault.audit_entry SELECT chain, 99, 99, at, what, outcome, subject, who, origin, details"
            " FROM vault.audit_entry WHERE number = 1",
            "entry 99: no link covers it",
        ),
        (
            "UPDATE vault.audit_entry AS one SET subject = other.subject, what = other.what FROM vault.audit_entry AS"
            " other WHERE one.number + other.number = 7 AND one.number <= 6 AND other.number <= 6",
            "not as they were written",
        ),
    ],
)
async def test_what_was_changed_is_found(pool: asyncpg.Pool, statement: str, told: str) -> None:
    """Somebody with all rights changes, removes, reorders or adds rows: it is named."""
    findings = "; ".join(await tampered(pool, statement))
    assert any(part in findings for part in told.split("|")), findings


async def test_a_chain_that_was_made_anew_is_found_by_another_process(pool: asyncpg.Pool) -> None:
    """Whoever removes an act and makes all digests of the chain anew forgets the checkpoint of another process."""
    one, other = new_log(pool, "one"), new_log(pool, "other")
    await one.write(ACT)
    await one.write(Act(what="card.reveal", outcome=DONE, subject="shop/card_1"))
    await other.vouch(KEY)
    entries = [entry async for chain, entry in export(pool, since=None, until=None) if chain == one.chain]
    digest = link_digest(one.chain, 1, BEGINNING, entries[:1]).hex()
    findings = await tampered(
        pool,
        f"DELETE FROM vault.audit_entry WHERE chain = '{one.chain}' AND number = 2",
        f"DELETE FROM vault.audit_link WHERE chain = '{one.chain}' AND number = 2",
        f"UPDATE vault.audit_link SET digest = '\\x{digest}' WHERE chain = '{one.chain}'",
    )
    assert len(findings) == 1
    assert "is gone, but the checkpoint" in findings[0]


async def test_a_whole_chain_that_is_gone_is_found(pool: asyncpg.Pool) -> None:
    """Nothing of it is left but what another process vouched for."""
    one, other = new_log(pool, "one"), new_log(pool, "other")
    await one.write(ACT)
    await other.vouch(KEY)
    tables = ("audit_entry", "audit_link")
    findings = await tampered(pool, *(f"DELETE FROM vault.{table} WHERE chain = '{one.chain}'" for table in tables))
    assert any(one.chain in finding and "is gone" in finding for finding in findings)


async def test_a_checkpoint_of_another_key_is_found(pool: asyncpg.Pool) -> None:
    """Who can write rows but has no audit key cannot vouch."""
    log = new_log(pool)
    await log.write(ACT)
    await log.vouch(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert "a checkpoint is forged" in "".join((await proven(pool)).findings)


async def test_many_checkpoints_are_held_one_by_one(pool: asyncpg.Pool) -> None:
    """Also where they are read in several pieces, the findings name each checkpoint that no longer fits."""
    count = CHECKPOINTS_AT_ONCE + 2
    one, other = new_log(pool, "one"), new_log(pool, "other")
    for _ in range(count):
        await one.write(ACT)
        await other.vouch(KEY)
    assert (await proven(pool)).checkpoints == count
    gone = f"chain = '{one.chain}' AND number IN (2, {count})"
    findings = await tampered(pool, f"DELETE FROM vault.audit_link WHERE {gone}")
    assert sum(f"the checkpoint in chain {other.chain}" in finding for finding in findings) == 2


async def test_idle_processes_write_nothing(pool: asyncpg.Pool) -> None:
    """Checkpoints alone are no reason for another checkpoint, neither one's own nor another's."""
    one, other = new_log(pool, "one"), new_log(pool, "other")
    await one.write(ACT)
    for _ in range(3):
        await one.vouch(KEY)
        await other.vouch(KEY)
    assert await pool.fetchval("SELECT count(*) FROM vault.audit_entry WHERE what = $1", CHECKPOINT) == 2


async def test_a_lost_answer_breaks_no_chain(pool: asyncpg.Pool) -> None:
    """After a write whose end is unknown the chain goes on where the database has it."""
    log = new_log(pool, tell=lambda _: None)
    await log.write(ACT)
    await pool.execute("ALTER TABLE vault.audit_link RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await log.write(ACT)
    await pool.execute("ALTER TABLE vault.away RENAME TO audit_link")
    await log.write(ACT)
    found = await proven(pool)
    assert (found.entries, found.findings) == (2, ())


async def test_a_flood_of_refusals_is_few_entries(pool: asyncpg.Pool) -> None:
    """The same refusal many times in a second is one entry that counts; too many different ones are told together."""
    log = new_log(pool)
    for _ in range(1000):
        log.deny(Act(what="call", outcome=REFUSED, who="project shop\n", origin="192.0.2.1"))
    for number in range(2 * DENIALS_MAX):
        log.deny(Act(what="call", outcome=REFUSED, who=f"project {number}", origin="192.0.2.2"))
    await log.write_denials()
    entries = [entry.act async for _, entry in export(pool, since=None, until=None)]
    assert len(entries) == DENIALS_MAX + 1
    assert [one.details for one in entries if one.who == "project shop?"] == ["1000 times"]
    assert [one.details for one in entries if one.who == "others"] == [f"{DENIALS_MAX + 1} times"]
    for number in range(100):
        log.deny(Act(what="call", outcome=REFUSED, who=f"later {number}", origin="192.0.2.2"))
    await log.write_denials()
    entries = [entry.act async for _, entry in export(pool, since=None, until=None)]
    assert len(entries) == DENIALS_MAX + 1 + DENIALS_A_LOOK + 1, "a flood that goes on has few entries of its own"


async def test_every_reveal_is_written_down_first(pool: asyncpg.Pool, new_keeper: NewKeeper) -> None:
    """Keeping and filling name project and token, and why; what does not open is told as failed; no PAN is there."""
    keeper = new_keeper("file")
    async with keeper.open(pool) as keys:
        vault = await EmbeddedVault.open(pool, keeper.home, "node", keys=keys, audit=new_log(pool))
        kept = await vault.keep("shop", CARD)
        await vault.fill(request("shop", kept.token))
        with pytest.raises(NotSent):
            await vault.fill(request("inn", kept.token))
        acts = [entry.act async for _, entry in export(pool, since=None, until=None)]
        assert [(act.what, act.outcome, act.subject) for act in acts] == [
            ("card.keep", "done", f"shop/{kept.token}"),
            ("card.reveal", "granted", f"shop/{kept.token}"),
            ("card.reveal", "granted", f"inn/{kept.token}"),
            ("card.reveal", "failed", f"inn/{kept.token}"),
        ]
        assert acts[1].details == "0100 rrn 600112345678"
        assert PAN_TEXT not in repr(acts)
        await vault.close()


async def test_nothing_is_revealed_without_an_entry(pool: asyncpg.Pool, new_keeper: NewKeeper) -> None:
    """While the log cannot be written no card leaves the vault, and one line in seconds says so."""
    keeper = new_keeper("file")
    async with keeper.open(pool) as keys:
        told: list[str] = []
        log = new_log(pool, tell=told.append)
        vault = await EmbeddedVault.open(pool, keeper.home, "node", keys=keys, audit=log)
        kept = await vault.keep("shop", CARD)
        await pool.execute("ALTER TABLE vault.audit_link RENAME TO away")
        for _ in range(3):
            with pytest.raises(NotSent, match="cannot be read"):
                await vault.fill(request("shop", kept.token))
        assert told == ["the audit log cannot be written: UndefinedTableError"]
        await pool.execute("ALTER TABLE vault.away RENAME TO audit_link")
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


async def test_notes_go_with_the_next_entries(pool: asyncpg.Pool) -> None:
    """A note needs no commit of its own, comes soon when nothing else does, and outlives a write that failed."""
    log = AuditLog(pool, process="node", who="node", origin="here", tell=lambda _: None)
    log.note(Act(what="noted", outcome=DONE))
    await log.write(ACT)
    assert await pool.fetchval("SELECT count(*) FROM vault.audit_link") == 1
    log.note(Act(what="noted alone", outcome=DONE))
    while not await pool.fetchval("SELECT count(*) FROM vault.audit_entry WHERE what = 'noted alone'"):
        await asyncio.sleep(0.01)
    await pool.execute("ALTER TABLE vault.audit_link RENAME TO away")
    log.note(Act(what="noted in trouble", outcome=DONE))
    with pytest.raises(asyncpg.UndefinedTableError):
        await log.write(ACT)
    await pool.execute("ALTER TABLE vault.away RENAME TO audit_link")
    log.note(Act(what="noted at the end", outcome=DONE))
    await log.close()
    entries = [entry.act.what async for _, entry in export(pool, since=None, until=None)]
    assert entries == ["noted", ACT.what, "noted alone", "noted in trouble", "noted at the end"]
    assert (await proven(pool)).findings == ()


async def test_a_start_that_fails_is_written_down(pool: asyncpg.Pool) -> None:
    """Wrong keys end a process before it does anything: that it tried, and why not, stands there."""
    log = new_log(pool)
    with pytest.raises(KeysRefused):
        async with log.starting():
            raise KeysRefused("kek.json is not the key of this database")
    (entry,) = [entry.act async for _, entry in export(pool, since=None, until=None)]
    assert (entry.what, entry.outcome) == ("process.start", "failed")
    assert entry.details == "kek.json is not the key of this database"


REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'unfit' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON vault.audit_entry FOR EACH ROW WHEN (NEW.subject = 'unfit')
EXECUTE FUNCTION refuse()
"""


async def test_an_entry_that_the_database_refuses_stops_no_other(pool: asyncpg.Pool) -> None:
    """A note or denial like that is lost with a line, a write like that fails alone, and all beside it is written."""
    told: list[str] = []
    log = new_log(pool, tell=told.append)
    await pool.execute(REFUSES)
    for subject in ("one", "unfit", "two"):
        log.note(Act(what="noted", outcome=DONE, subject=subject))
        log.deny(Act(what="call", outcome=REFUSED, subject=subject))
    acts = [Act(what="written", outcome=DONE, subject=subject) for subject in ("one", "unfit", "two")]
    ended = await asyncio.gather(*(log.write(act) for act in acts), return_exceptions=True)
    assert [type(one) for one in ended] == [type(None), asyncpg.DataError, type(None)]
    with pytest.raises(asyncpg.DataError):
        await log.write_denials()
    await log.write_denials()
    entries = [(entry.act.what, entry.act.subject) async for _, entry in export(pool, since=None, until=None)]
    assert entries == [(what, subject) for what in ("noted", "written", "call") for subject in ("one", "two")]
    assert told[0] == "an entry of the audit log is refused and lost: noted: DataError"
    assert (await proven(pool)).findings == ()
    await log.close()


async def test_no_words_bring_a_card_or_a_blank_line_into_the_log(pool: asyncpg.Pool) -> None:
    """Whoever writes, and into whichever word: numbers are masked, and what cannot be printed is a question mark."""
    words = f"a\x00\n\ud800 {PAN_TEXT}"
    log = new_log(pool)
    log.note(Act(what=words, outcome=DONE, subject=words, who=words, origin=words, details=words))
    await log.write(Act(what="card.reveal", outcome=DONE, details=f"0100 rrn {PAN_TEXT} {'9' * 5000}"))
    written = [word async for _, entry in export(pool, since=None, until=None) for word in entry.act.words]
    assert not any(PAN_TEXT in word for word in written)
    assert max(map(len, written)) <= 200
    assert (await proven(pool)).findings == ()
    await log.close()


async def test_what_beside_goes_wrong_is_told_and_goes_on(pool: asyncpg.Pool) -> None:
    """An error that nobody thought of ends no checkpoints and no denials."""
    told: list[str] = []
    log = new_log(pool, tell=told.append)
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    beside = asyncio.create_task(log._repeat(0.001, fail))
    while calls < 3:
        await asyncio.sleep(0.001)
    beside.cancel()
    assert told[0] == "the audit log is not kept as it should be: ZeroDivisionError"
    await log.close()
