"""Whoever pays, dies or wants to be forgotten while a purge is at it: one wins, and nothing is half done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.contracts.purges import Archive, DyingPool, Killed, committed, opened, paid_back, read, refund_of, token_for
from tests.contracts.shelf import PostgresShelf, following
from tests.ground.story import NOON, Story
from tests.lives import (
    STORIES,
    acting,
    captured,
    declined,
    keep,
    paid,
    refunded,
    reversed_late,
    stuck,
    waiting,
)
from tests.vault.samples import request as asking
from tollhouse.acquirers.message import NotSent
from tollhouse.api.wire.answers import JsonWire
from tollhouse.change import Change
from tollhouse.ports import Stale
from tollhouse.proof import CHECKS
from tollhouse.session import Status
from tollhouse.store.postgres import PostgresStore
from tollhouse.store.purge import cutoffs_of, is_passing
from tollhouse.store.reads import find_life
from tollhouse.store.tokens import PostgresTokens
from tollhouse.worker.purging import CARDS, MONEY_MAY_MOVE, Purge, purge_daily, purge_once

YEARS = 560  # days, longer than anything is kept but the books

SECONDS_MAX = 20.0


@pytest.fixture
async def archive(postgres_shelf: PostgresShelf, database: str, tmp_path: Path) -> AsyncIterator[Archive]:
    """Empty books with a vault."""
    async with AsyncExitStack() as stack:
        yield await Archive.open(postgres_shelf, database, tmp_path, stack)


@pytest.fixture
async def node(postgres_shelf: PostgresShelf) -> PostgresStore:
    """The books as a node sees them."""
    return await postgres_shelf.open("n1")


# --- who pays meanwhile ---------------------------------------------------------------------------------------------


async def test_a_refund_that_came_first_keeps_the_card(archive: Archive, node: PostgresStore) -> None:
    """The card was free when it was looked at, and is needed when it is to be let go."""
    card = await archive.live(paid())
    purge = archive.purge(541)
    cutoffs = cutoffs_of(purge.retention, purge.now())
    assert await purge.store.why_cards_stay([("shop", card)], cutoffs) == {("shop", card): None}
    await node.commit(refund_of(await read(node)))
    assert await purge.store.let_go([("shop", card)], cutoffs) == 0
    assert (await purge.run())[CARDS] == 0
    assert await archive.vault.fill(asking("shop", (await read(node)).payments[0].card.token))


async def test_a_refund_that_came_second_finds_the_session_moved(archive: Archive, node: PostgresStore) -> None:
    """It was decided on what stood before: it cannot be committed, and what it then reads names no card."""
    card = await archive.live(paid())
    change = refund_of(await read(node))
    purge = archive.purge(541)
    assert await purge.store.let_go([("shop", card)], cutoffs_of(purge.retention, purge.now())) == 1
    with pytest.raises(Stale):
        await node.commit(change)
    session = await read(node)
    assert session.payments[0].card.token == ""
    with pytest.raises(NotSent):
        await archive.vault.fill(asking("shop", ""))


async def let_go(purge: Purge, card: str) -> int:
    """As a run does it: what lost against a payment is done again."""
    while True:
        try:
            return await purge.store.let_go([("shop", card)], cutoffs_of(purge.retention, purge.now()))
        except Exception as problem:
            if not is_passing(problem):
                raise


async def test_refund_and_purge_at_once_have_one_winner(archive: Archive, node: PostgresStore) -> None:
    """Many times: the refund is in the books and its card in the vault, or neither."""
    for number in range(1, 13):
        card = await archive.live(paid(number))
        change = refund_of(await read(node, f"ps_{number:03d}"))
        purge = archive.purge(541)
        won, gone = await asyncio.gather(committed(node, change), let_go(purge, card))
        assert won is (gone == 0)
        await purge.run()
        assert (card in await archive.cards()) is won


async def test_a_payment_that_begins_meanwhile_keeps_its_card(archive: Archive) -> None:
    """A person's order has looked and found nothing; a payment is written down before it lets the card go."""
    card = await archive.live(declined(1))
    purge = archive.purge(1)
    other = await asyncpg.connect(archive.dsn)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            held = other.transaction()
            await held.start()
            await other.execute("lock table released_card in access exclusive mode")
            cutoffs = cutoffs_of(purge.retention, purge.now())
            letting = asyncio.create_task(purge.store.let_go([("shop", card)], cutoffs, unless=MONEY_MAY_MOVE))
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                await asyncio.sleep(0.01)
            await archive.live(waiting(2), card)
            await held.rollback()
            assert await letting == 1
    finally:
        await other.close()
    named = "select readable(card) ->> 'token' from payment where session_id = 'ps_002'"
    assert await archive.one(named) == card
    assert (await archive.vault.fill(asking("shop", card)))["2"]


