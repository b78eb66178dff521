"""A purge takes what nothing can need any more and nothing else, whoever pays or dies meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.contracts.purges import Archive, opened, paid_back, token_for
from tests.contracts.shelf import PostgresShelf
from tests.ground.story import NOON, Story
from tests.lives import (
    STORIES,
    acting,
    authenticated,
    cancelled,
    captured,
    declined,
    keep,
    paid,
    refunded,
    released,
    reversed_late,
    stuck,
    timed_out,
    waiting,
)
from tollhouse.api.wire.answers import JsonWire
from tollhouse.proof import CHECKS
from tollhouse.public_token import PublicToken
from tollhouse.store.postgres import PostgresStore
from tollhouse.store.reads import find_event, find_life, resend_event, shared_creations, stray_transfers, walk_used_keys
from tollhouse.store.tokens import PostgresTokens
from tollhouse.worker.purging import CARDS

YEARS = 560  # days, longer than anything is kept but the books


@pytest.fixture
async def archive(postgres_shelf: PostgresShelf, database: str, tmp_path: Path) -> AsyncIterator[Archive]:
    """Empty books with a vault."""
    async with AsyncExitStack() as stack:
        yield await Archive.open(postgres_shelf, database, tmp_path, stack)


@pytest.fixture
async def node(postgres_shelf: PostgresShelf) -> PostgresStore:
    """The books as a node sees them."""
    return await postgres_shelf.open("n1")


def nothing(number: int = 1) -> None:
    """A card that nobody paid with: its call died after the vault had taken it."""


CARDS_TABLE = [
    (paid, 8, "refundable"),
    (paid, 539, "refundable"),
    (paid, 541, None),
    (captured, 100, "refundable"),
    (captured, 541, None),
    (authenticated, 541, None),
    (paid_back, 6, "recent"),
    (paid_back, 8, None),
    (declined, 6, "recent"),
    (declined, 8, None),
    (cancelled, 8, None),
    (timed_out, 8, None),
    (released, 6, "recent"),
    (released, 8, None),
    (reversed_late, 6, "in doubt"),
    (reversed_late, 8, None),
    (waiting, YEARS, "unfinished"),
    (acting, YEARS, "unfinished"),
    (stuck, YEARS, "unfinished"),
    (refunded, YEARS, "unfinished"),
    (opened, YEARS, "unfinished"),
    (nothing, 6, "recent"),
    (nothing, 8, None),
]


@pytest.mark.parametrize(("make", "days", "why"), CARDS_TABLE, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_cards_stay_while_they_can_be_needed(
    archive: Archive, make: Callable[[], Story | None], days: int, why: str | None
) -> None:
    """Each kind of life at each age; the dry run says the same and changes nothing."""
    story = make()
    token = await archive.card() if story is None else await archive.live(story)
    purge = archive.purge(days)
    count = (await purge.plan())[CARDS]
    assert (count.goes, count.stays) == ((0, {why: 1}) if why else (1, {}))
    assert await archive.cards() == {token}
    gone = await purge.run()
    assert (await archive.cards() == {token}) is (why is not None)
    assert gone[CARDS] == (why is None)


async def test_a_card_stays_for_the_last_who_needs_it(archive: Archive) -> None:
    """Of two payments with one card the one that can be refunded decides."""
    card = await archive.live(declined(1))
    await archive.live(paid(2), card)
    await archive.purge(30).run()
    assert await archive.cards() == {card}
    await archive.purge(541).run()
    assert await archive.cards() == set()


async def test_what_is_gone_and_what_stays(archive: Archive, node: PostgresStore) -> None:
    """Of a card BIN and last4 stay, the token and every fingerprint go; amounts and references are as they were."""
    story = authenticated()
    await archive.live(story)
    before = await node.find_session("shop", story.session.id)
    await archive.purge(541).run()
    after = await node.find_session("shop", story.session.id)
    assert before is not None
    assert after is not None
    (was,), (now,) = before.payments, after.payments
    assert (now.card.bin, now.card.last4, now.card.brand) == (was.card.bin, was.card.last4, was.card.brand)
    assert (now.card.token, now.card.fingerprint) == ("", "")
    assert (now.money, now.captured_minor, now.rrn) == (was.money, was.captured_minor, was.rrn)
    assert after.operations == before.operations
    assert after.authentications == before.authentications
    for table in ("payment", "authentication"):
        assert await archive.one(f"select count(*) from {table} where card_fingerprint is not null") == 0
    assert await archive.one("select count(*) from released_card") == 0


async def test_payers_are_redacted_and_the_books_stay(archive: Archive, node: PostgresStore) -> None:
    """The session still answers, in both versions, without what was redacted; every promise about money is proven."""
    stories = [make(number) for number, make in enumerate(STORIES, start=1)]
    for story in stories:
        await archive.live(story)
    await archive.pool.execute(
        """update payment set details = jsonb_set(details::jsonb, '{customer}',
               '{"reference": "u-1", "contacts": [{"email": "anna@example.com"}]}')::text"""
    )
    await archive.pool.execute("update idempotency_key set answer = 'anna@example.com'")
    await archive.purge(YEARS).run()
    for story in stories:
        session = await node.find_session("shop", story.session.id)
        assert session is not None
        is_finished = not await archive.purge(0).store.unfinished([("shop", session.id)])
        for version in (1, 2):
            shown = JsonWire().answer_body(session, version).decode()
            assert f'"{session.payments[0].card.last4}"' in shown
            assert '"u-1"' in shown
            assert ("example.com" in shown) is (not is_finished)
        life = await find_life(archive.pool, "shop", session.id)
        assert life is not None
        assert [flaw for check in CHECKS.values() for flaw in check(life)] == []
    assert await stray_transfers(archive.pool, "shop") == []
    assert await shared_creations(archive.pool, "shop") == []
    assert all(
        use.has_session and use.changes
        for uses in [k async for k in walk_used_keys(archive.pool, "shop")]
        for use in uses
    )
    assert await archive.one("select count(*) from idempotency_key where answer is not null") == 0


async def test_a_used_key_is_refused_for_ever(archive: Archive, node: PostgresStore) -> None:
    """The row of an idempotency key stays with its session; only the answer that it would repeat goes."""
    await archive.live(paid())
    keys = await archive.one("select array_agg(key) from idempotency_key")
    await archive.purge(9999).run()
    assert await archive.one("select array_agg(key) from idempotency_key") == keys
    assert isinstance(keys, list)
    used = await node.find_key("shop", keys[0])
    assert used is not None
    assert used.session_id == "ps_001"


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [
        ("delivered", 89, False),
        ("delivered", 91, True),
        ("abandoned", 91, True),
        ("silent", 91, True),
        ("waiting", 999, False),
    ],
)
async def test_events_go_by_their_age(archive: Archive, state: str, days: int, goes: bool) -> None:
    """With every attempt to deliver them; none that waits. To send one again afterwards says that there is none."""
    await keep(archive.dsn, paid())
    await archive.pool.execute("update event set state = $1", state)
    ids = [row["id"] for row in await archive.pool.fetch("select id from event")]
    for id in ids:
        await archive.pool.execute(
            "insert into delivery_attempt values ('shop', $1, 1, now(), 500, null, 'oops', 1)", id
        )
    await archive.purge(days).run()
    left = (await archive.one("select count(*) from event"), await archive.one("select count(*) from delivery_attempt"))
    assert left == ((0, 0) if goes else (len(ids), len(ids)))
    assert (await find_event(archive.pool, "shop", ids[0]) is None) is goes
    assert await resend_event(archive.pool, "shop", ids[0], NOON) is not goes


@pytest.mark.parametrize(
    ("days", "is_used", "stays"), [(1, False, True), (3, False, False), (3, True, True), (541, True, False)]
)
async def test_tokens_go_when_nobody_can_use_them(archive: Archive, days: float, is_used: bool, stays: bool) -> None:
    """A public token after its day; a card's token that was not used in time, or not for as long as cards are kept."""
    tokens = PostgresTokens(archive.pool)
    card = await archive.card()
    await tokens.keep_public(PublicToken(id="0" * 64, project="shop", created_at=NOON, may_tokenize=True))
    await tokens.exchange("0" * 64, token_for(card))
    if is_used:
        await tokens.take_card("shop", "tc_1", NOON)
    await archive.purge(days).run()
    assert (await tokens.find_card("shop", "tc_1") is not None) is stays
    assert (await tokens.find_public("0" * 64) is not None) is (days < 2)
    await archive.purge(max(days, 8)).run()
    assert (card in await archive.cards()) is stays or days < 3


