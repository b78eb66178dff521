"""One contract for every keeper of the key-encryption key: file, HSM, key server, custodians."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import KINDS, Keeper
from tests.vault.samples import CARD, PAN_TEXT, request
from tollhouse.acquirers.message import NotSent
from tollhouse.boot.rewrapping import piles_of
from tollhouse.vault.box import CannotOpen, new_key
from tollhouse.vault.components import PartRefused, split
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused, Wrapped
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.registry import load_rows, of_purpose
from tollhouse.vault.rewrap import rewrap
from tollhouse.vault.rotation import retire, rotate
from tollhouse.vault.sealed import data_key_place

NO_KEY_IS_GONE = """
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the database is lost'; END $$;
CREATE TRIGGER fault BEFORE UPDATE OF destroyed_at ON vault.key FOR EACH STATEMENT EXECUTE FUNCTION fault();
"""


async def vault_on(pool: asyncpg.Pool, keeper: Keeper, keys: KeySet) -> EmbeddedVault:
    """A vault that uses these keys."""
    return await EmbeddedVault.open(pool, keeper.home, "node", keys=keys)


async def rewrap_all(keys: KeySet, purpose: str = KEK) -> int:
    """Everything under the current version; how many that were."""
    done = await rewrap(piles_of(keys, purpose), rate=0, told=lambda _: None)
    assert not done.broken
    return done.moved


async def test_a_key_unwraps_in_its_place_only(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """The context given to wrap must be given to unwrap, to the byte; the same key twice looks different."""
    async with keeper.open(pool) as keys:
        data_key = new_key()
        one, other = await keys.ring.wrap(data_key, b"here"), await keys.ring.wrap(data_key, b"here")
        assert one != other
        assert data_key not in one.sealed
        assert await keys.ring.unwrap(one, b"here") == data_key
        for elsewhere in (b"there", b"her", b"here ", b""):
            with pytest.raises(CannotOpen):
                await keys.ring.unwrap(one, elsewhere)


async def test_many_at_once_come_back_in_order(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Those that wait together each get their own; one that does not open harms no other."""
    async with keeper.open(pool) as keys:
        plain = [new_key() for _ in range(400)]
        wrapped = await asyncio.gather(*(keys.ring.wrap(key, b"%d" % at) for at, key in enumerate(plain)))
        wrapped[7] = Wrapped(1, wrapped[8].sealed)
        opened = await asyncio.gather(
            *(keys.ring.unwrap(one, b"%d" % at) for at, one in enumerate(wrapped)), return_exceptions=True
        )
        assert isinstance(opened.pop(7), CannotOpen)
        plain.pop(7)
        assert opened == plain


