"""The sandbox's directory server and issuer on a real port, and a 3DS server that asks them and hears results."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from tollhouse.sandbox.books import Books
from tollhouse.sandbox.http import HangingUp, make_app
from tollhouse.sandbox.journal import Journal
from tollhouse.sandbox.threeds.routes import ThreeDS
from tollhouse.sandbox.threeds.timers import Timers
from tollhouse.sandbox.threeds.values import Values
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.reading import read
from tollhouse.threeds.writing import pack, unpack

KEY = bytes(range(32))
WAIT_SECONDS = 20  # only so that a broken sandbox fails a test instead of hanging it
SHORT = Timers(
    unanswered_seconds=0.2,
    decoupled_seconds=0.05,
    browser_first_seconds=0.2,
    result_seconds=2,
    repeat_seconds=0.02,
)
VERSIONS = ("2.2.0", "2.3.1")
BROWSER = {
    "browserAcceptHeader": "text/html",
    "browserJavascriptEnabled": False,
    "browserUserAgent": "Mozilla/5.0",
    "browserLanguage": "en",
    "threeDSCompInd": "Y",
    "threeDSRequestorAuthenticationInd": "01",
}


@dataclass
class Server:
    """A 3DS server: asks the directory server, and writes down the results that come to it."""

    base: str  # of the sandbox
    url: str  # where results come to
    client: aiohttp.ClientSession
    threeds: ThreeDS | None = None  # where it runs in this process
    results: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0  # so many results are answered with 503 first
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def shop_url(self) -> str:
        """A page of the shop."""
        return self.url.replace("/results", "/shop")

    @property
    def return_url(self) -> str:
        """Where browsers go back to."""
        return self.url.replace("/results", "/return")

    async def hear(self, request: web.Request) -> web.Response:
        """A result, or an Erro in its place."""
        message = read(await request.read(), expects={MessageType.RREQ, MessageType.ERRO})
        self.results.append(message)
        self.heard.set()
        await self.may_answer.wait()
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        ids = {name: message.get(name) for name in ("threeDSServerTransID", "acsTransID", "dsTransID")}
        said = {"messageType": "RRes", "messageVersion": message["messageVersion"], "resultsStatus": "01"}
        return web.json_response(ids | said)

    async def wait_for_result(self) -> dict[str, Any]:
        """The first result."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.heard.wait()
        return self.results[0]

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.client.post(self.base + path, data=json.dumps(body)) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def get(self, path: str) -> Any:
        """JSON of a page."""
        async with self.client.get(self.base + path) as answer:
            return await answer.json()

    def request(self, pan: str, version: str = "2.3.1", **changes: Any) -> dict[str, Any]:
        """An AReq; members changed to None are left out."""
        members: dict[str, Any] = {
            "messageType": "AReq",
            "messageVersion": version,
            "messageCategory": "01",
            "deviceChannel": "02",
            "threeDSServerTransID": str(uuid.uuid4()),
            "threeDSServerRefNumber": "TEST-3DSS",
            "threeDSServerURL": self.url,
            "threeDSRequestorID": "R1",
            "threeDSRequestorName": "Shop",
            "threeDSRequestorURL": "https://shop.example",
            "notificationURL": self.return_url,
            "acctNumber": pan,
            "acquirerBIN": "400551",
            "acquirerMerchantID": "M1",
            "mcc": "5411",
            "merchantCountryCode": "276",
            "merchantName": "Bücher & <Tee>",
            "purchaseAmount": "2590",
            "purchaseCurrency": "978",
            "purchaseExponent": "2",
            "purchaseDate": "20261122131415",
            **BROWSER,
        }
        if version == "2.3.1":
            members |= {"acquirerCountryCode": "276", "acquirerCountryCodeSource": "01", "acceptLanguage": ["en"]}
        return {name: value for name, value in (members | changes).items() if value is not None}

    async def ask(self, pan: str, version: str = "2.3.1", **changes: Any) -> dict[str, Any]:
        """What the directory server answers to an AReq."""
        status, answer = await self.post("/ds", self.request(pan, version, **changes))
        assert status == 200
        return dict(answer)

    async def prepare(self, version: str = "2.3.1", **changes: Any) -> dict[str, Any]:
        """What the directory server answers to a PReq."""
        members = {
            "messageType": "PReq",
            "messageVersion": version,
            "threeDSServerTransID": str(uuid.uuid4()),
            "threeDSServerRefNumber": "TEST-3DSS",
            **changes,
        }
        return dict((await self.post("/ds", members))[1])