async def test_a_payment_that_took_its_token_first_keeps_the_card(archive: Archive) -> None:
    """Taken before, written down after the card was let go: the last look finds it."""
    tokens, card = PostgresTokens(archive.pool), await archive.card()
    await tokens.keep_cards([token_for(card)])
    await tokens.take_card("shop", "tc_1", NOON)
    purge = archive.purge(541)
    assert await purge.store.let_go([("shop", card)], cutoffs_of(purge.retention, purge.now())) == 1
    await archive.live(paid(), card)
    await archive.pool.execute("update session set updated_at = $1, created_at = $1", purge.now())
    await purge.run()
    assert await archive.cards() == {card}
    assert await archive.one("select count(*) from released_card") == 0


async def test_a_payment_that_found_its_token_before_it_ended_keeps_the_card(archive: Archive) -> None:
    """Found usable, then ended by the purge, then taken: the token lives on, and so does the card."""
    tokens, card = PostgresTokens(archive.pool), await archive.card()
    await tokens.keep_cards([token_for(card)])
    await tokens.take_card("shop", "tc_1", NOON)
    purge = archive.purge(541)
    found = await tokens.find_card("shop", "tc_1")
    assert found is not None
    assert found.is_usable(purge.now())
    await purge.store.let_go([("shop", card)], cutoffs_of(purge.retention, purge.now()))
    ended = await tokens.find_card("shop", "tc_1")
    assert ended is not None
    assert not ended.is_usable(purge.now())
    taken = await tokens.take_card("shop", "tc_1", purge.now())
    assert taken is not None
    assert taken.card.token == card
    await purge.run()
    assert await archive.cards() == {card}


async def test_nothing_is_erased_before_calls_have_ended(archive: Archive) -> None:
    """What was let go a moment ago is left for the time in which a call may still be on its way."""
    card = await archive.live(declined())
    purge = archive.purge(8, settle_seconds=3600)
    await purge.store.let_go([("shop", card)], cutoffs_of(purge.retention, purge.now()))
    assert await purge.store.released(("", ""), settle_seconds=3600) == []
    assert 3000 < await purge.store.seconds_to_settle(3600) <= 3600
    assert await archive.cards() == {card}


# --- who dies meanwhile ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_after", [False, True])
async def test_a_run_that_dies_anywhere_is_taken_up_again(
    archive: Archive, node: PostgresStore, is_after: bool
) -> None:
    """Before and after each of its statements: sessions read well, and the next run does the rest."""
    for number, make in enumerate((paid, declined, captured, paid_back), start=1):
        await archive.live(make(number))
    await archive.pool.execute("update event set state = 'delivered'")
    deaths = 0
    while True:
        try:
            await archive.purge(YEARS, pool=DyingPool(archive.pool, after=deaths, is_after=is_after)).run()
            break
        except Killed:
            deaths += 1
        for number in range(1, 5):
            session = await read(node, f"ps_{number:03d}")
            life = await find_life(archive.pool, "shop", session.id)
            assert life is not None
            assert [flaw for check in CHECKS.values() for flaw in check(life)] == []
    assert deaths > 8
    assert await archive.cards() == set()
    for table in ("event", "released_card", "delivery_attempt"):
        assert await archive.one(f"select count(*) from {table}") == 0
    assert await archive.one("select count(*) from payment where details not like '{\"redacted\"%'") == 0


