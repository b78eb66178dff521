"""What `pay` reads of its session for display: soft declines, and a database that goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest_asyncio

from tests.cli.test_play import MERCHANT
from tests.lives import declined, keep, life_of, paid, stepped_up
from tollhouse.cli.conversation import Conversation, DeclineHeard, Happened
from tollhouse.cli.overhearing import Overhearing, leave_or_say
from tollhouse.cli.step_up import shown_decline, softly_declined
from tollhouse.merchant import Settings
from tollhouse.net.merchant import calling
from tollhouse.store.postgres import open_pool


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a database with one session that was stepped up."""
    await keep(database, stepped_up())
    opened = await open_pool(database)
    yield opened
    await opened.close()


def test_only_the_first_charge_of_a_step_up_is_one() -> None:
    """A hard decline is none, a payment that went well has none, a step-up has one."""
    assert [softly_declined(life_of(story)) for story in (declined(), paid())] == [[], []]
    (found,) = softly_declined(life_of(stepped_up()))
    assert found.words.startswith("sale 25.90 EUR softly declined (1A): the issuer wants the payer authenticated")
    assert shown_decline(found)["amount"] == {"amount": 2590, "currency": "eur"}
    assert shown_decline(found)["response_code"] == "1A"


async def test_the_rows_are_told_once(pool: asyncpg.Pool) -> None:
    """Not before there is a session, and then once, however often one looks."""
    told: list[Happened] = []
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=2, tell=told.append)
        talk.begin_as(MERCHANT)
        overhearing = Overhearing(pool, talk)
        await overhearing.finish()
        assert told == []
        talk.session = {"id": "ps_001"}
        for _ in range(2):
            await overhearing.look()
        await overhearing.finish()
    assert [type(one) for one in told] == [DeclineHeard]
    assert overhearing.warning is None


async def test_a_database_that_goes_away_is_a_line(pool: asyncpg.Pool) -> None:
    """Neither the last look nor the tidying up ends in an error: each says what is missing for it."""
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=2, tell=print)
        talk.begin_as(MERCHANT)
        talk.session = {"id": "ps_001"}
        overhearing = Overhearing(pool, talk)
        await pool.close()
        await overhearing.finish()
    assert "the database went away" in str(overhearing.warning)
    assert await leave_or_say(pool, MERCHANT) == (
        "the database went away: the webhook address of this run stays with project shop"
    )
    changed = replace(MERCHANT, settings_before=Settings())
    assert "the settings that this run's flags changed" in str(await leave_or_say(pool, changed))
