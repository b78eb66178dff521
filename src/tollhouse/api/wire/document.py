"""Strict JSON (wire-api 1): UTF-8 without BOM, no member twice, at most 32 levels, no NaN, no lone surrogates.

A number that no member may hold becomes `HUGE`, so that whoever reads the member can say which one it was.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from tollhouse.refusal import RequestInvalid

DEPTH_MAX = 32
INTEGER_MAX = 2**63 - 1
INTEGER_LENGTH_MAX = 20
BOM = b"\xef\xbb\xbf"

# Strings as a whole (one that never ends, up to the end), then brackets: linear on whatever it is given.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NAME = re.compile(r"[a-z_]{1,40}[0-9]?")


class Huge:
    """Stands for a number outside 64 bits, which no member may hold."""


HUGE = Huge()


class _Twice(Exception):
    """A member stands twice in one object."""


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, when it has to be told where a member stands twice."""


def read_json(body: bytes) -> dict[str, Any]:
    """The members of a request's body; `[]` and an empty body are an empty object. Raises `RequestInvalid`."""
    if not body:
        return {}
    text = _text_of(body)
    if (body.count(b"[") + body.count(b"{")) > DEPTH_MAX:
        _require_shallow(text)
    try:
        value = _DECODER.decode(text)
    except _Twice:
        _refuse_twice(text)
    except json.JSONDecodeError as error:
        raise RequestInvalid("", f"the body is not JSON: it goes wrong at character {error.pos}") from None
    if _SURROGATE.search(text):
        _require_whole_characters(value)
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise RequestInvalid("", "the body must be a JSON object")
    return value


def _text_of(body: bytes) -> str:
    if body.startswith(BOM):
        raise RequestInvalid("", "the body must be UTF-8 without a byte order mark")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestInvalid("", f"the body is not UTF-8: it goes wrong at byte {error.start}") from None


def _require_shallow(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise RequestInvalid("", f"the body is nested deeper than {DEPTH_MAX} levels")
        elif mark in "]}":
            depth -= 1


def _require_whole_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=lambda _: None).encode()
    except UnicodeEncodeError:
        raise RequestInvalid("", "the body holds half of a surrogate pair, which is no character") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice
    return members


def _integer(digits: str) -> int | Huge:
    number = int(digits) if len(digits) <= INTEGER_LENGTH_MAX else INTEGER_MAX + 1
    return number if abs(number) <= INTEGER_MAX else HUGE


def _fraction(digits: str) -> float | Huge:
    number = float(digits)
    return number if abs(number) != float("inf") else HUGE


def _no_constant(_: str) -> NoReturn:
    raise RequestInvalid("", "the body is not JSON: NaN and Infinity are no numbers")


_HOOKS: dict[str, Any] = {"parse_int": _integer, "parse_float": _fraction, "parse_constant": _no_constant}
_DECODER = json.JSONDecoder(object_pairs_hook=_object, **_HOOKS)
_PAIRS_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, **_HOOKS)


def _refuse_twice(text: str) -> NoReturn:
    path = _path_of_twice(_PAIRS_DECODER.decode(text)) or ()
    # A name can be anything, a card number included: only what looks like a member of ours is repeated.
    spoken = ".".join(path) if all(_NAME.fullmatch(name) for name in path) else ""
    raise RequestInvalid(spoken, "one value expected, the member stands twice")


def _path_of_twice(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, _ in value:
            if name in seen:
                return (name,)
            seen.add(name)
        return _deeper(value)
    if isinstance(value, list):
        for item in value:
            if (found := _path_of_twice(item)) is not None:
                return found
    return None


def _deeper(pairs: _Pairs) -> tuple[str, ...] | None:
    for name, member in pairs:
        if (found := _path_of_twice(member)) is not None:
            return (name, *found)
    return None
