"""PReq out of what we want, card ranges out of a PRes: the only place that knows how the wire names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.authentication import VERSIONS
from tollhouse.card_range import Action, CardRange
from tollhouse.threeds.message import Component, MessageRefused, MessageType
from tollhouse.threeds.reading import accept, read
from tollhouse.threeds.translate import REQUESTOR_ID, SERVER_REFERENCE
from tollhouse.threeds.writing import compose, compose_erro

BYTES_MAX = 4 * 1024 * 1024
DESCRIPTION_LENGTH_MAX = 100
ACTIONS = {"A": Action.ADDED, "M": Action.CHANGED, "D": Action.REMOVED}
VERSION_UNKNOWN, SERIAL_UNKNOWN = "102", "307"


class ErrorAnswered(Exception):
    """The directory server answered with an error message. `code` is the protocol's."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        super().__init__(f"the directory server answered error {code}: {description[:DESCRIPTION_LENGTH_MAX]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesAnswer:
    """What a directory server says of its ranges, and the serial number of that state."""

    serial: str | None
    said: tuple[tuple[Action, CardRange], ...]


def ask_ranges(version: str, *, id: str, serial: str | None) -> dict[str, Any]:
    """The PReq for what changed since a serial number, or for all ranges."""
    offered = {
        "threeDSServerTransID": id,
        "threeDSServerRefNumber": SERVER_REFERENCE,
        "threeDSServerOperatorID": REQUESTOR_ID,
        "serialNum": serial,
    }
    return compose(MessageType.PREQ, version, offered)


def read_ranges(body: bytes, *, id: str) -> RangesAnswer:
    """The answer to the PReq of this id. Raises `MessageRefused`, `ErrorAnswered`."""
    members = read(body, expects={MessageType.PRES, MessageType.ERRO}, bytes_max=BYTES_MAX)
    if members["messageType"] == MessageType.ERRO:
        raise ErrorAnswered(members["errorCode"], members["errorDescription"])
    accept(members, {"threeDSServerTransID": id})
    speaks = _directory_versions(members, otherwise=VERSIONS)
    said = tuple(change for entry in members.get("cardRangeData", ()) for change in _changes(entry, speaks))
    return RangesAnswer(serial=members.get("serialNum"), said=said)


def refuse_ranges(refused: MessageRefused, version: str) -> dict[str, Any]:
    """The Erro that tells the directory server what was wrong with its PRes."""
    return compose_erro(refused, component=Component.SERVER, version=version)


def _changes(entry: Mapping[str, Any], directory_versions: tuple[str, ...]) -> Iterator[tuple[Action, CardRange]]:
    """One entry: 2.2.0 has a range in it, 2.3.1 has a list of ranges that are alike."""
    action = ACTIONS[entry.get("actionInd", "A")]
    issuers = _issuer_versions(entry)
    speaks = _directory_versions(entry, otherwise=directory_versions)
    versions = tuple(version for version in VERSIONS if version in issuers and version in speaks)
    newest: Mapping[str, Any] = issuers[versions[-1]] if versions else {}
    for limits in entry.get("ranges", (entry,)):
        yield (
            action,
            CardRange(
                first=limits["startRange"],
                last=limits["endRange"],
                versions=versions,
                method_url=newest.get("threeDSMethodURL"),
                info=tuple(newest.get("acsInfoInd", ())),
            ),
        )


def _issuer_versions(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The versions in which the issuer speaks, each with the members that say more of it."""
    if "acsProtocolVersions" in entry:
        return {one["version"]: one for one in entry["acsProtocolVersions"]}
    return dict.fromkeys(_between(entry["acsStartProtocolVersion"], entry["acsEndProtocolVersion"]), entry)


def _directory_versions(members: Mapping[str, Any], *, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """The versions in which the directory server speaks, where a message or one of its entries says so."""
    if "dsProtocolVersions" in members:
        return tuple(members["dsProtocolVersions"])
    if "dsStartProtocolVersion" in members and "dsEndProtocolVersion" in members:
        return _between(members["dsStartProtocolVersion"], members["dsEndProtocolVersion"])
    return otherwise


def _between(start: str, end: str) -> tuple[str, ...]:
    """Of the versions that we speak, those from the one to the other."""
    return tuple(version for version in VERSIONS if _numbers(start) <= _numbers(version) <= _numbers(end))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
