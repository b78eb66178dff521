"""The ISO 8583:1987 dialect spoken with acquirers: which fields, how long, and their packing by pyiso8583.

ASCII throughout, binary bitmaps written as they are, a two-byte big-endian length before each message.

| field | name                                  | note                                                         |
|-------|---------------------------------------|--------------------------------------------------------------|
| 2     | PAN                                   | filled by the vault                                          |
| 3     | processing code                       | 000000 sale and authorization, 200000 refund                 |
| 4     | amount                                | 12 digits, minor units                                       |
| 7     | transmission date and time            | MMDDhhmmss, UTC                                              |
| 11    | STAN                                  | 6 digits                                                     |
| 12,13 | local time, date                      | hhmmss, MMDD (UTC)                                           |
| 14    | expiry                                | YYMM, filled by the vault                                    |
| 22    | point of service entry mode           | 812: electronic commerce, no PIN entry                       |
| 25    | point of service condition            | 59: electronic commerce                                      |
| 37    | RRN                                   | 12 alphanumerics                                             |
| 38    | approval code                         | answers                                                      |
| 39    | response code                         | answers                                                      |
| 41    | terminal                              | 8                                                            |
| 42    | card acceptor                         | 15                                                           |
| 48    | additional data                       | tag (2) length (2) value, repeated; see below                |
| 49    | currency                              | ISO 4217 numeric                                             |
| 70    | network management code               | 001 sign-on, 002 sign-off, 301 echo                          |
| 90    | original data elements                | MTI 4, STAN 6, DE7 10, acquirer 11, forwarder 11             |

| tag of 48 | what                                                                              |
|-----------|-----------------------------------------------------------------------------------|
| 37        | RRN of the original: what a completion captures or a refund gives back            |
| 42        | ECI, 2 characters                                                                 |
| 43        | authentication value, 28 characters of base64                                     |
| 44        | DS transaction id, 36                                                             |
| 45        | version of 3-D Secure, 5                                                          |
| 46        | exemption claimed instead of an authentication: 05 TRA, 10 low value, 11 corporate |
| 92        | CVV, put there by the vault                                                       |
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import iso8583
from iso8583.specs import default_ascii

SPEC: dict[str, Any] = deepcopy(default_ascii)
SPEC["p"]["data_enc"] = "b"
SPEC["p"]["max_len"] = 8
SPEC["1"]["data_enc"] = "b"
SPEC["1"]["max_len"] = 8

LENGTH_BYTES = 2
TAG_CVV = "92"
TAG_ORIGINAL_RRN = "37"
TAG_ECI = "42"
TAG_AUTHENTICATION_VALUE = "43"
TAG_DS_TRANSACTION_ID = "44"
TAG_THREEDS_VERSION = "45"
TAG_EXEMPTION = "46"

PROCESSING_SALE = "000000"
PROCESSING_REFUND = "200000"
ENTRY_MODE_ECOMMERCE = "812"
CONDITION_ECOMMERCE = "59"

SIGN_ON, SIGN_OFF, ECHO = "001", "002", "301"


class Garbled(ValueError):
    """Bytes that are not a message of this dialect. Never holds the bytes: they may hold card data."""


def pack(mti: str, fields: Mapping[str, str]) -> bytes:
    """The message without its length bytes. Raises `Garbled` where a field does not fit the dialect."""
    try:
        raw, _ = iso8583.encode({"t": mti, **fields}, SPEC)
    except iso8583.EncodeError as problem:
        raise Garbled(f"field {problem.field}: {problem.msg}") from None
    return bytes(raw)


def unpack(raw: bytes) -> dict[str, str]:
    """Fields by number, the MTI under `t`. Raises `Garbled`, which names the field and never its value."""
    try:
        decoded, _ = iso8583.decode(raw, SPEC)
    except iso8583.DecodeError as problem:
        raise Garbled(f"field {problem.field}: cannot be read") from None
    except (ValueError, KeyError, IndexError):
        raise Garbled("not a message") from None
    return {key: value for key, value in decoded.items() if key not in ("h", "p", "bm", "1")}


def pack_tags(tags: Mapping[str, str]) -> str:
    """Field 48 from its tags."""
    return "".join(f"{tag}{len(value):02d}{value}" for tag, value in tags.items())


def unpack_tags(text: str) -> dict[str, str]:
    """Tags of field 48. Raises `Garbled` when lengths and text disagree."""
    tags: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, length = text[at : at + 2], text[at + 2 : at + 4]
        if len(tag) < 2 or not (len(length) == 2 and length.isascii() and length.isdigit()):
            raise Garbled("field 48: broken tag")
        value = text[at + 4 : at + 4 + int(length)]
        if len(value) < int(length):
            raise Garbled("field 48: a tag is longer than the field")
        tags[tag] = value
        at += 4 + int(length)
    return tags


def match_key(fields: Mapping[str, str]) -> tuple[str, str, str, str]:
    """What an answer is matched on: DE7, DE11, DE37, DE41 (money-safety 2)."""
    return (fields.get("7", ""), fields.get("11", ""), fields.get("37", ""), fields.get("41", "").strip())
