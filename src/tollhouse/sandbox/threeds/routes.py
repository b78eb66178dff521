"""The routes a machine uses, and the wiring of directory server and issuer."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tollhouse.authentication import VERSIONS
from tollhouse.card import PAN_DIGITS_MAX
from tollhouse.sandbox.cards import Method
from tollhouse.sandbox.threeds.challenges import ANSWERS, Challenges
from tollhouse.sandbox.threeds.courier import Courier
from tollhouse.sandbox.threeds.directory import Directory, Unanswered
from tollhouse.sandbox.threeds.dossiers import Dossier, Dossiers, Stage
from tollhouse.sandbox.threeds.forms import Forms, read_body
from tollhouse.sandbox.threeds.issuer import Issuer
from tollhouse.sandbox.threeds.messages import Messages
from tollhouse.sandbox.threeds.pages import amount_text
from tollhouse.sandbox.threeds.ranges import CardRanges, Range, RangesRefused
from tollhouse.sandbox.threeds.results import Results
from tollhouse.sandbox.threeds.timers import Timers
from tollhouse.sandbox.threeds.values import Values

PROTOCOL_TYPE = "application/json; charset=utf-8"
HANG_UP = "tollhouse.hang_up"  # in a request's state: cuts its connection without an answer


class GivenRange(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A range in a change of ranges."""

    start_range: str
    end_range: str
    versions: tuple[str, ...] = VERSIONS
    method: str = "none"

    def read(self) -> Range:
        """The range it names. Raises `RangesRefused`."""
        for text in (self.start_range, self.end_range):
            if not (13 <= len(text) <= PAN_DIGITS_MAX and text.isascii() and text.isdigit()):
                raise RangesRefused(f"startRange, endRange: 13 to {PAN_DIGITS_MAX} digits expected")
        if len(self.start_range) != len(self.end_range) or self.start_range > self.end_range:
            raise RangesRefused("endRange: as long as startRange and not below it expected")
        if not self.versions or not set(self.versions) <= set(VERSIONS):
            raise RangesRefused(f"versions: some of {', '.join(VERSIONS)} expected")
        if self.method.upper() not in Method.__members__:
            raise RangesRefused(f"method: {', '.join(name.lower() for name in Method.__members__)} expected")
        return Range(self.start_range, self.end_range, tuple(sorted(set(self.versions))), Method[self.method.upper()])


