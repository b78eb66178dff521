"""A small shop that takes card payments: a merchant in one file, to read and to imitate.

It keeps its orders in memory, so a restart forgets them. A real shop keeps `Shop.orders` and `Shop.heard` in its
database, and writes a webhook down before it answers.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

Members = dict[str, Any]

LOG = logging.getLogger("shop")
PRICES: Mapping[str, Members] = {  # in minor units
    "coffee": {"amount": 490, "currency": "eur"},
    "book": {"amount": 2400, "currency": "jpy"},
    "bicycle": {"amount": 64900, "currency": "usd"},
}
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # before a call is sent again
CALL: Mapping[str, Any] = {"timeout": aiohttp.ClientTimeout(total=20), "allow_redirects": False}
WEBHOOK_AGE_SECONDS_MAX = 300
CARD = ("number", "expiration_month", "expiration_year", "security_code")
FINAL = ("succeeded", "failed")
COOKIE = "visitor"


class Refused(Exception):
    """The gateway said no to a call."""


class Unanswered(Exception):
    """No answer came, however often the call was sent: it may have been carried out, or not."""


@dataclass(kw_only=True)
class Order:
    """One order, and what is known of its payment."""

    id: str
    visitor: str
    product: str
    price: Members
    scenario: str
    confirms: bool
    back_url: str  # where the payer comes back to
    session_id: str = ""
    token: str = field(default="", repr=False)  # opens the widget
    session: Members = field(default_factory=dict)  # as a webhook or session/status had it: nothing else is the truth
    sequence: int = 0  # of the newest webhook
    decision: str = ""
    refund: tuple[str, Members] | None = None  # key and body of a refund that has no answer yet
    refunds: int = 0
    problem: str = ""

    def terms(self) -> Members:
        """What every way to pay begins with."""
        known = {"amount_details": self.price, "customer": {"reference": self.visitor[:16]}, "metadata": self.id}
        return known | {"payment_options": {"return_url": self.back_url}}

    def learn(self, session: Members) -> None:
        """Take over what a webhook or session/status says. What is final stays final, whatever comes late."""
        if payment_of(self.session).get("status") not in FINAL or payment_of(session).get("status") in FINAL:
            self.session = session


def payment_of(session: Members) -> Members:
    """The payment of a session, empty where there is none yet."""
    return dict((session.get("payment_list") or [{}])[0])


# Somebody who is told what is said: about which order, call | answer | webhook | state | payer, from>to, a title, and
# what it carried. The shop needs nobody here; the demo draws it.
Tell = Callable[[Order | None, str, str, str, Members], None]


class Gateway:
    """Speaks to the gateway: signs what goes out, checks what comes in."""

    def __init__(self, url: str, *, project: str, private_pem: str, webhook_pem: str, webhook_secret: str) -> None:
        private, webhook = load_pem_private_key(private_pem.encode(), None), load_pem_public_key(webhook_pem.encode())
        assert isinstance(private, rsa.RSAPrivateKey) and isinstance(webhook, rsa.RSAPublicKey)
        self._private_key, self._webhook_key = private, webhook
        self._secret = base64.b64decode(webhook_secret.removeprefix("whsec_"))
        self._url, self._project = url, project
        self.pauses_seconds: Sequence[float] = PAUSES_SECONDS
        self.tell: Tell = lambda *_: None

    async def call(self, order: Order | None, method: str, members: Members, key: str = "") -> Members:
        """The answer to a call. What got none is sent again, the same bytes and key. Raises `Refused`, `Unanswered`."""
        body = json.dumps(members).encode()
        signature = self._private_key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        headers = {"Content-Type": "application/json", "X-PARTNER-PROJECT": self._project}
        headers |= {"X-PARTNER-SIGN": base64.b64encode(signature).decode()}
        headers |= {"X-PARTNER-IDEMPOTENCY-KEY": key} if key else {}
        url = f"{self._url}/api/v2/{method}"
        for pause_seconds in (0.0, *self.pauses_seconds):
            await asyncio.sleep(pause_seconds)
            self.tell(order, "call", "shop>tollhouse", f"{method}, again" if pause_seconds else method, members)
            try:
                async with aiohttp.request("POST", url, data=body, headers=headers, **CALL) as got:
                    answer = await got.json()
            except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
                self.tell(order, "answer", "tollhouse>shop", "no answer", {"problem": type(problem).__name__})
                continue
            self.tell(order, "answer", "tollhouse>shop", str(got.status), answer)
            if got.status == 200:
                return dict(answer)
            if earlier := got.headers.get("X-Tollhouse-Idempotent-Session"):  # done by a sending whose answer was lost
                return await self.call(order, "session/status", {"session_id": earlier})
            if got.status < 500 and "Retry-After" not in got.headers:
                raise Refused(f"{answer['error']['code']}: {answer['error']['description']}")
        raise Unanswered(f"{method}: no answer; it may have been carried out, or not")

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether both signatures of a webhook fit its raw bytes, and it was sent just now."""
        try:
            stamp = headers["webhook-timestamp"]
            signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
            expected = b"v1," + base64.b64encode(hmac.digest(self._secret, signed, "sha256"))
            given = headers["webhook-signature"].encode().split()
            signature = base64.b64decode(headers["X-PARTNER-SIGN"], validate=True)
            self._webhook_key.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
            is_fresh = abs(time.time() - int(stamp)) <= WEBHOOK_AGE_SECONDS_MAX
        except (KeyError, ValueError, InvalidSignature):
            return False
        return is_fresh and any(hmac.compare_digest(one, expected) for one in given)


