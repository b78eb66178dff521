"""What is said of 3-D Secure messages before any table: their types, versions, speakers, and how one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

Members = Mapping[str, Any]

# By `errorCode`. The tables refuse with 101, 102, 201–204 and 301; the others are for those who carry messages.
DESCRIPTIONS: Mapping[str, str] = {
    "101": "Not a message that is expected here",
    "102": "Message version not supported",
    "103": "Too many messages",
    "201": "Required element missing or empty",
    "202": "Critical message extension not recognised",
    "203": "Format, length or value of an element is wrong",
    "204": "Element given twice",
    "205": "Card ranges overlap",
    "206": "Action impossible for a card range",
    "207": "Reserved value not recognised",
    "301": "Transaction ID not recognised",
    "302": "Data cannot be decrypted",
    "303": "Access denied",
    "304": "ISO code not valid",
    "305": "Data of the payment not valid",
    "306": "Merchant category code not valid",
    "307": "Serial number not valid",
    "402": "No answer in time",
    "403": "Passing failure",
    "404": "Lasting failure",
    "405": "Connection failed",
}


class MessageType(StrEnum):
    """The messages, by what `messageType` says."""

    AREQ = "AReq"
    ARES = "ARes"
    CREQ = "CReq"
    CRES = "CRes"
    RREQ = "RReq"
    RRES = "RRes"
    PREQ = "PReq"
    PRES = "PRes"
    ERRO = "Erro"


class Component(StrEnum):
    """Who found an error: `errorComponent`."""

    SERVER = "S"
    DIRECTORY = "D"
    ISSUER = "A"
    CLIENT = "C"


class MessageRefused(Exception):
    """A message that breaks the tables. Names fields and never holds a value of them, except the well-formed ids.

    `members` keeps, of what could be read, what an Erro repeats: ids, type and version, each only where well formed.
    """

    def __init__(self, code: str, detail: str, members: Members) -> None:
        self.code = code
        self.description = DESCRIPTIONS[code]
        self.detail = detail
        self.members = members
        super().__init__(f"{code} {self.description}: {detail}")
