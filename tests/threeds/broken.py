"""Values that a form must take, and values it must not: built from the limits a form states, not from its check."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from tollhouse.threeds.field import Field, Format
from tollhouse.threeds.formats import (
    Base64,
    Choice,
    Country,
    CurrencyNumber,
    Digits,
    Email,
    Flag,
    Ip,
    Moment,
    Pattern,
    Text,
    Url,
    Uuid,
)
from tollhouse.threeds.nesting import Anything, Array, Object

UUID = "6f1c2a34-8b5d-4e7f-9a01-23456789abcd"
INSTANT = "20261130101500"
NOT_TEXT: tuple[Any, ...] = (7, True, {"inner": "x"})


@singledispatch
def good(form: Format) -> Any:
    """A value of this form."""
    raise TypeError(type(form))


@singledispatch
def broken(form: Format) -> tuple[tuple[str, Any], ...]:
    """Values that are not of this form, each with the way in which it is not. None of them is empty."""
    raise TypeError(type(form))


def _no_text(*more: tuple[str, Any]) -> tuple[tuple[str, Any], ...]:
    return (*((f"a JSON {type(value).__name__}", value) for value in NOT_TEXT), *more)


@good.register
def _(form: Text) -> Any:
    return "ab"[: form.most].ljust(form.least, "c")


@broken.register
def _(form: Text) -> tuple[tuple[str, Any], ...]:
    short = (("too short", "x" * (form.least - 1)),) if form.least > 1 else ()
    bad = (
        ("control character", "\x07" * form.least),
        ("half a surrogate pair", "\ud800" * form.least),
        ("a list", ["x"]),
    )
    return _no_text(("too long", "x" * (form.most + 1)), *short, *bad)


@good.register
def _(form: Digits) -> Any:
    number = form.low or 0
    return f"{number:0{form.least}d}"


@broken.register
def _(form: Digits) -> tuple[tuple[str, Any], ...]:
    ways: list[tuple[str, Any]] = [
        ("too long", "1" * (form.most + 1)),
        ("a letter", "x" * form.least),
        ("digits of another script", "٣" * form.least),
        ("a list", ["1"]),
    ]
    if form.least > 1:
        ways.append(("too short", "1" * (form.least - 1)))
    if form.low:
        ways.append(("too low", f"{form.low - 1:0{form.least}d}"))
    if form.high is not None and len(str(form.high + 1)) <= form.most:
        ways.append(("too high", str(form.high + 1)))
    return _no_text(*ways)


@good.register
def _(form: Choice) -> Any:
    return form.values[0]


@broken.register
def _(form: Choice) -> tuple[tuple[str, Any], ...]:
    ways: list[tuple[str, Any]] = [("not in the list", "~~"), ("a space after", form.values[0] + " ")]
    ways.append(("a list", [form.values[0]]))
    ways.append(("too long", form.values[0] * 3))
    ways.append(("reserved", "79") if form.scheme and "79" not in form.values else ("no value", "?"))
    return _no_text(*ways)


@good.register
def _(form: Pattern) -> Any:
    return form.example


@broken.register
def _(form: Pattern) -> tuple[tuple[str, Any], ...]:
    return _no_text(("other characters", "x" * len(form.example)), ("too long", form.example * 9))


@good.register
def _(form: Flag) -> Any:
    return form.only_true


@broken.register
def _(form: Flag) -> tuple[tuple[str, Any], ...]:
    refused = (("false", False),) if form.only_true else ()
    return (("text", "true"), ("a number", 1), ("an object", {"inner": True}), ("a list", [True]), *refused)


@good.register
def _(form: Uuid) -> Any:
    return UUID


@broken.register
def _(form: Uuid) -> tuple[tuple[str, Any], ...]:
    return _no_text(
        ("without dashes", UUID.replace("-", "")),
        ("too long", UUID + "0"),
        ("other characters", UUID.replace("a", "x")),
        ("in braces", "{" + UUID + "}"),
        ("a list", [UUID]),
    )


@good.register
def _(form: Url) -> Any:
    return "https://example.com/threeds?a=1#b"


@broken.register
def _(form: Url) -> tuple[tuple[str, Any], ...]:
    return _no_text(
        ("too long", "https://example.com/".ljust(form.most + 1, "x")),
        ("no scheme", "example.com/threeds"),
        ("another scheme", "javascript:alert(1)"),
        ("a space", "https://example.com/a b"),
        ("no host", "https://"),
    )


@good.register
def _(form: Ip) -> Any:
    return "2001:db8::7"


@broken.register
def _(form: Ip) -> tuple[tuple[str, Any], ...]:
    return _no_text(("out of range", "256.1.1.1"), ("too short", "1.2.3"), ("a name", "localhost"))


@good.register
def _(form: Email) -> Any:
    return "payer@example.com"


@broken.register
def _(form: Email) -> tuple[tuple[str, Any], ...]:
    return _no_text(("no at", "payer.example.com"), ("too long", "x" * 250 + "@example.com"), ("a space", "a b@c.de"))


@good.register
def _(form: Moment) -> Any:
    return INSTANT[2:6] if form.pattern == "YYMM" else INSTANT[: len(form.pattern)]


@broken.register
def _(form: Moment) -> tuple[tuple[str, Any], ...]:
    value = good(form)
    at = form.pattern.index("M")
    return _no_text(
        ("too long", value + "0"),
        ("too short", value[:-1]),
        ("a letter", "x" + value[1:]),
        ("month 13", value[:at] + "13" + value[at + 2 :]),
        ("month 00", value[:at] + "00" + value[at + 2 :]),
    )


@good.register
def _(form: Country) -> Any:
    return "276"


@broken.register
def _(form: Country) -> tuple[tuple[str, Any], ...]:
    return _no_text(("no country", "901"), ("letters", "DEU"), ("too short", "27"), ("too long", "2760"))


@good.register
def _(form: CurrencyNumber) -> Any:
    return "978"


@broken.register
def _(form: CurrencyNumber) -> tuple[tuple[str, Any], ...]:
    ways = (("gold", "959"), ("none", "999"), ("letters", "EUR"), ("too short", "97"), ("too long", "9780"))
    return _no_text(*ways)


@good.register
def _(form: Base64) -> Any:
    return "A" * 27 + "="


@broken.register
def _(form: Base64) -> tuple[tuple[str, Any], ...]:
    ways = (("too long", "A" * 32), ("too short", "A" * 24), ("other characters", "A" * 26 + "-="))
    return _no_text(*ways, ("no padding", "A" * 27))


@good.register
def _(form: Anything) -> Any:
    return {"inner": "x"}


@broken.register
def _(form: Anything) -> tuple[tuple[str, Any], ...]:
    ways = (("text", "x"), ("a number", 7), ("a list", ["x"]))
    return (*ways, ("too long", {"inner": "x" * form.most}), ("a zero character", {"inner": "\x00"}))


@good.register
def _(form: Array) -> Any:
    return [good(form.item)]


@broken.register
def _(form: Array) -> tuple[tuple[str, Any], ...]:
    ways: list[tuple[str, Any]] = [("text", "x"), ("a number", 7), ("an object", {"inner": "x"})]
    if form.most < 100:
        ways.append(("too many", [good(form.item)] * (form.most + 1)))
    if not isinstance(form.item, Object):
        ways.extend((f"one is {way}", [good(form.item), value]) for way, value in broken(form.item))
    else:
        ways.append(("one is text", [good(form.item), "x"]))
    return tuple(ways)


@good.register
def _(form: Object) -> Any:
    return {row.name: good(row.format) for row in form.table}


@broken.register
def _(form: Object) -> tuple[tuple[str, Any], ...]:
    return (("text", "x"), ("a number", 7), ("a list", ["x"]))


def rows_inside(form: Format) -> tuple[Field, ...]:
    """The rows of an object, or of the objects in a list."""
    inner = form.item if isinstance(form, Array) else form
    return inner.table if isinstance(inner, Object) else ()
