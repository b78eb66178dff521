"""A gateway whose line to the acquirer is sealed: payments work, and who listens on the wire reads no card."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.acceptance.conftest import NewMerchant
from tests.acceptance.system import PATIENCE_SECONDS, System, reserve_port
from tests.certificates import Authority
from tollhouse.net.tls import server_context
from tollhouse.sandbox.cards import compose

PIECE_BYTES = 4096


class Relay:
    """Passes connections on to another port of this machine, unsealed where it has a certificate; notes what came."""

    def __init__(self, to: int, tls: ssl.SSLContext | None = None) -> None:
        self.to, self.tls = to, tls
        self.port = 0
        self.heard = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        beyond_reader, beyond = await asyncio.open_connection("127.0.0.1", self.to)
        ways = ((reader, beyond, self.heard), (beyond_reader, writer, bytearray()))
        try:
            passing = [asyncio.create_task(_pass(*way)) for way in ways]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (writer, beyond):
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray) -> None:
    while piece := await reader.read(PIECE_BYTES):
        heard += piece
        writer.write(piece)


@contextmanager
def relaying(relay: Relay) -> Iterator[None]:
    """A relay at work, in a thread of its own."""
    listening, over = threading.Event(), threading.Event()

    async def work() -> None:
        async with await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=relay.tls) as server:
            relay.port = server.sockets[0].getsockname()[1]
            listening.set()
            await asyncio.to_thread(over.wait)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(asyncio.run, work())
        try:
            listening.wait(PATIENCE_SECONDS)
            yield
        finally:
            over.set()
            working.result()


@pytest.fixture
def authority(own: System) -> Authority:
    """Whom the gateway believes about the acquirer."""
    return Authority(own.folder)


def test_cards_do_not_go_openly(own: System, new_merchant: NewMerchant, authority: Authority) -> None:
    """The acquirer hears the number, and who listens between hears that there is a line."""
    pair = authority.server()
    acquirer = Relay(own.acquirer_port, server_context(pair.certificate, pair.key))
    shop = new_merchant(own)
    number = compose(fault=0)
    with ExitStack() as open_relays:
        open_relays.enter_context(relaying(acquirer))
        wire = Relay(acquirer.port)
        open_relays.enter_context(relaying(wire))
        shop.port = open_relays.enter_context(reserve_port()).getsockname()[1]
        line = {"acquirer_port": wire.port, "acquirer_line": "tls", "acquirer_ca_file": authority.file}
        own.beside("serve", port=shop.port, **line)
        own.wait_until_answering(shop.port)
        session = shop.pay(number)
        assert shop.wait_until_final(session)["status"] == "accepted"
        own.end_beside()
    assert number.encode() in acquirer.heard
    assert len(wire.heard) > len(acquirer.heard)
    assert number.encode() not in wire.heard
