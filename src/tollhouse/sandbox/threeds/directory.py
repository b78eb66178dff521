"""The directory server: says which cards take part, hands requests to the issuer and results to the 3DS server."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from tollhouse.authentication import VERSIONS
from tollhouse.sandbox.cards import Authentication, Method, behaviour_of
from tollhouse.sandbox.threeds.courier import Courier, NotTaken
from tollhouse.sandbox.threeds.messages import (
    INVALID,
    KEPT_MAX,
    SERIAL_UNKNOWN,
    UNREACHABLE,
    VERSION_NOT_SUPPORTED,
    Messages,
    erro,
)
from tollhouse.sandbox.threeds.ranges import Action, CardRanges, Range, SerialUnknown
from tollhouse.threeds.message import Component, Members, MessageRefused, MessageType
from tollhouse.threeds.reading import accept, read
from tollhouse.threeds.writing import compose, compose_erro

DIRECTORY_REFERENCE = "TOLLHOUSE-SANDBOX-DS-0001"
EXPECTED = (MessageType.AREQ, MessageType.PREQ, MessageType.RREQ, MessageType.ERRO)
INFORMATION = ["01", "02"]  # acsInfoInd: the issuer authenticates and vouches for attempts
Ask = Callable[[bytes, str], dict[str, Any]]


class Unanswered(Exception):
    """The card asks for a directory server that does not answer."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the result of an authentication goes, and the ids it must bear."""

    server_url: str
    ids: dict[str, str]


class Directory:
    """Answers what is posted to it. `ask_issuer` is the issuer, called as its HTTP route calls it."""

    def __init__(self, ranges: CardRanges, ask_issuer: Ask, courier: Courier, messages: Messages) -> None:
        self._ranges = ranges
        self._ask_issuer = ask_issuer
        self._courier = courier
        self._messages = messages
        self._ways: OrderedDict[str, Way] = OrderedDict()

    async def answer(self, body: bytes, base: str) -> dict[str, Any] | None:
        """The answer to a message; None where none is due (an Erro). Raises `Unanswered`."""
        try:
            message = read(body, expects=EXPECTED)
        except MessageRefused as refused:
            answer = compose_erro(refused, component=Component.DIRECTORY)
            self._messages.note(Component.DIRECTORY, _asker(refused.members), answer)
            return answer
        asker = _asker(message)
        self._messages.note(asker, Component.DIRECTORY, message)
        match message["messageType"]:
            case "AReq":
                answer = self._authenticate(message, base)
            case "PReq":
                answer = self._prepare(message, base)
            case "RReq":
                answer = await self._hand_result(message)
            case _:
                return None
        self._messages.note(Component.DIRECTORY, asker, answer)
        return answer

    async def hand_erro(self, members: Members, directory_id: str) -> None:
        """Hand an Erro of the issuer to the 3DS server in place of a result. Raises `NotTaken`."""
        way = self._ways.get(directory_id)
        if way is None:
            raise NotTaken(UNREACHABLE)
        self._messages.note(Component.ISSUER, Component.DIRECTORY, members)
        self._messages.note(Component.DIRECTORY, Component.SERVER, members)
        await self._courier.post(way.server_url, msgspec.json.encode(members))

    def _authenticate(self, request: dict[str, Any], base: str) -> dict[str, Any]:
        pan = request["acctNumber"]
        found = self._ranges.find(pan)
        if found is None:
            return erro(INVALID, "acctNumber", request, component=Component.DIRECTORY)
        if request["messageVersion"] not in found.versions:
            spoken = ",".join(found.versions)
            return erro(VERSION_NOT_SUPPORTED, spoken, request, component=Component.DIRECTORY)
        if behaviour_of(pan).authentication is Authentication.UNANSWERED:
            raise Unanswered
        added = {
            "dsTransID": str(uuid.uuid4()),
            "dsReferenceNumber": DIRECTORY_REFERENCE,
            "dsURL": f"{base}/ds",
        }
        answer = self._ask_issuer(msgspec.json.encode(request | added), base)
        try:
            answer = read(msgspec.json.encode(answer), expects={MessageType.ARES, MessageType.ERRO})
            accept(answer, {"threeDSServerTransID": request["threeDSServerTransID"], "dsTransID": added["dsTransID"]})
        except MessageRefused as refused:
            return compose_erro(refused, component=Component.DIRECTORY)
        if answer["messageType"] == MessageType.ARES:
            ids = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "dsTransID")}
            self._ways[added["dsTransID"]] = Way(request["threeDSServerURL"], ids)
            while len(self._ways) > KEPT_MAX:
                self._ways.popitem(last=False)
        return answer

    async def _hand_result(self, result: dict[str, Any]) -> dict[str, Any]:
        way = self._ways.get(result["dsTransID"])
        try:
            accept(result, way.ids if way else {"dsTransID": ""})
        except MessageRefused as refused:
            return compose_erro(refused, component=Component.DIRECTORY)
        assert way is not None
        self._messages.note(Component.DIRECTORY, Component.SERVER, result)
        try:
            body = await self._courier.post(way.server_url, msgspec.json.encode(result))
            answer = read(body, expects={MessageType.RRES, MessageType.ERRO})
            self._messages.note(Component.SERVER, Component.DIRECTORY, answer)
            if answer["messageType"] == MessageType.RRES:
                accept(answer, way.ids)
        except NotTaken as problem:
            return erro(problem.code, "message", result, component=Component.DIRECTORY)
        except MessageRefused as refused:
            return compose_erro(refused, component=Component.DIRECTORY, version=result["messageVersion"])
        return answer

    def _prepare(self, request: dict[str, Any], base: str) -> dict[str, Any]:
        version = request["messageVersion"]
        try:
            changes = self._ranges.since(request.get("serialNum"), base)
        except SerialUnknown:
            return erro(SERIAL_UNKNOWN, "serialNum", request, component=Component.DIRECTORY)
        rows = _rows_old(changes, base) if version == VERSIONS[0] else _rows_new(changes, base)
        return compose(
            MessageType.PRES,
            version,
            {
                "threeDSServerTransID": request["threeDSServerTransID"],
                "dsTransID": str(uuid.uuid4()),
                "serialNum": self._ranges.serial(base),
                "dsStartProtocolVersion": VERSIONS[0],
                "dsEndProtocolVersion": VERSIONS[-1],
                "dsProtocolVersions": list(VERSIONS),
                "cardRangeData": list(rows) or None,
            },
        )


