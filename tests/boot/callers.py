"""The gateway's server with an application of its own, and callers that behave as tests want."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import uvloop

from tollhouse.api.policy import HSTS
from tollhouse.boot.connections import Bounds
from tollhouse.boot.server import Server, listening
from tollhouse.net.tls import Certificates
from tollhouse.source import NO_PROXIES

PATIENCE_SECONDS = 20.0
HERE, PROXY, STRANGER = "127.0.0.1", "10.0.0.5", "198.51.100.7"
BOUNDS = Bounds(connections_max=100, per_address_max=50, trusted=NO_PROXIES)
# So short that a test need not wait, and so long that a busy machine keeps the other test of the same bound apart.
HURRIED = replace(BOUNDS, head_seconds=0.5, body_seconds=0.5, stall_seconds=0.5, close_seconds=0.5)
GET = b"GET /healthz HTTP/1.1\r\nHost: gateway.example\r\n"


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test on the loop that the gateway runs on, which is not the tests' usual one."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says how many bytes it was sent; at /large as many as fill every buffer; at /stream nothing until its end."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        return
    body = b"x" * 50_000_000 if scope["path"] == "/large" else b"%d" % size
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(bounds: Bounds, certificates: Certificates | None = None) -> AsyncIterator[tuple[Server, int]]:
    """The server with these bounds, and its port."""
    stop = asyncio.Event()
    server = Server(app, bounds, certificates, headers=(HSTS,))
    with listening("127.0.0.1", 0) as listener:
        running = asyncio.create_task(server.serve_until(stop, listener))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield server, listener.getsockname()[1]
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE_SECONDS)


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None) -> Caller:
        """A connection that is there, whatever becomes of it."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    async def all_after(self, *pieces: bytes) -> bytes:
        """Send these, then read until the server hangs up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                for piece in pieces:
                    self.writer.write(piece)
                    await self.writer.drain()
                return await self.reader.read()
            except ConnectionError:
                return b""
            finally:
                await self.close()

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    async def answer(self, request: bytes) -> bytes:
        """The answer to one request, after which the connection is kept."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            self.writer.write(request)
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            return head + await self.reader.readexactly(length)

    async def is_cut_off(self) -> bool:
        """Whether the server hangs up without a word."""
        return await self.all_after() == b""
