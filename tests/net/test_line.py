"""The lines of a link: signing on and off, echo, framing, losing the connection and making it anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.net.acquirer_host import (
    PACE,
    PAN,
    PATIENCE_SECONDS,
    SECOND,
    TERMINAL,
    Host,
    Journal,
    answer_to,
    framed,
    linked,
    request,
)
from tollhouse.acquirers.iso8583 import fields as iso8583
from tollhouse.acquirers.iso8583.fields import ECHO, SIGN_OFF, SIGN_ON
from tollhouse.acquirers.message import NoAnswer, NotSent
from tollhouse.net.line import Dialect, Line, LineLost
from tollhouse.net.tcp import AcquirerLink


async def test_lines_sign_on_first() -> None:
    """Each terminal has a connection of its own, and signs on before anything else."""
    async with linked(terminals=(TERMINAL, SECOND)) as desk:
        assert desk.link.connected == 2
        assert sorted(desk.host.signals) == [(TERMINAL, SIGN_ON), (SECOND, SIGN_ON)]
        assert len(desk.host.peers) == 2


async def test_garbled_message_is_dropped() -> None:
    """A frame that cannot be read is logged without its content and dropped; the connection goes on."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        garbage = b"0210" + PAN.encode() * 3
        peer.write(len(garbage).to_bytes(2, "big") + garbage)
        peer.send(answer_to(message))
        assert (await exchange).fields["39"] == "00"
        assert len(desk.host.peers) == 1
    assert "acquirer_line.message_unreadable" in desk.log.names()
    assert PAN not in repr(desk.log.lines)


@pytest.mark.parametrize("beginning", [b"\x00\x00", b"\x10\x01" + b"x" * 4097, b"HTTP/1.1 400 Bad Request\r\n"])
async def test_broken_framing_reconnects(beginning: bytes) -> None:
    """An impossible length means that frames can no longer be found: the line is made anew, what waited is unknown."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, _ = await desk.host.next()
        peer.write(beginning)
        with pytest.raises(NoAnswer, match="connection was lost"):
            await exchange
        await desk.host.until(lambda: desk.host.count(SIGN_ON) == 2)
        await desk.connected(1)


async def test_connection_lost_after_writing() -> None:
    """A connection that drops after the request was written leaves the outcome unknown; the line comes back."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, _ = await desk.host.next()
        peer.hang_up()
        with pytest.raises(NoAnswer, match="connection was lost"):
            await exchange
        await desk.host.until(lambda: desk.host.count(SIGN_ON) == 2)
        again = desk.start(request(2))
        peer, message = await desk.host.next()
        peer.send(answer_to(message))
        assert (await again).fields["39"] == "00"
    assert desk.vault.events[:2] == ["fill 000000000001", "left 000000000001"]


async def test_waits_for_a_line_that_is_coming_back() -> None:
    """A request that arrives while the only line is being made anew waits a moment and goes out."""
    async with linked(pace=replace(PACE, reconnect_wait_seconds=PATIENCE_SECONDS)) as desk:
        await desk.host.shut()
        await desk.connected(0)
        exchange = desk.start(request())
        await desk.host.open()
        peer, message = await desk.host.next()
        peer.send(answer_to(message))
        assert (await exchange).fields["39"] == "00"


async def test_idle_line_is_echoed() -> None:
    """A line that hears nothing asks for an echo, again and again, and stays up."""
    async with linked(pace=replace(PACE, echo_idle_seconds=0.02)) as desk:
        await desk.host.until(lambda: desk.host.count(ECHO) >= 3)
        assert desk.link.connected == 1
        assert desk.host.count(SIGN_ON) == 1


async def test_dead_echo_reconnects() -> None:
    """A line whose echo is not answered is made anew; what waited on it is unknown."""
    pace = replace(PACE, echo_idle_seconds=0.05, network_answer_seconds=0.3)
    async with linked(pace=pace) as desk:
        desk.host.hears_echo = False
        exchange = desk.start(request())
        with pytest.raises(NoAnswer, match="connection was lost"):
            await exchange
        await desk.host.until(lambda: desk.host.count(SIGN_ON) == 2)


