"""Money in integer minor units of an ISO 4217 currency."""

from __future__ import annotations

from dataclasses import dataclass

from iso4217 import Currency as IsoCurrency

AMOUNT_MINOR_MAX = 999_999_999_999  # twelve digits, as ISO 8583 field 4 holds them
TEXT_DIGITS_MAX = 30  # leading zeros are harmless, thousands of digits are not


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency by its letters in lower case, with its number and how many digits its minor unit has."""

    code: str
    number: str
    exponent: int


CURRENCIES: dict[str, Currency] = {
    entry.code.lower(): Currency(entry.code.lower(), f"{entry.number:03d}", entry.exponent)
    for entry in IsoCurrency
    if entry.exponent is not None and entry.number is not None and entry.code != "XTS"
}
CODE_BY_NUMBER: dict[str, str] = {currency.number: currency.code for currency in CURRENCIES.values()}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount above zero, in minor units, with its currency's letters in lower case."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        assert type(self.minor) is int and 0 < self.minor <= AMOUNT_MINOR_MAX, "amount out of range"
        assert self.currency in CURRENCIES, "unknown currency"

    def __str__(self) -> str:
        exponent = CURRENCIES[self.currency].exponent
        digits = str(self.minor).rjust(exponent + 1, "0")
        major = digits[:-exponent] + "." + digits[-exponent:] if exponent else digits
        return f"{major} {self.currency.upper()}"


def parse_money(text: str, currency: str) -> Money:
    """Money from a person's decimal text such as `25.90`. Raises ValueError naming what is wrong."""
    code = currency.lower()
    if code not in CURRENCIES:
        raise ValueError(f"unknown currency {currency!r}: ISO 4217 letters expected, such as eur")
    exponent = CURRENCIES[code].exponent
    major, point, fraction = text.partition(".")
    digits_ok = major.isascii() and major.isdigit() and (not point or (fraction.isascii() and fraction.isdigit()))
    if not digits_ok or len(fraction) > exponent or len(major) > TEXT_DIGITS_MAX:
        raise ValueError(f"amount {text[:40]!r}: a number with at most {exponent} decimals expected for {code}")
    minor = int(major + fraction.ljust(exponent, "0"))
    if not 0 < minor <= AMOUNT_MINOR_MAX:
        raise ValueError(f"amount {text!r}: must be above zero and at most {AMOUNT_MINOR_MAX} minor units")
    return Money(minor, code)
