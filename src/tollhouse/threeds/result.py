"""RReq and RRes: how a challenge ended, from server to server, and that it was heard."""

from __future__ import annotations

from tollhouse.threeds.answer import (
    AUTHENTICATION_VALUE,
    KINDS,
    METHODS,
    REASONS_NEW,
    REASONS_OLD,
    UNPROVEN,
)
from tollhouse.threeds.condition import ALWAYS, PAYMENT, one_of
from tollhouse.threeds.erro import ERRO
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice, Digits, Text
from tollhouse.threeds.nesting import Object
from tollhouse.threeds.objects import (
    CARDHOLDER_INFO,
    CATEGORY,
    DEVICE_BINDING,
    DIRECTORY_ID,
    ECI,
    EXTENSION,
    ISSUER_ID,
    LIST_STATUS,
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    NEW,
    OLD,
    SERVER_ID,
    numbered,
)

_DECIDED = one_of("transStatus", "Y", "N")
_INTERACTIVE_OLD = one_of("authenticationType", "01", "02", "03")
_INTERACTIVE_NEW = one_of("authenticationMethod", *numbered(1, 11), *numbered(13, 16))

RREQ = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    CATEGORY,
    SERVER_ID,
    ISSUER_ID,
    DIRECTORY_ID,
    Field("transStatus", Choice(("Y", "N", "U", "A", "R")), ALWAYS),
    Field("transStatusReason", REASONS_OLD, UNPROVEN, versions=OLD),
    Field("transStatusReason", REASONS_NEW, UNPROVEN, versions=NEW),
    Field("transStatusReasonInfo", Text(256), versions=NEW),
    Field("authenticationValue", AUTHENTICATION_VALUE, PAYMENT & one_of("transStatus", "Y", "A")),
    ECI,
    Field("authenticationType", KINDS, _DECIDED, versions=OLD),
    Field("authenticationMethod", METHODS, _DECIDED, versions=NEW),
    Field("interactionCounter", Digits(2, 2), _INTERACTIVE_OLD, versions=OLD, note="not when decoupled"),
    Field("interactionCounter", Digits(2, 2), _INTERACTIVE_NEW, versions=NEW, note="not when decoupled"),
    Field("challengeCancel", Choice(("01", "03", "04", "05", "06", "07", "08"), scheme=True)),
    Field("challengeErrorReporting", Object("Erro", ERRO), versions=NEW),
    Field("cardholderInfo", CARDHOLDER_INFO, versions=NEW),
    *LIST_STATUS,
    *DEVICE_BINDING,
    *EXTENSION,
)

RRES = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    ISSUER_ID,
    DIRECTORY_ID,
    Field("resultsStatus", Choice(("01", "02", "03"), scheme=True), ALWAYS),
    *EXTENSION,
)
