"""Boxes: what is sealed opens with the same key in the same place, and not otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.vault.box import Box, CannotOpen, bind, new_key

parts = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(st.binary(), parts)
def test_round_trip(plain: bytes, place: list[str]) -> None:
    """What is sealed for a place opens in that place."""
    box = Box(new_key())
    assert box.open(box.seal(plain, bind(*place)), bind(*place)) == plain


@given(parts, parts)
def test_two_places_never_share_a_context(one: list[str], other: list[str]) -> None:
    """Different lists of parts give different bytes, however their parts are cut."""
    assert (bind(*one) == bind(*other)) == (one == other)


def test_another_place_does_not_open() -> None:
    """The same text cut in another way is another place."""
    box = Box(new_key())
    sealed = box.seal(b"x", bind("shop", "1card"))
    with pytest.raises(CannotOpen):
        box.open(sealed, bind("shop1", "card"))


def test_another_key_does_not_open() -> None:
    """A box opens only under the key that sealed it."""
    with pytest.raises(CannotOpen):
        Box(new_key()).open(Box(new_key()).seal(b"x", b""), b"")


def test_every_changed_bit_is_noticed() -> None:
    """No bit of nonce, ciphertext or tag can change."""
    box = Box(new_key())
    sealed = box.seal(b"4242", b"place")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CannotOpen):
            box.open(bytes(changed), b"place")


def test_every_truncation_is_noticed() -> None:
    """Nothing shorter or longer than the whole opens, down to nothing at all."""
    box = Box(new_key())
    sealed = box.seal(b"4242", b"place")
    for wrong in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]:
        with pytest.raises(CannotOpen):
            box.open(wrong, b"place")


def test_the_same_thing_twice_looks_different() -> None:
    """Each sealing has a nonce of its own."""
    box = Box(new_key())
    assert len({box.seal(b"4242", b"") for _ in range(1000)}) == 1000
