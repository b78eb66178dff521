"""A merchant that pays as fast as the gateway lets it: real signatures, real webhooks, nothing but sockets between.

Its HTTP is written by hand on purpose: it shares two cores with what it measures, so it must cost little itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CARD = {"number": "4242424242424242", "expiration_month": "08", "expiration_year": "31", "security_code": "417"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


@dataclass(slots=True)
class Payment:
    """One payment under way: its latencies in seconds as they become known."""

    began_at: float
    prepared: asyncio.Future[None] = field(repr=False)
    finished: asyncio.Future[str] = field(repr=False)
    linked: asyncio.Future[str] = field(repr=False)  # the link of a payer who must act


class Merchant:
    """Pays and listens. `payments` maps a session to its payment under way."""

    def __init__(self, host: str, port: int, project: str) -> None:
        self.host, self.port, self.project = host, port, project
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.payments: dict[str, Payment] = {}
        self.early: dict[tuple[str, str], str] = {}
        self.webhooks = 0
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def public_pem(self) -> str:
        """The public key to give to the project."""
        return (
            self.key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    async def listen(self) -> str:
        """Receive webhooks on a port of the system's choice; its address."""
        server = await asyncio.get_running_loop().create_server(lambda: Receiver(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    def hear(self, type_: str, session_id: str, status: str) -> None:
        """A webhook came in; it may be faster than the answer to the call that caused it."""
        self.webhooks += 1
        payment = self.payments.get(session_id)
        if payment is None:
            self.early[session_id, type_] = status
            return
        if type_ == "ready_to_confirm" and not payment.prepared.done():
            payment.prepared.set_result(None)
        elif type_ == "action_required" and not payment.linked.done():
            payment.linked.set_result(status)
        elif type_ == "payment_finished" and not payment.finished.done():
            payment.finished.set_result(status)

    async def call(self, method: str, body: bytes, signature: bytes | None = None) -> dict:
        """One signed call of a session's method; the session of the answer."""
        return (await self.ask(f"session/{method}", body, signature))["session"]

    async def ask(self, method: str, body: bytes, signature: bytes | None = None) -> dict:
        """One signed call on a kept connection; the answer."""
        signature = signature or self.sign(body)
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        writer.write(
            b"POST /api/v2/%s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            b"X-PARTNER-PROJECT: %s\r\nX-PARTNER-SIGN: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (method.encode(), self.project.encode(), signature, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        self._idle.append((reader, writer))
        if answer["status"] != "ok":
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer

    def sign(self, body: bytes) -> bytes:
        """X-PARTNER-SIGN of a body."""
        return base64.b64encode(self.key.sign(body, padding.PKCS1v15(), hashes.SHA256()))

    async def pay(self, init_body: bytes, init_signature: bytes) -> tuple[str, float, float]:
        """One complete payment: its end, seconds until it was prepared, seconds from confirm to the end."""
        id, payment = await self._begin(init_body, init_signature)
        prepared_seconds = time.perf_counter() - payment.began_at
        confirmed_at = time.perf_counter()
        await self.call("confirm", b'{"session_id":"%s"}' % id.encode())
        status = await payment.finished
        del self.payments[id]
        return status, prepared_seconds, time.perf_counter() - confirmed_at

    async def pay_authenticated(
        self, init_body: bytes, init_signature: bytes, authenticate: Callable[[str], Awaitable[None]]
    ) -> str:
        """One complete payment whose payer is sent to a link before: its end."""
        id, payment = await self._begin(init_body, init_signature)
        await self.call("confirm", b'{"session_id":"%s"}' % id.encode())
        await authenticate(await payment.linked)
        status = await payment.finished
        del self.payments[id]
        return status

    async def _begin(self, init_body: bytes, init_signature: bytes) -> tuple[str, Payment]:
        """A payment that is ready to be confirmed."""
        loop = asyncio.get_running_loop()
        payment = Payment(time.perf_counter(), loop.create_future(), loop.create_future(), loop.create_future())
        session = await self.call("init/payment", init_body, init_signature)
        id = session["id"]
        self.payments[id] = payment
        for type_ in ("ready_to_confirm", "action_required", "payment_finished"):
            if (id, type_) in self.early:
                self.hear(type_, id, self.early.pop((id, type_)))
        await payment.prepared
        return id, payment

    def init_body(self) -> tuple[bytes, bytes]:
        """A payment to begin, signed once: without an idempotency key the same bytes are a new payment each time."""
        body = json.dumps(
            {
                "payment_details": {"type": "card", "card": {"type": "bank_card", "bank_card": CARD}},
                "amount_details": {"amount": 2590, "currency": "eur"},
                "customer": {"reference": "bench", "contacts": [{"email": "kai@example.org"}]},
                "metadata": "order-5512",
            }
        ).encode()
        return body, self.sign(body)


class Receiver(asyncio.Protocol):
    """Answers every webhook with 200 at once."""

    def __init__(self, merchant: Merchant) -> None:
        self._merchant = merchant
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = json.loads(self._buffer[end + 4 : end + 4 + length])
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(OK)  # type: ignore[attr-defined]
            session = body["session"]
            told = session["status"]
            if body["type"] == "action_required":
                told = session["payment_list"][0]["customer_interaction"]["redirect"]["url"]
            self._merchant.hear(body["type"], session["id"], told)
