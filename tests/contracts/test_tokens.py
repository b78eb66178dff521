"""The port `Tokens`, in memory and in Postgres: kept, found, used up once, and its security codes given away once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.contracts.sessions import CARD
from tests.contracts.shelf import PostgresShelf, Shelf
from tests.servers import execute
from tollhouse.authentication import Enrolment
from tollhouse.card import CardId, CardIdScope
from tollhouse.ports import StoreUnreachable, Tokens
from tollhouse.public_token import (
    CARD_TOKEN_CVV_SECONDS_MAX,
    CardToken,
    FormOptions,
    PublicToken,
    RedirectTarget,
    token_id,
)
from tollhouse.store.memory_tokens import MemoryTokens
from tollhouse.store.postgres import POINT_LOOKUPS, PostgresStore, open_pool
from tollhouse.store.tokens import PostgresTokens

NOW = datetime(2026, 3, 2, 9, 15, 0, 204511, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
RIVALS = 8
ROWS = 5000
ROWS_READ_MAX = 60


@pytest.fixture
async def tokens(shelf: Shelf, dsn: str | None) -> AsyncIterator[Tokens]:
    """Empty, in memory or in a database of its own, with the projects shop, inn and quiet."""
    if dsn is None:
        yield MemoryTokens()
        return
    pool = await open_pool(dsn)
    yield PostgresTokens(pool)
    await pool.close()


def public(name: str = "one", **given: object) -> PublicToken:
    """A token of a form."""
    parts = {"project": "shop", "session_id": "ps_1", **given}
    return PublicToken(id=token_id(name), created_at=NOW, **parts)  # type: ignore[arg-type]


def carded(token: str = "tc_1", **given: object) -> CardToken:
    """A card's token with a security code."""
    parts = {"project": "shop", "card": CARD, "sealed_cvv": "cvv.slot.x", "created_at": NOW, **given}
    return CardToken(token=token, **parts)  # type: ignore[arg-type]


EVERY_OPTION = FormOptions(
    language="ar",
    shows_recurrent=True,
    success_return_url="https://shop.example/ok?é=ж",
    failure_return_url="https://shop.example/no",
    succeeds_on_hold=True,
    redirect_target=RedirectTarget.MODAL,
)
ID = CardId(scope=CardIdScope.SHARED, text="5e" * 32)
NUMBER = replace(CARD, expiry=None)
ENROLLED = replace(CARD, brand=None, fingerprint="f", enrolment=Enrolment(version="2.2.0", method_url="https://acs/m"))


@pytest.mark.parametrize(
    "kept",
    [
        public(),
        public(may_tokenize=True),
        public(session_id=None, may_tokenize=True),
        public(options=EVERY_OPTION),
        public(project="inn"),
    ],
)
async def test_a_public_token_comes_back(tokens: Tokens, kept: PublicToken) -> None:
    """As it was given, to the microsecond, by its hash alone."""
    await tokens.keep_public(kept)
    assert await tokens.find_public(kept.id) == kept
    for strange in ("", "x", token_id("another"), kept.id.upper()):
        assert await tokens.find_public(strange) is None


@pytest.mark.parametrize(
    "kept",
    [
        carded(),
        carded(sealed_cvv=None),
        carded(card=ENROLLED),
        carded(card=replace(CARD, brand=None)),
        carded(card=replace(CARD, card_id=ID)),
        carded(card=NUMBER),
    ],
)
async def test_a_card_token_comes_back(tokens: Tokens, kept: CardToken) -> None:
    """As it was given, to its project alone; the public token is used up with it, at the same instant."""
    await tokens.keep_public(public(may_tokenize=True))
    assert await tokens.exchange(token_id("one"), kept)
    assert await tokens.find_card("shop", "tc_1") == kept
    assert await tokens.find_public(token_id("one")) == public(may_tokenize=True, used_at=NOW)
    for project, token in (("inn", "tc_1"), ("shop", "tc_2"), ("shop", "TC_1"), ("nobody", "tc_1"), ("shop", "")):
        assert await tokens.find_card(project, token) is None
        assert await tokens.take_card(project, token, LATER) is None
    assert await tokens.find_card("shop", "tc_1") == kept


async def test_one_exchange_for_a_public_token(tokens: Tokens) -> None:
    """Of the second nothing is kept."""
    await tokens.keep_public(public(may_tokenize=True))
    assert await tokens.exchange(token_id("one"), carded())
    assert not await tokens.exchange(token_id("one"), carded("tc_2", created_at=LATER))
    assert await tokens.find_card("shop", "tc_2") is None
    found = await tokens.find_public(token_id("one"))
    assert found is not None
    assert found.used_at == NOW


