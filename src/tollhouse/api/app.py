"""The door: calls of the API go one way, payers another, the few pages a third; all answers have the same headers."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import PurePath
from typing import Any

import msgspec

from tollhouse.api.access import Projects
from tollhouse.api.calls import Background, Calls, Disconnected, Receive, Scope
from tollhouse.api.openapi import document
from tollhouse.api.payer.door import PREFIX, PayerDoor, Steps
from tollhouse.api.problems import Reply, reply_to
from tollhouse.api.reference import CONTENT_POLICY, page
from tollhouse.api.sessions import find_method
from tollhouse.merchant import is_project_name
from tollhouse.ports import StoreUnreachable, World
from tollhouse.refusal import InternalFailure, MethodNotAllowed, MethodUnknown, Refusal, Unavailable

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY_PREFIX, KEY_SUFFIX = "/.well-known/tollhouse/", "/webhook-key.pem"
REQUEST_ID_BYTES = 12

PLACES_MAX = 6

_JSON = "application/json"
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# An answer may have others in their place; an empty one is left out.
_REPLACEABLE_HEADERS = {
    b"content-type": _JSON.encode(),
    b"content-security-policy": b"default-src 'none'",
    b"x-frame-options": b"DENY",
}
_OK = b'{"status":"ok"}'


def new_request_id() -> str:
    """A name for one call, in its answer and in our logs."""
    return "rq_" + secrets.token_hex(REQUEST_ID_BYTES)


class Pages:
    """What can be read without a signature: health, the reference, webhook keys."""

    def __init__(
        self,
        *,
        is_ready: Callable[[], Awaitable[bool]],
        webhook_key: Callable[[str], Awaitable[str | None]],
        version: str,
    ) -> None:
        described = document(version)
        self._is_ready = is_ready
        self._webhook_key = webhook_key
        self._document = msgspec.json.encode(described)
        self._page = page(described).encode()

    async def answer(self, path: str, verb: str) -> Reply:
        """The page at this path. Raises `MethodUnknown`, `MethodNotAllowed`, `Unavailable`."""
        project = self._project_of_key(path)
        if project is None and path not in ("/healthz", "/readyz", "/openapi.json", "/docs"):
            raise MethodUnknown
        if verb not in ("GET", "HEAD"):
            raise MethodNotAllowed("pages are read by GET")
        if project is not None:
            pem = await self._webhook_key(project)
            if pem is None:
                raise MethodUnknown("there is no such project")
            return _page(pem.encode(), "application/x-pem-file")
        match path:
            case "/docs":
                return _page(self._page, "text/html; charset=utf-8", {"Content-Security-Policy": CONTENT_POLICY})
            case "/openapi.json":
                return _page(self._document, _JSON)
            case "/readyz":
                await self._require_ready()
                return _page(_OK, _JSON)
            case _:
                return _page(_OK, _JSON)

    async def _require_ready(self) -> None:
        try:
            is_ready = await self._is_ready()
        except Exception:  # noqa: BLE001 - whatever keeps us from finding out, we are not ready
            is_ready = False
        if not is_ready:
            raise Unavailable("not ready: the database does not answer")

    @staticmethod
    def _project_of_key(path: str) -> str | None:
        if not (path.startswith(KEY_PREFIX) and path.endswith(KEY_SUFFIX)):
            return None
        name = path[len(KEY_PREFIX) : -len(KEY_SUFFIX)]
        return name if is_project_name(name) else None


def _page(body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=200, body=body, headers={"Content-Type": media_type, **(headers or {})})


def build_app(
    world: World,
    *,
    projects: Projects,
    background: Background,
    idempotency_secret: bytes,
    is_ready: Callable[[], Awaitable[bool]],
    webhook_key: Callable[[str], Awaitable[str | None]],
    version: str,
    request_ids: Callable[[], str] = new_request_id,
    payer_steps: Steps | None = None,
) -> App:
    """The gateway's HTTP API as an ASGI application.

    `background` starts what follows a commit; `idempotency_secret` is the same on every node and after a restart;
    `payer_steps` replaces the flows behind the payer's page.
    """
    calls = Calls(world, projects=projects, background=background, idempotency_secret=idempotency_secret)
    pages = Pages(is_ready=is_ready, webhook_key=webhook_key, version=version)
    payers = PayerDoor(world, background=background, steps=payer_steps or Steps())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server is started without lifespan and web sockets"
        request_id, is_payer = request_ids(), scope["path"].startswith(PREFIX)
        try:
            if scope["path"].startswith("/api/"):
                reply = await calls.answer(scope, receive, request_id)
            elif is_payer:
                reply = await payers.answer(scope, receive)
            else:
                reply = await pages.answer(scope["path"], scope["method"])
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - the last line before the caller, who gets an envelope always
            refusal = _refusal_of(error, world, request_id)
            reply = payers.refuse(refusal, scope) if is_payer else reply_to(refusal, allow=_allowed(scope["path"]))
            world.log.info("call refused", request_id=request_id, status=reply.status)
        await _send(send, reply, request_id, without_body=scope["method"] == "HEAD")

    return app


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


def _allowed(path: str) -> str:
    found = find_method(path)
    return found[1].verb if found else "GET, HEAD"


async def _send(send: Send, reply: Reply, request_id: str, *, without_body: bool) -> None:
    length = b"%d" % len(reply.body)
    headers = [*_HEADERS, (b"content-length", length), (b"x-tollhouse-request-id", request_id.encode())]
    own = {name.lower().encode(): value.encode("latin-1") for name, value in reply.headers.items()}
    for name, value in _REPLACEABLE_HEADERS.items():
        if chosen := own.pop(name, value):
            headers.append((name, chosen))
    await send({"type": "http.response.start", "status": reply.status, "headers": [*headers, *own.items()]})
    await send({"type": "http.response.body", "body": b"" if without_body else reply.body})
