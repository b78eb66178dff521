"""All tables: the fields of each message in each version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.answer import ARES
from tollhouse.threeds.challenge import CREQ, CRES
from tollhouse.threeds.erro import ERRO
from tollhouse.threeds.field import Field, Format, Table, at
from tollhouse.threeds.formats import Choice, Uuid
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.nesting import Array, Object
from tollhouse.threeds.objects import TYPES, VERSION_NUMBER
from tollhouse.threeds.preparation import PREQ, PRES
from tollhouse.threeds.request import AREQ
from tollhouse.threeds.result import RREQ, RRES

_MESSAGES: Mapping[MessageType, Table] = {
    MessageType.AREQ: AREQ,
    MessageType.ARES: ARES,
    MessageType.CREQ: CREQ,
    MessageType.CRES: CRES,
    MessageType.RREQ: RREQ,
    MessageType.RRES: RRES,
    MessageType.PREQ: PREQ,
    MessageType.PRES: PRES,
    MessageType.ERRO: ERRO,
}


def _table(type: MessageType, version: str) -> Table:
    """The rows of one message in one version, whose type and version can be no other."""
    own = {"messageType": Choice((type.value,)), "messageVersion": Choice((version,))}
    return tuple(replace(row, format=own.get(row.name, row.format)) for row in at(version, _MESSAGES[type]))


TABLES: Mapping[tuple[MessageType, str], Table] = {
    (type, version): _table(type, version) for type in MessageType for version in VERSIONS
}

# What an Erro repeats of the message it is about.
HEADER: Mapping[str, Format] = {
    "threeDSServerTransID": Uuid(),
    "acsTransID": Uuid(),
    "dsTransID": Uuid(),
    "sdkTransID": Uuid(),
    "messageType": Choice(TYPES),
    "messageVersion": VERSION_NUMBER,
}


def _names(fields: Iterable[Field]) -> set[str]:
    found: set[str] = set()
    for row in fields:
        found.add(row.name)
        form = row.format.item if isinstance(row.format, Array) else row.format
        if isinstance(form, Object):
            found |= _names(form.table)
    return found


NAMES: frozenset[str] = frozenset(name for table in TABLES.values() for name in _names(table))
