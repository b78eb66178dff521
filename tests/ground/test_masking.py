"""Card numbers in other people's JSON."""

from __future__ import annotations

import random
import uuid

import pytest

from tollhouse.masking import holds_card, mask_cards


@pytest.mark.parametrize(
    "value",
    [
        "4242424242424242",
        "paid with 4242 4242 4242 4242, thanks",
        "4242-4242-4242-4242",
        4242424242424242,
        {"note": [None, True, {"deep": "371449635398431"}]},
        {"4242424242424242": "a name"},
        "6011000990139424 12/31 123",
    ],
)
def test_a_pan_is_found(value: object) -> None:
    """In texts, names, numbers, groups and depths."""
    assert holds_card(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "order-5512",
        "4242424242424241",
        "4006381333931",
        "ps_17640000000001234567",
        "17640000000001234567",
        {"sub": 7, "period": "2026-03", "share": 0.5},
        "+4915123456789",
        "9999999999999995",
        "94242424-2424-4242-8424-242424242424",
        "4242424242424242" * 2,
        "a" + "4242424242424242" + "b" * 15,
    ],
)
def test_other_digits_are_let_be(value: object) -> None:
    """A wrong check digit, article numbers, our own ids, numbers of no scheme."""
    assert not holds_card(value)


def test_ids_drawn_at_random_are_never_cards() -> None:
    """UUIDs as they are written and as 32 hexadecimal digits: nearly all of them digits, the hardest there are."""
    drawn = random.Random(7)
    for _ in range(20_000):
        digits = "".join(drawn.choice("0123456789" * 20 + "abcdef") for _ in range(32))
        for text in (str(uuid.UUID(digits)), digits, f"order {digits.upper()}."):
            assert not holds_card(text)
            assert mask_cards(text) == text


@pytest.mark.parametrize("text", ["4242424242424242-a", "id-4242424242424242", "4242-4242-4242-4242-12345678"])
def test_a_pan_beside_something_else_is_found(text: str) -> None:
    """Only a whole id lets its digits be."""
    assert holds_card(text)
    assert "4242424242424242" not in mask_cards(text)