class Shop:
    """Sells what visitors' pages ask for, and does what the gateway's webhooks call for."""

    def __init__(self, gateway: Gateway, *, widget_url: str, origins: Sequence[str]) -> None:
        self.gateway, self.widget_url, self.origins = gateway, widget_url, origins  # origins: where browsers reach us
        self.orders: dict[str, Order] = {}
        self.heard: set[str] = set()  # ids of webhooks
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = web.Application()
        self.app.add_routes([web.post("/webhooks", self.hear), web.post("/orders", self.buy)])
        self.app.add_routes([web.post("/orders/{id}/refund", self.give_back)])
        self.app.add_routes([web.get("/back", self.come_back), web.post("/back", self.come_back)])

    async def hear(self, request: web.Request) -> web.Response:
        """A webhook: checked over its raw bytes, answered at once, acted on afterwards and once only."""
        body = await request.read()
        if not self.gateway.is_genuine(request.headers, body):
            return web.json_response({"error": "the signatures do not fit"}, status=401)
        if request.headers["webhook-id"] not in self.heard:
            event = json.loads(body)
            self.heard.add(request.headers["webhook-id"])
            # It may be faster than the answer that names the session, so the order is found by its own id.
            order = self.orders.get(str(payment_of(event["session"]).get("metadata")))
            self._later(order, self._act(order, event))
        return web.json_response({"status": "ok"})

    async def _act(self, order: Order | None, event: Members) -> None:
        session = event["session"]
        if order is None:
            if "next_action" in session:  # nobody here could deliver: sold before a restart
                await self.gateway.call(None, "session/cancel", {"session_id": session["id"]})
            return
        order.session_id = session["id"]
        if event["sequence"] > order.sequence:
            order.sequence = event["sequence"]
            order.learn(session)
        self.gateway.tell(order, "webhook", "tollhouse>shop", event["type"], event)
        await self._decide(order)

    async def _decide(self, order: Order) -> None:
        """Confirm or cancel where the gateway waits for it. To say the same twice is harmless."""
        if order.session.get("next_action") == "confirm":
            is_right = payment_of(order.session)["amount_details"] == order.price
            order.decision = order.decision or ("session/confirm" if order.confirms and is_right else "session/cancel")
            await self.gateway.call(order, order.decision, {"session_id": order.session_id})

    async def _look(self, order: Order) -> None:
        """Ask how an order stands, unless a webhook tells meanwhile."""
        sequence = order.sequence
        answer = await self.gateway.call(order, "session/status", {"session_id": order.session_id})
        if order.sequence == sequence:
            order.learn(answer["session"])
            self.gateway.tell(order, "state", "shop>shop", "", {})
            await self._decide(order)

    def _later(self, order: Order | None, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside what is answered now. What the gateway refuses is told to the visitor."""

        async def tell_problems() -> None:
            try:
                await work
            except (Refused, Unanswered) as problem:
                LOG.warning("order %s: %s", order and order.id, problem)
                if order is not None:
                    order.problem = str(problem)
            self.gateway.tell(order, "state", "shop>shop", "", {})

        task = asyncio.create_task(tell_problems())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def buy(self, request: web.Request) -> web.Response:
        """An order: by the widget a token comes of it, by our own form (with the card's details) a payment."""
        wish = await members_of(request)
        name, scenario = str(wish.get("product")), wish.get("scenario")
        if name not in PRICES or scenario not in ("widget", "own"):
            raise web.HTTPBadRequest(text="there is no such product or way to pay")
        visitor, here = visitor_of(request), f"{request.scheme}://{request.host}"
        id = hashlib.sha256(f"{visitor} {wish.get('key') or secrets.token_hex(8)}".encode()).hexdigest()[:16]
        if id not in self.orders:  # else it is the same order again: a double click, or its answer was lost
            order = self.orders[id] = Order(
                id=id,
                visitor=visitor,
                product=name,
                price=PRICES[name],
                scenario=scenario,
                confirms=wish.get("confirms") is not False,
                back_url=f"{here if here in self.origins else self.origins[0]}/back?order={id}",
            )
            self.gateway.tell(order, "payer", "payer>shop", f"orders the {name}", order.price)
            self._later(order, self._open_widget(order, wish) if scenario == "widget" else self._pay(order, wish))
        return web.json_response({"id": id}, status=201)

    async def _open_widget(self, order: Order, wish: Members) -> None:
        answer = await self.gateway.call(order, "session/create", order.terms(), key=f"{order.id}-create")
        order.session_id = answer["session"]["id"]
        options = {"locale": wish.get("language", "en"), "redirect_target": wish.get("target", "_top")}
        options |= {"success_return_url": order.back_url, "failure_return_url": order.back_url}
        options |= {"session_id": order.session_id}
        order.token = (await self.gateway.call(order, "token", {"acquiring_widget": options}))["public_token"]
        self.gateway.tell(order, "payer", "shop>payer", "page with the payment form", {"public_token": order.token})

    async def _pay(self, order: Order, wish: Members) -> None:
        """Pay with the card of our own form. Whoever does this must be certified for it (PCI DSS SAQ D)."""
        card = {name: str(wish.get("card", {}).get(name, "")) for name in CARD}
        details = {"payment_details": {"type": "card", "card": {"type": "bank_card", "bank_card": card}}}
        answer = await self.gateway.call(order, "session/init/payment", order.terms() | details, key=f"{order.id}-pay")
        order.session_id = answer["session"]["id"]

    async def come_back(self, request: web.Request) -> web.Response:
        """The payer is back, by GET or POST. That proves nothing: ask, where no webhook has told yet."""
        order = self.orders.get(request.query.get("order", ""))
        if order is not None:
            self.gateway.tell(order, "payer", "payer>shop", "back from the payment", dict(request.query))
            if order.session_id and payment_of(order.session).get("status") not in FINAL:
                self._later(order, self._look(order))
        raise web.HTTPSeeOther("/")

    async def give_back(self, request: web.Request) -> web.Response:
        """A refund, whole or of an amount. One that got no answer is repeated before there is another."""
        order, amount = self.orders.get(request.match_info["id"]), (await members_of(request)).get("amount")
        if order is None or order.visitor != visitor_of(request):
            raise web.HTTPNotFound(text="there is no such order of yours")
        if order.refund is None:
            part = {"amount_details": order.price | {"amount": amount}} if amount is not None else {}
            order.refunds += 1
            order.refund = (f"{order.id}-refund-{order.refunds}", {"session_id": order.session_id, **part})
        self._later(order, self._refund(order, *order.refund))
        return web.json_response({"status": "ok"}, status=202)

    async def _refund(self, order: Order, key: str, body: Members) -> None:
        try:
            await self.gateway.call(order, "session/refund", body, key=key)
        except Refused:
            order.refund = None
            raise
        order.refund, order.problem = None, ""


def visitor_of(request: web.Request) -> str:
    """Who asks: the hash of a cookie's secret, so that the secret is kept nowhere."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        raise web.HTTPForbidden(text="open the shop's page first")
    return hashlib.sha256(secret.encode()).hexdigest()


async def members_of(request: web.Request) -> Members:
    """The JSON object of a call. Pages of other sites cannot send one: we allow no cross-origin requests."""
    with suppress(ValueError):
        if request.content_type == "application/json" and isinstance(members := await request.json(), dict):
            return members
    raise web.HTTPBadRequest(text="a JSON object is expected")
