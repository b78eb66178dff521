"""The forms of single values: texts, digits, value lists, dates, addresses. Each checks and tells what it expects."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from tollhouse.threeds.field import Format

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_CONTROL_EXCEPT_NEWLINE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URL = re.compile(r"https?://[^\s/?#\x00-\x20\x7f\ud800-\udfff]+(?:[/?#][^\s\x00-\x20\x7f\ud800-\udfff]*)?")
_EMAIL = re.compile(r"[^\s@\x00-\x20\x7f\ud800-\udfff]+@[^\s@\x00-\x20\x7f\ud800-\udfff]+")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SCHEME_VALUES = re.compile(r"[89][0-9]")  # two digits that each scheme may give a meaning of its own


@dataclass(frozen=True, slots=True)
class Text(Format):
    """Any characters but control characters. Tabs may stand in HTTP headers; `lines` lets newlines through."""

    most: int
    least: int = 1
    lines: bool = False

    def fits(self, value: Any) -> bool:
        """Whether it is a text of a length in the limits."""
        control = _CONTROL_EXCEPT_NEWLINE if self.lines else _CONTROL
        return isinstance(value, str) and self.least <= len(value) <= self.most and not control.search(value)

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"text, {_span(self.least, self.most)} characters"


@dataclass(frozen=True, slots=True)
class Digits(Format):
    """Decimal digits in a text, optionally within bounds as a number."""

    least: int
    most: int
    low: int | None = None
    high: int | None = None

    def fits(self, value: Any) -> bool:
        """Whether it is digits, as many as allowed, within the bounds."""
        if not isinstance(value, str) or not self.least <= len(value) <= self.most:
            return False
        if not (value.isascii() and value.isdigit()):
            return False
        number = int(value)
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    @property
    def text(self) -> str:
        """The form, for people."""
        bounds = f", {self.low or 0}–{self.high}" if self.high is not None else ""
        return f"{_span(self.least, self.most)} digits{bounds}"


@dataclass(frozen=True, slots=True)
class Choice(Format):
    """One of listed values; `scheme` adds 80–99, which the card schemes may use."""

    values: tuple[str, ...]
    scheme: bool = False

    def fits(self, value: Any) -> bool:
        """Whether it is one of them."""
        if not isinstance(value, str):
            return False
        return value in self.values or (self.scheme and SCHEME_VALUES.fullmatch(value) is not None)

    @property
    def text(self) -> str:
        """The form, for people."""
        return ", ".join(f"`{value}`" for value in self.values) + (", `80`–`99`" if self.scheme else "")


@dataclass(frozen=True, slots=True)
class Pattern(Format):
    """A text of a special form."""

    expression: str
    says: str
    example: str

    def fits(self, value: Any) -> bool:
        """Whether all of it has the form."""
        return isinstance(value, str) and re.fullmatch(self.expression, value, re.ASCII) is not None

    @property
    def text(self) -> str:
        """The form, for people."""
        return self.says


@dataclass(frozen=True, slots=True)
class Flag(Format):
    """A JSON boolean; `only_true` where no is said by absence."""

    only_true: bool = False

    def fits(self, value: Any) -> bool:
        """Whether it is a boolean that may stand here."""
        return value is True or (value is False and not self.only_true)

    @property
    def text(self) -> str:
        """The form, for people."""
        return "boolean `true`" if self.only_true else "boolean"


@dataclass(frozen=True, slots=True)
class Uuid(Format):
    """A UUID in its canonical form, of any kind."""

    def fits(self, value: Any) -> bool:
        """Whether it is one."""
        return isinstance(value, str) and _UUID.fullmatch(value) is not None

    @property
    def text(self) -> str:
        """The form, for people."""
        return "UUID"


@dataclass(frozen=True, slots=True)
class Url(Format):
    """A whole web address."""

    most: int = 2048

    def fits(self, value: Any) -> bool:
        """Whether it is one, not too long."""
        return isinstance(value, str) and len(value) <= self.most and _URL.fullmatch(value) is not None

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"URL, at most {self.most} characters"


@dataclass(frozen=True, slots=True)
class Ip(Format):
    """An IPv4 or IPv6 address."""

    def fits(self, value: Any) -> bool:
        """Whether it is one."""
        if not isinstance(value, str) or len(value) > 45 or "%" in value:
            return False
        try:
            ipaddress.ip_address(value)
        except ValueError:
            return False
        return True

    @property
    def text(self) -> str:
        """The form, for people."""
        return "IPv4 or IPv6 address"


@dataclass(frozen=True, slots=True)
class Email(Format):
    """An email address, looked at no closer than its one @."""

    def fits(self, value: Any) -> bool:
        """Whether it looks like one."""
        return isinstance(value, str) and len(value) <= 254 and _EMAIL.fullmatch(value) is not None

    @property
    def text(self) -> str:
        """The form, for people."""
        return "email address, at most 254 characters"


@dataclass(frozen=True, slots=True)
class Moment(Format):
    """A date, with or without a time: the pattern's letters say which digits stand where."""

    pattern: str

    def fits(self, value: Any) -> bool:
        """Whether it is digits of a day (and time) that the calendar has."""
        if not isinstance(value, str) or len(value) != len(self.pattern) or not (value.isascii() and value.isdigit()):
            return False
        year_digits = self.pattern.count("Y")
        parts = [int(value[at : at + 2]) for at in range(year_digits, len(value), 2)]
        month, day, hour, minute, second = (*parts, *(1, 1, 0, 0, 0)[len(parts) :])
        if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] and hour < 24 and minute < 60 and second < 60):
            return False
        year = int(value[:year_digits])
        return (month, day) != (2, 29) or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"{self.pattern}"


@dataclass(frozen=True, slots=True)
class Country(Format):
    """ISO 3166-1 numeric, without the codes that are no country."""

    def fits(self, value: Any) -> bool:
        """Whether it may be a country."""
        return Digits(3, 3, low=1, high=900).fits(value)

    @property
    def text(self) -> str:
        """The form, for people."""
        return "ISO 3166-1 numeric, 3 digits, not above 900"


@dataclass(frozen=True, slots=True)
class CurrencyNumber(Format):
    """ISO 4217 numeric, without metals, funds and test codes."""

    def fits(self, value: Any) -> bool:
        """Whether it may be a currency."""
        return Digits(3, 3, low=1, high=998).fits(value) and not 955 <= int(value) <= 964

    @property
    def text(self) -> str:
        """The form, for people."""
        return "ISO 4217 numeric, 3 digits, not `955`–`964`, not `999`"


@dataclass(frozen=True, slots=True)
class Base64(Format):
    """Bytes in base64 with padding; with `bytes_exact`, as many as that."""

    most: int
    bytes_exact: int | None = None

    def fits(self, value: Any) -> bool:
        """Whether it can be decoded and has the right length."""
        if not isinstance(value, str) or not 0 < len(value) <= self.most:
            return False
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
        return self.bytes_exact is None or len(raw) == self.bytes_exact

    @property
    def text(self) -> str:
        """The form, for people."""
        exact = f" of {self.bytes_exact} bytes" if self.bytes_exact is not None else ""
        return f"base64{exact}, at most {self.most} characters"


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least}–{most}"
