"""The one path that every call of the API walks, with its checks in the order of wire-api 2.

path, verb, size, content type, project, signature, rate, JSON, idempotency, fields, rights, lookup, state, amounts
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any

from tollhouse.api.access import Access, Projects
from tollhouse.api.guessing import Guess, GuessLimits, Secret
from tollhouse.api.problems import REPEATED, REPEATED_SESSION, Reply, reply_to
from tollhouse.api.sessions import Method, find_method
from tollhouse.api.wire.document import read_json
from tollhouse.api.wire.requests import Besides
from tollhouse.change import KeyClaim, Note
from tollhouse.flows.drive import drive
from tollhouse.flows.settle import Call
from tollhouse.idempotency import KEY_LENGTH_MAX, UsedKey, answer_again, body_hash, is_key
from tollhouse.masking import holds_card
from tollhouse.merchant import IdempotencyMode, Project
from tollhouse.ports import KeyTaken, World
from tollhouse.refusal import (
    KeyInFlight,
    MediaTypeUnsupported,
    MethodNotAllowed,
    MethodUnknown,
    NotPermitted,
    Refusal,
    RequestInvalid,
    RequestTooLarge,
    SessionUnknown,
    TokenUnknown,
)

BODY_BYTES_MAX = 256 * 1024
SESSION_ID = re.compile(r"ps_[0-9]{1,21}")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Background = Callable[[Coroutine[Any, Any, None]], object]


class Disconnected(Exception):
    """Whoever called has hung up before the body was there: nobody is left to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One call that was admitted."""

    request_id: str
    path: str
    api_version: int
    method: Method
    project: Project
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str | None:
        """A header's value; None when it is absent."""
        return header(self.headers, name)


def header(headers: dict[bytes, bytes], name: bytes) -> str | None:
    """A header's value as text; None when it is absent."""
    value = headers.get(name)
    return None if value is None else value.decode(errors="replace")


class Calls:
    """Answers calls of the merchant's API."""

    def __init__(
        self,
        world: World,
        *,
        projects: Projects,
        background: Background,
        idempotency_secret: bytes,
        guesses: GuessLimits,
    ) -> None:
        self._world = world
        self._guesses = guesses
        self._access = Access(projects, world.clock.monotonic, guesses)
        self._background = background
        self._secret = idempotency_secret
        self._in_flight: set[tuple[str, str]] = set()

    async def answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply:
        """The answer of a call that is carried out. Raises every `Refusal`, `Disconnected`, `StoreUnreachable`."""
        found = find_method(scope["path"])
        if found is None:
            raise MethodUnknown
        api_version, method = found
        if scope["method"] != method.verb:
            raise MethodNotAllowed(f"this method is called by {method.verb}")
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        body = await read_body(headers, receive)
        _require_json(header(headers, b"content-type"))
        name, signature = header(headers, b"x-partner-project"), header(headers, b"x-partner-sign")
        project = await self._access.admit(name, signature, body, source=source_of(scope))
        members = read_json(body)
        arrival = Arrival(
            request_id=request_id,
            path=f"/api/v{api_version}/{method.name}",
            api_version=api_version,
            method=method,
            project=project,
            headers=headers,
            body=body,
        )
        key = arrival.header(b"x-partner-idempotency-key") if method.is_writing else None
        if key is None:
            return await self._carry_out(arrival, members, None)
        if not is_key(key) or holds_card(key):
            expected = f"1 to {KEY_LENGTH_MAX} printable ASCII characters, no card number, expected"
            raise RequestInvalid("X-PARTNER-IDEMPOTENCY-KEY", expected)
        return await self._once(arrival, members, key)

    async def _once(self, arrival: Arrival, members: dict[str, Any], key: str) -> Reply:
        """Carry out a call with an idempotency key, or answer as the first call with this key was answered."""
        mine = (arrival.project.name, key)
        if mine in self._in_flight:
            raise KeyInFlight
        self._in_flight.add(mine)
        try:
            claim = KeyClaim(
                key=key,
                path=arrival.path,
                body_hash=body_hash(self._secret, arrival.body),
                keeps_answer=arrival.project.settings.idempotency is IdempotencyMode.REPLAY,
            )
            used = await self._world.store.find_key(*mine)
            if used is None:
                try:
                    return await self._carry_out(arrival, members, claim)
                except (KeyTaken, Refusal):
                    # Another node may have been faster with this key, and have moved what this call was refused for.
                    used = await self._world.store.find_key(*mine)
                    if used is None:
                        raise
            return _again(used, claim)
        finally:
            self._in_flight.discard(mine)

    async def _carry_out(self, arrival: Arrival, members: dict[str, Any], claim: KeyClaim | None) -> Reply:
        world, method, project = self._world, arrival.method, arrival.project
        besides = Besides(now=world.clock.now(), submerchant=arrival.header(b"x-partner-submerchant"))
        asked = method.read(members, besides)
        if project.is_disabled:
            raise NotPermitted("this project is disabled")
        if method.is_later:
            raise NotPermitted(f"{method.name} is not enabled for this project")
        if asked.lacks is not None:
            raise NotPermitted(asked.lacks)
        if asked.session_id is not None and not SESSION_ID.fullmatch(asked.session_id):
            raise SessionUnknown
        try:
            return await self._do(arrival, asked, claim)
        except TokenUnknown:
            # By project, whoever it is that shows it tokens. A right one is taken all the same.
            self._guesses.wrong(Guess(Secret.CARD_TOKEN, f"project {project.name}"))
            raise

    async def _do(self, arrival: Arrival, asked: Any, claim: KeyClaim | None) -> Reply:
        world, method, project = self._world, arrival.method, arrival.project
        if method.answer is not None:
            return Reply(status=200, body=await method.answer(world, project, asked), headers={})
        assert method.carry_out is not None, "what no project has was refused before"
        note = _note(arrival, 200)
        call = Call(project=project, api_version=arrival.api_version, note=note, claim=claim)
        try:
            settled = await method.carry_out(world, call, asked)
        except SessionUnknown:
            raise
        except Refusal as refusal:
            if asked.session_id is not None:
                status = reply_to(refusal).status
                world.store.note(project.name, asked.session_id, _note(arrival, status), world.clock.now())
            raise
        if not settled.is_written:
            world.store.note(project.name, settled.session.id, note, world.clock.now())
        elif settled.session.lease_owner == world.node:
            self._background(drive(world, settled.session))
        return Reply(status=200, body=world.wire.answer_body(settled.answer, arrival.api_version), headers={})


def source_of(scope: Scope) -> str | None:
    """The address that a request comes from, where it is known."""
    client = scope.get("client")
    return client[0] if client else None


def _again(used: UsedKey, claim: KeyClaim) -> Reply:
    body = answer_again(used, path=claim.path, body_hash=claim.body_hash, replays=claim.keeps_answer)
    return Reply(status=200, body=body, headers={REPEATED: "true", REPEATED_SESSION: used.session_id})


def _note(arrival: Arrival, status: int) -> Note:
    data = {"method": arrival.method.name, "request_id": arrival.request_id, "status": status}
    return Note(kind="request", data=data)


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The body as it is on the wire. Raises `RequestTooLarge` as soon as that is certain, `Disconnected`."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 9 or int(length) > BODY_BYTES_MAX):
        raise RequestTooLarge
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise RequestTooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _require_json(content_type: str | None) -> None:
    if content_type and content_type.partition(";")[0].strip().lower() != "application/json":
        raise MediaTypeUnsupported
