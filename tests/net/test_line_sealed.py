"""Lines under TLS: who is believed, what is said when nobody is, and that nothing is left lying in a buffer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.certificates import Authority
from tests.net.acquirer_host import PACE, SECOND, TERMINAL, Desk, answer_to, framed, linked, request, until
from tollhouse.acquirers.iso8583.fields import SIGN_ON, unpack
from tollhouse.acquirers.message import NoAnswer, NotSent, Response
from tollhouse.net.tls import client_context, server_context

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
RECEIVED_BYTES_MAX = 4096
MESSAGE_BYTES_MAX = 400  # of a sale, sealed

NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both sides believe."""
    return Authority(tmp_path)


def sealed(authority: Authority, **server: Any) -> dict[str, Any]:
    """Both ends, for `linked`."""
    pair = authority.server()
    host_tls = server_context(pair.certificate, pair.key, **server)
    return {"host_tls": host_tls, "tls": partial(client_context, authority.file)}


@LOOPS
def test_payments_go_over_a_sealed_line(authority: Authority, new_loop: NewLoop) -> None:
    """Sign-on, payments side by side, a lost connection and its successor: all as without TLS."""

    async def pay() -> None:
        async with linked(terminals=(TERMINAL, SECOND), **sealed(authority)) as desk:
            exchanges = [desk.start(request(number)) for number in range(1, 6)]
            for _ in exchanges:
                peer, message = await desk.host.next()
                assert peer.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
                peer.send(answer_to(message))
            assert {(await exchange).fields["39"] for exchange in exchanges} == {"00"}
            lost = desk.start(request(9))
            peer, _ = await desk.host.next()
            peer.hang_up()
            with pytest.raises(NoAnswer, match="connection was lost"):
                await lost
            await desk.host.until(lambda: desk.host.count(SIGN_ON) == 3)
            await desk.connected(2)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(pay())


@LOOPS
@pytest.mark.parametrize("is_sealed", [False, True])
def test_host_that_does_not_read(authority: Authority, new_loop: NewLoop, is_sealed: bool) -> None:
    """When the host takes nothing more, new requests are not sent rather than left lying in a buffer."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(pay_a_host_that_does_not_read(sealed(authority) if is_sealed else {}))


async def pay_a_host_that_does_not_read(ends: dict[str, Any]) -> None:
    """Requests until one is refused; of all others the outcome is unknown."""
    stop = asyncio.Event()

    async def signing_on_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = unpack(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
        writer.write(framed({"t": "0810", "7": message["7"], "11": message["11"], "39": "00", "70": SIGN_ON}))
        await stop.wait()
        writer.transport.abort()

    async with linked(**ends) as desk:
        await desk.host.shut()
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES_MAX)
        narrow.bind(("127.0.0.1", desk.host.port))
        server = await asyncio.start_server(signing_on_only, sock=narrow, limit=16, ssl=ends.get("host_tls"))
        await desk.connected(0)
        await desk.connected(1)
        exchanges: list[asyncio.Task[Response]] = []
        try:
            refused = await first_refused(desk, exchanges)
            (line,) = desk.link._lines.values()
            for buffer in (line._wire, line._writer and line._writer.transport):
                assert buffer is not None
                assert buffer.get_write_buffer_size() <= MESSAGE_BYTES_MAX, "at most what the system took a part of"
        finally:
            stop.set()
        assert isinstance(refused, NotSent)
        outcomes = await asyncio.gather(*exchanges, return_exceptions=True)
        server.close()
        await server.wait_closed()
        await desk.host.open()
        await desk.connected(1)
    assert all(isinstance(outcome, NoAnswer | NotSent) for outcome in outcomes)
    assert desk.vault.events.count("left 000000000001") == 1


async def first_refused(desk: Desk, exchanges: list[asyncio.Task[Response]]) -> BaseException | None:
    """How the first request ends that ends; all are noted."""
    for number in range(1, 200_000):
        exchange = desk.start(request(number))
        exchanges.append(exchange)
        for _ in range(5):
            await asyncio.sleep(0)
        if exchange.done():
            return exchange.exception()
    return None


async def refusal(ends: dict[str, Any]) -> str:
    """Why the line does not come up, as the log says it; nothing is sent meanwhile."""
    async with linked(comes_up=False, pace=replace(PACE, connect_seconds=1.0), **ends) as desk:
        with pytest.raises(NotSent, match="no connection to the acquirer"):
            await desk.start(request())
        assert desk.host.received.empty()
        assert not desk.host.signals
        await until(lambda: bool(desk.log.lines))
        event, fields = desk.log.lines[0]
    assert event == "acquirer_line.lost"
    assert "TOLLHOUSE_ACQUIRER_LINE" in str(fields["set_by"])
    return str(fields["why"])


async def test_a_stranger_is_not_signed_on_to(authority: Authority, tmp_path: Path) -> None:
    """One with a certificate of somebody else's, or for another machine, or without TLS."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    ends = sealed(authority)
    assert "certificate verify failed" in await refusal(ends | {"tls": partial(client_context, other.file)})
    elsewhere = authority.server("elsewhere", host="acquirer.example")
    host_tls = server_context(elsewhere.certificate, elsewhere.key)
    assert "IP address mismatch" in await refusal(ends | {"host_tls": host_tls})
    assert await refusal(ends | {"host_tls": None}) == "connecting took too long"


async def test_a_host_that_wants_our_certificate(authority: Authority) -> None:
    """With it the line comes up; a new one on the disk is shown at the next connection; without one it does not."""
    own = authority.client("tollhouse")
    ends = sealed(authority, client_ca=authority.file)
    assert await refusal(ends)
    shown = ends | {"tls": partial(client_context, authority.file, own.certificate, own.key)}
    async with linked(**shown) as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        first = peer.writer.get_extra_info("peercert")["serialNumber"]
        peer.send(answer_to(message))
        await exchange
        renewed = authority.client("tollhouse")
        peer.hang_up()
        await desk.host.until(lambda: desk.host.count(SIGN_ON) == 2)
        second = desk.host.peers[-1].writer.get_extra_info("peercert")["serialNumber"]
    assert (int(first, 16), int(second, 16)) == (own.serial, renewed.serial)


async def test_files_that_are_gone(authority: Authority) -> None:
    """A certificate that cannot be read any more keeps the line down, and the log names the file."""
    own = authority.client("tollhouse")
    own.key.unlink()
    why = await refusal(sealed(authority) | {"tls": partial(client_context, authority.file, own.certificate, own.key)})
    assert why == f"{own.key}: cannot be read: No such file or directory"
