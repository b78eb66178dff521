"""The bounds of the gateway's server, on real sockets: how much may come, how slowly, over what, and from whom."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.boot.callers import (
    BOUNDS,
    GET,
    HERE,
    HURRIED,
    PATIENCE_SECONDS,
    PROXY,
    STRANGER,
    Caller,
    on_uvloop,
    serving,
)
from tests.certificates import Authority, Pair
from tollhouse.api.policy import HSTS
from tollhouse.boot.connections import HEAD_BYTES_MAX, HEADERS_MAX, PIPELINE_MAX, BoundedProtocol, Doorway
from tollhouse.net.tls import Certificates, client_context, server_context
from tollhouse.source import Trusted

CHUNKED = b"POST / HTTP/1.1\r\nHost: gateway.example\r\nTransfer-Encoding: chunked\r\n\r\n"


@on_uvloop
async def test_trailers_are_refused() -> None:
    """Who named themselves in the head is not named anew behind the body."""
    async with serving(BOUNDS) as (_, port):
        caller = await Caller.connect(port)
        answered = await caller.all_after(CHUNKED + b"2\r\n{}\r\n0\r\nX-Forwarded-For: 203.0.113.99\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 400 ")
        assert answered.count(b"HTTP/1.1") == 1


ENDLESS = {
    "trailer": CHUNKED + b"2\r\n{}\r\n0\r\nX: ",
    "chunk's extension": CHUNKED + b"2;x=",
    "empty lines": GET + b"\r\n",
}


@pytest.mark.parametrize("beginning", ENDLESS.values(), ids=ENDLESS)
@on_uvloop
async def test_lines_around_a_body_that_never_end(beginning: bytes) -> None:
    """What is neither head nor body is bounded as a head is."""
    piece = b"\r\n" * 32_768 if beginning.startswith(GET) else b"a" * 65_536
    async with serving(BOUNDS) as (_, port):
        caller = await Caller.connect(port)
        await caller.all_after(beginning, *[piece] * 200)


@on_uvloop
async def test_a_hang_up_is_told_to_every_request() -> None:
    """Also to one that was overtaken by others on its connection, which wait for it."""
    async with serving(BOUNDS) as (server, port):
        caller = await Caller.connect(port)
        waiting = b"POST / HTTP/1.1\r\nHost: gateway.example\r\nContent-Length: 0\r\n\r\n"
        caller.writer.write(b"GET /stream HTTP/1.1\r\nHost: gateway.example\r\n\r\n" + waiting * 2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await caller.reader.readuntil(b"\r\n\r\n")
            await caller.close()
            while server.server_state.tasks:
                await asyncio.sleep(0.01)


@on_uvloop
async def test_requests_one_after_another() -> None:
    """A connection is kept for the next request."""
    async with serving(BOUNDS) as (_, port):
        caller = await Caller.connect(port)
        for _ in range(3):
            assert (await caller.answer(GET + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await caller.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"x-long: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n", b"431"),
        (GET + b"x-endless: " + b"a" * (2 * HEAD_BYTES_MAX), b"431"),
        (b"GET /" + b"a" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /" + b"a" * (2 * HEAD_BYTES_MAX), b"431"),
        (GET + b"".join(b"x-%d: a\r\n" % number for number in range(HEADERS_MAX)) + b"\r\n", b"431"),
        (b"hello\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
    ],
    ids=[
        "long-header",
        "endless-header",
        "long-path",
        "endless-path",
        "many-headers",
        "text",
        "tls",
        "two-lengths",
        "-1",
    ],
)
@on_uvloop
async def test_heads_that_are_not_read(request_bytes: bytes, status: bytes) -> None:
    """Too large, too many, or no HTTP: one answer with the usual headers, no banner, and the connection is over."""
    async with serving(BOUNDS) as (_, port):
        answer = await (await Caller.connect(port)).all_after(request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status + b" ")
    for line in (
        b"connection: close",
        b"x-content-type-options: nosniff",
        b"cache-control: no-store",
        b"%s: %s" % HSTS,
    ):
        assert line in head
    assert b"server:" not in head.lower()
    assert body.startswith(b'{"status":"error"')


@on_uvloop
async def test_the_largest_head_that_is_read() -> None:
    """Just below the bounds a request is answered."""
    headers = b"".join(b"x-%03d: a\r\n" % number for number in range(HEADERS_MAX - 2))
    room = HEAD_BYTES_MAX - len(GET) - len(headers) - 100
    async with serving(BOUNDS) as (_, port):
        caller = await Caller.connect(port)
        answer = await caller.answer(GET + headers + b"y: " + b"a" * room + b"\r\n\r\n")
        await caller.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@on_uvloop
async def test_a_head_that_drips() -> None:
    """Slowloris: a head that is not complete in time is answered by 408; who says nothing is cut off."""
    async with serving(HURRIED) as (_, port):
        dripping, silent = await Caller.connect(port), await Caller.connect(port)

        async def drip() -> None:
            while True:
                dripping.writer.write(b"x-a: b\r\n")
                await asyncio.sleep(0.05)

        dripping.writer.write(GET)
        task = asyncio.create_task(drip())
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await dripping.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408 ")
        task.cancel()
        await dripping.close()
        assert await silent.is_cut_off()


@on_uvloop
async def test_a_body_that_drips() -> None:
    """A body that is not complete in time is answered by 408, and the application hears that the caller is gone."""
    async with serving(HURRIED) as (server, port):
        answer = await (await Caller.connect(port)).all_after(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345")
        assert answer.startswith(b"HTTP/1.1 408 ")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(server.doorway) or server.server_state.tasks:
                await asyncio.sleep(0.01)


@on_uvloop
async def test_the_second_request_has_its_own_time() -> None:
    """Time between requests is not the head's: a kept connection is answered after longer than a head may take."""
    async with serving(HURRIED) as (server, port):
        caller = await Caller.connect(port)
        await caller.answer(GET + b"\r\n")
        now = asyncio.get_running_loop().time()
        server.doorway.sweep(now + 60)
        assert (await caller.answer(GET + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await caller.close()


@on_uvloop
async def test_an_answer_that_is_not_read() -> None:
    """Who asks for much and reads nothing is cut off."""
    async with serving(HURRIED) as (server, port):
        caller = await Caller.connect(port)
        caller.writer.write(b"GET /large HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not server.doorway.turned_away and (len(server.doorway) or not server.server_state.total_requests):
                await asyncio.sleep(0.01)
        await caller.close()
        assert len(server.doorway) == 0


@on_uvloop
async def test_connections_of_one_address() -> None:
    """One more than an address may have is cut off; when one of them is gone there is room."""
    async with serving(replace(BOUNDS, per_address_max=2)) as (server, port):
        kept = [await Caller.connect(port) for _ in range(2)]
        for one in kept:
            await one.answer(GET + b"\r\n")
        assert await (await Caller.connect(port)).is_cut_off()
        assert server.doorway.turned_away == 1
        await kept[0].close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(server.doorway) > 1:
                await asyncio.sleep(0.01)
        another = await Caller.connect(port)
        assert (await another.answer(GET + b"\r\n")).startswith(b"HTTP/1.1 200 ")
        await another.close()
        await kept[1].close()


@on_uvloop
async def test_connections_in_all() -> None:
    """A trusted proxy may have more than an address may, but not more than there may be in all."""
    bounds = replace(BOUNDS, connections_max=3, per_address_max=1, trusted=Trusted.parse("127.0.0.1"))
    async with serving(bounds) as (_, port):
        kept = [await Caller.connect(port) for _ in range(3)]
        for one in kept:
            await one.answer(GET + b"\r\n")
        assert await (await Caller.connect(port)).is_cut_off()
        for one in kept:
            await one.close()


def test_only_proxies() -> None:
    """Where a proxy terminates TLS, nobody gets past it: only the proxy and this machine may connect."""
    doorway = Doorway(replace(BOUNDS, trusted=Trusted.parse("10.0.0.0/24"), only_proxies=True))
    connections = [cast("BoundedProtocol", object()) for _ in range(3)]
    admitted = [doorway.admit(one, address) for one, address in zip(connections, (HERE, PROXY, STRANGER), strict=True)]
    assert admitted == [True, True, False]


def test_an_ipv6_network_is_one_source() -> None:
    """Who has a network of addresses has no more connections than who has one."""
    doorway = Doorway(replace(BOUNDS, per_address_max=1))
    assert doorway.admit(cast("BoundedProtocol", object()), "2001:db8:1:2::1")
    assert not doorway.admit(cast("BoundedProtocol", object()), "2001:db8:1:2:ffff::9")
    assert doorway.admit(cast("BoundedProtocol", object()), "2001:db8:1:3::1")


@on_uvloop
async def test_pipelined_requests() -> None:
    """Some requests at once are answered in order; a heap of them ends the connection."""
    async with serving(BOUNDS) as (server, port):
        few = GET + b"\r\n"
        answer = await (await Caller.connect(port)).all_after(few * 3 + GET + b"Connection: close\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 4
        await (await Caller.connect(port)).all_after(few * 2000)
        assert server.server_state.total_requests < 4 + 2 * PIPELINE_MAX


@on_uvloop
async def test_a_head_behind_a_large_body() -> None:
    """A body does not count for the head that follows it in the same piece."""
    body = b"x" * 60_000
    first = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with serving(BOUNDS) as (_, port):
        caller = await Caller.connect(port)
        answer = await caller.answer(first + GET[:20])
        assert answer.endswith(b"\r\n\r\n60000")
        assert (await caller.answer(GET[20:] + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await caller.close()


@on_uvloop
async def test_other_protocols_are_not_spoken() -> None:
    """A wish to go on in another protocol is not heard: the request is answered, and that is all."""
    async with serving(BOUNDS) as (_, port):
        request = GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        answer = await (await Caller.connect(port)).all_after(request)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority whose files lie in the test's folder."""
    return Authority(tmp_path)


def certificates_of(pair: Pair) -> Certificates:
    """The pair as the gateway has it."""
    return Certificates(lambda: server_context(pair.certificate, pair.key), (pair.certificate, pair.key))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_uvloop
async def test_answers_over_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    """Over both versions requests are answered, large bodies too, and one after another."""
    client = client_context(authority.file)
    client.minimum_version = client.maximum_version = version
    body = b"x" * 200_000
    async with serving(BOUNDS, certificates_of(authority.server())) as (_, port):
        caller = await Caller.connect(port, client)
        for _ in range(2):
            answer = await caller.answer(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert answer.endswith(b"\r\n\r\n200000")
        await caller.close()


@on_uvloop
async def test_plain_http_to_the_tls_port(authority: Authority) -> None:
    """Nothing is answered without encryption."""
    async with serving(BOUNDS, certificates_of(authority.server())) as (_, port):
        answer = await (await Caller.connect(port)).all_after(GET + b"\r\n")
    assert b"HTTP/1.1 200" not in answer


class Watched(Certificates):
    """Tells when it was renewed."""

    renewed: asyncio.Event

    def renew(self) -> None:
        """As any other."""
        super().renew()
        self.renewed.set()


@on_uvloop
async def test_a_signal_renews_certificates(authority: Authority) -> None:
    """SIGHUP reads the files anew, also where they look unchanged."""
    pair = authority.server()
    certificates = Watched(lambda: server_context(pair.certificate, pair.key), ())
    certificates.renewed = asyncio.Event()
    async with serving(BOUNDS, certificates):
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(certificates.renewed.wait(), PATIENCE_SECONDS)


@on_uvloop
async def test_new_certificate_while_a_connection_is_open(authority: Authority) -> None:
    """Files that change are read within seconds; who was connected goes on, who connects sees the new certificate."""
    pair = authority.server()
    client = client_context(authority.file)
    async with serving(BOUNDS, certificates_of(pair)) as (_, port):
        before = await Caller.connect(port, client)
        await before.answer(GET + b"\r\n")
        new = authority.server()
        async with asyncio.timeout(PATIENCE_SECONDS):
            serial = pair.serial
            while serial != new.serial:
                await asyncio.sleep(0.1)
                after = await Caller.connect(port, client)
                serial = int(after.writer.get_extra_info("peercert")["serialNumber"], 16)
                await after.close()
        assert (await before.answer(GET + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await before.close()
