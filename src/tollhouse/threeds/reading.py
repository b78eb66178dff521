"""Reading a message: JSON, then the tables. What does not fit is refused with the code and names an Erro carries."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.field import Faults, examine, is_empty, known
from tollhouse.threeds.message import Members, MessageRefused, MessageType
from tollhouse.threeds.objects import VERSION_NUMBER
from tollhouse.threeds.tables import HEADER, NAMES, TABLES

BYTES_MAX = 64 * 1024
DEPTH_MAX = 16
_UNNAMED = "(a name of no message)"  # a name that was sent is a text of a stranger and may be anything


def read(
    body: bytes | str,
    *,
    expects: Collection[MessageType],
    versions: Collection[str] = VERSIONS,
    bytes_max: int = BYTES_MAX,
) -> dict[str, Any]:
    """The checked members of a message, without those that no table has. Raises `MessageRefused`."""
    members, twice = _parse(body, bytes_max)
    if not _is_type(members.get("messageType")) or MessageType(members["messageType"]) not in expects:
        _refuse("101", ["messageType"], members)
    if twice:
        _refuse("204", twice, members)
    _check_version(members, versions)
    check(members)
    return known(TABLES[MessageType(members["messageType"]), members["messageVersion"]], members)


def check(members: Members, *, blank: Collection[str] = ()) -> None:
    """The same checks on members at hand. Fields in `blank` are filled later: they count as there and well formed."""
    if not _is_type(members.get("messageType")):
        _refuse("101", ["messageType"], members)
    _check_version(members, VERSIONS)
    faults = Faults()
    table = TABLES[MessageType(members["messageType"]), members["messageVersion"]]
    examine(table, members, faults, blank=blank)
    if faults.missing:
        _refuse("201", faults.missing, members)
    if _has_critical(members.get("messageExtension")):
        _refuse("202", ["messageExtension"], members)
    if faults.wrong:
        _refuse("203", faults.wrong, members)


def accept(members: Members, ids: Mapping[str, str]) -> None:
    """Raises `MessageRefused` 301 naming the ids in which the message differs from what we know."""
    strange = [name for name, value in ids.items() if members.get(name) != value]
    if strange:
        _refuse("301", strange, members)


def header(members: Members) -> dict[str, Any]:
    """Of any members, what an Erro repeats: ids, type and version, where well formed."""
    return {name: members[name] for name, form in HEADER.items() if name in members and form.fits(members[name])}


def _refuse(code: str, names: Collection[str], members: Members) -> NoReturn:
    raise MessageRefused(code, ",".join(names), header(members))


def _parse(body: bytes | str, bytes_max: int) -> tuple[dict[str, Any], list[str]]:
    """The members and the names given twice. What cannot be read is refused without the body in any traceback."""
    twice: list[str] = []

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            shown = name if name in NAMES else _UNNAMED
            if name in found and shown not in twice:
                twice.append(shown)
            found[name] = value
        return found

    value: Any = None
    if 0 < len(body) <= bytes_max:
        try:
            text = body if isinstance(body, str) else body.decode("utf-8")
            value = json.loads(text, object_pairs_hook=gather, parse_constant=_no_number)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict) or _is_deep(value):
        _refuse("101", ["message"], {})
    return value, twice


def _no_number(_: str) -> NoReturn:
    """NaN and the infinities are no JSON, although Python reads them."""
    raise ValueError("not a number")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _is_type(value: Any) -> bool:
    return isinstance(value, str) and value in MessageType.__members__.values()


def _check_version(members: Members, versions: Collection[str]) -> None:
    version = members.get("messageVersion")
    if is_empty(version):
        _refuse("201", ["messageVersion"], members)
    if not VERSION_NUMBER.fits(version):
        _refuse("203", ["messageVersion"], members)
    if version not in versions or version not in VERSIONS:
        _refuse("102", [known for known in VERSIONS if known in versions], members)


def _has_critical(extensions: Any) -> bool:
    """We know no extension, so each one that is critical is one too many."""
    return isinstance(extensions, list) and any(
        isinstance(one, dict) and one.get("criticalityIndicator") is True for one in extensions
    )
