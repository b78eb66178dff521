"""Sealed cards: nothing opens in another row, field or project, or under another version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from tests.vault.samples import CARD, cards, file_keys, names
from tollhouse.card import CardDetails
from tollhouse.vault.box import CannotOpen, new_key
from tollhouse.vault.keys import Wrapped
from tollhouse.vault.sealed import SealedCard, open_card, seal_card

KEY = new_key()


@given(cards, names, names)
async def test_round_trip(card: CardDetails, project: str, token: str) -> None:
    """PAN and expiry come back as they went in, for every card, project and token."""
    keys = file_keys(KEY)
    sealed = await seal_card(keys, project, token, card)
    assert await open_card(keys, project, token, sealed) == (card.pan, card.expiry)


async def two() -> tuple[SealedCard, SealedCard]:
    """Two cards of one project, as tokens `one` and `two`."""
    keys = file_keys(KEY)
    return await seal_card(keys, "shop", "one", CARD), await seal_card(keys, "shop", "two", CARD)


@pytest.mark.parametrize("part", ["data_key", "pan", "expiry"])
async def test_a_column_of_another_row_does_not_open(part: str) -> None:
    """Any column, or all of them, moved into another row is noticed."""
    one, other = await two()
    for mixed in (replace(one, **{part: getattr(other, part)}), other):
        with pytest.raises(CannotOpen):
            await open_card(file_keys(KEY), "shop", "one", mixed)


async def test_a_row_does_not_open_in_another_project() -> None:
    """A row copied to another project, even under its own token, is noticed."""
    one, _ = await two()
    with pytest.raises(CannotOpen):
        await open_card(file_keys(KEY), "other shop", "one", one)


async def test_fields_do_not_change_places() -> None:
    """PAN and expiry share the row's key and are still bound to their fields."""
    one, _ = await two()
    for mixed in (replace(one, pan=one.expiry), replace(one, expiry=one.pan), replace(one, pan=one.data_key.sealed)):
        with pytest.raises(CannotOpen):
            await open_card(file_keys(KEY), "shop", "one", mixed)


async def test_another_key_version_does_not_open() -> None:
    """A row whose version number was changed is noticed, also when that version exists and is the same key."""
    one, _ = await two()
    changed = replace(one, data_key=Wrapped(2, one.data_key.sealed))
    for keys in (file_keys(KEY), file_keys(KEY, KEY)):
        with pytest.raises(CannotOpen):
            await open_card(keys, "shop", "one", changed)


async def test_another_key_encryption_key_does_not_open() -> None:
    """Under a wrong key nothing opens, and the text names the card only."""
    one, _ = await two()
    with pytest.raises(CannotOpen, match="card one of project shop"):
        await open_card(file_keys(new_key()), "shop", "one", one)


@pytest.mark.parametrize("part", ["pan", "expiry"])
async def test_a_cut_column_does_not_open(part: str) -> None:
    """A column cut short anywhere is noticed."""
    one, _ = await two()
    whole = getattr(one, part)
    for length in range(len(whole)):
        with pytest.raises(CannotOpen):
            await open_card(file_keys(KEY), "shop", "one", replace(one, **{part: whole[:length]}))


async def test_the_same_card_twice_looks_different() -> None:
    """Two rows of one card have no sealed column in common."""
    one, other = await two()
    assert one.data_key.sealed != other.data_key.sealed
    assert one.pan != other.pan
    assert one.expiry != other.expiry
