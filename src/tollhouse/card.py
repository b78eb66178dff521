"""Card numbers, expiry dates, security codes: parse, mask, refuse to print.

Rules of ISO/IEC 7812 (numbers, Luhn) and PCI DSS 3.4.1 (show at most BIN and last four).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

PAN_DIGITS_MIN, PAN_DIGITS_MAX = 12, 19
CVV_DIGITS_MIN, CVV_DIGITS_MAX = 3, 4

# Brand by leading digits, longest prefix first wins: (low, high) of the prefix, brand as the wire spells it.
BRAND_RANGES: tuple[tuple[int, int, str], ...] = (
    (2200, 2204, "mir"),
    (2221, 2720, "mastercard"),
    (300, 305, "diners_club"),
    (3528, 3589, "jcb"),
    (36, 36, "diners_club"),
    (38, 39, "diners_club"),
    (34, 34, "american_express"),
    (37, 37, "american_express"),
    (4, 4, "visa"),
    (51, 55, "mastercard"),
    (6011, 6011, "discover"),
    (62, 62, "unionpay"),
    (644, 649, "discover"),
    (65, 65, "discover"),
    (81, 81, "unionpay"),
    (50, 50, "maestro"),
    (56, 58, "maestro"),
    (6390, 6390, "maestro"),
    (67, 67, "maestro"),
)

_DIGITS = re.compile(r"[0-9]+")


class Secret:
    """A value that must not be printed: `repr` is masked, `str` and formatting raise, `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. The callers of this method are listed in a house test."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def __str__(self) -> str:
        raise TypeError(f"{type(self).__name__} is secret and does not become text; use reveal() where it must")

    def __format__(self, spec: str) -> str:
        raise TypeError(f"{type(self).__name__} is secret and does not become text; use reveal() where it must")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._value == self._value

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"{type(self).__name__} is secret and is not pickled")


class PAN(Secret):
    """A primary account number: 12 to 19 digits that pass the Luhn check."""

    __slots__ = ()

    @property
    def bin(self) -> str:
        return self._value[:6]

    @property
    def last4(self) -> str:
        return self._value[-4:]

    def place_in(self, sorted_bounds: Sequence[str]) -> int:
        """How many of these bounds lie at or before this number; each is a length in two digits, then digits."""
        return bisect_right(sorted_bounds, f"{len(self._value):02d}{self._value}")

    def __repr__(self) -> str:
        return f"PAN({mask(self._value)})"


class CVV(Secret):
    """The three or four digits printed on the card."""

    __slots__ = ()


class PANInvalid(ValueError):
    """The card number is not 12 to 19 digits or fails the Luhn check."""


class CardExpired(ValueError):
    """The card's last valid month lies in the past."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The last month in which the card is valid, in full years."""

    year: int
    month: int

    def __post_init__(self) -> None:
        assert 1 <= self.month <= 12 and 2000 <= self.year <= 2099

    def is_past(self, now: datetime) -> bool:
        """Whether the month is over everywhere: issuers' clocks run up to 12 hours behind UTC."""
        return (self.year, self.month) < _month_at(now)

    @property
    def yymm(self) -> str:
        """As ISO 8583 field 14 wants it."""
        return f"{self.year % 100:02d}{self.month:02d}"


def _month_at(now: datetime) -> tuple[int, int]:
    shifted = now.astimezone(UTC).timestamp() - 12 * 3600
    then = datetime.fromtimestamp(shifted, UTC)
    return then.year, then.month


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDetails:
    """What a payer types: kept in memory only as long as the vault needs to take it over.

    Without an expiry it is a number alone, which becomes a token and pays nothing.
    """

    pan: PAN
    expiry: Expiry | None
    cvv: CVV | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedCard:
    """A card that was turned into a token before. `path` is where the request names it."""

    token: str
    path: str = "payment_details.card.tokenized_card.token"


GivenCard = CardDetails | TokenizedCard


class CardIdScope(StrEnum):
    """Where the same card has the same id (wire-api 16, `card_id`)."""

    OFF = "off"
    PROJECT = "project"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardId:
    """Tells a merchant that it is the same card, and nothing else: a keyed hash of number and expiry. Pays nothing."""

    scope: CardIdScope
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCard:
    """What the rest of the house knows of a card in the vault. A number without an expiry has no ids."""

    token: str
    bin: str
    last4: str
    brand: str | None
    fingerprint: str
    expiry: Expiry | None
    ids: tuple[CardId, ...] = ()

    def id_of(self, scope: CardIdScope) -> CardId | None:
        """The card's id in this scope; None where it is off."""
        return next((id for id in self.ids if id.scope is scope), None)


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the right check digit (ISO/IEC 7812-1 annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def luhn_digit(digits: str) -> str:
    """The check digit that makes `digits` + it pass."""
    return next(check for check in "0123456789" if is_luhn(digits + check))


def parse_pan(text: str) -> PAN:
    """A PAN from digits without separators. Raises `PANInvalid`, whose text never holds the number."""
    if not _DIGITS.fullmatch(text) or not PAN_DIGITS_MIN <= len(text) <= PAN_DIGITS_MAX or not is_luhn(text):
        raise PANInvalid
    return PAN(text)


def brand_of(pan: PAN) -> str | None:
    """The scheme by leading digits as the wire spells it; None when no range fits."""
    digits = pan.bin
    best: tuple[int, str] | None = None
    for low, high, brand in BRAND_RANGES:
        width = len(str(low))
        if low <= int(digits[:width]) <= high and (best is None or width > best[0]):
            best = (width, brand)
    return best[1] if best else None


def mask(digits: str) -> str:
    """First six and last four digits with stars between; all stars when shorter than 12."""
    if len(digits) < PAN_DIGITS_MIN:
        return "*" * len(digits)
    return digits[:6] + "*" * (len(digits) - 10) + digits[-4:]
