"""A running host with its books in a fresh folder, and gateways connected to it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.sandbox.gateway import Fields, Gateway, connect
from tests.sandbox.threeds import KEY, Browser, Server, open_threeds
from tollhouse.sandbox.books import Books, Operation
from tollhouse.sandbox.faults import Delays
from tollhouse.sandbox.host import Host
from tollhouse.sandbox.journal import Journal
from tollhouse.sandbox.threeds.values import Values

Dial = Callable[[int], Awaitable[Gateway]]
SHORT = Delays(late_seconds=0.4, slow_seconds=0.2, refused_seconds=600, approved_again_seconds=0.1)


@dataclass
class Bank:
    """The host under test, with its books."""

    port: int
    books: Books

    def operation(self, fields: Fields) -> Operation:
        """The booked operation that bears this RRN."""
        operation = self.books.find_rrn(fields["37"])
        assert operation is not None
        return operation


@asynccontextmanager
async def open_bank(folder: Path, delays: Delays = SHORT) -> AsyncIterator[Bank]:
    """Start a host on a free port; its books live in the folder."""
    journal = Journal(folder / "books.jsonl")
    try:
        books = Books(journal)
        host = Host(books, delays, Values(KEY))
        listener = socket.create_server(("127.0.0.1", 0))
        server = await host.listen(listener)
        yield Bank(listener.getsockname()[1], books)
        server.close()
        host.close()
    finally:
        await journal.close()


@pytest_asyncio.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    """A host with empty books."""
    async with open_bank(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def dial() -> AsyncIterator[Dial]:
    """Opens connections to a port, and hangs up all of them when the test is over."""
    async with AsyncExitStack() as stack:

        async def open_connection(port: int) -> Gateway:
            connected = await connect(port)
            stack.push_async_callback(connected.close)
            return connected

        yield open_connection


@pytest_asyncio.fixture
async def gateway(bank: Bank, dial: Dial) -> Gateway:
    """A gateway connected to the host."""
    return await dial(bank.port)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A 3DS server beside a directory server and an issuer whose faults of time are short."""
    async with open_threeds(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def browser(server: Server) -> Browser:
    """A payer's browser."""
    return Browser(server)
