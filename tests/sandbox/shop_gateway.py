"""A gateway as a merchant sees it: it checks and keeps every call, answers as it is told, and sends signed webhooks."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.cli.programs import free_ports
from tollhouse.sandbox.shop.display import Display
from tollhouse.sandbox.shop.shop import Gateway, Shop

PROJECT = "corner"
TOKEN = "a2ea186cfffd893ab40f0a4311b181b69564d555991f96d9ec66b92f5fc1e5b9"
LINK = {"url": "https://bank.example/c?x=1", "base_url": "https://bank.example/c", "method": "GET"}
WAIT_SECONDS = 30.0  # only so that a broken shop fails a test instead of hanging it

Members = dict[str, Any]


def make_key() -> rsa.RSAPrivateKey:
    """A key of the smallest size that is allowed."""
    return rsa.generate_private_key(65537, 2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """The key as its owner keeps it."""
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*kind).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """Its other half."""
    kind = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*kind).decode()


async def until(found: Callable[[], Any]) -> Any:
    """What `found` returns as soon as it is true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (result := found()):
            await asyncio.sleep(0.005)
    return result


@dataclass(frozen=True)
class Heard:
    """One call of the shop."""

    method: str
    members: Members
    body: bytes
    key: str | None


@dataclass
class FakeGateway:
    """Answers calls; what is in `lost` is carried out once and not answered."""

    shop_key: rsa.RSAPrivateKey = field(default_factory=make_key)
    webhook_key: rsa.RSAPrivateKey = field(default_factory=make_key)
    secret: bytes = bytes(range(32))
    heard: list[Heard] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    used_keys: set[str] = field(default_factory=set)
    status: Members = field(default_factory=dict)  # what session/status answers
    before_answer: Callable[[str], Coroutine[Any, Any, None]] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """One call: the signature fits the raw bytes, or the test fails by the shop's being refused."""
        body, method = await request.read(), request.match_info["method"]
        assert request.headers["X-PARTNER-PROJECT"] == PROJECT
        signature = base64.b64decode(request.headers["X-PARTNER-SIGN"], validate=True)
        self.shop_key.public_key().verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
        key = request.headers.get("X-PARTNER-IDEMPOTENCY-KEY")
        self.heard.append(Heard(method, json.loads(body), body, key))
        if method in self.refused:
            status, code = self.refused[method]
            error = {"code": code, "description": "no"}
            return web.json_response({"status": "error", "error": error}, status=status)
        if key in self.used_keys:
            error = {"code": "idempotency_key_already_exists", "description": "used"}
            headers = {"X-Tollhouse-Idempotent-Session": "ps_1"}
            return web.json_response({"status": "error", "error": error}, status=400, headers=headers)
        if key:
            self.used_keys.add(key)
        if self.before_answer is not None:
            await self.before_answer(method)
        if method in self.lost:
            self.lost.discard(method)
            assert request.transport is not None
            request.transport.abort()
        if method == "token":
            return web.json_response({"status": "ok", "public_token": TOKEN})
        session = self.status if method == "session/status" else {"id": "ps_1", "status": "in_progress"}
        return web.json_response({"status": "ok", "session": session})

    def signed(self, body: bytes, number: int = 1, *, age_seconds: int = 0) -> dict[str, str]:
        """The headers of a webhook."""
        stamp = str(int(time.time()) - age_seconds)
        content = f"evt_{number}.{stamp}.".encode() + body
        mac = base64.b64encode(hmac.digest(self.secret, content, "sha256")).decode()
        signature = self.webhook_key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return {
            "Content-Type": "application/json",
            "webhook-id": f"evt_{number}",
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1a,AAAA v1,{mac}",
            "X-PARTNER-SIGN": base64.b64encode(signature).decode(),
        }

    def methods(self) -> list[str]:
        """What was called, in order."""
        return [one.method for one in self.heard]


def session_of(order: str, status: str, price: Members, **more: Any) -> Members:
    """A session whose one payment stands so."""
    payment = {"id": "pm_1", "status": status, "amount_details": price, "refunds": [], "metadata": order}
    over = {"succeeded": "accepted", "failed": "cancelled"}.get(status, "in_progress")
    action = more.pop("next_action", None)
    session = {"id": "ps_1", "status": over, "payment_list": [payment | more]}
    return session | ({"next_action": action} if action else {})


def webhook_body(kind: str, session: Members, sequence: int) -> bytes:
    """A webhook's raw body, with blanks a careless reader would lose."""
    return json.dumps({"type": kind, "session": session, "event_id": f"evt_{sequence}", "sequence": sequence}).encode()


@dataclass
class Visit:
    """A running shop, the gateway behind it, and one visitor's browser."""

    shop: Shop
    display: Display
    gateway: FakeGateway
    url: str
    browser: aiohttp.ClientSession

    async def buy(self, **wish: Any) -> str:
        """Order something. Returns the order's id."""
        wish = {"product": "coffee", "scenario": "widget", "confirms": True} | wish
        async with self.browser.post(f"{self.url}/orders", json=wish) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["id"])

    async def tell(self, kind: str, session: Members, sequence: int, **changes: Any) -> int:
        """Send a webhook. Returns the status of the shop's answer."""
        body = webhook_body(kind, session, sequence)
        headers = self.gateway.signed(body, sequence) | changes
        async with aiohttp.request("POST", f"{self.url}/webhooks", data=body, headers=headers) as answer:
            return answer.status

    async def ask_to_confirm(self, order: str, sequence: int = 1) -> int:
        """The webhook that asks for the decision about a coffee."""
        session = session_of(order, "pending", {"amount": 490, "currency": "eur"}, next_action="confirm")
        return await self.tell("ready_to_confirm", session, sequence)

    async def finish(self, order: str, status: str = "succeeded", sequence: int = 2, **more: Any) -> int:
        """The webhook about the end."""
        session = session_of(order, status, {"amount": 490, "currency": "eur"}, **more)
        return await self.tell("payment_finished", session, sequence)


@asynccontextmanager
async def visiting(pauses_seconds: tuple[float, ...] = (0.01, 0.02)) -> AsyncIterator[Visit]:
    """A shop and its gateway, both on ports of their own, and a browser that has opened the page."""
    fake = FakeGateway()
    (port,) = free_ports(1)
    gateway_app = web.Application()
    gateway_app.router.add_post("/api/v2/{method:.+}", fake.answer)
    gateway_runner = web.AppRunner(gateway_app, access_log=None)
    await gateway_runner.setup()
    await web.TCPSite(gateway_runner, "127.0.0.1", 0).start()
    gateway = Gateway(
        f"http://127.0.0.1:{gateway_runner.addresses[0][1]}",
        project=PROJECT,
        private_pem=private_pem(fake.shop_key),
        webhook_pem=public_pem(fake.webhook_key),
        webhook_secret="whsec_" + base64.b64encode(fake.secret).decode(),
    )
    gateway.pauses_seconds = pauses_seconds
    url = f"http://127.0.0.1:{port}"
    shop = Shop(gateway, widget_url="https://pay.example", origins=(url, f"http://localhost:{port}"))
    display = Display(shop)
    runner = web.AppRunner(shop.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(f"{url}/") as page:
                assert page.status == 200
            yield Visit(shop, display, fake, url, browser)
    finally:
        await runner.cleanup()
        await gateway_runner.cleanup()