async def test_no_exchange_for_nothing(tokens: Tokens) -> None:
    """Neither for an unknown public token nor for another project's; nothing is kept, nothing is used up."""
    await tokens.keep_public(public(may_tokenize=True))
    assert not await tokens.exchange(token_id("unknown"), carded())
    assert not await tokens.exchange(token_id("one"), carded(project="inn"))
    assert await tokens.find_card("shop", "tc_1") is None
    assert await tokens.find_card("inn", "tc_1") is None
    assert await tokens.find_public(token_id("one")) == public(may_tokenize=True)


async def test_exchanges_at_once(tokens: Tokens) -> None:
    """One of them wins, and its card alone is kept."""
    await tokens.keep_public(public(may_tokenize=True))
    made = [carded(f"tc_{number}", created_at=NOW + timedelta(seconds=number)) for number in range(RIVALS)]
    won = await asyncio.gather(*(tokens.exchange(token_id("one"), one) for one in made))
    assert sorted(won) == [False] * (RIVALS - 1) + [True]
    winner = made[won.index(True)]
    kept = [await tokens.find_card("shop", one.token) for one in made]
    assert [one for one in kept if one is not None] == [winner]
    found = await tokens.find_public(token_id("one"))
    assert found is not None
    assert found.used_at == winner.created_at


async def test_taking_gives_the_security_code_away(tokens: Tokens) -> None:
    """To the first; the card stays for everybody else, with the time of its first use."""
    await tokens.keep_public(public(may_tokenize=True))
    await tokens.exchange(token_id("one"), carded())
    assert await tokens.take_card("shop", "tc_1", LATER) == carded()
    after = carded(sealed_cvv=None, used_at=LATER)
    assert await tokens.find_card("shop", "tc_1") == after
    assert await tokens.take_card("shop", "tc_1", LATER + timedelta(days=1)) == after
    assert await tokens.find_card("shop", "tc_1") == after


async def test_takes_at_once(tokens: Tokens) -> None:
    """Whatever the order, the security code is in one pair of hands."""
    await tokens.keep_public(public(may_tokenize=True))
    await tokens.exchange(token_id("one"), carded())
    instants = [LATER + timedelta(seconds=number) for number in range(RIVALS)]
    taken = await asyncio.gather(*(tokens.take_card("shop", "tc_1", at) for at in instants))
    assert sorted(one.sealed_cvv or "" for one in taken if one is not None) == [""] * (RIVALS - 1) + ["cvv.slot.x"]
    (first,) = [at for at, one in zip(instants, taken, strict=True) if one is not None and one.sealed_cvv]
    assert await tokens.find_card("shop", "tc_1") == carded(sealed_cvv=None, used_at=first)


async def test_cards_are_kept_together(tokens: Tokens) -> None:
    """Each comes back to its project by its own token, as it was given, and can be taken."""
    kept = [carded(f"tc_{number}", sealed_cvv=None, card=NUMBER) for number in range(20)]
    await tokens.keep_cards(kept)
    assert [await tokens.find_card("shop", one.token) for one in kept] == kept
    assert await tokens.find_card("inn", "tc_0") is None
    assert await tokens.take_card("shop", "tc_0", LATER) == kept[0]
    assert await tokens.find_card("shop", "tc_0") == replace(kept[0], used_at=LATER)


# --- Postgres alone ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def one(database: str, postgres_shelf: PostgresShelf) -> AsyncIterator[asyncpg.Pool]:
    """One connection, so that all its reading is counted when it is asked."""
    pool = await open_pool(database, connections_max=1)
    yield pool
    await pool.close()


async def test_rows_hold_no_token(one: asyncpg.Pool) -> None:
    """What opens the form is in no row: its hash is all there is."""
    await PostgresTokens(one).keep_public(public("the token itself"))
    assert "the token itself" not in repr(await one.fetch("select * from public_token"))


async def test_rows_hold_no_token_of_a_card(one: asyncpg.Pool) -> None:
    """Nor what pays with a card: whoever reads the rows learns neither, and a lookup compares hashes only."""
    tokens = PostgresTokens(one)
    await tokens.keep_public(public(may_tokenize=True))
    await tokens.exchange(token_id("one"), carded("tc_secret1", sealed_cvv=None))
    await tokens.keep_cards([carded("tc_secret2", sealed_cvv=None)])
    rows = await one.fetch("select * from card_token")
    assert len(rows) == 2
    assert "tc_secret" not in repr(rows)
    for row in rows:
        assert await tokens.find_card("shop", row["token"]) is None