async def test_one_run_at_a_time_and_one_a_day(archive: Archive) -> None:
    """Whoever comes while another is at it, or on the same day, does nothing; numbers stand in books and audit log."""
    await archive.live(declined())
    purge = archive.purge(8)
    async with purge.store.alone() as is_alone:
        assert is_alone
        assert await purge_once(purge, audit=archive.audit) is None
    yesterday = purge.now() - timedelta(hours=23)
    gone = await purge_once(purge, audit=archive.audit, unless_since=yesterday)
    assert gone == {"cards let go": 1, CARDS: 1}
    assert await purge_once(purge, audit=archive.audit, unless_since=yesterday) is None
    last = await purge.store.last_run()
    assert last is not None
    assert last["gone"] == gone
    rows = await archive.pool.fetch("select what, outcome, details from vault.audit_entry order by number")
    assert [(row["what"], row["outcome"]) for row in rows] == [
        ("purge.run", "granted"),
        ("card.shred", "granted"),
        ("purge.run", "done"),
    ]
    assert rows[-1]["details"] == "1 cards let go, 1 cards"


async def test_an_approval_that_comes_after_the_purge_is_not_hidden(archive: Archive, node: PostgresStore) -> None:
    """It is recorded, alarmed and to be reversed as ever; the reversal has no card to go with, so a person is told."""
    story = declined()
    await archive.live(story)
    await archive.purge(YEARS).run()
    story.session = await read(node)
    story.wait(3600).hear_late("00")
    await node.commit(story.changes[-1])
    assert story.alarms
    session = await read(node)
    assert session.due_at is not None
    with pytest.raises(NotSent):
        await archive.vault.fill(asking("shop", session.payments[0].card.token))
    JsonWire().answer_body(session, 2)


class Lines:
    """A log that says when a line comes."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.came.put_nowait((event, fields))

    warning = error = info


async def test_workers_purge_by_themselves(archive: Archive) -> None:
    """Once a day with a line in the log; a run that failed is told and does not end the loop."""
    await archive.live(declined())
    log, purge = Lines(), archive.purge(8)
    broken = archive.purge(8, pool=DyingPool(archive.pool, after=0, is_after=False, how=OSError))
    for one, line in (
        (broken, ("old data is purged later", {"why": "OSError"})),
        (purge, ("old data purged", {"gone": "1 cards let go, 1 cards"})),
    ):
        loop = asyncio.create_task(purge_daily(one, audit=archive.audit, log=log, first_seconds=0))
        assert await log.came.get() == line
        assert not loop.done()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_payments_go_on_while_a_purge_runs(archive: Archive, node: PostgresStore) -> None:
    """Lives are written down step by step beside it, and none of their commits is lost or refused."""
    for number in range(1, 9):
        await archive.live(declined(number))
    stories = [paid(number) for number in range(11, 17)]
    await asyncio.gather(archive.purge(YEARS).run(), *(keep(archive.dsn, story) for story in stories))
    assert await archive.cards() == set()
    for story in stories:
        assert (await read(node, story.session.id)).status is Status.ACCEPTED


# --- one payer ------------------------------------------------------------------------------------------------------


async def test_a_payer_is_forgotten_at_once(archive: Archive, node: PostgresStore) -> None:
    """Of a finished payment everything personal goes, with the merchant's own reference; a free card too."""
    await archive.live(declined(1))
    card = await archive.live(paid(2))
    erased = await archive.purge(1).erase([("shop", "ps_001"), ("shop", "ps_002")])
    assert (erased.gone["personal data"], erased.gone[CARDS]) == (2, 1)
    assert list(erased.stays) == [card]
    assert "refundable" in erased.stays[card]
    assert '"erased"' in JsonWire().answer_body(await read(node), 2).decode()
    assert await archive.cards() == {card}


