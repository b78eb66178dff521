"""One line to an acquirer: the TCP connection of one terminal, kept up, its messages matched to their answers.

A line signs on, asks for an echo when it has heard nothing for a while, and begins anew when it is lost. It says
only whether bytes were written and what came back; what that means for money is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from tollhouse.acquirers.iso8583.fields import ECHO, LENGTH_BYTES, SIGN_OFF, SIGN_ON, Garbled
from tollhouse.net.tls import CertificateUnusable

MESSAGE_BYTES_MAX = 4096
# For whoever reads that it cannot be reached.
SET_BY = "TOLLHOUSE_ACQUIRER_HOST, TOLLHOUSE_ACQUIRER_PORT, TOLLHOUSE_ACQUIRER_LINE"
NETWORK_REQUEST, NETWORK_ANSWER = "0800", "0810"

Fields = dict[str, str]
Key = tuple[str, ...]


class Log(Protocol):
    """What the link needs of a structlog logger."""

    def info(self, event: str, **fields: object) -> object:
        """Something worth knowing."""

    def warning(self, event: str, **fields: object) -> object:
        """Something that somebody may have to look at."""

    def error(self, event: str, **fields: object) -> object:
        """Something that somebody has to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How messages become bytes and back, and what an answer is matched on."""

    pack: Callable[[str, Mapping[str, str]], bytes]
    unpack: Callable[[bytes], Fields]
    match_key: Callable[[Mapping[str, str]], Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a link waits for what, in seconds."""

    connect_seconds: float = 5.0
    network_answer_seconds: float = 5.0  # sign-on, sign-off and echo
    echo_idle_seconds: float = 30.0
    reconnect_first_seconds: float = 0.2
    reconnect_longest_seconds: float = 10.0
    reconnect_wait_seconds: float = 0.5  # how long a request waits for the first line to come back
    drain_seconds: float = 2.0  # how long closing waits for the answers in flight


class LineLost(Exception):
    """The connection is no longer good: it has to be made anew."""


def answer_key(mti: str, fields: Mapping[str, str], dialect: Dialect) -> Key:
    """What the answer to a request must show: 0200 is answered by 0210, both 0420 and 0421 by 0430."""
    return (f"{mti[:2]}{int(mti[2]) + 1}0", *dialect.match_key(fields))


