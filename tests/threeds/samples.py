"""Messages that are right, and messages that are wrong in one place, generated from the tables."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.threeds.broken import broken, good, rows_inside
from tollhouse.threeds.field import Field, Format, placed
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.tables import TABLES

PAN = "4000000000001000"
EXTENSION = {"name": "n", "id": "A000000802-001", "criticalityIndicator": False, "data": {"inner": "x"}}

# Situations of a message: what decides its conditions. The first is the one that `sample` shows.
SITUATIONS: dict[MessageType, tuple[dict[str, Any], ...]] = {
    MessageType.AREQ: (
        {"deviceChannel": "02", "messageCategory": "01", "browserJavascriptEnabled": True},
        {"deviceChannel": "02", "messageCategory": "01", "threeDSRequestorAuthenticationInd": "03"},
        {"deviceChannel": "02", "messageCategory": "01", "browserJavascriptEnabled": False},
        {"deviceChannel": "02", "messageCategory": "02", "threeDSRequestorAuthenticationInd": "04"},
        {"deviceChannel": "02", "messageCategory": "02", "threeDSRequestorAuthenticationInd": "02"},
        {"deviceChannel": "03", "messageCategory": "01", "threeRIInd": "01"},
        {"deviceChannel": "03", "messageCategory": "02", "threeRIInd": "03"},
    ),
    MessageType.ARES: tuple({"transStatus": status} for status in ("Y", "C", "D", "A", "N", "U", "R", "I")),
    MessageType.RREQ: tuple(
        {"transStatus": status, "messageCategory": category}
        for category in ("01", "02")
        for status in ("Y", "N", "U", "A", "R")
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A message and how it must be received: `code` is empty where it is accepted, `names` the fields in the detail."""

    name: str
    members: dict[str, Any]
    code: str
    names: tuple[str, ...] = ()


def sample(
    type: MessageType, version: str, *, channel: str = "02", optional: bool = False, **seed: Any
) -> dict[str, Any]:
    """A well-formed message with all that its situation needs, and with all that it may have, if asked.

    `channel` matters to an AReq only. `seed` sets members that decide about others, such as `transStatus`.
    """
    situations = SITUATIONS.get(type, ({},))
    fitting = (one for one in situations if one.get("deviceChannel", channel) == channel)
    return _filled(type, version, {**next(fitting), **seed}, optional=optional)


def cases(type: MessageType, version: str) -> Iterator[Case]:
    """All cases of one message in one version, each named once."""
    seen: set[str] = set()
    for situation in SITUATIONS.get(type, ({},)):
        lean = _filled(type, version, situation, optional=False)
        full = _filled(type, version, situation, optional=True)
        for case in (*_accepted(lean, full), *_missing(type, lean), *_wrong(type, full), *_head(lean)):
            if case.name not in seen:
                seen.add(case.name)
                yield case


def _filled(type: MessageType, version: str, situation: dict[str, Any], *, optional: bool) -> dict[str, Any]:
    """Members are added until nothing more is needed: one that is added may make another due."""
    members: dict[str, Any] = {"messageType": type.value, "messageVersion": version, **copy.deepcopy(situation)}
    grew = True
    while grew:
        grew = False
        for row in list(placed(TABLES[type, version], members)):
            if row.name not in members and (optional or row.needed.met(members)):
                members[row.name] = _value(row)
                grew = True
    return members


def _value(row: Field) -> Any:
    if row.name == "messageExtension":
        return [copy.deepcopy(EXTENSION)]
    if row.name == "acctNumber":
        return PAN
    return good(row.format)


