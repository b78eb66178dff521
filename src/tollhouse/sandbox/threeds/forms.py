"""The routes a payer's browser uses: the method page and the challenge."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tollhouse.sandbox.cards import Challenge
from tollhouse.sandbox.threeds.challenges import Act, Challenges, Notice
from tollhouse.sandbox.threeds.dossiers import Dossier, Stage
from tollhouse.sandbox.threeds.messages import DESCRIPTIONS, NOT_RECOGNISED, Messages, erro
from tollhouse.sandbox.threeds.pages import (
    show_challenge,
    show_forgotten,
    show_method,
    show_refused,
    show_return,
    show_silent_method,
    show_stay,
)
from tollhouse.sandbox.threeds.results import compose_error, compose_return
from tollhouse.sandbox.threeds.words import Words, words_for
from tollhouse.threeds.message import Component, Members, MessageRefused, MessageType
from tollhouse.threeds.reading import accept, read
from tollhouse.threeds.writing import compose_erro, pack, unpack

BODY_BYTES_MAX = 128 * 1024
SESSION_DATA_LENGTH_MAX = 1024

FORGOTTEN = f"{NOT_RECOGNISED} {DESCRIPTIONS[NOT_RECOGNISED]}: acsTransID"

log = structlog.get_logger("tollhouse.sandbox")


class Forms:
    """Serves the pages of the issuer."""

    def __init__(self, challenges: Challenges, messages: Messages) -> None:
        self._challenges = challenges
        self._messages = messages

    @property
    def routes(self) -> list[Route]:
        """The routes of a browser."""
        return [
            Route("/acs/method", self.method, methods=["GET", "POST"]),
            Route("/acs/challenge", self.challenge, methods=["POST"]),
            Route("/acs/challenge/{issuer_id}", self.act, methods=["POST"]),
        ]

    async def method(self, request: Request) -> Response:
        """The method page: posts back by itself, or never where the card's range asks for that."""
        words = _words(request)
        form = await read_form(request) if request.method == "POST" else request.query_params
        try:
            data = msgspec.json.decode(unpack(form.get("threeDSMethodData", "")), type=dict[str, Any])
        except (MessageRefused, msgspec.DecodeError):
            return show_refused(words, "threeDSMethodData: JSON in base64url expected")
        server_id, url = data.get("threeDSServerTransID"), data.get("threeDSMethodNotificationURL")
        if not isinstance(server_id, str) or not isinstance(url, str) or not _is_web(url):
            return show_refused(words, "threeDSServerTransID and threeDSMethodNotificationURL expected")
        if request.query_params.get("answers") == "never":
            return show_silent_method(words)
        return show_method(words, url, {"threeDSMethodData": pack({"threeDSServerTransID": server_id})})

    async def challenge(self, request: Request) -> Response:
        """A CReq: the challenge as it stands, or the way back when it has ended."""
        form = await read_form(request)
        dossier: Dossier | None = None
        try:
            sent = read(unpack(form.get("creq", "")), expects={MessageType.CREQ})
            dossier = self._challenges.dossiers.find(sent["acsTransID"])
            if dossier is None:
                return self._say_forgotten(request, sent)
            accept(sent, {"acsTransID": "" if dossier.is_decoupled else sent["acsTransID"]})
            accept(sent, {"threeDSServerTransID": dossier.server_id})
        except MessageRefused as refused:
            return self._refuse(request, compose_erro(refused, component=Component.ISSUER), dossier)
        self._messages.note(Component.CLIENT, Component.ISSUER, sent)
        if sent["messageVersion"] != dossier.version:
            return self._refuse(request, erro("203", "messageVersion", sent, component=Component.ISSUER), dossier)
        session_data = form.get("threeDSSessionData")
        if session_data is not None and len(session_data) > SESSION_DATA_LENGTH_MAX:
            wrong = erro("203", "threeDSSessionData", sent, component=Component.ISSUER)
            return self._refuse(request, wrong, dossier)
        await self._challenges.receive(dossier, session_data)
        return self._show(_words(request), dossier, Notice.NONE)

    async def act(self, request: Request) -> Response:
        """What the payer did on the page."""
        words = _words(request)
        dossier = self._challenges.dossiers.find(request.path_params["issuer_id"])
        if dossier is None and _is_id(request.path_params["issuer_id"]):
            log.warning("sandbox.challenge_forgotten", acs_id=request.path_params["issuer_id"])
            return show_forgotten(words, FORGOTTEN)
        if dossier is None or dossier.stage in (Stage.WAITING, Stage.DECOUPLED):
            return show_refused(words, "acsTransID: no challenge is open under this id")
        form = await read_form(request)
        wanted = form.get("act", Act.SUBMIT)
        if wanted not in tuple(Act):
            return show_refused(words, f"act: {', '.join(Act)} expected")
        notice = await self._challenges.act(dossier, Act(wanted), form.get("code", ""))
        return self._show(words, dossier, notice)

    def _show(self, words: Words, dossier: Dossier, notice: Notice) -> Response:
        if dossier.result is None:
            left = (dossier.due_at or 0) - asyncio.get_running_loop().time()
            return show_challenge(words, dossier, notice, seconds_left=left)
        match dossier.behaviour.challenge:
            case Challenge.BROWSER_LOST:
                return show_stay(words)
            case Challenge.ERROR:
                return self._return(words, dossier, "erro", compose_error(dossier))
            case _:
                return self._return(words, dossier, "cres", compose_return(dossier))

    def _say_forgotten(self, request: Request, sent: Members) -> Response:
        """A CReq for what is kept no longer: it was in memory, and so was the way back to the shop."""
        log.warning("sandbox.challenge_forgotten", acs_id=sent["acsTransID"], server_id=sent["threeDSServerTransID"])
        answer = erro(NOT_RECOGNISED, "acsTransID", sent, component=Component.ISSUER)
        self._messages.note(Component.CLIENT, Component.ISSUER, sent)
        self._messages.note(Component.ISSUER, Component.CLIENT, answer)
        return _as_json(answer) if _wants_json(request) else show_forgotten(_words(request), FORGOTTEN)

    def _refuse(self, request: Request, answer: dict[str, Any], dossier: Dossier | None) -> Response:
        """An Erro goes back to the shop where we know the way; programs get it as JSON."""
        self._messages.note(Component.ISSUER, Component.CLIENT, answer)
        words = _words(request)
        if _wants_json(request):
            return _as_json(answer)
        if dossier is not None and dossier.return_url is not None:
            return self._return(words, dossier, "erro", answer, is_noted=True)
        return show_refused(words, f"{answer['errorCode']} {answer['errorDescription']}: {answer['errorDetail']}")

    def _return(
        self, words: Words, dossier: Dossier, name: str, members: dict[str, Any], *, is_noted: bool = False
    ) -> Response:
        if not is_noted:
            self._messages.note(Component.ISSUER, Component.CLIENT, members)
        assert dossier.return_url is not None
        fields = {name: pack(members)}
        if dossier.session_data is not None:
            fields["threeDSSessionData"] = dossier.session_data
        return show_return(words, dossier.return_url, fields)


async def read_body(request: Request) -> bytes:
    """The body, and no more of it than makes a message."""
    body = bytearray()
    async for chunk in request.stream():
        if len(body) <= BODY_BYTES_MAX:
            body += chunk
    return bytes(body)


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form; none where the body is none."""
    body = await read_body(request)
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        return {}


def _words(request: Request) -> Words:
    return words_for(request.headers.get("accept-language", ""))


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _as_json(members: Members) -> Response:
    return Response(msgspec.json.encode(members), media_type="application/json; charset=utf-8")


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
