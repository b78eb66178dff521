"""Card ranges in Postgres: all ranges of a directory server, and which state of them is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from tollhouse.card_range import CardRange, Difference, Ranges
from tollhouse.store.queries import QUERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesState:
    """Which state of a directory server's ranges is kept, by its own serial number, and when it was asked for."""

    serial: str | None
    refreshed_at: datetime


async def find_ranges_state(pool: asyncpg.Pool, directory: str) -> RangesState | None:
    """The state that is kept; None when this directory server was never asked."""
    return _state(await pool.fetchrow(QUERIES["find_ranges_state"], directory))


async def load_ranges(pool: asyncpg.Pool, directory: str) -> tuple[RangesState | None, Ranges]:
    """The state and the ranges that belong to it. Raises `RangesRefused` when the rows were tampered with."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        state = _state(await connection.fetchrow(QUERIES["find_ranges_state"], directory))
        found = await connection.fetch(QUERIES["list_card_ranges"], directory)
    # Many ranges take their time: in a thread, so that calls are answered meanwhile.
    return state, await asyncio.to_thread(_ranges, found)


async def keep_ranges(
    pool: asyncpg.Pool, directory: str, state: RangesState, difference: Difference, *, before: RangesState | None
) -> bool:
    """Make the kept ranges what they are now, all or nothing; False when they are no longer those of `before`."""
    removed = [[one.first for one in difference.removed], [one.last for one in difference.removed]]
    async with pool.acquire() as connection, connection.transaction():
        if not await _move_on(connection, directory, state, before):
            return False
        await connection.execute(QUERIES["remove_card_ranges"], directory, *removed)
        await connection.execute(QUERIES["put_card_ranges"], directory, *_columns(difference.put))
    return True


async def replace_ranges(
    pool: asyncpg.Pool, directory: str, state: RangesState, ranges: Ranges, *, before: RangesState | None
) -> bool:
    """As `keep_ranges`, for all ranges at once and whatever the rows were."""
    async with pool.acquire() as connection, connection.transaction():
        if not await _move_on(connection, directory, state, before):
            return False
        await connection.execute(QUERIES["clear_card_ranges"], directory)
        await connection.execute(QUERIES["put_card_ranges"], directory, *_columns(tuple(ranges)))
    return True


async def _move_on(
    connection: asyncpg.Connection, directory: str, state: RangesState, before: RangesState | None
) -> bool:
    """Of two nodes that have read the same state one goes on; the other waits here for it and is then told no."""
    if before is None:
        found = await connection.fetchval(QUERIES["begin_card_ranges"], directory, state.serial, state.refreshed_at)
    else:
        found = await connection.fetchval(
            QUERIES["renew_card_ranges"],
            directory,
            state.serial,
            state.refreshed_at,
            before.serial,
            before.refreshed_at,
        )
    return found is not None


def _state(row: asyncpg.Record | None) -> RangesState | None:
    return None if row is None else RangesState(serial=row["serial"], refreshed_at=row["refreshed_at"])


def _ranges(found: Sequence[asyncpg.Record]) -> Ranges:
    return Ranges(
        CardRange(row["first"], row["last"], tuple(row["versions"]), row["method_url"], tuple(row["info"]))
        for row in found
    )


def _columns(ranges: Sequence[CardRange]) -> tuple[list[str | None], ...]:
    return (
        [one.first for one in ranges],
        [one.last for one in ranges],
        [" ".join(one.versions) for one in ranges],
        [one.method_url for one in ranges],
        [" ".join(one.info) for one in ranges],
    )