@dataclass
class Page:
    """What a browser is shown."""

    status: int
    headers: Any
    text: str

    @property
    def testids(self) -> set[str]:
        """The things on it that tests and people can name."""
        return set(re.findall(r'data-testid="([^"]+)"', self.text))

    def shown(self, testid: str) -> str:
        """The text of one thing."""
        found = re.search(rf'data-testid="{testid}"[^>]*>([^<]*)<', self.text)
        assert found, f"no {testid}"
        return unescape(found[1])

    @property
    def action(self) -> str:
        """Where its form goes."""
        return unescape(re.findall(r'action="([^"]+)"', self.text)[0])

    @property
    def fields(self) -> dict[str, str]:
        """The hidden fields of its form."""
        found = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        return {name: unescape(value) for name, value in found}

    def taken_back(self, name: str = "cres") -> dict[str, Any]:
        """The message that the browser takes back."""
        return dict(json.loads(unpack(self.fields[name])))


@dataclass
class Browser:
    """The payer's browser, as far as an issuer sees one."""

    server: Server
    language: str = "en"

    async def post(self, url: str, **form: str) -> Page:
        """Post a form."""
        url = url if url.startswith("http") else self.server.base + url
        headers = {"Accept-Language": self.language, "Accept": "text/html"}
        async with self.server.client.post(url, data=form, headers=headers) as answer:
            return Page(answer.status, answer.headers, await answer.text())

    async def open(self, answer: dict[str, Any], *, session_data: str | None = "s1", **changes: str) -> Page:
        """Begin the challenge that an ARes announced."""
        sent = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "messageVersion")}
        creq = pack({"messageType": "CReq", "challengeWindowSize": "02"} | sent | changes)
        extra = {} if session_data is None else {"threeDSSessionData": session_data}
        return await self.post(answer["acsURL"], creq=creq, **extra)

    async def act(self, page: Page, act: str, code: str = "") -> Page:
        """Press a button of the challenge."""
        return await self.post(page.action, act=act, code=code)


async def show_shop(request: web.Request) -> web.Response:
    """A page of the shop with nothing on it."""
    text = "<!doctype html><title>Shop</title><link rel=icon href=data:,>"
    return web.Response(text=text, content_type="text/html")


@asynccontextmanager
async def open_threeds(folder: Path, timers: Timers = SHORT) -> AsyncIterator[Server]:
    """Directory server and issuer on a free port, with somebody to talk to."""
    async with serve_threeds(folder, timers) as (base, threeds), serve_server(base) as server:
        server.threeds = threeds
        yield server


@asynccontextmanager
async def serve_server(base: str) -> AsyncIterator[Server]:
    """A 3DS server for a sandbox that runs somewhere."""
    async with aiohttp.ClientSession() as client:
        server = Server(base, "", client)
        server.may_answer.set()
        app = web.Application()
        app.router.add_post("/results", server.hear)
        app.router.add_post("/return", show_shop)
        app.router.add_get("/shop", show_shop)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/results"
            yield server
        finally:
            await runner.cleanup()


@asynccontextmanager
async def serve_threeds(folder: Path, timers: Timers) -> AsyncIterator[tuple[str, ThreeDS]]:
    """The HTTP side of the sandbox."""
    journal = Journal(folder / "books.jsonl")
    threeds = ThreeDS(Values(KEY), timers)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms for a delayed ACK
    app = make_app(Books(journal), threeds.routes)
    config = uvicorn.Config(app, http=HangingUp, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    served = uvicorn.Server(config)
    serving = asyncio.create_task(served.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", threeds
    finally:
        await threeds.close()
        served.should_exit = True
        await serving
        await journal.close()
