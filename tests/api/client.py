"""A merchant that calls the ASGI application directly, with a key of its own, in a world in memory.

shop = Shop(key)
await shop.call("session/create", {})              # signed, answered, parsed
await shop.carry_on()                              # what was started beside the calls: the talk with the bank
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld, memory_world
from tollhouse.api.access import AccessProject
from tollhouse.api.app import Headers, build_app
from tollhouse.api.widget.assets import Assets
from tollhouse.api.widget.stream import Beat
from tollhouse.api.widget.watch import Watch
from tollhouse.api.wire import JsonWire
from tollhouse.audit import Act
from tollhouse.merchant import CaptureMode, Project, Settings
from tollhouse.session import PaymentSession
from tollhouse.signing import public_key_pem, sign_rsa
from tollhouse.source import NO_PROXIES, Trusted

SECRET = b"a secret of the server, 32 bytes"
PAN = "4242424242424242"
CVV = "417"
CARD: dict[str, Any] = {
    "type": "card",
    "card": {
        "type": "bank_card",
        "bank_card": {
            "number": PAN,
            "expiration_month": "08",
            "expiration_year": "31",
            "security_code": CVV,
        },
    },
}
EUROS = {"amount": 4990, "currency": "eur"}
PAYMENT: dict[str, Any] = {"payment_details": CARD, "amount_details": EUROS, "customer": {"reference": "u-3108"}}
BODY_LIMIT = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["error"]["code"])

    @property
    def description(self) -> str:
        """The error's description."""
        return str(self.json["error"]["description"])

    @property
    def session(self) -> dict[str, Any]:
        """The session shown."""
        shown = self.json["session"]
        assert isinstance(shown, dict)
        return shown


@dataclass
class FakeProjects:
    """The projects that may call."""

    known: dict[str, AccessProject] = field(default_factory=dict)

    async def find(self, name: str) -> AccessProject | None:
        """The project of this name."""
        return self.known.get(name)


class Shop:
    """One merchant, with a world of its own behind the API."""

    def __init__(
        self,
        key: RSAPrivateKey,
        *,
        world: MemoryWorld | None = None,
        assets: Assets | None = None,
        beat: Beat | None = None,
        trusted: Trusted = NO_PROXIES,
        headers: Headers = (),
        **settings: Any,
    ) -> None:
        self.key = key
        self.world = world or memory_world(wire=JsonWire())
        self.projects = FakeProjects()
        self.watch = Watch()
        self.stopping = asyncio.Event()
        self.away = ""
        self.work: list[Coroutine[Any, Any, None]] = []
        self.denied: list[Act] = []
        self._request_count = 0
        self.admit(replace(PROJECT, settings=replace(PROJECT.settings, **settings)))
        self.admit(replace(TWO_STAGE, settings=replace(TWO_STAGE.settings, capture_mode=CaptureMode.TWO_STAGE)))
        self.app = build_app(
            self.world,
            projects=self.projects,
            background=self.work.append,
            idempotency_secret=SECRET,
            who_is_away=self._who_is_away,
            webhook_key=self._webhook_key,
            version="0.1.0",
            assets=assets or Assets({}, None, self.world.log),
            watch=self.watch,
            stopping=self.stopping,
            request_ids=self._request_id,
            beat=beat,
            denied=self.denied.append,
            trusted=trusted,
            headers=headers,
        )

    def admit(self, project: Project, *keys: RSAPrivateKey) -> None:
        """Let a project call, with our key or others."""
        public = [key.public_key() for key in keys or (self.key,)]
        self.projects.known[project.name] = AccessProject(project=project, public_keys=public)
        self.world.books.add_project(project)

    def set(self, **settings: Any) -> None:
        """Change settings of the project `shop`."""
        self.admit(replace(PROJECT, settings=replace(Settings(), **settings)))

    async def _who_is_away(self) -> str:
        return self.away

    async def _webhook_key(self, name: str) -> str | None:
        return public_key_pem(self.key.public_key()) if name in self.projects.known else None

    def _request_id(self) -> str:
        self._request_count += 1
        return f"rq_{self._request_count}"

    async def call(
        self,
        method: str,
        members: Any = None,
        *,
        version: int = 2,
        raw: bytes | None = None,
        project: str = "shop",
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
        verb: str = "POST",
        source: str | None = None,
    ) -> Answered:
        """A signed call; `headers` are put over those that a call has, an empty name removes nothing."""
        body = raw if raw is not None else json.dumps({} if members is None else members).encode()
        given = {
            "content-type": "application/json",
            "x-partner-project": project,
            "x-partner-sign": sign_rsa(self.key, body),
        }
        if key is not None:
            given["x-partner-idempotency-key"] = key
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        return await self.request(path or f"/api/v{version}/{method}", given, body, verb=verb, source=source)

    async def request(
        self,
        path: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        body: bytes = b"",
        *,
        verb: str = "POST",
        source: str | None = None,
    ) -> Answered:
        """One request, as a server would hand it over, with the body in two pieces."""
        given = headers.items() if isinstance(headers, Mapping) else headers or ()
        middle = len(body) // 2
        pieces = [
            {"type": "http.request", "body": body[:middle], "more_body": True},
            {"type": "http.request", "body": body[middle:], "more_body": False},
        ]
        scope: dict[str, Any] = {
            "type": "http",
            "method": verb,
            "path": path,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given],
        }
        if source is not None:
            scope["client"] = (source, 50_000)
        sent: list[Any] = []

        async def receive() -> Any:
            return pieces.pop(0) if pieces else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        body = b"".join(message["body"] for message in rest)
        shown = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answered(status=start["status"], headers=shown, body=body)

    async def carry_on(self) -> None:
        """Do what was started beside the calls, until nothing is left."""
        while self.work:
            await self.work.pop(0)

    def leave(self) -> None:
        """Forget what was started beside the calls, as a crash does."""
        for one in self.work:
            one.close()
        self.work.clear()

    def stored(self, session_id: str, project: str = "shop") -> PaymentSession:
        """The session as it stands in the books."""
        return self.world.books.sessions[project, session_id]

    async def paid(self, *, project: str = "shop", version: int = 2) -> str:
        """The id of a session that was prepared, confirmed and answered by the bank."""
        session_id = await self.prepared(project=project, version=version)
        assert (await self.call("session/confirm", {"session_id": session_id}, project=project)).status == 200
        await self.carry_on()
        return session_id

    async def prepared(self, *, project: str = "shop", version: int = 2) -> str:
        """The id of a session that waits for its confirmation."""
        answered = await self.call("session/init/payment", PAYMENT, project=project, version=version)
        assert answered.status == 200, answered.body
        return str(answered.session["id"])
