"""Card ranges in Postgres: kept as a whole or changed in part, by one node at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tollhouse.card_range import CardRange, Ranges, RangesOverlap
from tollhouse.store.postgres import open_pool
from tollhouse.store.ranges import RangesState, find_ranges_state, keep_ranges, load_ranges, replace_ranges

URL = "https://ds.test/3ds"
LOW = CardRange("4000120000000000", "4000129999999999", ("2.2.0", "2.3.1"), "https://acs.test/m", ("01", "03"))
HIGH = CardRange("4000130000000000", "4000130999999999", ("2.2.0",))
MUTE = CardRange("340000000000000", "340000000000000")
NOON = datetime(2026, 3, 2, 12, 0, 0, 204511, tzinfo=UTC)
FIRST = RangesState(serial="1", refreshed_at=NOON)
SECOND = RangesState(serial="2", refreshed_at=NOON + timedelta(days=1))
KNOWN = Ranges([LOW, HIGH, MUTE])


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A node's connections."""
    opened = await open_pool(database)
    yield opened
    await opened.close()


async def test_nothing_is_known_at_first(pool: asyncpg.Pool) -> None:
    """No state and no ranges."""
    assert await find_ranges_state(pool, URL) is None
    assert await load_ranges(pool, URL) == (None, Ranges())


async def test_all_ranges_are_kept_as_they_are(pool: asyncpg.Pool) -> None:
    """Versions, method page and information, also where there are none; of each directory server by itself."""
    assert await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    assert await load_ranges(pool, URL) == (FIRST, KNOWN)
    assert await load_ranges(pool, "https://other.test/") == (None, Ranges())
    assert await replace_ranges(pool, "https://other.test/", SECOND, Ranges([MUTE]), before=None)
    assert await load_ranges(pool, URL) == (FIRST, KNOWN)


async def test_a_part_is_changed(pool: asyncpg.Pool) -> None:
    """What was removed goes, what changed or is new is put; the rest is not touched."""
    await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    untouched = "select xmin::text from card_range where first = $1"
    before = await pool.fetchval(untouched, LOW.first)
    after = Ranges([LOW, replace(HIGH, method_url="https://acs.test/n"), CardRange("5", "6", ("2.3.1",))])
    assert await keep_ranges(pool, URL, SECOND, KNOWN.difference(after), before=FIRST)
    assert await load_ranges(pool, URL) == (SECOND, after)
    assert await pool.fetchval(untouched, LOW.first) == before


async def test_nothing_changed_is_a_new_state(pool: asyncpg.Pool) -> None:
    """The same serial number, asked for later; a serial number may also go missing."""
    await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    later = replace(FIRST, refreshed_at=SECOND.refreshed_at)
    assert await keep_ranges(pool, URL, later, KNOWN.difference(KNOWN), before=FIRST)
    nameless = RangesState(serial=None, refreshed_at=NOON + timedelta(days=2))
    assert await keep_ranges(pool, URL, nameless, KNOWN.difference(KNOWN), before=later)
    assert await keep_ranges(pool, URL, SECOND, KNOWN.difference(KNOWN), before=nameless)
    assert await load_ranges(pool, URL) == (SECOND, KNOWN)


async def test_replacing_clears_everything(pool: asyncpg.Pool) -> None:
    """Whatever the rows were."""
    await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    await pool.execute("update card_range set last = '4000135555555555' where first = $1", LOW.first)
    with pytest.raises(RangesOverlap):
        await load_ranges(pool, URL)
    assert await replace_ranges(pool, URL, SECOND, Ranges([HIGH]), before=FIRST)
    assert await load_ranges(pool, URL) == (SECOND, Ranges([HIGH]))


@pytest.mark.parametrize(
    "before",
    [
        None,
        replace(FIRST, serial="0"),
        replace(FIRST, serial=None),
        replace(FIRST, refreshed_at=NOON - timedelta(microseconds=1)),
    ],
)
async def test_another_state_than_the_one_read(pool: asyncpg.Pool, before: RangesState | None) -> None:
    """Somebody else was quicker: nothing is written, in part or as a whole."""
    await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    assert not await keep_ranges(pool, URL, SECOND, KNOWN.difference(Ranges()), before=before)
    assert not await replace_ranges(pool, URL, SECOND, Ranges(), before=before)
    assert await load_ranges(pool, URL) == (FIRST, KNOWN)


@pytest.mark.parametrize("before", [None, FIRST])
async def test_of_two_nodes_one_writes(database: str, pool: asyncpg.Pool, before: RangesState | None) -> None:
    """Both have read the same state and write at once: the ranges are those of the one that could."""
    if before is not None:
        await replace_ranges(pool, URL, before, KNOWN, before=None)
    ours = [(RangesState(serial=f"n{n}", refreshed_at=NOON), Ranges([CardRange(f"4{n}", f"4{n}")])) for n in range(8)]
    written = await asyncio.gather(*(replace_ranges(pool, URL, state, ranges, before=before) for state, ranges in ours))
    assert sum(written) == 1
    assert await load_ranges(pool, URL) == ours[written.index(True)]


async def test_what_fails_leaves_everything_as_it_was(pool: asyncpg.Pool) -> None:
    """The state does not move on without its ranges."""
    await replace_ranges(pool, URL, FIRST, KNOWN, before=None)
    broken = Ranges([CardRange("4", "5", ("\0",))])
    with pytest.raises(asyncpg.PostgresError):
        await keep_ranges(pool, URL, SECOND, KNOWN.difference(broken), before=FIRST)
    assert await load_ranges(pool, URL) == (FIRST, KNOWN)


async def test_many_ranges(pool: asyncpg.Pool) -> None:
    """As many as a directory server may list are kept and loaded."""
    many = Ranges(CardRange(f"4{n:06d}000000000", f"4{n:06d}999999999", ("2.2.0",)) for n in range(50_000))
    assert await replace_ranges(pool, URL, FIRST, many, before=None)
    assert await load_ranges(pool, URL) == (FIRST, many)
