"""A real TCP host to speak ISO 8583 with, and everything a link to it needs around it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tollhouse.acquirers.iso8583.fields import ECHO, SIGN_ON, pack, pack_tags, unpack
from tollhouse.acquirers.message import CardUse, References, Request, Response, Slot
from tollhouse.net.line import Pace
from tollhouse.net.tcp import AcquirerLink

PAN = "4000120000000008"
CVV = "917"
TERMINAL, SECOND, FOREIGN = "TERM0001", "TERM0002", "OTHER001"
PATIENCE_SECONDS = 20.0
# Quick to reconnect; slow to lose patience, so that a busy machine does not change what is tested.
PACE = Pace(reconnect_first_seconds=0.01, reconnect_longest_seconds=0.05, drain_seconds=0.5)

Message = dict[str, str]


def request(number: int = 1, *, mti: str = "0200", terminal: str = TERMINAL) -> Request:
    """A sale whose references are made of a number."""
    references = References(
        rrn=f"{number:012d}", stan=f"{number:06d}", terminal=terminal, transmitted_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    return Request(
        mti=mti,
        fields={
            "3": "000000",
            "4": "000000004990",
            "7": "0302000000",
            "11": references.stan,
            "37": references.rrn,
            "41": terminal,
            "42": "MERCHANT0000001",
            "49": "978",
        },
        slots={"2": Slot.PAN, "14": Slot.EXPIRY, "48.92": Slot.CVV},
        card=CardUse(project="shop", card_token="ct_1"),
        references=references,
    )


def answer_to(message: Message, code: str = "00") -> Message:
    """An approval, with card data in it as some hosts send it."""
    kept = {number: message[number] for number in ("2", "3", "4", "7", "11", "14", "37", "41", "42", "48", "49")}
    mti = f"{message['t'][:2]}{int(message['t'][2]) + 1}0"
    return {**kept, "t": mti, "38": "A1B2C3", "39": code}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something to become true that announces itself to nobody."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


def framed(message: Message) -> bytes:
    """A message with its length before it."""
    raw = pack(message["t"], {number: value for number, value in message.items() if number != "t"})
    return len(raw).to_bytes(2, "big") + raw


class Peer:
    """One connection as the host sees it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.terminal = ""

    def send(self, message: Message) -> None:
        """Write a message."""
        self.writer.write(framed(message))

    def write(self, raw: bytes) -> None:
        """Write whatever it is."""
        self.writer.write(raw)

    def hang_up(self) -> None:
        """Drop the connection."""
        self.writer.transport.abort()


class Host:
    """An acquirer's host: answers the network messages itself and hands the test everything else."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.tls = tls
        self.peers: list[Peer] = []
        self.signals: list[tuple[str, str]] = []  # terminal and code of each network message
        self.received: asyncio.Queue[tuple[Peer, Message]] = asyncio.Queue()
        self.sign_on_code = "00"
        self.hears_echo = True
        self.changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, on the port it had before if it had one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Stop listening and drop everybody."""
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.hang_up()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def next(self) -> tuple[Peer, Message]:
        """The next message that is not a network message."""
        return await asyncio.wait_for(self.received.get(), PATIENCE_SECONDS)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to become true of what was received."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.changed:
            await self.changed.wait_for(is_so)

    def count(self, code: str) -> int:
        """How many network messages of this code came."""
        return sum(seen == code for _, seen in self.signals)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                message = unpack(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
                if message["t"] == "0800":
                    self._signal(peer, message)
                else:
                    self.received.put_nowait((peer, message))
                async with self.changed:
                    self.changed.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            peer.hang_up()
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _signal(self, peer: Peer, message: Message) -> None:
        peer.terminal = message["41"]
        code = message["70"]
        self.signals.append((peer.terminal, code))
        if code == ECHO and not self.hears_echo:
            return
        answered = self.sign_on_code if code == SIGN_ON else "00"
        peer.send({"t": "0810", "7": message["7"], "11": message["11"], "39": answered, "70": code})


class Vault:
    """The egress: fills the slots, and notes what has left."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.filling: Callable[[], Awaitable[None]] | None = None
        self.leaving: Callable[[], Awaitable[None]] | None = None

    async def fill(self, request: Request) -> dict[str, str]:
        """The fields with card data."""
        if self.filling is not None:
            await self.filling()
        self.events.append(f"fill {request.references.rrn}")
        return {**request.fields, "2": PAN, "14": "3012", "48": pack_tags({"92": CVV})}

    async def left(self, request: Request) -> None:
        """The CVV would be erased here."""
        self.events.append(f"left {request.references.rrn}")
        if self.leaving is not None:
            await self.leaving()


class Journal:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        """Keep it."""
        self.lines.append((event, fields))

    warning = error = info

    def names(self) -> list[str]:
        """The events without their fields."""
        return [event for event, _ in self.lines]


class Desk:
    """Everything around a link: host, vault, log, and where unmatched answers go."""

    def __init__(self, host: Host, link: AcquirerLink, vault: Vault, log: Journal) -> None:
        self.host, self.link, self.vault, self.log = host, link, vault, log
        self.unmatched: asyncio.Queue[Response] = asyncio.Queue()

    def start(self, request: Request, *, within_seconds: float = PATIENCE_SECONDS) -> asyncio.Task[Response]:
        """An exchange that has that long to be sent."""
        return asyncio.create_task(self.link.exchange(request, send_before=time.monotonic() + within_seconds))

    async def next_unmatched(self) -> Response:
        """The next answer nobody waited for."""
        return await asyncio.wait_for(self.unmatched.get(), PATIENCE_SECONDS)

    async def connected(self, count: int) -> None:
        """Wait until so many lines are up."""
        await until(lambda: self.link.connected == count)


@asynccontextmanager
async def linked(
    *,
    terminals: tuple[str, ...] = (TERMINAL,),
    answer_limit_seconds: float = PATIENCE_SECONDS,
    pace: Pace = PACE,
    is_open: bool = True,
    comes_up: bool = True,
    host_tls: ssl.SSLContext | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> AsyncIterator[Desk]:
    """A host, and a link to it whose lines are up, if they can be."""
    host, vault, log = Host(host_tls), Vault(), Journal()
    await host.open()

    async def on_unmatched(response: Response) -> None:
        desk.unmatched.put_nowait(response)

    link = AcquirerLink(
        "127.0.0.1",
        host.port,
        terminals=terminals,
        egress=vault,
        on_unmatched=on_unmatched,
        log=log,
        answer_limit_seconds=answer_limit_seconds,
        jitter=lambda: 0.5,
        pace=pace,
        tls=tls,
    )
    desk = Desk(host, link, vault, log)
    if not is_open:
        await host.shut()
    await link.start()
    if is_open and comes_up:
        await desk.connected(len(terminals))
    try:
        yield desk
    finally:
        await link.close()
        if is_open:
            await host.shut()