class RangesChange(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /ds/ranges` takes."""

    add: list[GivenRange] = []
    remove: list[GivenRange] = []


class ChallengeAnswer(msgspec.Struct, forbid_unknown_fields=True, rename={"status": "transStatus"}):
    """What `POST /acs/challenges/{acsTransID}` takes."""

    status: str


class ThreeDS:
    """Directory server and issuer, put together."""

    def __init__(self, values: Values, timers: Timers) -> None:
        self._timers = timers
        self._is_closing = asyncio.Event()
        self.messages = Messages()
        self.ranges = CardRanges()
        self._courier = Courier(timers.result_seconds)
        self.directory = Directory(self.ranges, self._ask_issuer, self._courier, self.messages)
        results = Results(self.directory, timers.repeat_seconds)
        self.challenges = Challenges(Dossiers(timers.kept_seconds), results, timers)
        self._issuer = Issuer(values, self.challenges, self.messages)

    def _ask_issuer(self, body: bytes, base: str) -> dict[str, Any]:
        return self._issuer.answer(body, base)

    @property
    def routes(self) -> list[Route]:
        """All routes of 3-D Secure."""
        return [
            Route("/ds", _Hearing(self), methods=["POST"]),
            Route("/ds/ranges", self._change_ranges, methods=["POST"]),
            Route("/ds/messages", self._show_messages),
            Route("/acs", self._answer_request, methods=["POST"]),
            Route("/acs/challenges", self._show_challenges),
            Route("/acs/challenges/{issuer_id}", self._answer_challenge, methods=["POST"]),
            *Forms(self.challenges, self.messages).routes,
        ]

    async def close(self) -> None:
        """Let go of who waits, send nothing more."""
        self._is_closing.set()
        await self.challenges.close()
        await self._courier.close()

    async def hold(self, request: Request) -> None:
        """Keep a request without an answer until somebody's patience ends, then cut its connection."""
        waits = [asyncio.create_task(_until_gone(request)), asyncio.create_task(self._is_closing.wait())]
        await asyncio.wait(waits, timeout=self._timers.unanswered_seconds, return_when=asyncio.FIRST_COMPLETED)
        hang_up = request.scope.get("state", {}).get(HANG_UP)
        if hang_up is not None:
            hang_up()
            await waits[0]
        for wait in waits:
            wait.cancel()

    async def _answer_request(self, request: Request) -> Response:
        return _message(self._issuer.answer(await read_body(request), base_of(request)))

    async def _change_ranges(self, request: Request) -> Response:
        try:
            change = msgspec.json.decode(await read_body(request), type=RangesChange)
            add, remove = [one.read() for one in change.add], [one.read() for one in change.remove]
            self.ranges.change(add=add, remove=[(one.first, one.last) for one in remove])
        except (RangesRefused, msgspec.DecodeError) as problem:
            return _json({"error": str(problem)}, status_code=400)
        return _json({"serialNum": self.ranges.serial(base_of(request)), "ranges": sum(1 for _ in self.ranges)})

    async def _show_messages(self, request: Request) -> Response:
        wanted = request.query_params.get("threeDSServerTransID")
        if wanted is None:
            return _json({"error": "threeDSServerTransID: expected in the query"}, status_code=400)
        return _json({"messages": self.messages.of(wanted)})

    async def _show_challenges(self, request: Request) -> Response:
        return _json({"challenges": [_shown(one) for one in self.challenges.dossiers.under_way()]})

    async def _answer_challenge(self, request: Request) -> Response:
        dossier = self.challenges.dossiers.find(request.path_params["issuer_id"])
        if dossier is None:
            return _json({"error": "acsTransID: no challenge has this id"}, status_code=404)
        try:
            wanted = msgspec.json.decode(await read_body(request), type=ChallengeAnswer).status
        except msgspec.DecodeError as problem:
            return _json({"error": str(problem)}, status_code=400)
        if wanted not in ANSWERS:
            return _json({"error": f"transStatus: {', '.join(ANSWERS)} expected"}, status_code=400)
        if dossier.stage is Stage.ENDED:
            return _json({"error": "it has ended before", **_ended(dossier)}, status_code=409)
        await self.challenges.answer(dossier, wanted)
        return _json(_ended(dossier))


class _Hearing:
    """`POST /ds`, as an application of its own because some cards get no answer at all."""

    def __init__(self, threeds: ThreeDS) -> None:
        self._threeds = threeds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await read_body(request)
        try:
            answer = await self._threeds.directory.answer(body, base_of(request))
        except Unanswered:
            await self._threeds.hold(request)
            return
        response = Response(status_code=204) if answer is None else _message(answer)
        await response(scope, receive, send)


def base_of(request: Request) -> str:
    """Where whoever asks has found us: the beginning of all our addresses."""
    return str(request.base_url).rstrip("/")


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _message(members: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(members), media_type=PROTOCOL_TYPE)


def _json(content: object, *, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status_code, media_type="application/json")


def _shown(dossier: Dossier) -> dict[str, Any]:
    return {
        **dossier.ids,
        "state": dossier.stage.value,
        "challenge": dossier.behaviour.challenge.text,
        "merchant": dossier.bill.merchant,
        "amount": amount_text(dossier.bill, "."),
        "card": dossier.card,
    }


def _ended(dossier: Dossier) -> dict[str, Any]:
    assert dossier.result is not None
    return {**dossier.ids, "transStatus": dossier.result.status, "resultsStatus": dossier.results_status}