async def test_of_cards_that_cannot_all_be_kept_none_is(one: asyncpg.Pool) -> None:
    """One statement: all or nothing."""
    tokens = PostgresTokens(one)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await tokens.keep_cards([carded("tc_1", sealed_cvv=None), carded("tc_2", sealed_cvv=None, project="nobody")])
    assert await one.fetchval("select count(*) from card_token") == 0


async def test_without_a_database(one: asyncpg.Pool) -> None:
    """Every call says that the store cannot be reached, and nothing else."""
    tokens = PostgresTokens(one)
    await one.close()
    for call in (
        tokens.keep_public(public()),
        tokens.find_public(token_id("one")),
        tokens.exchange(token_id("one"), carded()),
        tokens.keep_cards([carded(sealed_cvv=None)]),
        tokens.find_card("shop", "tc_1"),
        tokens.take_card("shop", "tc_1", NOW),
    ):
        with pytest.raises(StoreUnreachable):
            await call


async def everything(tokens: PostgresTokens, store: PostgresStore, name: str) -> None:
    """What forms, browsers, payments and the sweep ask."""
    await tokens.keep_public(public(name, may_tokenize=True))
    await tokens.find_public(token_id(name))
    await tokens.exchange(token_id(name), carded(name))
    await tokens.find_card("shop", name)
    await tokens.take_card("shop", name, NOW)
    await store.live_cvv_slots(["slot"])


async def read(pool: asyncpg.Pool) -> dict[str, tuple[int, int]]:
    """How often each table was read from end to end, and how many of its rows were read."""
    await pool.execute("select pg_stat_force_next_flush()")
    found = await pool.fetch(
        """select relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows_read
           from pg_stat_user_tables where relname in ('public_token', 'card_token')"""
    )
    return {row["relname"]: (row["seq_scan"], row["rows_read"]) for row in found}


async def grow(database: str) -> None:
    """So many tokens of former payments."""
    await execute(
        database,
        f"""insert into public_token select 'shop', lpad(n::text, 64, '0'), 'ps', true, '{{}}', now(), now()
                from generate_series(1, {ROWS}) n;
            insert into card_token select 'shop', 'old-' || n, '{{}}', null, now(), now()
                from generate_series(1, {ROWS}) n""",
    )


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_rows_are_found_by_an_index(one: asyncpg.Pool, database: str, is_analyzed: bool) -> None:
    """With plans from when the tables were empty, and by the planner's own choice once there are statistics."""
    tokens, store = PostgresTokens(one), PostgresStore(one, node="n1")
    for number in range(7):
        await everything(tokens, store, f"young-{number}")
    await grow(database)
    if is_analyzed:
        await execute(database, "analyze")
        for name in POINT_LOOKUPS:
            await one.execute(f"set {name} = on")
        for number in range(7):
            await everything(tokens, store, f"grown-{number}")
    before = await read(one)
    await everything(tokens, store, "counted")
    after = await read(one)
    for table, (scans, rows) in after.items():
        assert (table, scans) == (table, before[table][0])
        assert rows - before[table][1] <= ROWS_READ_MAX
    await store.close()


async def test_slots_of_young_card_tokens_are_alive(one: asyncpg.Pool) -> None:
    """While they may still be used: not of tokens whose code was taken, nor of those that waited 50 minutes."""
    tokens, store = PostgresTokens(one), PostgresStore(one, node="n1")
    database_now = await one.fetchval("select clock_timestamp()")
    ages = {"fresh": 0, "young": CARD_TOKEN_CVV_SECONDS_MAX - 60, "old": CARD_TOKEN_CVV_SECONDS_MAX + 1, "taken": 0}
    for name, age in ages.items():
        created_at = database_now - timedelta(seconds=age)
        await tokens.keep_public(replace(public(name, may_tokenize=True), created_at=created_at))
        made = carded(f"tc_{name}", sealed_cvv=f"cvv.{name}.x", created_at=created_at)
        assert await tokens.exchange(token_id(name), made)
    await tokens.take_card("shop", "tc_taken", NOW)
    assert await store.live_cvv_slots([*ages, "unknown"]) == {"fresh", "young"}
    await store.close()