async def test_slow_drip_is_given_up() -> None:
    """A host that drips a message for ever counts as silent: the echo goes unanswered and the line is made anew."""
    pace = replace(PACE, echo_idle_seconds=0.05, network_answer_seconds=0.3)
    async with linked(pace=pace) as desk:
        exchange = desk.start(request())
        peer, _ = await desk.host.next()

        async def drip() -> None:
            peer.write(b"\x10\x00")
            while not peer.writer.is_closing():
                peer.write(b"x")
                await asyncio.sleep(0.005)

        dripping = asyncio.create_task(drip())
        with pytest.raises(NoAnswer, match="connection was lost"):
            await exchange
        await desk.host.until(lambda: desk.host.count(SIGN_ON) == 2)
        await dripping


async def test_slow_but_whole_message_is_heard() -> None:
    """An answer that arrives byte by byte in time is an answer."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        for byte in framed(answer_to(message)):
            peer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await exchange).fields["39"] == "00"


async def test_refused_sign_on() -> None:
    """A line whose sign-on is refused is not used, and keeps trying."""
    async with linked(terminals=()) as desk:
        desk.host.sign_on_code = "91"
        log = Journal()
        link = AcquirerLink(
            "127.0.0.1",
            desk.host.port,
            terminals=(TERMINAL,),
            egress=desk.vault,
            on_unmatched=desk.unmatched.put,
            log=log,
            answer_limit_seconds=PATIENCE_SECONDS,
            pace=replace(PACE, reconnect_wait_seconds=0.05),
        )
        await link.start()
        await desk.host.until(lambda: desk.host.count(SIGN_ON) >= 3)
        assert link.connected == 0
        with pytest.raises(NotSent):
            await link.exchange(request(), send_before=time.monotonic() + PATIENCE_SECONDS)
        await link.close()
    assert any(fields.get("why") == "0800/001 was answered with 91" for _, fields in log.lines)


async def test_host_asks_whether_we_are_there() -> None:
    """An echo asked by the host is answered with 0810 and 00."""
    async with linked() as desk:
        desk.host.peers[0].send({"t": "0800", "7": "0302000000", "11": "000077", "70": ECHO})
        _, message = await desk.host.next()
    assert (message["t"], message["11"], message["39"], message["70"]) == ("0810", "000077", "00", ECHO)


async def test_close_waits_for_answers_and_signs_off() -> None:
    """Closing takes no new requests, waits for the answers in flight and then signs off."""
    async with linked(pace=replace(PACE, drain_seconds=PATIENCE_SECONDS)) as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        closing = asyncio.create_task(desk.link.close())
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="closing"):
            await desk.start(request(2))
        assert desk.host.count(SIGN_OFF) == 0
        peer.send(answer_to(message))
        assert (await exchange).fields["39"] == "00"
        await closing
        assert desk.host.signals[-1] == (TERMINAL, SIGN_OFF)
        assert desk.link.connected == 0


async def test_close_does_not_wait_for_ever() -> None:
    """What is still unanswered when the link closes has an unknown outcome."""
    async with linked(pace=replace(PACE, drain_seconds=0.05)) as desk:
        exchange = desk.start(request())
        await desk.host.next()
        await desk.link.close()
        with pytest.raises(NoAnswer, match="connection was lost"):
            await exchange


async def test_a_line_that_breaks_as_it_is_told_to_end() -> None:
    """It ends: who closes the link waits for that, and would wait for ever."""
    host = Host()
    await host.open()

    async def end_and_break(fields: Mapping[str, str]) -> None:
        keeping.cancel()
        raise LineLost("in the same instant")

    line = Line(
        host="127.0.0.1",
        port=host.port,
        terminal=TERMINAL,
        dialect=Dialect(pack=iso8583.pack, unpack=iso8583.unpack, match_key=iso8583.match_key),
        pace=PACE,
        jitter=lambda: 0.5,
        log=Journal(),
        on_unmatched=end_and_break,
        on_change=lambda: None,
    )
    keeping = asyncio.create_task(line.keep())
    await host.until(lambda: host.count(SIGN_ON) == 1)
    host.peers[0].send({"t": "0210", "11": "000001", "37": "unasked     ", "39": "00", "41": TERMINAL})
    await asyncio.wait([keeping], timeout=PATIENCE_SECONDS)
    is_over = keeping.cancelled()
    keeping.cancel()
    await host.shut()
    assert is_over
