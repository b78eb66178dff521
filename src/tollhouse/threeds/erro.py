"""Erro: why a message was refused."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice, Digits, Text, Uuid
from tollhouse.threeds.message import Component, MessageType
from tollhouse.threeds.objects import MESSAGE_TYPE, MESSAGE_VERSION, TYPES

ERRO = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    Field("threeDSServerTransID", Uuid()),
    Field("acsTransID", Uuid()),
    Field("dsTransID", Uuid()),
    Field("sdkTransID", Uuid()),
    Field("errorCode", Digits(3, 3), ALWAYS),
    Field("errorComponent", Choice(tuple(sorted(one.value for one in Component))), ALWAYS),
    Field("errorDescription", Text(2048, lines=True), ALWAYS),
    Field("errorDetail", Text(2048, lines=True), ALWAYS),
    Field(
        "errorMessageType",
        Choice(tuple(one for one in TYPES if one != MessageType.ERRO.value)),
        note="absent when the type could not be told",
    ),
)
