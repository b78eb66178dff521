"""Whether members have the form of a shape: what is known is kept, `null` is absent, `[]` is an empty object.

Everything that a shape says is laid out once, at import; a refusal names the member and what is expected there,
never what was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from tollhouse.refusal import RequestInvalid

S = TypeVar("S", bound=msgspec.Struct)

# C0, delete and C1: no text for people has them.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
FREE = frozenset({"session_id"})  # a strange one is a session that is not found, never a wrong request

_MISSING = re.compile(r"Object missing required field `([a-z0-9_]+)`")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_INDEX = re.compile(r"\[[0-9]+\]")


class _Sort(Enum):
    TEXT = auto()
    OBJECT = auto()
    OBJECTS = auto()
    TEXTS = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    sort: _Sort
    inner: tuple[_Member, ...] = ()


class Form(Generic[S]):
    """The form of one shape."""

    def __init__(self, shape: type[S]) -> None:
        self.shape = shape
        self._members = _members_of(shape)
        self._expected = dict(_expectations(shape, ""))

    def read(self, members: dict[str, Any]) -> tuple[S, dict[str, Any]]:
        """The shape's values, and the same as plain members. Raises `RequestInvalid`."""
        known = _known(members, self._members, "")
        try:
            return msgspec.convert(known, self.shape), known
        except msgspec.ValidationError as error:
            raise self._refusal(str(error)) from None

    def _refusal(self, message: str) -> RequestInvalid:
        place = _PLACE.search(message)
        path = place.group(1) if place else ""
        if missing := _MISSING.match(message):
            return RequestInvalid(".".join(filter(None, (path, missing.group(1)))), "required")
        return RequestInvalid(path, f"{self._expected[_INDEX.sub('[]', path)]} expected")


def _known(members: dict[str, Any], form: tuple[_Member, ...], prefix: str) -> dict[str, Any]:
    """The members that the form knows and that are not null."""
    kept: dict[str, Any] = {}
    for member in form:
        value = members.get(member.name)
        if value is None:
            continue
        match member.sort:
            case _Sort.TEXT:
                _require_printable(value, prefix + member.name)
            case _Sort.OBJECT:
                value = _object(value, member, prefix + member.name)
            case _Sort.OBJECTS if isinstance(value, list):
                value = [_object(item, member, f"{prefix}{member.name}[{at}]") for at, item in enumerate(value)]
            case _Sort.TEXTS if isinstance(value, list):
                for at, item in enumerate(value):
                    _require_printable(item, f"{prefix}{member.name}[{at}]")
            case _:
                pass
        kept[member.name] = value
    return kept


def _object(value: Any, member: _Member, path: str) -> Any:
    if value == []:
        return {}
    if isinstance(value, dict) and member.inner:
        return _known(value, member.inner, path + ".")
    return value


def _require_printable(value: Any, path: str) -> None:
    if isinstance(value, str) and CONTROL.search(value):
        raise RequestInvalid(path, "text without control characters expected")


def _members_of(shape: type) -> tuple[_Member, ...]:
    info = inspect.type_info(shape)
    assert isinstance(info, inspect.StructType)
    return tuple(_member_of(field) for field in info.fields)


def _member_of(field: inspect.Field) -> _Member:
    match plain_type(field.type)[0]:
        case inspect.StrType():
            return _Member(field.name, _Sort.OTHER if field.name in FREE else _Sort.TEXT)
        case inspect.StructType(cls=inner):
            return _Member(field.name, _Sort.OBJECT, _members_of(inner))
        case inspect.DictType():
            return _Member(field.name, _Sort.OBJECT)
        case inspect.ListType(item_type=item):
            match plain_type(item)[0]:
                case inspect.StructType(cls=inner):
                    return _Member(field.name, _Sort.OBJECTS, _members_of(inner))
                case inspect.StrType():
                    return _Member(field.name, _Sort.TEXTS)
                case _:
                    return _Member(field.name, _Sort.OTHER)
        case _:
            return _Member(field.name, _Sort.OTHER)


def plain_type(type: inspect.Type) -> tuple[inspect.Type, str]:
    """The type without `| None` and without its description, and that description."""
    if isinstance(type, inspect.UnionType):
        (type,) = (one for one in type.types if not isinstance(one, inspect.NoneType))
    if isinstance(type, inspect.Metadata):
        return type.type, (type.extra_json_schema or {}).get("description", "")
    return type, ""


def _expectations(shape: type, path: str) -> list[tuple[str, str]]:
    """What is expected at each path of the shape; indexes are left out of paths."""
    info = inspect.type_info(shape)
    assert isinstance(info, inspect.StructType)
    found = [(path, "an object")]
    for field in info.fields:
        place = f"{path}.{field.name}" if path else field.name
        found += _expected_at(field.type, place)
    return found


def _expected_at(type: inspect.Type, place: str) -> list[tuple[str, str]]:
    plain, description = plain_type(type)
    match plain:
        case inspect.StructType(cls=inner):
            return _expectations(inner, place)
        case inspect.ListType(item_type=item):
            return [*_expected_at(item, place + "[]"), (place, description or "an array")]
        case _:
            return [(place, description or "another value")]
