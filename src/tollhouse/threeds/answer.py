"""ARes: what the issuer says at once."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS, one_of
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Base64, Choice, Text, Url
from tollhouse.threeds.nesting import Array
from tollhouse.threeds.objects import (
    BROADCAST,
    CARDHOLDER_INFO,
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
    SECURITY_CODE_STATUS,
    SERVER_ID,
    YES_NO,
    numbered,
)

AUTHENTICATION_VALUE = Base64(28, bytes_exact=20)
METHODS = Array(Choice(numbered(1, 16), scheme=True), most=99)
KINDS = Choice(numbered(1, 4), scheme=True)
REASONS_OLD = Choice(numbered(1, 26), scheme=True)
REASONS_NEW = Choice(numbered(1, 30), scheme=True)
UNPROVEN = one_of("transStatus", "N", "U", "R")
CHALLENGE = one_of("transStatus", "C", "D")

ARES = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    ISSUER_ID,
    DIRECTORY_ID,
    Field("acsReferenceNumber", Text(32), ALWAYS),
    Field("acsOperatorID", Text(32), note="some directory servers require it"),
    Field("dsReferenceNumber", Text(32), ALWAYS),
    Field("transStatus", Choice(("Y", "N", "U", "A", "C", "D", "R", "I")), ALWAYS),
    Field("transStatusReason", REASONS_OLD, UNPROVEN, versions=OLD),
    Field("transStatusReason", REASONS_NEW, UNPROVEN, versions=NEW),
    Field("transStatusReasonInfo", Text(256), versions=NEW),
    Field("authenticationValue", AUTHENTICATION_VALUE, one_of("transStatus", "Y", "A")),
    ECI,
    Field("acsURL", Url(), one_of("transStatus", "C"), note="where the CReq goes"),
    Field("acsChallengeMandated", YES_NO, CHALLENGE),
    Field("acsDecConInd", YES_NO, one_of("transStatus", "D")),
    Field("authenticationType", KINDS, CHALLENGE, versions=OLD),
    Field("authenticationMethod", METHODS, CHALLENGE, versions=NEW),
    Field("cardholderInfo", Text(128, lines=True), versions=OLD),
    Field("cardholderInfo", CARDHOLDER_INFO, versions=NEW),
    Field("transChallengeExemption", Choice(("05", "08", "10", "11", "79"), scheme=True), versions=NEW),
    *LIST_STATUS,
    *DEVICE_BINDING,
    *SECURITY_CODE_STATUS,
    BROADCAST,
    *EXTENSION,
)