async def test_sealed_security_codes_go_within_hours(archive: Archive) -> None:
    """Their keys were erased by then; the ciphertext goes too."""
    tokens = PostgresTokens(archive.pool)
    await tokens.keep_public(PublicToken(id="0" * 64, project="shop", created_at=NOON, may_tokenize=True))
    await tokens.exchange("0" * 64, token_for("card_x", sealed="cvv1.AAAA.BBBB"))
    await archive.purge(0.05).run()
    assert await archive.one("select sealed_cvv from card_token") == "cvv1.AAAA.BBBB"
    await archive.purge(0.1).run()
    assert await archive.one("select sealed_cvv from card_token") is None


async def test_only_the_named_project(archive: Archive) -> None:
    """The cards, payers and events of the others stay."""
    await archive.live(declined())
    other = await archive.card("inn")
    mine = await archive.cards() - {other}
    await archive.purge(YEARS).run("inn")
    assert await archive.cards() == mine
    assert "redacted" not in str(await archive.one("select details from payment"))


@pytest.mark.parametrize(
    "value",
    ["plain", "\0", "\0\0a\0", "\\u0000", "\\\0", "\\\\u0000\0", 'a"\0"b', "ü\0€"],
    ids=["plain", "one", "several", "written out", "after a backslash", "both", "quotes", "letters"],
)
async def test_what_is_kept_can_be_searched(archive: Archive, value: str) -> None:
    """The character NUL, which merchants may send and jsonb refuses, is left out where rows are searched."""
    kept = json.dumps({"reference": value, "token": "card_1"}, ensure_ascii=True)
    found = await archive.pool.fetchrow(
        "SELECT readable($1) ->> 'reference' AS reference, readable($1) ->> 'token' AS token", kept
    )
    assert (found["reference"], found["token"]) == (value.replace("\0", ""), "card_1")
