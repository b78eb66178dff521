"""CReq and CRes: what the payer's browser carries to the issuer's challenge page and back."""

from __future__ import annotations

from tollhouse.threeds.condition import ALWAYS
from tollhouse.threeds.field import Field
from tollhouse.threeds.formats import Choice
from tollhouse.threeds.objects import (
    EXTENSION,
    ISSUER_ID,
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    YES_NO,
    numbered,
)

CREQ = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    ISSUER_ID,
    Field("challengeWindowSize", Choice(numbered(1, 5)), ALWAYS),
    *EXTENSION,
)

CRES = (
    MESSAGE_TYPE,
    MESSAGE_VERSION,
    SERVER_ID,
    ISSUER_ID,
    Field("transStatus", YES_NO, ALWAYS, note="a signal; the RReq decides"),
    *EXTENSION,
)