async def test_changed_and_cut_bytes_do_not_open(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """No length but the whole one opens, and no byte can change."""
    async with keeper.open(pool) as keys:
        sealed = (await keys.ring.wrap(new_key(), b"here")).sealed
        wrong = [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]
        wrong += [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
        opened = await asyncio.gather(
            *(keys.ring.unwrap(Wrapped(1, one), b"here") for one in wrong), return_exceptions=True
        )
        assert {type(one) for one in opened} == {CannotOpen}


async def test_the_version_is_bound(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A wrapped key does not open under another version's number, nor under one that never was."""
    async with keeper.open(pool) as keys:
        old = await keys.ring.wrap(new_key(), b"here")
        assert await rotate(keys, KEK) == 2
        new = await keys.ring.wrap(new_key(), b"here")
        assert (old.version, new.version) == (1, 2)
        for wrong in (Wrapped(2, old.sealed), Wrapped(1, new.sealed), Wrapped(3, new.sealed)):
            with pytest.raises(CannotOpen):
                await keys.ring.unwrap(wrong, b"here")


async def test_it_opens_after_a_restart(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """What one process wrapped, and the card it kept, another opens later."""
    async with keeper.open(pool) as keys:
        data_key = new_key()
        wrapped = await keys.ring.wrap(data_key, b"here")
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        await vault.close()
    async with keeper.open(pool) as keys:
        assert await keys.ring.unwrap(wrapped, b"here") == data_key
        vault = await vault_on(pool, keeper, keys)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        again = await vault.keep("shop", CARD)
        assert again.fingerprint == kept.fingerprint
        await vault.close()


async def test_first_starts_at_once_agree(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Several processes that start on an empty database at the same moment share one first version."""
    await keeper.prepare(pool)

    data_key = new_key()
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(*(stack.enter_async_context(keeper.open(pool)) for _ in range(4)))
        wrapped = [await keys.ring.wrap(data_key, b"here") for keys in started]
        for keys in started:
            assert [await keys.ring.unwrap(one, b"here") for one in wrapped] == [data_key] * 4
        assert len({keys.idempotency_secret for keys in started}) == 1
    assert [(row.version, row.kind) for row in await load_rows(pool) if row.purpose == KEK] == [(1, keeper.kind)]


@pytest.mark.parametrize("kind", KINDS)
async def test_another_key_is_refused(new_keeper: NewKeeper, pool: asyncpg.Pool, kind: str) -> None:
    """A process with another key of the same kind is refused when it starts, by one line."""
    async with new_keeper(kind).open(pool):
        pass
    stranger = new_keeper(kind)
    stranger.parts = split(new_key(), 3)
    with pytest.raises((KeysRefused, PartRefused)) as refusal:
        async with stranger.open(pool):
            pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_another_kind_is_refused(new_keeper: NewKeeper, pool: asyncpg.Pool, kind: str) -> None:
    """A process that is set to another kind of keeper is told which one keeps the keys of this database."""
    async with new_keeper("file" if kind == "components" else "components").open(pool):
        pass
    with pytest.raises(KeysRefused, match=f"TOLLHOUSE_VAULT_KEYS={kind}: the keys of this database are kept by"):
        async with new_keeper(kind).open(pool):
            pass


@pytest.mark.parametrize("columns", ["data_key", "data_key, pan_sealed, expiry_sealed", "data_key, key_version"])
async def test_rows_that_were_swapped_are_not_sent(keeper: Keeper, pool: asyncpg.Pool, columns: str) -> None:
    """What is replayed from another row opens nowhere: it is bound to its project and token."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        tokens = [(await vault.keep("shop", CARD)).token]
        await rotate(keys, KEK)
        tokens.append((await vault.keep("shop", CARD)).token)
        await pool.execute(
            f"UPDATE vault.card SET ({columns}) = "
            f"(SELECT {columns} FROM vault.card AS other WHERE other.token <> card.token)"
        )
        for token in tokens:
            with pytest.raises(NotSent, match="does not open"):
                await vault.fill(request("shop", token))
        await vault.close()


async def test_a_half_made_version_is_used_by_nobody(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Whoever dies between making a version and writing it down leaves the one before current; rotating again works."""
    async with keeper.open(pool) as keys:
        data_key = new_key()
        wrapped = await keys.ring.wrap(data_key, b"here")
        await keys.ring.holder.make(2)
    async with keeper.open(pool) as keys:
        assert keys.ring.current == 1
        assert (await keys.ring.wrap(data_key, b"here")).version == 1
        assert await rotate(keys, KEK) == 2
        assert await keys.ring.unwrap(wrapped, b"here") == data_key
        assert await keys.ring.unwrap(await keys.ring.wrap(data_key, b"here"), b"here") == data_key


async def test_others_take_a_new_version_up(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A running process opens what came under a new version at once, and writes under it after its next look."""
    async with keeper.open(pool) as keys, keeper.open(pool) as running:
        await rotate(keys, KEK)
        data_key = new_key()
        wrapped = await keys.ring.wrap(data_key, b"here")
        assert await running.ring.unwrap(wrapped, b"here") == data_key
        assert running.ring.current == 1
        await running.refresh()
        assert (await running.ring.wrap(data_key, b"here")).version == 2


async def test_a_version_lives_and_ends(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Rotate, rewrap, retire: everything moves and still opens, and the old version is gone for ever."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = [await vault.keep("shop", CARD) for _ in range(5)]
        old = await keys.ring.wrap(new_key(), b"here")
        with pytest.raises(KeysRefused, match="version 1 of the key-encryption key is current"):
            await retire(keys, KEK, 1, piles_of(keys, KEK))
        await rotate(keys, KEK)
        with pytest.raises(KeysRefused, match=r"still use version 1 .*rewrap"):
            await retire(keys, KEK, 1, piles_of(keys, KEK))
        assert await rewrap_all(keys) == 5 + (0 if keeper.kind == "file" else 4)
        assert await rewrap_all(keys) == 0
        await retire(keys, KEK, 1, piles_of(keys, KEK))
        for card in kept:
            assert (await vault.fill(request("shop", card.token)))["2"] == PAN_TEXT
        with pytest.raises(CannotOpen):
            await keys.ring.unwrap(old, b"here")
        with pytest.raises(KeysRefused, match="no version 1"):
            await retire(keys, KEK, 1, piles_of(keys, KEK))
        await vault.close()
    async with keeper.open(pool) as keys:
        assert keys.ring.current == 2
        with pytest.raises(CannotOpen):
            await keys.ring.holder.unseal(1, old.sealed, b"here")
        assert await rotate(keys, KEK) == 3


async def test_nothing_is_written_under_a_retired_version(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A process that slept through rotation and retirement seals its card again, under the version that is current."""
    async with keeper.open(pool) as keys, keeper.open(pool) as sleeper:
        vault = await vault_on(pool, keeper, sleeper)
        await rotate(keys, KEK)
        await rewrap_all(keys)
        await pool.execute("UPDATE vault.key SET retired_at = now() WHERE purpose = 'kek' AND version = 1")
        assert sleeper.ring.current == 1
        kept = await vault.keep("shop", CARD)
        assert await pool.fetch("SELECT token, key_version FROM vault.card") == [(kept.token, 2)]
        await retire_again(keys, 1)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


async def retire_again(keys: KeySet, version: int) -> None:
    """A retirement that was interrupted after its first step is carried on."""
    await retire(keys, KEK, version, piles_of(keys, KEK))
    assert version not in {row.version for row in await load_rows(keys.pool) if row.purpose == KEK}


async def test_a_retirement_that_finds_a_row_takes_itself_back(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """A row under the version, written by whoever did not look, is found before anything is destroyed."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        await rotate(keys, KEK)
        await pool.execute("UPDATE vault.key SET retired_at = now() WHERE purpose = 'kek' AND version = 1")
        with pytest.raises(KeysRefused, match="1 cards still use version 1|keys of the registry still use version 1"):
            await retire(keys, KEK, 1, piles_of(keys, KEK))
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


async def test_a_data_key_serves_its_own_row_alone(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """It unwraps for its project and token, and for no other project or token."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        one, other = await vault.keep("shop", CARD), await vault.keep("shop", CARD)
        row = await pool.fetchrow("SELECT key_version, data_key FROM vault.card WHERE token = $1", one.token)
        wrapped = Wrapped(row["key_version"], row["data_key"])
        assert len(await keys.ring.unwrap(wrapped, data_key_place("shop", one.token))) == 32
        for place in (data_key_place("shop", other.token), data_key_place("inn", one.token)):
            with pytest.raises(CannotOpen):
                await keys.ring.unwrap(wrapped, place)
        await vault.close()


@pytest.mark.parametrize("purpose", [KEK, FINGERPRINT])
async def test_a_retirement_that_died_after_the_key(keeper: Keeper, pool: asyncpg.Pool, purpose: str) -> None:
    """The key is gone and its row is still there: everything starts all the same, and the same command ends it."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        await rotate(keys, purpose)
        await rewrap_all(keys, purpose)
        await pool.execute(NO_KEY_IS_GONE)
        with pytest.raises(asyncpg.RaiseError):
            await retire(keys, purpose, 1, piles_of(keys, purpose))
        await vault.close()
    await pool.execute("DROP TRIGGER fault ON vault.key")
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        assert (await vault.keep("shop", CARD)).fingerprint == kept.fingerprint or purpose == FINGERPRINT
        await keys.refresh()
        await retire(keys, purpose, 1, piles_of(keys, purpose))
        assert [row.version for row in of_purpose(await load_rows(pool), purpose)] == [2]
        await vault.close()
