"""Migrations on a real Postgres: each once, whole or not at all, and never silently out of step."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import struct
from pathlib import Path

import pytest

from tests.ground.story import NOON, Counted
from tests.servers import execute, fetch
from tollhouse.decision import confirm
from tollhouse.payment import Phase
from tollhouse.store.migrate import (
    MIGRATIONS,
    DatabaseUnreachable,
    MigrationFailed,
    SchemaNotCurrent,
    apply,
    check,
    place,
)
from tollhouse.store.postgres import PostgresStore, open_pool
from tollhouse.store.tokens import PostgresTokens
from tollhouse.verdict import Policy

CARD = '{"token":"c","bin":"424242","last4":"4242","brand":"visa","expiry":{"year":2031,"month":8}}'
# What the release before 3-D Secure left: a session whose payment waits for the merchant's decision.
BEFORE_THREEDS = (
    """INSERT INTO session (project, id, version, api_version, status, created_at, updated_at, events_count)
    VALUES ('shop', 'ps_1', 1, 2, 'in_progress', now(), now(), 1)""",
    f"""INSERT INTO payment (project, id, session_id, phase, amount_minor, currency, card, details, acquirer,
        is_two_stage, shows_fees, hold_seconds, hold_expiry, sealed_cvv, held_minor, captured_minor, refunded_minor,
        created_at)
    VALUES ('shop', 'pm_1', 'ps_1', 'await_confirm', 4990, 'eur', '{CARD}', '{{}}', 'sandbox',
        false, false, 3600, 'release', 'a.b.c', 0, 0, 0, now())""",
)
PROJECT = """INSERT INTO project
    (name, is_live, settings, sealed_secrets, webhook_public_pem, webhook_public_ed25519, created_at)
    VALUES ('shop', false, '{}', '', '', '', now())"""
FIRST = "CREATE TABLE first (n int);\nINSERT INTO first VALUES (1);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    (tmp_path / "0001_first.sql").write_text(FIRST)
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN m int DEFAULT 2;")
    return tmp_path


async def recorded(dsn: str) -> list[tuple[object, ...]]:
    """What the database says was applied."""
    return await fetch(dsn, "SELECT number, name FROM schema_migration ORDER BY number")


async def test_applies_in_order_and_records(empty_database: str, folder: Path) -> None:
    """All files are applied by number and recorded with their checksums; the second time there is nothing to do."""
    assert await apply(empty_database, folder) == ["0001_first", "0002_second"]
    assert await fetch(empty_database, "SELECT n, m FROM first") == [(1, 2)]
    assert await recorded(empty_database) == [(1, "first"), (2, "second")]
    [(checksum, fresh)] = await fetch(
        empty_database, "SELECT sha256, applied_at > now() - interval '1 hour' FROM schema_migration WHERE number = 1"
    )
    assert (checksum, fresh) == (hashlib.sha256(FIRST.encode()).hexdigest(), True)
    assert await apply(empty_database, folder) == []
    await check(empty_database, folder)


async def test_several_at_once_apply_each_once(empty_database: str, folder: Path) -> None:
    """Starts at the same moment share the work: each migration is applied by exactly one of them."""
    done = await asyncio.gather(*(apply(empty_database, folder) for _ in range(5)))
    assert sorted(name for names in done for name in names) == ["0001_first", "0002_second"]


async def test_failure_leaves_what_came_before(empty_database: str, folder: Path) -> None:
    """A migration that fails names file and line, leaves nothing of itself, and the ones before it stay."""
    (folder / "0002_second.sql").write_text("CREATE TABLE second (n int);\n\nALTER TABLE nowhere ADD COLUMN m int;")
    with pytest.raises(MigrationFailed, match='0002_second failed.*: relation "nowhere" does not exist'):
        await apply(empty_database, folder)
    assert await recorded(empty_database) == [(1, "first")]
    assert await fetch(empty_database, "SELECT to_regclass('second')") == [(None,)]


async def test_failure_names_the_line(empty_database: str, folder: Path) -> None:
    """Where Postgres says at which character it stopped, the error says at which line."""
    (folder / "0002_second.sql").write_text("SELECT 1;\nSELECT 1;\nSELEC 1;")
    with pytest.raises(MigrationFailed, match="0002_second failed at line 3: syntax error"):
        await apply(empty_database, folder)


async def test_own_commit_is_refused(empty_database: str, folder: Path) -> None:
    """A migration that ends the database transaction around it is refused."""
    (folder / "0002_second.sql").write_text("COMMIT;")
    with pytest.raises(MigrationFailed, match="ends its own transaction; take out its COMMIT"):
        await apply(empty_database, folder)


async def test_check_names_what_is_missing(empty_database: str, folder: Path) -> None:
    """An empty or older schema is told by one line with the command that helps."""
    with pytest.raises(SchemaNotCurrent, match="lacks 0001_first, 0002_second; run `tollhouse db migrate`"):
        await check(empty_database, folder)
    assert await fetch(empty_database, "SELECT to_regclass('schema_migration')") == [(None,)]
    await apply(empty_database, folder)
    (folder / "0003_third.sql").write_text("SELECT 1;")
    with pytest.raises(SchemaNotCurrent, match="lacks 0003_third; run `tollhouse db migrate`"):
        await check(empty_database, folder)


@pytest.mark.parametrize("act", [apply, check])
async def test_other_histories_are_refused(act: object, empty_database: str, folder: Path) -> None:
    """A newer schema, a changed file and a file that came in late are refused by check and by apply."""
    assert callable(act)
    await apply(empty_database, folder)
    (folder / "0001_first.sql").write_text(FIRST + " ")
    with pytest.raises(SchemaNotCurrent, match="0001_first was changed after it was applied; put the file back"):
        await act(empty_database, folder)
    (folder / "0001_first.sql").write_text(FIRST)
    second = (folder / "0002_second.sql").rename(folder / "0002_second.kept")
    with pytest.raises(SchemaNotCurrent, match="has migration 0002_second, which this version does not know"):
        await act(empty_database, folder)
    second.rename(folder / "0002_second.sql")
    (folder / "0000_late.sql").write_text("SELECT 1;")
    with pytest.raises(SchemaNotCurrent, match="0000_late is new and 0002 is applied already"):
        await act(empty_database, folder)


async def test_sessions_from_before_3d_secure_go_on(empty_database: str, tmp_path: Path) -> None:
    """Payments of the release before are found as they were, ask no payer, and are confirmed and charged."""
    for name in ("0001_gateway.sql", "0002_vault.sql"):
        shutil.copy(MIGRATIONS / name, tmp_path)
    await apply(empty_database, tmp_path)
    await execute(empty_database, *BEFORE_THREEDS)
    assert (await apply(empty_database))[0] == "0003_threeds"
    store = await PostgresStore.open(empty_database, node="n1")
    try:
        session = await store.find_session("shop", "ps_1")
        assert session is not None
        payment = session.payments[0]
        assert (payment.threeds, payment.card.enrolment, payment.sealed_cvv) == (Policy.AUTO, None, "a.b.c")
        change = confirm(session, now=NOON, ids=Counted())
        assert change is not None
        await store.commit(change)
        after = await store.find_session("shop", "ps_1")
        assert after is not None
        assert (after.payments[0].phase, len(after.operations)) == (Phase.CONFIRMED, 1)
    finally:
        await store.close()


async def test_tokens_of_cards_outlive_their_hashing(empty_database: str, tmp_path: Path) -> None:
    """A token that a merchant has from before still stands for its card, and is in no row any more."""
    for path in sorted(MIGRATIONS.glob("000[1-6]_*.sql")):
        shutil.copy(path, tmp_path)
    await apply(empty_database, tmp_path)
    await execute(
        empty_database,
        PROJECT,
        f"INSERT INTO card_token (project, token, card, created_at) VALUES ('shop', 'tc_old', '{CARD}', now())",
    )
    assert (await apply(empty_database))[0] == "0007_card_id"
    pool = await open_pool(empty_database)
    try:
        tokens = PostgresTokens(pool)
        found = await tokens.find_card("shop", "tc_old")
        assert found is not None
        assert (found.token, found.card.token, found.card.card_id) == ("tc_old", "c", None)
        assert "tc_old" not in repr(await pool.fetch("SELECT * FROM card_token"))
    finally:
        await pool.close()


async def test_names_of_files(folder: Path) -> None:
    """A file with another kind of name, or a number twice, is told before any database is asked."""
    (folder / "0002_other.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationFailed, match="0002_other and 0002_second have the same number"):
        await apply("postgresql://nobody@127.0.0.1:1/x", folder)
    (folder / "0002_other.sql").rename(folder / "2-other.sql")
    with pytest.raises(MigrationFailed, match=r"2-other\.sql: a migration is named as in 0007_refunds\.sql"):
        await apply("postgresql://nobody@127.0.0.1:1/x", folder)


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("postgresql://a:secret@127.0.0.1:1/x", "cannot reach the database at 127.0.0.1:1/x: .*TOLLHOUSE_DATABASE_URL"),
        ("postgresql://a:secret@127.0.0.1:port/x", "cannot reach the database at 127.0.0.1:port/x: "),
        ("postgresql://a:secret@/x?host=/nowhere", "cannot reach the database at /nowhere/x: "),
    ],
)
async def test_unreachable(dsn: str, told: str, folder: Path) -> None:
    """A database that cannot be reached is one line with its place and the cure, without the password."""
    for act in (apply, check):
        with pytest.raises(DatabaseUnreachable, match=told) as refusal:
            await act(dsn, folder)
        assert "secret" not in str(refusal.value)
        assert "\n" not in str(refusal.value)


async def test_unknown_database(postgres_dsn: str, folder: Path) -> None:
    """A server that answers but has no such database says so in the same kind of line."""
    dsn = postgres_dsn.replace("/tollhouse?", "/nothing?")
    with pytest.raises(DatabaseUnreachable, match='database "nothing" does not exist'):
        await apply(dsn, folder)


async def test_old_server_is_refused(folder: Path) -> None:
    """A Postgres before 15 is refused by one line that names its version."""
    server = await asyncio.start_server(answer_as_version_14, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DatabaseUnreachable, match=f"127.0.0.1:{port}/x is Postgres 14 and 15 or newer is needed"):
            await check(f"postgresql://a@127.0.0.1:{port}/x?sslmode=disable", folder)


async def answer_as_version_14(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The few messages of the Postgres protocol by which an old server lets somebody in."""
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    await reader.readexactly(length - 4)
    version = b"server_version\x0014.9\x00"
    messages = [(b"R", struct.pack("!I", 0)), (b"S", version), (b"K", struct.pack("!II", 1, 1)), (b"Z", b"I")]
    for kind, body in messages:
        writer.write(kind + struct.pack("!I", len(body) + 4) + body)
    assert await reader.readexactly(5) == b"X\x00\x00\x00\x04"
    writer.close()


def test_place_names_no_login() -> None:
    """The place of a database is its host, port and name."""
    assert place("postgresql://a:secret@db.example.com:5433/shop") == "db.example.com:5433/shop"
    assert place("postgresql://a:secret@/shop?host=/run/pg&password=x") == "/run/pg/shop"
