"""A merchant's webhook receiver on loopback: checks every signature, keeps what comes, answers as it is told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

PATIENCE_SECONDS = 60.0
IDLE_SECONDS_MAX = 20.0


class Reaction(StrEnum):
    """How a webhook is answered."""

    OK = "200"
    FAIL = "500"
    REDIRECT = "302"
    HANG = "never answered"
    DROP = "hung up on"


@dataclass(frozen=True)
class Webhook:
    """One attempt as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    reaction: Reaction

    @cached_property
    def content(self) -> dict[str, Any]:
        """The body's members."""
        members: dict[str, Any] = json.loads(self.body)
        return members

    @property
    def type(self) -> str:
        """What happened."""
        return str(self.content["type"])

    @property
    def session(self) -> dict[str, Any]:
        """The session as the webhook shows it."""
        shown: dict[str, Any] = self.content["session"]
        return shown


@dataclass
class Keys:
    """What a merchant checks webhooks with."""

    rsa_pem: str
    hmac_secret: str
    ed25519: str

    def problem_of(self, webhook: Webhook) -> str | None:
        """What is wrong with a webhook's signatures or headers; None when nothing is."""
        headers, body = webhook.headers, webhook.body
        rsa = load_pem_public_key(self.rsa_pem.encode())
        assert isinstance(rsa, RSAPublicKey)
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        by_scheme = dict(one.split(",", 1) for one in headers.get("webhook-signature", "").split(" "))
        try:
            rsa.verify(base64.b64decode(headers["x-partner-sign"]), body, padding.PKCS1v15(), hashes.SHA256())
            StandardWebhook(self.hmac_secret).verify(body, headers)
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.ed25519.removeprefix("whpk_")))
            public.verify(base64.b64decode(by_scheme["v1a"]), signed)
        except (InvalidSignature, WebhookVerificationError, KeyError, ValueError) as problem:
            return f"signature: {problem!r}"
        facts = {
            "content-type": headers.get("content-type") == "application/json",
            "content-length": "transfer-encoding" not in headers,
            "user-agent": headers.get("user-agent") == "Tollhouse-Webhook/1",
            "x-partner-project": "x-partner-project" not in headers,
            "webhook-id": headers["webhook-id"] == webhook.content["event_id"],
        }
        return next((f"header {name}: {headers.get(name)}" for name, is_right in facts.items() if not is_right), None)


@dataclass
class Receiver:
    """`react` says how each webhook is answered; `keys` with what it is checked. Unchecked ones are a problem."""

    react: Callable[[Webhook], Reaction] = lambda webhook: Reaction.OK
    keys: Keys | None = None
    webhooks: list[Webhook] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._heard = threading.Condition()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = IDLE_SECONDS_MAX

            def do_POST(self) -> None:
                receiver._take(self)

            def do_GET(self) -> None:
                receiver.problems.append(f"somebody followed a redirect to {self.path}")
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Nothing: the test looks at the webhooks."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        """Take no more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, session_id: str, type: str | None = None) -> list[Webhook]:
        """What came for a session so far, failed attempts included."""
        with self._heard:
            return [one for one in self.webhooks if one.session["id"] == session_id and type in (None, one.type)]

    def delivered(self, session_id: str) -> list[str]:
        """The types that a session's merchant has taken, in the order of their coming, repetitions left out."""
        taken = {one.headers["webhook-id"]: one.type for one in self.of(session_id) if one.reaction is Reaction.OK}
        return list(taken.values())

    def wait_for(
        self, session_id: str, type: str, *, count: int = 1, seconds: float = PATIENCE_SECONDS
    ) -> list[Webhook]:
        """The first so many attempts of this type for a session."""
        with self._heard:
            is_there = self._heard.wait_for(lambda: len(self.of(session_id, type)) >= count, seconds)
            came = [(one.type, str(one.reaction)) for one in self.of(session_id)]
            assert is_there, f"{count} × {type} of {session_id}: not within {seconds:g} s; came: {came}"
            return self.of(session_id, type)[:count]

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        webhook = Webhook(handler.path, headers, body, Reaction.OK)
        webhook = Webhook(handler.path, headers, body, self.react(webhook))
        problem = self.keys.problem_of(webhook) if self.keys else "came before the project was created"
        if problem is not None:
            self.problems.append(f"{webhook.type}: {problem}")
        with self._heard:
            self.webhooks.append(webhook)
            self._heard.notify_all()
        self._answer(handler, webhook.reaction)

    def _answer(self, handler: BaseHTTPRequestHandler, reaction: Reaction) -> None:
        match reaction:
            case Reaction.HANG | Reaction.DROP:
                if reaction is Reaction.HANG:
                    self._closing.wait(IDLE_SECONDS_MAX)
                handler.close_connection = True
                return
            case Reaction.REDIRECT:
                handler.send_response(302)
                handler.send_header("Location", f"{self.url}/elsewhere")
            case Reaction.OK | Reaction.FAIL:
                handler.send_response(int(reaction))
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")
