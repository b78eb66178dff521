"""The fingerprint key changes while cards are looked up by it: nobody is lost on the way."""

from __future__ import annotations

import asyncpg
import pytest

from tests.vault.keepers import Keeper
from tests.vault.samples import CARD
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.boot.rewrapping import piles_of
from tollhouse.card import parse_pan
from tollhouse.vault.fingerprints import Fingerprints, version_of
from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused
from tollhouse.vault.piles import FIRST, CardPrints
from tollhouse.vault.rotation import retire, rotate

OTHER = parse_pan("4242424242424242")


async def test_look_ups_use_both_versions_meanwhile(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Before, between and after: the same card is found under each token, and another card is not."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        before = await vault.keep("shop", CARD)
        await rotate(keys, FINGERPRINT)
        after = await vault.keep("shop", CARD)
        assert (version_of(before.fingerprint), version_of(after.fingerprint)) == (1, 2)
        tokens = [before.token, after.token]
        assert await vault.find_same("shop", CARD.pan) == tokens
        assert await rewrap_all(keys, FINGERPRINT) == 1
        assert await vault.find_same("shop", CARD.pan) == tokens
        assert await vault.find_same("shop", OTHER) == await vault.find_same("inn", CARD.pan) == []
        prints = {row[0] for row in await pool.fetch("SELECT fingerprint FROM vault.card")}
        assert prints == {after.fingerprint}
        await vault.close()


async def test_a_fingerprint_key_ends(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """It is retired only when no row has a fingerprint of it, and is then gone; the cards are found as before."""
    async with keeper.open(pool) as keys, keeper.open(pool) as running:
        vault = await vault_on(pool, keeper, running)
        kept = await vault.keep("shop", CARD)
        await rotate(keys, FINGERPRINT)
        with pytest.raises(KeysRefused, match="1 fingerprints still use version 1 .*rewrap --fingerprint"):
            await retire(keys, FINGERPRINT, 1, piles_of(keys, FINGERPRINT))
        await rewrap_all(keys, FINGERPRINT)
        await retire(keys, FINGERPRINT, 1, piles_of(keys, FINGERPRINT))
        assert keys.fingerprints.versions == {2}
        again = await vault.keep("shop", CARD)  # by a process that has not heard of any of it
        assert version_of(again.fingerprint) == 2
        assert await vault.find_same("shop", CARD.pan) == [kept.token, again.token]
        await vault.close()
    async with keeper.open(pool) as keys:
        assert keys.fingerprints.versions == {2}


async def test_both_keys_rotate_apart(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A fingerprint key that lies in the registry moves with the key above it and stays what it is."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        await rotate(keys, KEK)
        await rewrap_all(keys)
        await retire(keys, KEK, 1, piles_of(keys, KEK))
        await vault.close()
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        assert (await vault.keep("shop", CARD)).fingerprint == kept.fingerprint
        await vault.close()


async def test_a_batch_that_was_interrupted_is_carried_on(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Whoever begins again makes anew only what is left."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        for _ in range(5):
            await vault.keep("shop", CARD)
        await rotate(keys, FINGERPRINT)
        assert (await CardPrints(keys).move(FIRST, 2)).moved == 2
        assert await CardPrints(keys).count() == 3
        assert await rewrap_all(keys, FINGERPRINT) == 3
        await vault.close()


def test_the_current_fingerprint_comes_first() -> None:
    """A card is known by one fingerprint under each version in use."""
    prints = Fingerprints({1: b"1" * 32, 2: b"2" * 32, 3: b"3" * 32}, 3)
    assert prints.all_of("shop", "4242")[0] == prints.of("shop", "4242")
    assert [version_of(one) for one in prints.all_of("shop", "4242")] == [3, 2, 1]
