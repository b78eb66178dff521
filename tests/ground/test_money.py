"""Money: minor units, currencies, and the text people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import moneys
from tollhouse.money import AMOUNT_MINOR_MAX, CODE_BY_NUMBER, CURRENCIES, Money, parse_money


@given(moneys)
def test_text_and_back(money: Money) -> None:
    """What is printed is read back as the same amount, whatever the currency's decimals."""
    amount, code = str(money).split()
    assert parse_money(amount, code) == money


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("25.90", "eur", 2590),
        ("25.9", "EUR", 2590),
        ("25", "eur", 2500),
        ("0.01", "usd", 1),
        ("007", "usd", 700),
        ("500", "jpy", 500),
        ("1.234", "kwd", 1234),
        ("9999999999.99", "eur", AMOUNT_MINOR_MAX),
    ],
)
def test_decimal_text(text: str, currency: str, minor: int) -> None:
    """People write major units with at most the currency's decimals."""
    assert parse_money(text, currency) == Money(minor, currency.lower())


@pytest.mark.parametrize(
    ("text", "currency", "names"),
    [
        ("", "eur", "amount ''"),
        ("1.", "eur", "amount '1.'"),
        (".5", "eur", "amount '.5'"),
        ("-1", "eur", "amount '-1'"),
        ("1,50", "eur", "amount '1,50'"),
        ("1e3", "eur", "amount '1e3'"),
        ("٣", "eur", "amount '٣'"),
        ("1.001", "eur", "at most 2 decimals"),
        ("1.5", "jpy", "at most 0 decimals"),
        ("0", "eur", "above zero"),
        ("10000000000.00", "eur", "at most 999999999999"),
        ("9" * 10_000, "eur", "amount '9999"),
        ("1", "euro", "unknown currency 'euro'"),
        ("1", "xts", "unknown currency"),
    ],
)
def test_text_refused(text: str, currency: str, names: str) -> None:
    """A wrong amount or currency is refused with what was wrong, in a line of readable length."""
    with pytest.raises(ValueError) as refused:
        parse_money(text, currency)
    assert names in str(refused.value)
    assert len(str(refused.value)) < 200


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text does anything but give money in range or a ValueError."""
    try:
        money = parse_money(text, "eur")
    except ValueError:
        return
    assert 0 < money.minor <= AMOUNT_MINOR_MAX


@pytest.mark.parametrize("minor", [0, -1, AMOUNT_MINOR_MAX + 1, True, 1.0])
def test_amount_out_of_range_is_a_bug(minor: int) -> None:
    """Money outside of 1 … 999 999 999 999, or not an int, cannot be made."""
    with pytest.raises(AssertionError):
        Money(minor, "eur")


def test_currency_unknown_is_a_bug() -> None:
    """Money of an unknown currency, or spelt in capitals, cannot be made."""
    for currency in ("EUR", "zzz", ""):
        with pytest.raises(AssertionError):
            Money(1, currency)


@pytest.mark.parametrize(
    ("code", "number", "exponent"),
    [("eur", "978", 2), ("usd", "840", 2), ("jpy", "392", 0), ("kwd", "414", 3), ("all", "008", 2), ("clf", "990", 4)],
)
def test_currency_facts(code: str, number: str, exponent: int) -> None:
    """Number and decimals are those of ISO 4217."""
    currency = CURRENCIES[code]
    assert (currency.number, currency.exponent) == (number, exponent)
    assert CODE_BY_NUMBER[number] == code


def test_currency_numbers_are_unique() -> None:
    """Each number names one currency and has three digits, so field 49 can be read back."""
    assert len(CODE_BY_NUMBER) == len(CURRENCIES)
    assert all(len(number) == 3 and number.isdigit() for number in CODE_BY_NUMBER)
