"""A merchant as the API meets it: an RSA key, signed calls over HTTP, a receiver for webhooks."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.acceptance.receiver import Keys, Receiver
from tests.acceptance.system import System, until

CARD = "4242424242424242"
CALL_SECONDS_MAX = 30.0
FINAL = ("accepted", "cancelled")
_places = itertools.count()
_numbers = itertools.count(1)


def new_key() -> rsa.RSAPrivateKey:
    """A key pair of a merchant."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """What the merchant hands over."""
    shape = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*shape).decode()


def sign(key: rsa.RSAPrivateKey, body: bytes) -> str:
    """X-PARTNER-SIGN of a body."""
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def by_card(number: str = CARD, **members: str) -> dict[str, Any]:
    """`payment_details` with open card details; members replace or add some."""
    card = {"number": number, "expiration_month": "08", "expiration_year": "31", "security_code": "417", **members}
    return {"type": "card", "card": {"type": "bank_card", "bank_card": card}}


def euros(minor: int, currency: str = "eur") -> dict[str, Any]:
    """`amount_details`."""
    return {"amount": minor, "currency": currency}


def payment_of(session: dict[str, Any]) -> dict[str, Any]:
    """The session's only payment, in either spelling."""
    assert not ("payment_list" in session and "acquiring_payments" in session)
    (payment,) = session["payment_list"] if "payment_list" in session else session["acquiring_payments"]
    found: dict[str, Any] = payment
    return found


@dataclass(frozen=True)
class Answer:
    """What a call was answered with."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @cached_property
    def content(self) -> dict[str, Any]:
        """The envelope."""
        members: dict[str, Any] = json.loads(self.raw)
        assert members["status"] == ("ok" if self.status == 200 else "error"), self
        return members

    @property
    def session(self) -> dict[str, Any]:
        """The session of a call that was carried out."""
        assert self.status == 200, f"{self.status}: {self.raw!r}"
        session: dict[str, Any] = self.content["session"]
        return session

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a call that was refused; no code for one that was not."""
        return self.status, self.content.get("error", {}).get("code", "")

    @property
    def description(self) -> str:
        """What a refusal says."""
        return str(self.content["error"]["description"])


def _somewhere() -> str:
    """An address of this machine that no call came from before: wrong tokens are counted by where they come from."""
    number = next(_places)
    return f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{1 + number % 250}"


class Merchant:
    """One project and who uses it."""

    def __init__(
        self, system: System, *, settings: dict[str, str] | None = None, is_live: bool = False, webhooks: bool = True
    ) -> None:
        self.system, self.port = system, system.port
        self.project = f"shop-{next(_numbers)}"
        self.key = new_key()
        self.receiver = Receiver()
        key_file = system.folder / f"{self.project}.pub.pem"
        key_file.write_text(public_pem(self.key))
        words = ["project", "create", self.project, "--public-key", str(key_file)]
        words += ["--webhook-url", self.receiver.url] if webhooks else []
        for name, value in (settings or {}).items():
            words += ["--set", f"{name}={value}"]
        self.made = system.json(*words, *(["--live"] if is_live else []))
        assert self.made["project"] == self.project
        self.receiver.keys = Keys(
            rsa_pem=self.made["provider_public_key"],
            hmac_secret=self.made["webhook_secret"],
            ed25519=self.made["webhook_public_key"],
        )

    def close(self) -> None:
        """Take no more webhooks, and say what was wrong with those that came."""
        self.receiver.close()
        assert self.receiver.problems == []

    def send(
        self, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, verb: str = "POST"
    ) -> Answer:
        """One request with exactly these bytes and headers."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=CALL_SECONDS_MAX, source_address=(_somewhere(), 0)
        )
        with closing(connection):
            connection.request(verb, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def call(
        self,
        method: str,
        body: dict[str, Any] | list[Any] | bytes,
        *,
        version: int = 2,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """A signed call, with an idempotency key if one is given. Further headers replace those made here."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        every = {
            "Content-Type": "application/json",
            "X-PARTNER-PROJECT": self.project,
            "X-PARTNER-SIGN": sign(self.key, raw),
            **({} if key is None else {"X-PARTNER-IDEMPOTENCY-KEY": key}),
            **(headers or {}),
        }
        # Methods of sessions go by their last word, others by their whole name.
        path = method if method.startswith("token") else f"session/{method}"
        return self.send(f"/api/v{version}/{path}", raw, every)

    def body(self, number: str = CARD, minor: int = 2590, currency: str = "eur", **members: Any) -> dict[str, Any]:
        """What `init/payment` wants."""
        needed = {"payment_details": by_card(number), "amount_details": euros(minor, currency)}
        return {**needed, "customer": {"reference": "u-3108"}, **members}

    def init(self, number: str = CARD, minor: int = 2590, *, version: int = 2, **members: Any) -> str:
        """Create and start in one call. Returns the session's id."""
        answer = self.call("init/payment", self.body(number, minor, **members), version=version)
        return str(answer.session["id"])

    def prepare(self, number: str = CARD, minor: int = 2590, *, version: int = 2, **members: Any) -> str:
        """A payment that waits to be confirmed, and whose merchant was told so."""
        session_id = self.init(number, minor, version=version, **members)
        self.receiver.wait_for(session_id, "ready_to_confirm")
        return session_id

    def open_form(self, minor: int = 2590, *, members: dict[str, Any] | None = None, **widget: Any) -> tuple[str, str]:
        """A created session and a public token for its form; widget members as in `acquiring_widget`."""
        created = self.call("create", {"amount_details": euros(minor), **(members or {})}).session
        asked = {"acquiring_widget": {"session_id": created["id"], **widget}}
        return str(created["id"]), str(self.call("token", asked).content["public_token"])

    def confirm(self, session_id: str) -> Answer:
        """The merchant's yes."""
        return self.call("confirm", {"session_id": session_id})

    def start(self, number: str = CARD, minor: int = 2590, **members: Any) -> str:
        """A payment that is confirmed and on its way to the acquirer."""
        session_id = self.prepare(number, minor, **members)
        assert payment_of(self.confirm(session_id).session)["status"] == "pending"
        return session_id

    def pay(self, number: str = CARD, minor: int = 2590, **members: Any) -> str:
        """A payment that has succeeded."""
        session_id = self.start(number, minor, **members)
        assert self.finished(session_id)["status"] == "accepted"
        return session_id

    def finished(self, session_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The session as its `payment_finished` shows it."""
        return self.receiver.wait_for(session_id, "payment_finished", seconds=seconds)[0].session

    def status(self, session_id: str, *, version: int = 2) -> dict[str, Any]:
        """The session as it stands."""
        return self.call("status", {"session_id": session_id}, version=version).session

    def wait_until_final(self, session_id: str, *, seconds: float = 90.0) -> dict[str, Any]:
        """The session once nothing of it is open any more."""

        def final() -> dict[str, Any] | None:
            session = self.status(session_id)
            return session if session["status"] in FINAL else None

        found = until(final, f"{session_id} is final", seconds=seconds)
        assert found is not None
        return found

    def refund(self, session_id: str, minor: int | None = None, **members: Any) -> Answer:
        """Ask for money to be given back: all that is left, or a part."""
        amount = {} if minor is None else {"amount_details": euros(minor)}
        return self.call("refund", {"session_id": session_id, **amount, **members})
