"""Writing a message: of what is offered, what the table of this message and version has a place for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.field import Table, known
from tollhouse.threeds.message import Component, Members, MessageRefused, MessageType
from tollhouse.threeds.nesting import Array
from tollhouse.threeds.reading import check
from tollhouse.threeds.tables import TABLES

DETAIL_MAX = 2048
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def compose(
    type: MessageType, version: str, offered: Mapping[str, Any], *, blank: Collection[str] = ()
) -> dict[str, Any]:
    """A message that fits its table. What the table has no place for, and None, is left out.

    One value offered where this version has a list becomes a list of one, and a list of one becomes its value where
    this version has a single value. Fields in `blank` are filled later: they may hold anything, or nothing.
    A message of ours that breaks the table is a bug: AssertionError.
    """
    table = TABLES[type, version]
    members = known(table, _listed(table, {**offered, "messageType": type.value, "messageVersion": version}))
    try:
        check(members, blank=blank)
        broken = ""
    except MessageRefused as refused:
        broken = str(refused)
    assert not broken, f"our {type.value} {version} breaks its table: {broken}"
    return members


def compose_erro(refused: MessageRefused, *, component: Component, version: str | None = None) -> dict[str, Any]:
    """The Erro that says why a message was refused, in that message's version if we speak it, else in our newest."""
    said = refused.members.get("messageVersion")
    about = refused.members.get("messageType")
    ids = {name: value for name, value in refused.members.items() if name.endswith("TransID")}
    return compose(
        MessageType.ERRO,
        version or (said if said in VERSIONS else VERSIONS[-1]),
        {
            **ids,
            "errorCode": refused.code,
            "errorComponent": component.value,
            "errorDescription": refused.description,
            "errorDetail": refused.detail[:DETAIL_MAX],
            "errorMessageType": about if about != MessageType.ERRO else None,
        },
    )


def pack(members: Members) -> str:
    """JSON in base64url without padding, as browsers carry it: `creq`, `cres`, `threeDSMethodData`."""
    raw = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def unpack(text: str) -> bytes:
    """What `pack` packed, padded or not. Raises `MessageRefused` 101 when it is neither."""
    bare = text.rstrip("=")
    if not _BASE64URL.fullmatch(text) or len(bare) % 4 == 1:
        raise MessageRefused("101", "message", {})
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


def _listed(table: Table, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Single values and lists of one in the shape that this version has."""
    shaped = dict(offered)
    for row in table:
        value = shaped.get(row.name)
        if value is None:
            continue
        if isinstance(row.format, Array) and not isinstance(value, list):
            shaped[row.name] = [value]
        elif not isinstance(row.format, Array) and isinstance(value, list) and len(value) == 1:
            shaped[row.name] = value[0]
    return shaped
