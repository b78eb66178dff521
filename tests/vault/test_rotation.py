"""Rotation and retirement beside others: what is on its way is waited for, and nobody changes keys at the same time."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import Keeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.boot.rewrapping import piles_of
from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.piles import FIRST, DataKeys, Moved
from tollhouse.vault.registry import load_rows, of_purpose
from tollhouse.vault.rewrap import Progress, rewrap
from tollhouse.vault.rotation import retire, rotate

COPY = """
INSERT INTO vault.card SELECT project, token || 'x', key_version, data_key, pan_sealed, expiry_sealed, fingerprint,
    bin, last4, brand FROM vault.card LIMIT 1
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'vault.card'::regclass"


@pytest.fixture
def keeper(new_keeper: NewKeeper) -> Keeper:
    """A key in a file."""
    return new_keeper("file")


async def test_a_card_on_its_way_is_waited_for(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A row that was written before the end of its version, and committed after it, is found: nothing is destroyed."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        async with pool.acquire() as writer:
            tx = writer.transaction()
            await tx.start()
            await writer.execute(COPY)
            await rotate(keys, KEK)
            await rewrap_all(keys)
            ending = asyncio.create_task(retire(keys, KEK, 1, piles_of(keys, KEK)))
            while not await pool.fetchval(WAITING):
                assert not ending.done()
                await asyncio.sleep(0.01)
            await tx.commit()
        with pytest.raises(KeysRefused, match="1 cards still use version 1"):
            await ending
        assert not [row for row in of_purpose(await load_rows(pool), KEK) if row.is_retired]
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


@pytest.mark.parametrize("purpose", [KEK, FINGERPRINT])
async def test_rotations_at_once_make_a_version_each(keeper: Keeper, pool: asyncpg.Pool, purpose: str) -> None:
    """Two people who rotate in the same moment get two versions, and every process agrees on the newest."""
    async with keeper.open(pool) as one, keeper.open(pool) as other:
        made = await asyncio.gather(rotate(one, purpose), rotate(other, purpose))
        assert sorted(made) == [2, 3]
        for keys in (one, other):
            await keys.refresh()
            assert (keys.ring.current if purpose == KEK else keys.fingerprints.current) == 3


async def test_versions_end_in_order(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """An older version is retired before a newer one."""
    async with keeper.open(pool) as keys:
        await rotate(keys, KEK)
        await rotate(keys, KEK)
        with pytest.raises(KeysRefused, match="version 1 of the key-encryption key is older; retire it first"):
            await retire(keys, KEK, 2, piles_of(keys, KEK))
        for version in (1, 2):
            await retire(keys, KEK, version, piles_of(keys, KEK))
        assert [row.version for row in of_purpose(await load_rows(pool), KEK)] == [3]


async def test_two_rewraps_at_once_harm_nothing(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A row is replaced only if it is the one that was read: every card opens afterwards, under the current version."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = [await vault.keep("shop", CARD) for _ in range(40)]
        await rotate(keys, KEK)
        await asyncio.gather(
            *(rewrap(piles_of(keys, KEK), rate=0, told=lambda _: None, batch_size=7) for _ in range(3))
        )
        assert await pool.fetchval("SELECT count(*) FROM vault.card WHERE key_version = 2") == 40
        for card in kept:
            assert (await vault.fill(request("shop", card.token)))["2"] == PAN_TEXT
        await vault.close()


async def test_cards_that_come_behind_it_are_moved_too(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A gateway that had not heard of the new version writes behind the rewrap, which looks again."""
    async with keeper.open(pool) as keys, keeper.open(pool) as late:
        vault = await vault_on(pool, keeper, late)
        for _ in range(5):
            await vault.keep("shop", CARD)
        await rotate(keys, KEK)
        done = await rewrap([Disturbed(keys, vault.keep)], rate=0, told=lambda _: None, batch_size=2)
        assert done == Progress(total=6, moved=6)
        assert await DataKeys(keys).count() == 0
        await vault.close()


class Counted(DataKeys):
    """Cards that tell how many are moved at a time."""

    def __init__(self, keys: KeySet) -> None:
        super().__init__(keys)
        self.limits: set[int] = set()

    async def move(self, after: tuple[str, str], limit: int) -> Moved:
        """Remember how many were asked for."""
        self.limits.add(limit)
        return await super().move(after, limit)


@pytest.mark.parametrize(("rate", "limit"), [(0, 500), (40, 40), (2000, 500)])
async def test_a_batch_is_no_larger_than_the_rate(keeper: Keeper, pool: asyncpg.Pool, rate: int, limit: int) -> None:
    """Else a slow rewrap would move a whole batch at once and wait afterwards."""
    async with keeper.open(pool) as keys:
        pile = Counted(keys)
        await rewrap([pile], rate=rate, told=lambda _: None)
        assert pile.limits == {limit}


class Disturbed(DataKeys):
    """Cards of which one comes, under the old version, right after the last batch."""

    def __init__(self, keys: KeySet, keep: object) -> None:
        super().__init__(keys)
        self._keep = keep

    async def move(self, after: tuple[str, str], limit: int) -> Moved:
        moved = await super().move(after, limit)
        if moved.last is None and after != FIRST and self._keep is not None:
            keep, self._keep = self._keep, None
            assert callable(keep)
            await keep("a shop before the others", CARD)
        return moved