def _asker(members: Members) -> Component:
    return Component.ISSUER if members.get("messageType") == MessageType.RREQ else Component.SERVER


def _rows_old(changes: Sequence[tuple[Action, Range]], base: str) -> Iterator[dict[str, Any]]:
    """Version 2.2.0: a row for each range."""
    for action, one in changes:
        yield _without_empty(
            startRange=one.first,
            endRange=one.last,
            actionInd=action.value,
            acsStartProtocolVersion=one.versions[0],
            acsEndProtocolVersion=one.versions[-1],
            acsInfoInd=INFORMATION,
            threeDSMethodURL=_method_url(one.method, base),
        )


def _rows_new(changes: Sequence[tuple[Action, Range]], base: str) -> Iterator[dict[str, Any]]:
    """Version 2.3.1: a row for ranges that have everything else in common."""

    def common(change: tuple[Action, Range]) -> tuple[Action, tuple[str, ...], Method]:
        return change[0], change[1].versions, change[1].method

    for (action, versions, method), alike in groupby(sorted(changes, key=common), key=common):
        url = _method_url(method, base)
        yield {
            "ranges": [{"startRange": one.first, "endRange": one.last} for _, one in alike],
            "actionInd": action.value,
            "acsProtocolVersions": [
                _without_empty(version=version, acsInfoInd=INFORMATION, threeDSMethodURL=url) for version in versions
            ],
            "dsProtocolVersions": list(VERSIONS),
        }


def _without_empty(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _method_url(method: Method, base: str) -> str | None:
    match method:
        case Method.PROMPT:
            return f"{base}/acs/method"
        case Method.NONE:
            return None
        case Method.UNANSWERED:
            return f"{base}/acs/method?answers=never"
