"""The vault as a node has it when it runs as a process of its own: every call goes over one connection.

What was not answered has not happened as far as money goes: a card that is not kept or not filled in was not sent to
anybody. The key of a security code that has left is asked to be erased until it is. Nothing waits without end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tollhouse.acquirers.message import CardUse, NotSent, Request, Slot
from tollhouse.card import CVV, CardDetails, KeptCard
from tollhouse.ports import Log, StoreUnreachable
from tollhouse.vault import frames
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.egress import Filled
from tollhouse.vault.frames import FrameBroken, Frames, VaultFailed
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.port import KeptRow, VaultAway

CALL_SECONDS_MAX = 5.0
LATE_LOOK_SECONDS = 0.25
CONNECT_AGAIN_SECONDS_MIN, CONNECT_AGAIN_SECONDS_MAX = 0.05, 2.0
ERASE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a node reaches the vault: a socket on this machine, or a machine with TLS."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    tls: Callable[[], ssl.SSLContext] | None = None  # made anew for each connection: files may have changed

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path is not None else f"tls://{self.host}:{self.port}"


class RemoteVault:
    """Implements the port `NodeVault`. Call `start`, then use it; `wait_until_open` says when it can be used."""

    def __init__(self, way: Way, *, node: str, log: Log, limit_seconds: float = CALL_SECONDS_MAX) -> None:
        self._way, self._node, self._log, self._limit_seconds = way, node, log, limit_seconds
        self._connection: _Connection | None = None
        self._up = asyncio.Event()
        self._owed: set[str] = set()
        self._beside: list[asyncio.Task[None]] = []
        self._erasing: asyncio.Task[None] | None = None
        self._secret: bytes | None = None
        self._told = ""

    def start(self) -> None:
        """Connect, now and again after each loss."""
        self._beside = [asyncio.create_task(self._keep_connected())]

    async def wait_until_open(self) -> None:
        """Until the vault has answered once."""
        while self._secret is None:
            await self._up.wait()
            try:
                self._secret = await self._ask(frames.IdempotencySecret())
            except StoreUnreachable as problem:
                self._tell(str(problem))
                await asyncio.sleep(ERASE_AGAIN_SECONDS)

    async def close(self) -> None:
        """Erase what is still to be erased, if the vault is there, and hang up."""
        erasing = self._erasing  # which forgets itself when it is done
        if erasing is not None:
            await asyncio.wait([erasing], timeout=self._limit_seconds)
            erasing.cancel()
        if self._owed:
            self._log.warning("security codes are left for the vault's sweep", count=len(self._owed))
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._connection is not None:
            self._connection.hang_up()

    @property
    def idempotency_secret(self) -> bytes:
        """The one key that nodes are given."""
        assert self._secret is not None, "wait until it is open"
        return self._secret

    async def check(self) -> None:
        """Returns when cards can be kept and opened now. Raises `StoreUnreachable`."""
        await self._ask(frames.Check())

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """See `NodeVault`. What the vault does not keep does not go there. Raises `StoreUnreachable`."""
        kept: KeptCard = await self._ask(frames.Keep(project, replace(card, cvv=None, holder=None)))
        return kept

    async def seal_cvv(self, project: str, cvv: CVV) -> str:
        """See `NodeVault`. Raises `StoreUnreachable`."""
        sealed: str = await self._ask(frames.SealCvv(project, cvv))
        return sealed

    async def erase_cvv(self, sealed: str) -> None:
        """Gone on return; or, when the vault is away for longer than a call may take, as soon as it is back."""
        try:
            async with asyncio.timeout(self._limit_seconds):
                while True:
                    try:
                        await self._ask(frames.EraseCvv(sealed))
                        return
                    except VaultAway:
                        await asyncio.sleep(CONNECT_AGAIN_SECONDS_MIN)
        except (TimeoutError, StoreUnreachable) as problem:
            self._owe(sealed)
            why = "no answer in time" if isinstance(problem, TimeoutError) else str(problem)
            self._log.warning("a security code is erased later", why=why)
        except asyncio.CancelledError:
            self._owe(sealed)
            raise

    async def old_cvv_slots(self, after: str) -> list[str]:
        """See `NodeVault`. Raises `StoreUnreachable`."""
        names: list[str] = await self._ask(frames.OldCvvSlots(after))
        return names

    async def erase_cvv_slots(self, names: Sequence[str]) -> None:
        """See `NodeVault`. Raises `StoreUnreachable`."""
        await self._ask(frames.EraseCvvSlots(list(names)))

    async def next_cards(self, after: tuple[str, str], project: str | None) -> list[KeptRow]:
        """See `NodeVault`. Raises `StoreUnreachable`."""
        rows: list[KeptRow] = await self._ask(frames.NextCards(after, project))
        return rows

    async def shred(self, cards: Sequence[tuple[str, str]], why: str) -> int:
        """See `NodeVault`. Raises `StoreUnreachable`; then the cards may be gone all the same."""
        count: int = await self._ask(frames.Shred(list(cards), why))
        return count

    async def fill(self, request: Request) -> dict[str, str]:
        """All fields of the request with its card slots filled. Raises `NotSent`."""
        if not request.slots:
            return Filled(request.fields)
        return Filled(await self._asked_to_fill(frames.Fill(request)))

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]:
        """The values of these slots alone, by their names. Raises `NotSent`."""
        return Filled(await self._asked_to_fill(frames.FillText(card, dict(slots))))

    async def left(self, request: Request) -> None:
        """The bytes of the request were written: its CVV dies, as in `erase_cvv`."""
        if request.card is not None and request.card.sealed_cvv is not None:
            await self.erase_cvv(request.card.sealed_cvv)

    async def open_secrets(self, project: str, sealed: bytes) -> bytes:
        """See `NodeVault`. Raises `CannotOpen`, `StoreUnreachable`."""
        plain: bytes = await self._ask(frames.OpenSecrets(project, sealed))
        return plain

    async def record(self, acts: Sequence[Any]) -> None:
        """Entries for the audit log; durable on return. Raises `StoreUnreachable`."""
        await self._ask(frames.Record(list(acts)))

    async def _asked_to_fill(self, call: frames.Fill | frames.FillText) -> dict[str, str]:
        try:
            filled: dict[str, str] = await self._ask(call)
        except (StoreUnreachable, CannotOpen, KeysRefused) as problem:
            raise NotSent(str(problem)) from None
        return filled

    async def _ask(self, call: frames.AnyCall) -> Any:
        connection = self._connection
        if connection is None:
            connection = await self._wait_for_connection()
        return await connection.ask(call)

    async def _wait_for_connection(self) -> _Connection:
        try:
            async with asyncio.timeout(self._limit_seconds):
                while self._connection is None:
                    await self._up.wait()
        except TimeoutError:
            raise VaultAway(f"the vault at {self._way} is away") from None
        return self._connection

    async def _keep_connected(self) -> None:
        pause_seconds = CONNECT_AGAIN_SECONDS_MIN
        while True:
            try:
                connection = await self._connect()
            except (OSError, TimeoutError, FrameBroken, EOFError, ValueError) as problem:  # a name may be impossible
                self._tell(f"the vault at {self._way} is away: {_why(problem)}")
            else:
                pause_seconds = CONNECT_AGAIN_SECONDS_MIN
                self._told = ""
                self._log.info("vault connected", vault=str(self._way))
                self._connection = connection
                self._up.set()
                why = await connection.lost
                self._connection = None
                self._up.clear()
                self._tell(f"the vault at {self._way} is away: {why}")
            await asyncio.sleep(pause_seconds * (0.5 + 0.5 * random.random()))
            pause_seconds = min(pause_seconds * 2, CONNECT_AGAIN_SECONDS_MAX)

    async def _connect(self) -> _Connection:
        loop, way = asyncio.get_running_loop(), self._way
        made: list[_Connection] = []

        def new() -> _Connection:
            made.append(_Connection(self._node, self._limit_seconds))
            return made[-1]

        try:
            async with asyncio.timeout(frames.GREETING_SECONDS_MAX):
                if way.path is not None:
                    await loop.create_unix_connection(new, str(way.path))
                else:
                    assert way.tls is not None, "nothing goes over a network in the clear"
                    await loop.create_connection(new, way.host, way.port, ssl=way.tls(), server_hostname=way.host)
                await made[-1].welcomed
        except BaseException:
            for one in made:
                one.abort()
            raise
        return made[-1]

    def _tell(self, problem: str) -> None:
        """Once for each reason, not for each attempt."""
        if problem != self._told:
            self._log.warning("vault away", why=problem)
        self._told = problem

    def _owe(self, sealed: str) -> None:
        self._owed.add(sealed)
        if self._erasing is None:
            self._erasing = asyncio.get_running_loop().create_task(self._erase_owed())

    async def _erase_owed(self) -> None:
        while self._owed:
            for sealed in tuple(self._owed):  # one that fails holds up no other
                try:
                    await self._ask(frames.EraseCvv(sealed))
                except VaultAway:
                    break
                except StoreUnreachable as problem:
                    self._tell(str(problem))
                    continue
                except CannotOpen as problem:
                    self._log.error("a security code cannot be erased", why=str(problem))
                self._owed.discard(sealed)
            if self._owed:
                await asyncio.sleep(ERASE_AGAIN_SECONDS)
        self._erasing = None


Waiting = tuple[float, "asyncio.Future[Any]", Any]


class _Connection(Frames):
    """One connection: calls under numbers, answers in any order, each within its time."""

    def __init__(self, node: str, limit_seconds: float) -> None:
        super().__init__()
        self.welcomed: asyncio.Future[None] = frames.told_or_not(self._loop.create_future())
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._node = node
        self._limit_seconds = limit_seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Waiting] = {}  # in the order of their time limits
        self._looking: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who this is."""
        super().connection_made(transport)
        self.send(frames.encode(frames.Hello(frames.PROTOCOL, self._node)))

    def ask(self, call: frames.AnyCall) -> Awaitable[Any]:
        """The answer; or the error that the vault names, `VaultAway` when the connection or its time is over first."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(VaultAway("the connection to the vault was lost"))
            return answer
        number = next(self._numbers)
        try:
            self.send(frames.encode(frames.Asked(number, call)))
        except FrameBroken as problem:
            answer.set_exception(VaultFailed(str(problem)))
            return answer
        self._waiting[number] = (self._loop.time() + self._limit_seconds, answer, frames.ANSWERS[type(call)])
        if self._looking is None:
            self._looking = self._loop.call_later(LATE_LOOK_SECONDS, self._look_for_late)
        return answer

    def on_frame(self, frame: bytes) -> None:
        """The vault's greeting, or an answer."""
        if not self.welcomed.done():
            self._hear_greeting(frames.decode(frames.Welcome | frames.Refused, frame))
            return
        self._heard_at = self._loop.time()
        answered: frames.Answered = frames.decode(frames.Answered, frame)
        waiting = self._waiting.pop(answered.id, None)
        if waiting is None or waiting[1].done():
            return  # whoever asked waits no more
        _, answer, kind = waiting
        try:
            if answered.kind == frames.OK:
                answer.set_result(frames.decode(kind, answered.value))
                return
            text: str = frames.decode(str, answered.value)
        except FrameBroken:
            answer.set_exception(VaultFailed("the vault's answer is not understood"))
            return
        error: Callable[[str], Exception] = frames.KINDS.get(answered.kind, VaultFailed)
        answer.set_exception(error(text))

    def on_broken(self, problem: FrameBroken) -> None:
        """The other end speaks something else."""
        if not self.welcomed.done():
            self.welcomed.set_exception(problem)
        self.abort()

    def on_lost(self, problem: Exception | None) -> None:
        """Whoever waits is told."""
        why = _why(problem) if problem is not None else "it hung up"
        if not self.welcomed.done():
            self.welcomed.set_exception(problem or EOFError(why))
        if not self.lost.done():
            self.lost.set_result(why)
        waiting, self._waiting = self._waiting, {}
        for _, answer, _ in waiting.values():
            if not answer.done():
                answer.set_exception(VaultAway("the connection to the vault was lost"))
        if self._looking is not None:
            self._looking.cancel()

    def _hear_greeting(self, greeting: frames.Welcome | frames.Refused) -> None:
        match greeting:
            case frames.Welcome():
                self.greeted()
                self.welcomed.set_result(None)
            case frames.Refused():
                self.welcomed.set_exception(FrameBroken(f"it refuses this node: {greeting.why}"))
                self.abort()

    def _look_for_late(self) -> None:
        """One timer for all calls. A connection on which nothing comes at all any more is made anew."""
        self._looking = None
        now = self._loop.time()
        for number, (until, answer, _) in list(self._waiting.items()):
            if until > now:
                break
            del self._waiting[number]
            if not answer.done():
                answer.set_exception(VaultAway(f"the vault did not answer within {self._limit_seconds:g} s"))
                if now - self._heard_at > self._limit_seconds:
                    self.abort()
        if self._waiting:
            self._looking = self._loop.call_later(LATE_LOOK_SECONDS, self._look_for_late)


def _why(problem: BaseException) -> str:
    match problem:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {problem.verify_message}"
        case ssl.SSLError():
            return f"no TLS connection comes about: {problem.reason}"
        case TimeoutError():
            return "it does not answer"
        case FrameBroken() | EOFError():
            return str(problem)
        case OSError():
            return problem.strerror or "the connection broke"
        case _:
            return type(problem).__name__
