"""HTTP as a merchant and a payer speak it: calls to a gateway, pages, and a server on loopback that takes webhooks."""

from __future__ import annotations

import errno
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

CALL_SECONDS_MAX = 30.0
LOOPBACK = "127.0.0.1"


class Unreachable(Exception):
    """No answer from an address; the text is one short line that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from a call."""

    status: int
    body: bytes
    duration_seconds: float
    location: str | None = None  # where a redirect leads


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A webhook as it arrived: its headers by lower-case name, and its raw body."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Caller:
    """Sends calls over one kept connection. Follows no redirects and uses no proxy of the environment."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer to a POST. Raises `Unreachable`."""
        return await self._call("POST", url, body, headers)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET. Raises `Unreachable`."""
        return await self._call("GET", url, b"", headers or {})

    async def submit(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The answer to a form that a browser would post. Raises `Unreachable`."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return await self._call("POST", url, urlencode(fields).encode(), form)

    async def _call(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        began = time.monotonic()
        try:
            async with self._session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        except aiohttp.InvalidURL:
            raise Unreachable("not an address") from None
        except (aiohttp.ClientError, OSError) as problem:
            raise Unreachable(_reason(problem)) from None
        return Answer(
            status=answer.status,
            body=content,
            duration_seconds=time.monotonic() - began,
            location=answer.headers.get("Location"),
        )


@asynccontextmanager
async def calling(timeout_seconds: float = CALL_SECONDS_MAX) -> AsyncIterator[Caller]:
    """A caller whose connection is closed when the block ends."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_seconds), trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Caller(session)


@asynccontextmanager
async def receiving(take: Callable[[Arrived], None]) -> AsyncIterator[str]:
    """A server on a free port of loopback that gives each POST to `take` and answers 200. Yields its URL."""

    async def answer(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        take(Arrived(headers=headers, body=await request.read()))
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_post("/webhook", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/webhook"
    finally:
        await runner.cleanup()


def _reason(problem: Exception) -> str:
    match problem:
        case aiohttp.ClientConnectorDNSError():
            return "host name not found"
        case aiohttp.ClientConnectorError() if problem.os_error.errno == errno.ECONNREFUSED:
            return "connection refused"
        case aiohttp.ClientConnectorError():
            return "cannot connect"
        case _:
            return f"connection lost ({type(problem).__name__})"
