"""New versions of keys, and the end of old ones, while everything runs.

A version is made by its keyholder first and then written into the registry, which makes it current: whoever dies in
between leaves a version that nobody uses. It ends the other way round: the registry stops all writing under it, then
the rows are counted, and then its keyholder forgets it. Each step may be repeated.
"""

from __future__ import annotations

import asyncpg

from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.piles import Pile
from tollhouse.vault.registry import (
    BRING_BACK,
    DESTROY,
    LOCK_SECONDS_MAX,
    RETIRE,
    KeyRow,
    Rows,
    alone,
    current_of,
    insert_row,
    load_rows,
    next_version,
    of_purpose,
)
from tollhouse.vault.ring import made

NAMES = {KEK: "key-encryption key", FINGERPRINT: "fingerprint key"}


async def rotate(keys: KeySet, purpose: str) -> int:
    """A new version that is current from now on; running processes take it up within a second or two."""
    async with alone(keys.pool) as connection:
        # Nothing is to be sealed under a version that ended since these keys were opened.
        await keys.ring.refresh(await load_rows(connection))
        version = await next_version(connection, purpose)
        row = await (made(keys.ring.holder, version) if purpose == KEK else keys.secrets.made(purpose, version))
        await insert_row(connection, row)
    await keys.refresh()
    return version


async def retire(keys: KeySet, purpose: str, version: int, piles: list[Pile]) -> None:
    """End a version that nothing uses any more. Raises `KeysRefused` naming what still does; then nothing has changed.

    `piles` are all that may use it.
    """
    async with alone(keys.pool) as connection:
        kind = _refuse(await load_rows(connection), purpose, version).kind
        await _refuse_used(piles, purpose, version)
        await connection.execute(RETIRE, purpose, version)
    try:
        await _wait_for_writers(keys.pool)
        await _refuse_used(piles, purpose, version)
    except KeysRefused:
        await keys.pool.execute(BRING_BACK, purpose, version)
        raise
    if purpose == KEK:
        await keys.ring.holders[kind].destroy(version)
    else:
        await keys.secrets.destroy(purpose, version)
    await keys.pool.execute(DESTROY, purpose, version)
    await keys.refresh()


def _refuse(rows: Rows, purpose: str, version: int) -> KeyRow:
    known = of_purpose(rows, purpose)
    name = NAMES[purpose]
    if version not in {row.version for row in known}:
        there = ", ".join(str(row.version) for row in known)
        raise KeysRefused(f"the {name} has no version {version}; it has {there}")
    current = current_of(rows, purpose)
    if current is not None and current.version == version:
        raise KeysRefused(f"version {version} of the {name} is current; run `tollhouse vault key rotate` first")
    if known[0].version != version:
        raise KeysRefused(f"version {known[0].version} of the {name} is older; retire it first")
    return known[0]


async def _refuse_used(piles: list[Pile], purpose: str, version: int) -> None:
    for pile in piles:
        count = await pile.count_under(version)
        if count:
            flag = " --fingerprint" if purpose == FINGERPRINT else ""
            raise KeysRefused(
                f"{count} {pile.name} still use version {version} of the {NAMES[purpose]};"
                f" run `tollhouse vault key rewrap{flag}` first"
            )


async def _wait_for_writers(pool: asyncpg.Pool) -> None:
    """Until every statement that did not see the end of the version is over: each later one looks first."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
        try:
            await connection.execute("LOCK TABLE vault.card IN SHARE MODE")
        except asyncpg.LockNotAvailableError:
            raise KeysRefused("somebody writes cards in a database transaction without end; run this later") from None