def _accepted(lean: dict[str, Any], full: dict[str, Any]) -> Iterator[Case]:
    told = (name for name in ("deviceChannel", "messageCategory", "transStatus") if name in lean)
    label = ", ".join(f"{name} {lean[name]}" for name in told)
    yield Case(f"accepted: what is needed ({label})", lean, "")
    yield Case(f"accepted: all there is ({label})", full, "")
    yield Case("accepted: unknown members", {**lean, "unheardOf": 1, "another": {"inner": [None]}}, "")
    if "messageExtension" in full:
        yield Case("accepted: extension that is not critical", {**lean, "messageExtension": [EXTENSION]}, "")
        critical = [{**EXTENSION, "criticalityIndicator": True}]
        yield Case("critical extension", {**lean, "messageExtension": critical}, "202", ("messageExtension",))


def _missing(type: MessageType, lean: dict[str, Any]) -> Iterator[Case]:
    table = TABLES[type, lean["messageVersion"]]
    for row in placed(table, lean):
        if row.name == "messageType" or not row.needed.met(lean):
            continue
        left = {name: value for name, value in lean.items() if name != row.name}
        yield Case(f"missing: {row.name}", left, "201", (row.name,))
        yield Case(f"empty: {row.name}", {**lean, row.name: ""}, "201", (row.name,))
        yield Case(f"null: {row.name}", {**lean, row.name: None}, "201", (row.name,))


def _wrong(type: MessageType, full: dict[str, Any]) -> Iterator[Case]:
    for row in placed(TABLES[type, full["messageVersion"]], full):
        if row.name in ("messageType", "messageVersion"):
            continue
        for way, value in broken(row.format):
            yield Case(f"{row.name}: {way}", {**full, row.name: value}, "203", (row.name,))
        if not row.needed.met(full):
            yield Case(f"{row.name}: empty though optional", {**full, row.name: ""}, "203", (row.name,))
        yield from _inside(full, row.format, (row.name,))


def _inside(full: dict[str, Any], form: Format, path: tuple[str, ...]) -> Iterator[Case]:
    """What is missing or wrong within objects, at any depth."""
    name = ".".join(path)
    for row in rows_inside(form):
        dotted = f"{name}.{row.name}"
        if row.needed.met({}):
            yield Case(f"missing: {dotted}", _with(full, path, row.name, ...), "201", (dotted,))
        for way, value in broken(row.format):
            yield Case(f"{dotted}: {way}", _with(full, path, row.name, value), "203", (dotted,))
        yield from _inside(full, row.format, (*path, row.name))


def _with(full: dict[str, Any], path: tuple[str, ...], name: str, value: Any) -> dict[str, Any]:
    """A copy in which one nested member is another value, or gone (`...`)."""
    changed = copy.deepcopy(full)
    at: Any = changed
    for part in path:
        at = at[part]
        at = at[0] if isinstance(at, list) else at
    if value is ...:
        del at[name]
    else:
        at[name] = value
    return changed


def _head(lean: dict[str, Any]) -> Iterator[Case]:
    yield Case("unknown messageType", {**lean, "messageType": "XReq"}, "101", ("messageType",))
    yield Case("messageType of no text", {**lean, "messageType": 7}, "101", ("messageType",))
    yield Case("no messageType", {name: lean[name] for name in lean if name != "messageType"}, "101", ("messageType",))
    for version in ("2.1.0", "9.9.9"):
        yield Case(f"version {version}", {**lean, "messageVersion": version}, "102", ("2.2.0", "2.3.1"))
    for version in ("2.2", "v2.2.0", 2.2, ["2.2.0"], "2.2.0.0.0"):
        yield Case(f"version {version!r}", {**lean, "messageVersion": version}, "203", ("messageVersion",))
    if "deviceChannel" in lean:
        yield Case("app channel", {**lean, "deviceChannel": "01"}, "203", ("deviceChannel",))
    several = {name: value for name, value in lean.items() if name not in ("threeDSServerTransID", "acsTransID")}
    gone = tuple(name for name in lean if name in ("threeDSServerTransID", "acsTransID"))
    if lean["messageType"] != "Erro":
        yield Case("several missing", several, "201", gone)