async def test_a_card_stays_while_its_charge_is_in_doubt(archive: Archive) -> None:
    """What was reversed may be approved late, and is reversed again: that takes the card. A week later it may go."""
    card = await archive.live(reversed_late())
    erased = await archive.purge(1).erase([("shop", "ps_001")])
    assert "in doubt" in erased.stays[card]
    assert (erased.gone["personal data"], erased.gone[CARDS]) == (1, 0)
    assert (await archive.purge(8).erase([("shop", "ps_001")])).gone[CARDS] == 1


@pytest.mark.parametrize("make", [waiting, stuck, refunded, opened, acting])
async def test_a_payer_stays_while_money_can_move(archive: Archive, make: Callable[[], Story]) -> None:
    """The reason is named, and nothing is touched."""
    card = await archive.live(make())
    before = await archive.one("select version from session")
    erased = await archive.purge(1).erase([("shop", "ps_001")])
    assert not erased.gone
    assert "money can still move" in erased.stays["ps_001"]
    assert await archive.cards() == {card}
    assert await archive.one("select version from session") == before


async def test_a_payer_whose_session_is_held_is_not_forgotten_in_silence(archive: Archive) -> None:
    """Who asked for it is told to ask again; once the other has let go, it is done, also with clocks that differ."""
    await archive.live(declined())
    await archive.pool.execute("update session set updated_at = updated_at + interval '1 day 20 hours'")
    async with archive.pool.acquire() as other, other.transaction():
        await other.execute("select from session for update")
        held = await archive.purge(1).erase([("shop", "ps_001")])
    assert "personal data" not in held.gone
    assert "run this again" in held.stays["ps_001"]
    erased = await archive.purge(1).erase([("shop", "ps_001")])
    assert erased.gone["personal data"] == 1
    assert not erased.stays


async def test_a_payer_is_forgotten_as_soon_as_the_session_is_free(archive: Archive) -> None:
    """A commit that is on its way is waited for."""
    await archive.live(declined())
    async with archive.pool.acquire() as other:
        held = other.transaction()
        await held.start()
        await other.execute("select from session for update")
        erasing = asyncio.create_task(archive.purge(1).erase([("shop", "ps_001")]))
        await asyncio.sleep(0.1)
        assert not erasing.done()
        await held.rollback()
        erased = await erasing
    assert (erased.gone["personal data"], erased.stays) == (1, {})


# --- whatever happened before ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_can_still_move_money_is_untouched(archive: Archive, node: PostgresStore, seed: int) -> None:
    """Random lives on a few shared cards at a random age: what is unfinished goes on, refunds are still made."""
    chance = random.Random(seed)
    cards = [await archive.card() for _ in range(5)]
    makers = [*STORIES, paid_back, opened, paid, captured]
    chosen = [chance.choice(makers) for _ in range(14)]
    for number, make in enumerate(chosen, start=1):
        await archive.live(make(number), chance.choice(cards))
    days = chance.choice([1, 8, 100, 400, 541, 2000])
    purge = archive.purge(days)
    await purge.run()
    left = await archive.cards()
    needed: set[str] = set()
    for number in range(1, len(chosen) + 1):
        session = await read(node, f"ps_{number:03d}")
        is_unfinished = bool(await purge.store.unfinished([("shop", session.id)]))
        is_refundable = days < 540 and any(p.captured_minor > p.refunded_minor for p in session.payments)
        tokens = {p.card.token for p in session.payments} | (
            {session.offer.card.token} if session.offer.card else set()
        )
        if is_unfinished or is_refundable:
            assert tokens <= left
            needed |= tokens
            for token in tokens:
                assert (await archive.vault.fill(asking("shop", token)))["2"]
        if is_refundable and session.status is Status.ACCEPTED:
            await node.commit(refund_of(session))
        elif is_unfinished:
            await node.commit(following(Change(id="ch", at=NOON, session=session, answer=session)))
    if days >= 8:
        assert left == needed
