"""Moving keys from one kind of keeper to another, while everything runs, with the commands of a rotation."""

from __future__ import annotations

from itertools import permutations

import asyncpg
import pytest

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import KINDS, Keeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.boot.config import ConfigError, load_config
from tollhouse.boot.rewrapping import piles_of
from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused
from tollhouse.vault.registry import load_rows, of_purpose
from tollhouse.vault.rotation import retire, rotate


@pytest.mark.parametrize(("old", "new"), list(permutations(KINDS, 2)))
async def test_keys_move(new_keeper: NewKeeper, pool: asyncpg.Pool, old: str, new: str) -> None:
    """Cards, fingerprints and idempotency key outlive the move; then the new keeper suffices."""
    before = new_keeper(old)
    async with before.open(pool) as keys:
        vault = await vault_on(pool, before, keys)
        kept, secret = await vault.keep("shop", CARD), keys.idempotency_secret
        await vault.close()
    moving = before.moving_to(new_keeper(new))
    async with moving.open(pool) as keys, moving.open(pool) as running:
        vault = await vault_on(pool, moving, running)
        assert await rotate(keys, KEK) == 2
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await rewrap_all(keys)
        await retire(keys, KEK, 1, piles_of(keys, KEK))
        later = await vault.keep("shop", CARD)
        assert later.fingerprint == kept.fingerprint
        await vault.close()
    after = Keeper(moving.settings | {"TOLLHOUSE_VAULT_KEYS": new}, moving.home, parts=moving.parts)
    async with after.open(pool) as keys:
        assert keys.idempotency_secret == secret
        vault = await vault_on(pool, after, keys)
        for card in (kept, later):
            assert (await vault.fill(request("shop", card.token)))["2"] == PAN_TEXT
        await vault.close()
        await rotate(keys, FINGERPRINT)
        await rewrap_all(keys, FINGERPRINT)
        await retire(keys, FINGERPRINT, 1, piles_of(keys, FINGERPRINT))
    assert new == "file" or not list((moving.home / "keys").glob("*"))
    with pytest.raises(KeysRefused, match=f"kept by {new}"):
        async with before.open(pool):
            pass


async def test_the_old_keeper_alone_goes_on_until_the_old_version_ends(
    new_keeper: NewKeeper, pool: asyncpg.Pool
) -> None:
    """A process that does not know the new keeper writes under the old version, and is refused nothing before."""
    before = new_keeper("file")
    moving = before.moving_to(new_keeper("pkcs11"))
    async with before.open(pool) as running, moving.open(pool) as keys:
        vault = await vault_on(pool, before, running)
        await rotate(keys, KEK)
        with pytest.raises(KeysRefused, match="kept by pkcs11"):
            await running.refresh()
        kept = await vault.keep("shop", CARD)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        with pytest.raises(KeysRefused, match="still use version 1"):
            await retire(keys, KEK, 1, piles_of(keys, KEK))
        await vault.close()


async def test_an_interrupted_move_goes_on(new_keeper: NewKeeper, pool: asyncpg.Pool) -> None:
    """Between two steps everything may start again: with both keepers, as often as you like."""
    before = new_keeper("file")
    async with before.open(pool):
        pass
    moving = before.moving_to(new_keeper("pkcs11"))
    async with moving.open(pool) as keys:
        await rotate(keys, KEK)
    async with moving.open(pool) as keys:
        assert await rewrap_all(keys) == 4
    async with moving.open(pool) as keys:
        assert await rewrap_all(keys) == 0
        await retire(keys, KEK, 1, piles_of(keys, KEK))
    assert [row.kind for row in of_purpose(await load_rows(pool), KEK)] == ["pkcs11"]


@pytest.mark.parametrize("value", ["file,file", "file,", "drawer", "file;pkcs11"])
def test_a_wrong_list_is_refused(value: str) -> None:
    """Names that there are not, an empty one and a repeated one; the line names the setting."""
    with pytest.raises(ConfigError, match="TOLLHOUSE_VAULT_KEYS="):
        load_config({"TOLLHOUSE_VAULT_KEYS": value})
