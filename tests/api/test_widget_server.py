"""The widget's host behind the real server and real sockets: what only shows on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api.client import Shop
from tests.api.widget_site import NDJSON, PATIENCE_SECONDS, TYPED, fake_assets, form_call, form_token, read, session_of
from tollhouse.api.widget.stream import STREAMS_PER_TOKEN_MAX, Beat

NEVER = 3600.0


@pytest.fixture
def shop(open_shop: Callable[..., Shop], tmp_path: Path) -> Shop:
    """A merchant whose streams do nothing by themselves."""
    still = Beat(poll_seconds=NEVER, alive_seconds=NEVER, end_seconds=NEVER)
    return open_shop(assets=fake_assets(tmp_path), beat=still)


@asynccontextmanager
async def connected(port: int, request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """What the server sends to one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


def status_request(token: str) -> bytes:
    """The form asks for the stream."""
    lines = [
        "POST /widget/v1/status HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Accept: {NDJSON}",
        f"X-Public-Token: {token}",
        "Content-Length: 2",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n{}"


async def until(reader: asyncio.StreamReader, mark: bytes) -> bytes:
    """What comes up to this mark."""
    return await asyncio.wait_for(reader.readuntil(mark), PATIENCE_SECONDS)


async def test_a_stream_over_the_wire(shop: Shop, port: int) -> None:
    """In chunks of unknown number, each when there is something to say; after the end the connection serves on."""
    token = await form_token(shop)
    async with connected(port, status_request(token)) as reader:
        head = await until(reader, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert b"content-length" not in head.lower()
        assert b'{"stage":"ready"}\n' in await until(reader, b'ready"}\n\r\n')
        assert (await form_call(shop, "pay", token, TYPED)).status == 200
        shop.watch.tell("shop", session_of(shop))
        assert b'{"stage":"confirming"}\n' in await until(reader, b'confirming"}\n\r\n')
        shop.stopping.set()
        assert await until(reader, b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_hanging_up_over_the_wire(shop: Shop, port: int) -> None:
    """More browsers than a token may have come and go; each leaves its place to the next."""
    token = await form_token(shop)
    for _ in range(STREAMS_PER_TOKEN_MAX + 2):
        async with connected(port, status_request(token)) as reader:
            assert NDJSON.encode() in await until(reader, b"\r\n\r\n")
            await until(reader, b'ready"}\n\r\n')
            assert len(shop.watch) == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(shop.watch):
                await asyncio.sleep(0.001)


async def test_what_was_kept_over_the_wire(shop: Shop, port: int) -> None:
    """304 has neither a body nor a length that would say so, and the connection goes on."""
    tag = (await read(shop, "/payment-form.js")).headers["etag"]
    request = f"GET /payment-form.js HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: {tag}\r\n\r\n".encode()
    async with connected(port, request + request) as reader:
        for _ in range(2):
            head = await until(reader, b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 304 ")
            assert b"content-length" not in head.lower()
            assert b"transfer-encoding" not in head.lower()
