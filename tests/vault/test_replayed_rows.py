"""Rows of another time or of another length, put in place of those that are there: they open nothing."""

from __future__ import annotations

import asyncpg
import pytest

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import Keeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.acquirers.message import NotSent
from tollhouse.boot.rewrapping import piles_of
from tollhouse.vault.keys import KEK, KeysRefused
from tollhouse.vault.rotation import retire, rotate

COLUMNS = "data_key, key_version, pan_sealed, expiry_sealed"
KEEP_COPY = f"CREATE TEMP TABLE stolen AS SELECT token, {COLUMNS} FROM vault.card"
REPLAY = f"UPDATE vault.card SET ({COLUMNS}) = (SELECT {COLUMNS} FROM stolen WHERE stolen.token = card.token)"


async def test_a_row_from_before_a_retirement_opens_no_more(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A whole row as it was under a version that is retired by now, put back by somebody, is noise."""
    async with pool.acquire() as thief, keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        await thief.execute(KEEP_COPY)
        await rotate(keys, KEK)
        await rewrap_all(keys)
        await retire(keys, KEK, 1, piles_of(keys, KEK))
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        assert await thief.execute(REPLAY) == "UPDATE 1"
        with pytest.raises(NotSent):
            await vault.fill(request("shop", kept.token))
        await vault.close()


@pytest.mark.parametrize("purpose", [KEK, "fingerprint", "audit"])
async def test_keys_that_were_ended_by_hand_are_not_made_anew(keeper: Keeper, pool: asyncpg.Pool, purpose: str) -> None:
    """Whoever writes into the registry that every version has ended stops the next start; nothing is founded again."""
    async with keeper.open(pool):
        pass
    await pool.execute("UPDATE vault.key SET retired_at = now() WHERE purpose = $1", purpose)
    rows = await pool.fetchval("SELECT count(*) FROM vault.key")
    with pytest.raises(KeysRefused, match=f"every version of the {purpose} key has ended in vault.key, up to 1"):
        async with keeper.open(pool):
            pass
    assert await pool.fetchval("SELECT count(*) FROM vault.key") == rows


async def test_half_rotated_rows_all_open(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Between a rotation and the end of its rewrap rows lie under both versions; each opens, also after a restart."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        tokens = [(await vault.keep("shop", CARD)).token for _ in range(4)]
        await rotate(keys, KEK)
        cards = next(pile for pile in piles_of(keys, KEK) if pile.name == "cards")
        assert (await cards.move(("", ""), 2)).moved == 2
        tokens.append((await vault.keep("shop", CARD)).token)
        await vault.close()
    found = await pool.fetch("SELECT key_version, count(*) FROM vault.card GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in found] == [(1, 2), (2, 3)]
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        for token in tokens:
            assert (await vault.fill(request("shop", token)))["2"] == PAN_TEXT
        await vault.close()


CUTS = ("substr({0}, 1, length({0}) - 1)", "substr({0}, 1, 12)", "'\\x'::bytea", "{0} || '\\x00'")


@pytest.mark.parametrize("column", ["data_key", "pan_sealed", "expiry_sealed"])
@pytest.mark.parametrize("change", CUTS, ids=["last byte", "nonce alone", "nothing", "one more"])
async def test_a_cut_or_longer_column_opens_nothing(
    new_keeper: NewKeeper, pool: asyncpg.Pool, column: str, change: str
) -> None:
    """A sealed column of another length: the database does not take it, or the vault does not open it."""
    keeper = new_keeper("file")
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        try:
            await pool.execute(f"UPDATE vault.card SET {column} = {change.format(column)}")
        except asyncpg.CheckViolationError:
            assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        else:
            with pytest.raises(NotSent, match="does not open"):
                await vault.fill(request("shop", kept.token))
        await vault.close()