class Line:
    """The connection of one terminal. `on_unmatched` gets what nobody waits for, `on_change` hears of up and down.

    `tls` makes what seals a connection, anew for each, as its files may have changed; without it lines are plain TCP.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        terminal: str,
        dialect: Dialect,
        pace: Pace,
        jitter: Callable[[], float],
        log: Log,
        on_unmatched: Callable[[Fields], Awaitable[None]],
        on_change: Callable[[], None],
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.terminal = terminal
        self.is_up = False
        self._host, self._port, self._tls = host, port, tls
        self._dialect, self._pace, self._jitter, self._log = dialect, pace, jitter, log
        self._on_unmatched, self._on_change = on_unmatched, on_change
        self._waiting: dict[Key, asyncio.Future[Fields | None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._wire: asyncio.WriteTransport | None = None  # below TLS, where that is; else the writer's own
        self._heard_at = 0.0
        self._doubted = asyncio.Event()
        self._stans = itertools.cycle(range(1, 1_000_000))
        self._pause_seconds = pace.reconnect_first_seconds

    @property
    def is_usable(self) -> bool:
        """Signed on, and nothing is still waiting to be sent: what is written now is the system's before `send` ends.

        Otherwise a message would lie in our buffer and leave long after its send deadline.
        """
        return self.is_up and self._writer is not None and not self._writer.is_closing() and not self.unsent_bytes

    @property
    def unsent_bytes(self) -> int:
        """How much was written that the system has not taken yet: TLS has a buffer of its own above the socket's."""
        if self._writer is None or self._wire is None:
            return 0
        return sum(buffer.get_write_buffer_size() for buffer in {self._writer.transport, self._wire})

    @property
    def waiting(self) -> list[asyncio.Future[Fields | None]]:
        """The answers that are waited for."""
        return list(self._waiting.values())

    def send(self, key: Key, raw: bytes) -> asyncio.Future[Fields | None]:
        """Write one message at once. The future becomes its answer, or None when the connection is lost first.

        Whoever sends must `forget` the key when done, however it ends.
        """
        assert self._writer is not None
        assert key not in self._waiting, "two messages with the same references cannot be told apart"
        answer: asyncio.Future[Fields | None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        self._writer.write(len(raw).to_bytes(LENGTH_BYTES, "big") + raw)
        return answer

    def forget(self, key: Key, answer: asyncio.Future[Fields | None]) -> None:
        """From now on the answer to this message is one that nobody waits for."""
        if self._waiting.get(key) is answer:
            del self._waiting[key]

    def doubt(self) -> None:
        """An answer stayed out: ask for an echo now rather than when the line has been silent long enough."""
        self._doubted.set()

    async def keep(self) -> None:
        """Hold the connection up until cancelled, beginning anew after growing pauses."""
        while True:
            try:
                await self._live()
            except Exception as problem:  # noqa: BLE001 - a line that stays down for good would be worse
                why, address = _why(problem), f"{self._host}:{self._port}"
                self._log.warning("acquirer_line.lost", terminal=self.terminal, address=address, set_by=SET_BY, why=why)
            await asyncio.sleep(self._pause_seconds * (0.5 + 0.5 * self._jitter()))
            self._pause_seconds = min(self._pause_seconds * 2, self._pace.reconnect_longest_seconds)

    async def sign_off(self) -> None:
        """Tell the acquirer that no more requests come on this line."""
        if not self.is_up:
            return
        self._set_up(False)
        try:
            await self._network(SIGN_OFF)
        except (OSError, LineLost) as problem:
            self._log.warning("acquirer_line.sign_off_failed", terminal=self.terminal, why=_why(problem))

    async def _live(self) -> None:
        """From connecting to losing the connection; always ends with an exception."""
        async with asyncio.timeout(self._pace.connect_seconds):
            reader, writer = await self._connect()
        self._writer = writer
        tasks = [asyncio.create_task(self._read(reader)), asyncio.create_task(self._sign_on_and_echo())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            self._hang_up(writer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, with the acquirer's certificate and name proved if it is sealed."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        self._wire = writer.transport
        try:
            if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
                # TCP lets a connection to an unused local port meet itself, and we would sign on to ourselves.
                raise LineLost("connected to itself")
            if self._tls is not None:
                await writer.start_tls(self._tls(), server_hostname=self._host)
        except BaseException:
            self._wire.abort()
            raise
        return reader, writer

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._writer = None
        writer.transport.abort()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)
        self._waiting.clear()
        if self.is_up:
            self._set_up(False)

    def _set_up(self, is_up: bool) -> None:
        self.is_up = is_up
        self._on_change()

    async def _sign_on_and_echo(self) -> None:
        await self._network(SIGN_ON)
        self._log.info("acquirer_line.signed_on", terminal=self.terminal)
        self._pause_seconds = self._pace.reconnect_first_seconds
        self._doubted.clear()
        self._set_up(True)
        while True:
            silent_seconds = time.monotonic() - self._heard_at
            if silent_seconds >= self._pace.echo_idle_seconds or self._doubted.is_set():
                self._doubted.clear()
                await self._network(ECHO)
                continue
            try:
                async with asyncio.timeout(self._pace.echo_idle_seconds - silent_seconds):
                    await self._doubted.wait()
            except TimeoutError:
                continue

    async def _network(self, code: str) -> None:
        """A network management message and its answer. Raises `LineLost` when it is missing or not 00."""
        fields = {
            "7": datetime.now(UTC).strftime("%m%d%H%M%S"),
            "11": f"{next(self._stans):06d}",
            "41": self.terminal,
            "70": code,
        }
        key = answer_key(NETWORK_REQUEST, fields, self._dialect)
        answer = self.send(key, self._dialect.pack(NETWORK_REQUEST, fields))
        try:
            async with asyncio.timeout(self._pace.network_answer_seconds):
                heard = await answer
        except TimeoutError:
            raise LineLost(f"0800/{code} was not answered") from None
        finally:
            self.forget(key, answer)
        if heard is None:
            raise LineLost(f"the connection was lost during 0800/{code}")
        if heard.get("39") != "00":
            raise LineLost(f"0800/{code} was answered with {heard.get('39')}")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            if not 0 < length <= MESSAGE_BYTES_MAX:
                raise LineLost(f"a message of {length} bytes was announced")
            raw = await reader.readexactly(length)
            try:
                fields = self._dialect.unpack(raw)
            except Garbled as problem:
                self._log.warning("acquirer_line.message_unreadable", terminal=self.terminal, why=str(problem))
                continue
            self._heard_at = time.monotonic()
            await self._hear(fields)

    async def _hear(self, fields: Fields) -> None:
        mti = fields["t"]
        if mti == NETWORK_REQUEST:
            self._answer_network(fields)
            return
        # Some hosts leave the terminal out of network answers; the connection says which one it is.
        shown = {"41": self.terminal, **fields} if mti == NETWORK_ANSWER else fields
        answer = self._waiting.get((mti, *self._dialect.match_key(shown)))
        if answer is not None and not answer.done():
            answer.set_result(fields)
        elif mti != NETWORK_ANSWER:
            await self._on_unmatched(fields)

    def _answer_network(self, fields: Fields) -> None:
        """The acquirer asks whether we are there."""
        if self._writer is not None and not self.unsent_bytes:
            kept = {number: value for number, value in fields.items() if number in ("7", "11", "37", "41", "70")}
            raw = self._dialect.pack(NETWORK_ANSWER, {**kept, "39": "00"})
            self._writer.write(len(raw).to_bytes(LENGTH_BYTES, "big") + raw)


def _why(problem: BaseException) -> str:
    if isinstance(problem, EOFError):
        return "the acquirer closed the connection"
    if isinstance(problem, TimeoutError):
        return "connecting took too long"
    if isinstance(problem, OSError | LineLost | CertificateUnusable):
        return str(problem)
    # What it says may hold a part of a message.
    return type(problem).__name__
