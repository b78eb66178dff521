"""PReq and PRes: which ranges of cards take part, in which versions, and where their method pages are."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice, Digits, Text, Url
from tollhouse.threeds.nesting import Anything, Array, Object
from tollhouse.threeds.objects import (
    DIRECTORY_ID,
    EXTENSION,
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    NEW,
    OLD,
    SERVER_ID,
    VERSION_NUMBER,
    numbered,
)

RANGES_MAX = 200_000
_INFORMATION = Array(Choice(numbered(1, 4), scheme=True), most=99)
_ACTION = Field("actionInd", Choice(("A", "D", "M")), note="A added (also when absent), D deleted, M modified")
_LIMITS = (Field("startRange", Digits(13, 19), ALWAYS), Field("endRange", Digits(13, 19), ALWAYS))
_VERSIONS = Array(VERSION_NUMBER, most=10)

_RANGE_OLD = Object(
    "card range",
    (
        *_LIMITS,
        _ACTION,
        Field("acsStartProtocolVersion", VERSION_NUMBER, ALWAYS),
        Field("acsEndProtocolVersion", VERSION_NUMBER, ALWAYS),
        Field("dsStartProtocolVersion", VERSION_NUMBER),
        Field("dsEndProtocolVersion", VERSION_NUMBER),
        Field("acsInfoInd", _INFORMATION),
        Field("threeDSMethodURL", Url(256)),
    ),
)

_SUPPORTED_EXTENSION = Object("supported extension", (Field("id", Text(64), ALWAYS), Field("version", Text(8), ALWAYS)))
_PROTOCOL_VERSION = Object(
    "version of the issuer",
    (
        Field("version", VERSION_NUMBER, ALWAYS),
        Field("acsInfoInd", _INFORMATION),
        Field("threeDSMethodURL", Url(256)),
        Field("supportedMsgExt", Array(_SUPPORTED_EXTENSION, most=15)),
    ),
)
_RANGE_NEW = Object(
    "card ranges",
    (
        Field("ranges", Array(Object("range", _LIMITS), most=RANGES_MAX), ALWAYS),
        _ACTION,
        Field("acsProtocolVersions", Array(_PROTOCOL_VERSION, most=10), ALWAYS),
        Field("dsProtocolVersions", _VERSIONS),
    ),
)

PREQ = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    Field("threeDSServerRefNumber", Text(32), ALWAYS),
    Field("threeDSServerOperatorID", Text(32), note="some directory servers require it"),
    Field("serialNum", Text(20), note="of the PRes that is known; without it all ranges come"),
    Field("cardRangeDataDownloadInd", Choice(("Y",)), versions=NEW),
    *EXTENSION,
)

PRES = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    DIRECTORY_ID,
    Field("serialNum", Text(20)),
    Field("dsStartProtocolVersion", VERSION_NUMBER, ALWAYS, versions=OLD),
    Field("dsEndProtocolVersion", VERSION_NUMBER, ALWAYS, versions=OLD),
    Field("dsProtocolVersions", _VERSIONS, ALWAYS, versions=NEW),
    Field("cardRangeData", Array(_RANGE_OLD, most=RANGES_MAX), versions=OLD, note="absent: nothing changed"),
    Field("cardRangeData", Array(_RANGE_NEW, most=RANGES_MAX), versions=NEW, note="absent: nothing changed"),
    Field("cardRangeDataFileURL", Url(), versions=NEW),
    Field("readOrder", Choice(("01", "02")), versions=NEW),
    Field("dsUrlList", Array(Anything(4096), most=99), versions=NEW),
    *EXTENSION,
)
