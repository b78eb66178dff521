"""The door: calls of the API go one way, payers another, the widget a third, pages a fourth; all answers look alike."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tollhouse.api.access import Projects
from tollhouse.api.calls import Background, Calls, Disconnected, Receive, Scope, header, source_of
from tollhouse.api.guessing import Guess, GuessLimits, Secret, guess_of
from tollhouse.api.pages import Pages
from tollhouse.api.payer.door import PREFIX as PAYER_PREFIX
from tollhouse.api.payer.door import PayerDoor, Steps
from tollhouse.api.policy import FIXED, REPLACEABLE
from tollhouse.api.problems import Reply, reply_to
from tollhouse.api.sessions import find_method
from tollhouse.api.streaming import Send, StreamReply, write_out
from tollhouse.api.widget.assets import Assets
from tollhouse.api.widget.door import HOSTED_PREFIX, WidgetDoor, is_of_widget
from tollhouse.api.widget.stream import Beat
from tollhouse.api.widget.watch import Watch
from tollhouse.audit import REFUSED, Act
from tollhouse.merchant import is_project_name
from tollhouse.ports import StoreUnreachable, World
from tollhouse.refusal import (
    GuessedTooOften,
    InternalFailure,
    MethodUnknown,
    NotPermitted,
    ProjectUnknown,
    PublicTokenInvalid,
    Refusal,
    RequestInvalid,
    SignatureWrong,
    Unavailable,
)
from tollhouse.source import NO_PROXIES, Trusted

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Denied = Callable[[Act], None]
Headers = Sequence[tuple[bytes, bytes]]

# Whoever is refused so may be somebody who should not be here.
ACCESS = (ProjectUnknown, SignatureWrong, PublicTokenInvalid, NotPermitted)

API_PREFIX = "/api/"
RESULTS = "results"
REQUEST_ID_BYTES = 12
PLACES_MAX = 6
NOT_MODIFIED = 304
SAID_ONCE = (b"x-partner-project", b"x-partner-sign", b"x-partner-idempotency-key", b"x-public-token")


def new_request_id() -> str:
    """A name for one call, in its answer and in our logs."""
    return "rq_" + secrets.token_hex(REQUEST_ID_BYTES)


class Doors:
    """Who answers which path, and in whose words a refusal is told there. Secrets in addresses are guarded here."""

    def __init__(
        self, *, calls: Calls, payers: PayerDoor, widget: WidgetDoor, pages: Pages, guesses: GuessLimits
    ) -> None:
        self._guesses = guesses
        self._calls = calls
        self._payers = payers
        self._widget = widget
        self._pages = pages

    async def answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply | StreamReply:
        """The answer of a request. Raises every `Refusal`, `Disconnected`, `StoreUnreachable`."""
        _require_single(scope)
        if scope["path"].startswith(API_PREFIX):
            return await self._calls.answer(scope, receive, request_id)
        try:
            return await self._answer(scope, receive, request_id)
        except (PublicTokenInvalid, MethodUnknown):
            self._guesses.wrong(_shown_secret(scope))
            raise

    async def _answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply | StreamReply:
        path = scope["path"]
        if _is_of_payer(path):
            return await self._payers.answer(scope, receive)
        if is_of_widget(path):
            return await self._widget.answer(scope, receive, request_id)
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
        return await self._pages.answer(path, scope["method"], accept.decode("latin-1"))

    def refuse(self, refusal: Refusal, scope: Scope) -> Reply:
        """The answer to a request that is refused: an envelope, or a page where a payer looks at it."""
        path = scope["path"]
        if _is_of_payer(path):
            return self._payers.refuse(refusal, scope)
        if is_of_widget(path):
            return self._widget.refuse(refusal, scope)
        found = find_method(path)
        return reply_to(refusal, allow=found[1].verb if found else "GET, HEAD")


def _require_single(scope: Scope) -> None:
    """Who says twice who they are is not understood: somebody between might have taken the other one for it."""
    names = [name for name, _ in scope["headers"] if name in SAID_ONCE]
    for name in names:
        if names.count(name) > 1:
            raise RequestInvalid(name.decode().upper(), "one header of this name expected")


def _is_of_payer(path: str) -> bool:
    return path.startswith(PAYER_PREFIX) or path == PAYER_PREFIX.rstrip("/")


def _shown_secret(scope: Scope) -> Guess | None:
    """The secret that a request outside of the API comes with: in its address, or as its public token."""
    path, source = scope["path"], source_of(scope)
    if _is_of_payer(path):
        link = path.removeprefix(PAYER_PREFIX).partition("/")[0]
        return guess_of(Secret.LINK, source) if link != RESULTS else None  # the directory server's, and no secret
    if path.startswith(HOSTED_PREFIX) or (is_of_widget(path) and scope["method"] == "POST"):
        return guess_of(Secret.PUBLIC_TOKEN, source)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gateway:
    """The application: what is asked, by whom, and how an answer goes out."""

    world: World
    doors: Doors
    stopping: asyncio.Event
    request_ids: Callable[[], str]
    denied: Denied | None
    trusted: Trusted
    headers: Headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server is started without lifespan and web sockets"
        request_id = self.request_ids()
        _name_caller(scope, self.trusted)
        try:
            reply = await self.doors.answer(scope, receive, request_id)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - the last line before the caller, who gets an answer always
            refusal = _refusal_of(error, self.world, request_id)
            reply = self.doors.refuse(refusal, scope)
            if self.denied is not None and isinstance(refusal, ACCESS):
                self.denied(_denial(refusal, scope))
            if not isinstance(refusal, GuessedTooOften):  # who is shut out was told of once, and floods nothing
                told = _project_of(scope) | ({"why": str(error)} if isinstance(error, StoreUnreachable) else {})
                self.world.log.info(
                    "call refused", request_id=request_id, status=reply.status, code=refusal.code, **told
                )
        try:
            await send(_head(reply, request_id, self.headers))
            if isinstance(reply, StreamReply):
                await write_out(reply, receive, send, self.stopping)
        except Exception as error:  # noqa: BLE001 - too late for an answer: who reads the stream asks again
            refusal = _refusal_of(error, self.world, request_id)
            self.world.log.info("stream broken off", request_id=request_id, code=refusal.code)
        finally:
            if isinstance(reply, StreamReply):
                reply.close()
        body = b"" if isinstance(reply, StreamReply) or scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})


def build_app(
    world: World,
    *,
    projects: Projects,
    background: Background,
    idempotency_secret: bytes,
    who_is_away: Callable[[], Awaitable[str]],
    webhook_key: Callable[[str], Awaitable[str | None]],
    version: str,
    assets: Assets,
    watch: Watch,
    stopping: asyncio.Event | None = None,
    request_ids: Callable[[], str] = new_request_id,
    payer_steps: Steps | None = None,
    beat: Beat | None = None,
    denied: Denied | None = None,
    trusted: Trusted = NO_PROXIES,
    headers: Headers = (),
) -> App:
    """The gateway's HTTP API as an ASGI application.

    `background` starts what follows a commit; `idempotency_secret` is the same on every node and after a restart;
    `assets` are the widget's files; `watch` is told of each commit; streams end when `stopping` is set, and go by
    `beat`; `payer_steps` replaces the flows behind the payer's page; `denied` hears of every refused access;
    `trusted` are the proxies that say who calls; `headers` stand in every answer besides its own.
    """
    guesses = GuessLimits(world.clock.monotonic, log=world.log, denied=denied)
    doors = Doors(
        calls=Calls(
            world, projects=projects, background=background, idempotency_secret=idempotency_secret, guesses=guesses
        ),
        payers=PayerDoor(world, background=background, steps=payer_steps or Steps()),
        widget=WidgetDoor(world, assets=assets, projects=projects, background=background, watch=watch, beat=beat),
        pages=Pages(who_is_away=who_is_away, webhook_key=webhook_key, version=version),
        guesses=guesses,
    )
    return _Gateway(
        world=world,
        doors=doors,
        stopping=stopping or asyncio.Event(),
        request_ids=request_ids,
        denied=denied,
        trusted=trusted,
        headers=headers,
    )


def _name_caller(scope: Scope, trusted: Trusted) -> None:
    """Whoever looks at the scope from here on sees the caller, not the proxies in between."""
    if trusted.networks and (client := scope.get("client")):
        told = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        scope["client"] = (trusted.caller(client[0], told), client[1])


def _project_of(scope: Scope) -> dict[str, str]:
    """The project a call says it is of; whether it was right is told by the code beside it."""
    name = header(dict(scope["headers"]), b"x-partner-project") or ""
    return {"project": name} if scope["path"].startswith(API_PREFIX) and is_project_name(name) else {}


def _denial(refusal: Refusal, scope: Scope) -> Act:
    """A refused access for the audit log: who they said they are, from where, for what."""
    headers, path = dict(scope["headers"]), scope["path"]
    client = scope.get("client")
    return Act(
        what="call",
        outcome=REFUSED,
        subject=path if path.startswith(API_PREFIX) else f"/{path.split('/')[1]}",  # more may be a payer's secret
        who=f"project {header(headers, b'x-partner-project') or '(none)'}",
        origin=client[0] if client else "unknown",
        details=refusal.code,
    )


def _refusal_of(error: Exception, world: World, request_id: str) -> Refusal:
    """What the caller is told. Of a failure of ours not a word of its text, which may hold what the caller sent."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, StoreUnreachable):
        return Unavailable()
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    world.log.error("call failed", request_id=request_id, error=type(error).__name__, places=places)
    return InternalFailure()


def _head(reply: Reply | StreamReply, request_id: str, more: Headers) -> dict[str, object]:
    headers = [*FIXED, *more, (b"x-tollhouse-request-id", request_id.encode())]
    if isinstance(reply, Reply) and reply.status != NOT_MODIFIED:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    own = {name.lower().encode(): value.encode("latin-1") for name, value in reply.headers.items()}
    for name, value in REPLACEABLE.items():
        if chosen := own.pop(name, value.encode()):
            headers.append((name, chosen))
    return {"type": "http.response.start", "status": reply.status, "headers": [*headers, *own.items()]}
