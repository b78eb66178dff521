"""Card numbers in other people's JSON."""

from __future__ import annotations

import pytest

from tollhouse.masking import holds_card


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
    ],
)
def test_other_digits_are_let_be(value: object) -> None:
    """A wrong check digit, article numbers, our own ids, numbers of no scheme."""
    assert not holds_card(value)
