"""The link to an ISO 8583 acquirer: requests go out on the lines of this node's terminals, answers come back.

`exchange` keeps the two promises that money safety rests on. `NotSent` means that not one byte was written.
Anything that goes wrong after the first byte is `NoAnswer`: the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from tollhouse.acquirers.iso8583 import fields as iso8583
from tollhouse.acquirers.message import CVVGone, NoAnswer, NotSent, Request, Response
from tollhouse.card import mask
from tollhouse.net.line import Dialect, Fields, Key, Line, Log, Pace, answer_key

# Fields of an answer that may hold card data and that nobody needs: expiry, tracks, PIN, chip, additional data.
CARD_FIELDS = frozenset({"14", "34", "35", "36", "45", "48", "52", "55"})
UNMATCHED_MAX = 1000


class Egress(Protocol):
    """The vault's way out: fills card data into a request, and erases the CVV once it has left."""

    async def fill(self, request: Request) -> dict[str, str]:
        """The fields of the request with its slots filled."""

    async def left(self, request: Request) -> None:
        """The bytes were written."""


class AcquirerLink:
    """One connection per terminal of this node; a request takes that of its own terminal, or any other that is up.

    Answers that nobody waits for (late, duplicated, unsolicited) go to `on_unmatched`, one after the other.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        terminals: Iterable[str],
        egress: Egress,
        on_unmatched: Callable[[Response], Awaitable[None]],
        log: Log,
        answer_limit_seconds: float,
        pack: Callable[[str, Mapping[str, str]], bytes] = iso8583.pack,
        unpack: Callable[[bytes], Fields] = iso8583.unpack,
        match_key: Callable[[Mapping[str, str]], Key] = iso8583.match_key,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._egress, self._on_unmatched, self._log = egress, on_unmatched, log
        self._answer_limit_seconds = answer_limit_seconds
        self._monotonic = monotonic
        self._dialect = Dialect(pack=pack, unpack=unpack, match_key=match_key)
        self._pace = pace or Pace()
        self._unmatched: asyncio.Queue[Fields] = asyncio.Queue(UNMATCHED_MAX)
        self._someone_up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._lines = {
            terminal: Line(
                host=host,
                port=port,
                terminal=terminal,
                dialect=self._dialect,
                pace=self._pace,
                jitter=jitter,
                log=log,
                on_unmatched=self._unmatched.put,
                on_change=self._note_change,
                tls=tls,
            )
            for terminal in terminals
        }

    @property
    def connected(self) -> int:
        """How many lines are signed on."""
        return sum(line.is_up for line in self._lines.values())

    async def start(self) -> None:
        """Begin to connect, without waiting for it: the gateway starts also while its acquirer is away."""
        self._tasks = [asyncio.create_task(line.keep()) for line in self._lines.values()]
        self._tasks.append(asyncio.create_task(self._report_unmatched()))

    async def close(self) -> None:
        """Take no more requests, wait a little for the answers in flight, sign off and hang up."""
        self._is_closing = True
        waiting = [answer for line in self._lines.values() for answer in line.waiting]
        if waiting:
            await asyncio.wait(waiting, timeout=self._pace.drain_seconds)
        await asyncio.gather(*(line.sign_off() for line in self._lines.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._unmatched.empty():
            await self._report(self._unmatched.get_nowait())

    async def exchange(self, request: Request, *, send_before: float) -> Response:
        """Send a request and wait for its answer.

        Raises `NotSent` when nothing was written, also because `send_before` (of the monotonic clock) had passed,
        and `NoAnswer` when something was written and no usable answer came within the answer limit.
        """
        await self._wait_for_a_line()
        key, raw = await self._prepare(request)
        line = self._pick(request.fields.get("41", request.references.terminal))
        # Nothing is awaited between here and the bytes.
        if self._monotonic() > send_before:
            raise NotSent("the time in which it had to be sent has passed")
        answer = line.send(key, raw)
        del raw  # card data is not kept while we wait
        try:
            async with asyncio.timeout(self._answer_limit_seconds):
                await self._tell_left(request)
                await answer
        except TimeoutError:
            # The answer may have come in the same instant as the end of the waiting: then it counts.
            if not answer.done() or answer.cancelled():
                line.doubt()
                raise NoAnswer(f"no answer within {self._answer_limit_seconds:g} s") from None
        finally:
            line.forget(key, answer)
        fields = answer.result()
        if fields is None:
            raise NoAnswer("the connection was lost before the answer")
        return _scrubbed(fields)

    async def _wait_for_a_line(self) -> None:
        """A connection that has just been lost is back in a moment: wait for that, but not long."""
        if self._is_closing:
            raise NotSent("the link is closing")
        try:
            async with asyncio.timeout(self._pace.reconnect_wait_seconds):
                await self._someone_up.wait()
        except TimeoutError:
            raise NotSent("no connection to the acquirer") from None

    async def _prepare(self, request: Request) -> tuple[Key, bytes]:
        try:
            fields = await self._egress.fill(request)
        except CVVGone:
            raise
        except Exception as problem:
            self._log.error("acquirer_link.fill_failed", kind=type(problem).__name__)
            raise NotSent("the card data could not be filled in") from problem
        try:
            return answer_key(request.mti, fields, self._dialect), self._dialect.pack(request.mti, fields)
        except iso8583.Garbled as problem:
            raise NotSent(f"the request does not fit the dialect: {problem}") from None

    def _pick(self, terminal: str) -> Line:
        own = self._lines.get(terminal.strip())
        if own is not None and own.is_usable and not self._is_closing:
            return own
        usable = [line for line in self._lines.values() if line.is_usable]
        if not usable or self._is_closing:
            raise NotSent("no connection to the acquirer")
        return min(usable, key=lambda line: len(line.waiting))

    async def _tell_left(self, request: Request) -> None:
        try:
            await self._egress.left(request)
        except Exception as problem:  # noqa: BLE001 - the answer must not be lost because the vault is away
            self._log.error("acquirer_link.cvv_not_erased", kind=type(problem).__name__, rrn=request.references.rrn)

    def _note_change(self) -> None:
        if self.connected:
            self._someone_up.set()
        else:
            self._someone_up.clear()

    async def _report_unmatched(self) -> None:
        while True:
            await self._report(await self._unmatched.get())

    async def _report(self, fields: Fields) -> None:
        response = _scrubbed(fields)
        self._log.warning("acquirer_link.answer_unmatched", mti=response.mti, rrn=response.fields.get("37"))
        try:
            await self._on_unmatched(response)
        except Exception as problem:  # noqa: BLE001 - the next answers must still be reported
            self._log.error("acquirer_link.answer_unmatched_lost", kind=type(problem).__name__)


def _scrubbed(fields: Fields) -> Response:
    """The answer as the rest of the house may see it."""
    kept = {number: value for number, value in fields.items() if number != "t" and number not in CARD_FIELDS}
    if "2" in kept:
        kept["2"] = mask(kept["2"])
    return Response(mti=fields["t"], fields=kept)
