"""The application behind the real server and real sockets: what only shows on the wire."""

from __future__ import annotations

import asyncio

from tests.api.client import BODY_LIMIT, Shop
from tollhouse.signing import sign_rsa


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def call(shop: Shop, body: bytes, *, framing: str, payload: bytes, path: str = "/api/v1/session/create") -> bytes:
    """A signed request as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: shop.example",
        "Connection: close",
        "CONTENT-TYPE: application/json",
        "X-Partner-Project: shop",
        f"x-PARTNER-sign: {sign_rsa(shop.key, body)}",
        framing,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


async def test_a_call_over_the_wire(shop: Shop, port: int) -> None:
    """Names of headers in any case, a query that is not part of the path."""
    body = b'{"metadata":"a\\/b"}'
    request = call(shop, body, framing=f"Content-Length: {len(body)}", payload=body, path="/api/v1/session/create?a=b")
    answer = await exchange(port, request)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"content-length") == 1
    assert b"\r\nx-tollhouse-request-id: rq_1\r\n" in answer
    assert b'{"status":"ok","session":{"id":"ps_' in answer


async def test_a_body_in_chunks(shop: Shop, port: int) -> None:
    """Signed and verified as the bytes that arrive."""
    body = b'{"metadata":"chunks"}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    answer = await exchange(port, call(shop, body, framing="Transfer-Encoding: chunked", payload=chunks))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_body_that_is_too_large_is_not_waited_for(shop: Shop, port: int) -> None:
    """An announced length is refused without its body, chunks as soon as they are too many."""
    announced = call(shop, b"", framing=f"Content-Length: {BODY_LIMIT + 1}", payload=b"")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    growing = call(shop, b"", framing="Transfer-Encoding: chunked", payload=chunk * 5)
    for request in (announced, growing):
        answer = await exchange(port, request)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"request_too_large"' in answer


async def test_pages_over_the_wire(port: int) -> None:
    """HEAD tells the length and sends nothing."""
    answer = await exchange(port, b"HEAD /docs HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
