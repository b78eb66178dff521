"""Ids of cards: keyed, for one project or for all, and the same for ever."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, strategies

from tests.vault.keepers import Keeper
from tests.vault.samples import CARD, PAN_TEXT, cards, names, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.acquirers.message import NotSent, Slot
from tollhouse.boot.rewrapping import piles_of
from tollhouse.card import CardDetails, CardId, CardIdScope, Expiry, KeptCard
from tollhouse.vault import frames
from tollhouse.vault.card_ids import CardIds
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import CARD_ID, FINGERPRINT, KEK, KeysRefused
from tollhouse.vault.keyset import KEYS_FOLDER
from tollhouse.vault.rotation import retire, rotate
from tollhouse.vault.store import ids_of

IDS = CardIds(b"k" * 32)
NUMBER = replace(CARD, expiry=None)


def text(card: CardDetails, scope: CardIdScope, project: str = "shop", ids: CardIds = IDS) -> str:
    """The card's id in this scope."""
    (found,) = [one.text for one in ids_of(ids, project, card) if one.scope is scope]
    return found


@given(cards, strategies.sampled_from([CardIdScope.PROJECT, CardIdScope.SHARED]))
def test_an_id_is_64_hexadecimal_digits(card: CardDetails, scope: CardIdScope) -> None:
    """The same for the same card and key, another for another key."""
    found = text(card, scope)
    assert re.fullmatch("[0-9a-f]{64}", found)
    assert found == text(replace(card, holder="KAI DOE"), scope)
    assert found != text(card, scope, ids=CardIds(b"l" * 32))


@given(cards, cards, names, names)
def test_what_an_id_depends_on(card: CardDetails, other: CardDetails, project: str, stranger: str) -> None:
    """Number and expiry; within a project on that too, shared by all it does not."""
    is_same = (card.pan, card.expiry) == (other.pan, other.expiry)
    for scope in (CardIdScope.PROJECT, CardIdScope.SHARED):
        assert (text(card, scope, project) == text(other, scope, project)) is is_same
    own = {text(card, CardIdScope.PROJECT, one) for one in (project, stranger)}
    assert len(own) == len({project, stranger})
    assert text(card, CardIdScope.SHARED, project) == text(card, CardIdScope.SHARED, stranger)
    assert text(card, CardIdScope.SHARED, project) not in own


def test_no_expiry_no_id() -> None:
    """A number alone has none."""
    assert ids_of(IDS, "shop", NUMBER) == ()


def test_no_key_is_shown() -> None:
    """Not in a `repr`, which logs and failures show."""
    assert "kkkk" not in repr(IDS)


def test_ids_travel_between_vault_and_node() -> None:
    """With the card that was kept, as they are."""
    kept = KeptCard(
        token="card_1",
        bin="424242",
        last4="4242",
        brand="visa",
        fingerprint="1.f",
        expiry=None,
        ids=(CardId(scope=CardIdScope.SHARED, text="a" * 64),),
    )
    answered = frames.decode(frames.Answered, frames.answer(7, kept))
    assert frames.decode(KeptCard, answered.value) == kept
    asked = frames.decode(frames.Asked, frames.encode(frames.Asked(7, frames.Keep("shop", NUMBER))))
    assert asked.call == frames.Keep("shop", NUMBER)


async def test_ids_outlive_every_rotation(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Of the fingerprint key and of the key above all: merchants keep these ids."""
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        before = (await vault.keep("shop", CARD)).ids
        for purpose in (FINGERPRINT, KEK):
            await rotate(keys, purpose)
            await rewrap_all(keys, purpose)
            await retire(keys, purpose, 1, piles_of(keys, purpose))
        assert (await vault.keep("shop", CARD)).ids == before
        await vault.close()
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        assert (await vault.keep("shop", CARD)).ids == before
        await vault.close()
    assert [one.scope for one in before] == [CardIdScope.PROJECT, CardIdScope.SHARED]


async def test_an_older_database_gets_its_key(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """At the next start, once: all processes make the same ids."""
    async with keeper.open(pool):
        await pool.execute("DELETE FROM vault.key WHERE purpose = $1", CARD_ID)
        (keeper.home / KEYS_FOLDER / f"{CARD_ID}.json").unlink(missing_ok=True)
    ids = set()
    for _ in range(2):
        async with keeper.open(pool) as keys:
            vault = await vault_on(pool, keeper, keys)
            ids.add((await vault.keep("shop", CARD)).ids)
            await vault.close()
    assert len(ids) == 1
    assert await pool.fetchval("SELECT count(*) FROM vault.key WHERE purpose = $1", CARD_ID) == 1


async def test_a_lost_key_is_not_made_anew(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Other ids for the same cards would be worse than no start."""
    vault = await EmbeddedVault.open(pool, tmp_path, "n1")
    await vault.close()
    (tmp_path / KEYS_FOLDER / f"{CARD_ID}.json").unlink()
    with pytest.raises(KeysRefused, match=CARD_ID):
        await EmbeddedVault.open(pool, tmp_path, "n1")


async def test_no_row_of_the_vault_has_an_id(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Nor a hash without a key, which BIN and last digits would lead back to the number."""
    vault = await EmbeddedVault.open(pool, tmp_path, "n1")
    kept = await vault.keep("shop", CARD)
    rows = repr(await pool.fetch("SELECT * FROM vault.card"))
    known = [one.text for one in kept.ids]
    for digits in (PAN_TEXT, f"{PAN_TEXT}3112", f"{PAN_TEXT}1231", f"{PAN_TEXT}12/31"):
        known += [hashlib.new(name, digits.encode()).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    assert [one for one in known if one in rows] == []
    await vault.close()


async def test_a_number_is_kept_without_its_expiry(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """It fills the number's slot; a message that needs the expiry is not sent. Its row looks like any other."""
    vault = await EmbeddedVault.open(pool, tmp_path, "n1")
    whole, number = await vault.keep("shop", CARD), await vault.keep("shop", NUMBER)
    assert (number.expiry, number.ids) == (None, ())
    filled = await vault.fill(request("shop", number.token, slots={"2": Slot.PAN}))
    assert filled["2"] == PAN_TEXT
    with pytest.raises(NotSent, match="expiry") as refused:
        await vault.fill(request("shop", number.token))
    assert PAN_TEXT not in str(refused.value)
    assert await vault.find_same("shop", CARD.pan) == [whole.token, number.token]
    lengths = await pool.fetch("SELECT DISTINCT octet_length(pan_sealed), octet_length(expiry_sealed) FROM vault.card")
    assert len(lengths) == 1
    await vault.close()


@given(strategies.builds(Expiry, year=strategies.integers(2000, 2099), month=strategies.integers(1, 12)))
def test_no_expiry_is_like_that_of_no_card(expiry: Expiry) -> None:
    """What stands for none in a row is no month of any year."""
    assert expiry.yymm != "0000"
