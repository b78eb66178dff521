"""What the demo shows: the shop's page, and beside each order the conversation about it, drawn as it happens.

A display, no part of taking payments. Everything is masked before it is kept.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tollhouse.sandbox.shop.shop import (
    COOKIE,
    PRICES,
    Gateway,
    Members,
    Order,
    Shop,
    members_of,
    payment_of,
    visitor_of,
)

HERE = Path(__file__).parent
FILES = {"shop.js": "text/javascript", "diagram.js": "text/javascript", "shop.css": "text/css"}
BEAT_SECONDS = 15.0  # a stream that is silent for long gets cut
CHUNKS_WAITING_MAX = 1000
# What the page may tell of itself and of the widget. A browser proves nothing: it is drawn, nothing is done about it.
SEEN = {
    "ready": ("onReady: the form can be used", "tollhouse>payer"),
    "started": ("onPaymentStart: card details, in Tollhouse's form", "payer>tollhouse"),
    "succeeded": ("onPaymentSuccess", "tollhouse>payer"),
    "failed": ("onPaymentFail", "tollhouse>payer"),
    "sent": ("sent on to the bank's page", "shop>payer"),
}
MASKS: Mapping[str, Callable[[Any], str]] = {
    "number": lambda pan: f"•••• {str(pan)[-4:]}",
    "security_code": lambda _: "•••",
    "public_token": lambda token: f"{str(token)[:6]}…",
}
_LIKE_A_PAN = re.compile(r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)")


def masked(value: Any) -> Any:
    """The same without PANs, security codes and public tokens."""
    if isinstance(value, dict):
        return {name: _mask_of(name)(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return _LIKE_A_PAN.sub("•••", value) if isinstance(value, str) else value


def _mask_of(name: str) -> Callable[[Any], Any]:
    return MASKS.get(name, masked)


def status_of(order: Order) -> str:
    """How an order stands, in one word."""
    payment = payment_of(order.session)
    refunds = [one for one in payment.get("refunds", []) if one["status"] == "accepted"]
    if refunds:
        is_whole = sum(one["amount_details"]["amount"] for one in refunds) >= order.price["amount"]
        return "refunded" if is_whole else "part_refunded"
    if payment.get("customer_interaction"):
        return "action"
    return str(payment.get("status", "refused" if order.problem and not order.session_id else "open"))


def view_of(order: Order) -> Members:
    """What its visitor's page may know of an order."""
    names = ("id", "product", "price", "scenario", "confirms", "token", "problem")
    shown = {name: getattr(order, name) for name in names}
    is_refunding = order.refund is not None
    return shown | {"status": status_of(order), "payment": payment_of(order.session), "is_refunding": is_refunding}


class Display:
    """Serves the page of a shop and streams to each visitor what is said about the visitor's orders."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.rows: dict[str, list[Members]] = {}
        self._statuses: dict[str, str] = {}
        self._streams: dict[asyncio.Queue[Members], str] = {}
        shop.gateway.tell = self.tell
        shop.app.add_routes(
            [web.get("/", self.show), web.get("/healthz", self.be_well), web.get("/stream", self.stream)]
        )
        shop.app.add_routes([web.get(f"/{name}", self.show_file) for name in FILES])
        shop.app.add_routes([web.post("/orders/{id}/seen", self.see)])
        shop.app.on_response_prepare.append(self._fence)

    def tell(self, order: Order | None, kind: str, way: str, title: str, members: Members) -> None:
        """Something was said about an order."""
        if order is None:
            return
        said = [] if kind == "state" else [self._row(order, kind, way, title, members)]
        if kind == "webhook":
            said.append(self._row(order, "answer", "shop>tollhouse", "200", {"status": "ok"}))
        before, status = self._statuses.get(order.id, "open"), status_of(order)
        if status != before:
            self._statuses[order.id] = status
            said.append(self._row(order, "state", "shop>shop", status, {"before": before, "now": status}))
        for queue, visitor in self._streams.items():
            if visitor == order.visitor and queue.qsize() < CHUNKS_WAITING_MAX:
                queue.put_nowait({"order": view_of(order), "rows": said})

    def _row(self, order: Order, kind: str, way: str, title: str, members: Members) -> Members:
        rows = self.rows.setdefault(order.id, [])
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rows.append({"n": len(rows), "kind": kind, "way": way, "title": title, "at": at, "body": masked(members)})
        return rows[-1]

    async def show(self, request: web.Request) -> web.Response:
        """The page. Whoever has no cookie yet gets one."""
        page = (HERE / "index.html").read_text(encoding="utf-8")
        page = page.replace("{{widget}}", self._shop.widget_url).replace("{{prices}}", json.dumps(dict(PRICES)))
        response = web.Response(text=page, content_type="text/html")
        if not request.cookies.get(COOKIE):
            secret, is_secure = secrets.token_urlsafe(24), request.scheme == "https"
            response.set_cookie(COOKIE, secret, httponly=True, samesite="Lax", secure=is_secure)
        return response

    async def show_file(self, request: web.Request) -> web.Response:
        """One of the page's files."""
        name = request.path.removeprefix("/")
        return web.Response(text=(HERE / name).read_text(encoding="utf-8"), content_type=FILES[name], charset="utf-8")

    async def be_well(self, request: web.Request) -> web.Response:
        """Whether the shop is there."""
        return web.json_response({"status": "ok"})

    async def see(self, request: web.Request) -> web.Response:
        """What the page saw the widget do."""
        order, seen = self._shop.orders.get(request.match_info["id"]), (await members_of(request)).get("seen")
        if order is None or order.visitor != visitor_of(request) or str(seen) not in SEEN:
            raise web.HTTPNotFound(text="there is no such order of yours")
        title, way = SEEN[str(seen)]
        self.tell(order, "payer", way, title, {"seen": seen})
        return web.json_response({"status": "ok"})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: first how each of the visitor's orders stands, then whatever happens."""
        visitor = visitor_of(request)
        queue: asyncio.Queue[Members] = asyncio.Queue()
        for order in self._shop.orders.values():
            if order.visitor == visitor:
                queue.put_nowait({"order": view_of(order), "rows": list(self.rows.get(order.id, []))})
        queue.put_nowait({"now": time.time()})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._streams[queue] = visitor
        try:
            while True:
                text = await _next(queue)
                await response.write(text.encode())
        except ConnectionResetError:
            return response
        finally:
            del self._streams[queue]

    async def _fence(self, request: web.Request, response: web.StreamResponse) -> None:
        """The page may load and send nothing but its own and the widget's."""
        widget = self._shop.widget_url
        policy = {
            "default-src": "'none'",
            "script-src": f"'self' {widget}/payment-form.js",
            "style-src": f"'self' {widget}/payment-form.css",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "frame-src": widget,
            "form-action": f"'self' https: {widget}",  # own form: a bank may want to be reached by POST
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        response.headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"


async def _next(queue: asyncio.Queue[Members]) -> str:
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            return f"data: {json.dumps(await queue.get())}\n\n"
    except TimeoutError:
        return ": still here\n\n"


async def serve(gateway: Gateway, *, widget_url: str, origins: tuple[str, ...], host: str, port: int) -> None:
    """Serve the shop until this is cancelled. Raises `OSError` where it cannot listen."""
    shop = Shop(gateway, widget_url=widget_url, origins=origins)
    Display(shop)
    runner = web.AppRunner(shop.app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"shop ready: {origins[0]}", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
