"""The vault as a process: takes connections of nodes, answers their calls, cuts off who may not speak any more.

No call gives a PAN away but the one that fills it into a message, and each of those stands in the audit log first,
under the name that the node has proven.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from tollhouse.audit import DONE, FAILED, GRANTED, REFUSED, TEXT_MAX, Act, clean
from tollhouse.masking import mask_cards
from tollhouse.ports import Log
from tollhouse.vault import frames
from tollhouse.vault.admission import Admission, Caller, NotAdmitted
from tollhouse.vault.audit_log import UNWRITABLE, AuditLog
from tollhouse.vault.frames import FrameBroken, Frames
from tollhouse.vault.port import NodeVault

CONNECTIONS_MAX = 256
# Who has not said yet who it is takes no place of a node's, and few places of all others who have not.
GREETINGS_MAX, GREETINGS_OF_ADDRESS_MAX = 400, 8
CALLS_MAX = 2000  # of one connection at a time; more are not read until some are answered
LOOK_SECONDS = 1.0
ACCEPT_AGAIN_SECONDS = 0.1
# What only the vault itself writes down.
OWN_ACTS = ("card.", "key.", "audit.", "vault.")
ACT = re.compile(r"[a-z_]+(\.[a-z_]+){0,3}")
OUTCOMES = (GRANTED, DONE, REFUSED, FAILED)

NAMES: Mapping[type[Exception], str] = {kind: name for name, kind in frames.KINDS.items()}

_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


class CallersLog:
    """The audit log as cards are opened in it: entries are the caller's whose call is being answered."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def write(self, act: Act) -> None:
        """Durable on return."""
        await self._log.write(_named(act))

    def begin(self, act: Act) -> asyncio.Future[None]:
        """The same for whoever has something else to do before it waits for the entry."""
        return self._log.begin(_named(act))

    def note(self, act: Act) -> None:
        """With the next entries."""
        self._log.note(_named(act))


class VaultServer:
    """Serves one vault on one listening socket."""

    def __init__(
        self,
        vault: NodeVault,
        audit: AuditLog,
        admission: Admission,
        *,
        log: Log,
        tls: ssl.SSLContext | None = None,
        look: Callable[[], str] = str,
        greeting_seconds: float = frames.GREETING_SECONDS_MAX,
    ) -> None:
        """`look` takes up every second what else has changed, and says what went wrong with that."""
        self._look_beside = look
        self._greeting_seconds = greeting_seconds
        self._vault, self._audit, self._admission, self._log, self._tls = vault, audit, admission, log, tls
        self._connections: set[_Connection] = set()
        self._beside: list[asyncio.Task[None]] = []
        self._greeting: dict[asyncio.Task[None], str] = {}
        self._told: set[str] = set()
        self._answers: Mapping[type[frames.Call], Callable[[Any], Awaitable[object]]] = {
            frames.Check: lambda _: vault.check(),
            frames.Keep: lambda call: vault.keep(call.project, call.card),
            frames.SealCvv: lambda call: vault.seal_cvv(call.project, call.cvv),
            frames.EraseCvv: lambda call: vault.erase_cvv(call.sealed),
            frames.OldCvvSlots: lambda call: vault.old_cvv_slots(call.after),
            frames.EraseCvvSlots: lambda call: vault.erase_cvv_slots(call.names),
            frames.NextCards: lambda call: vault.next_cards(call.after, call.project),
            frames.Shred: lambda call: vault.shred(call.cards, clean(call.why)),
            frames.Fill: lambda call: vault.fill(call.request),
            frames.FillText: lambda call: vault.fill_text(call.card, call.slots),
            frames.OpenSecrets: lambda call: vault.open_secrets(call.project, call.sealed),
            frames.IdempotencySecret: lambda _: self._secret(),
            frames.Record: lambda call: self._record(call.acts),
        }

    async def start(self, listener: socket.socket) -> None:
        """Take connections from now on."""
        listener.setblocking(False)
        self._beside = [asyncio.create_task(self._accept(listener)), asyncio.create_task(self._look())]

    async def close(self, *, patience_seconds: float = 5.0) -> None:
        """Take no more, answer what was asked, hang up."""
        for task in (*self._beside, *self._greeting):
            task.cancel()
        await asyncio.gather(*self._beside, *self._greeting, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.stop_reading()
        running = [task for connection in self._connections for task in connection.running]
        if running:
            await asyncio.wait(running, timeout=patience_seconds)
        for connection in tuple(self._connections):
            connection.hang_up()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as problem:  # such as too many open files: passes, or the log says it again and again
                self._log.error("vault.no_more_connections", why=problem.strerror)
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            origin = str(address[0]) if isinstance(address, tuple) and address else socket.gethostname()
            if why := self._is_crowded(origin, is_far=self._tls is not None):
                accepted.close()
                self._deny(origin, why)
                continue
            task = asyncio.create_task(self._greet(accepted, origin))
            self._greeting[task] = origin
            task.add_done_callback(self._greeting.pop)

    def _is_crowded(self, origin: str, *, is_far: bool) -> str:
        if len(self._connections) >= CONNECTIONS_MAX:
            return f"there are {CONNECTIONS_MAX} connections already"
        of_address = sum(one == origin for one in self._greeting.values()) if is_far else 0
        if len(self._greeting) >= GREETINGS_MAX or of_address >= GREETINGS_OF_ADDRESS_MAX:
            return "too many connections that do not say who they are"
        return ""

    async def _greet(self, accepted: socket.socket, origin: str) -> None:
        connection = _Connection(self)
        seconds = self._greeting_seconds
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=None if self._tls is None else seconds,
                )
                await connection.greeted_well
        except (OSError, TimeoutError, EOFError, FrameBroken) as problem:  # an SSLError is an OSError
            connection.abort()
            accepted.close()
            if not connection.said_nothing:  # somebody who only looks whether the vault is there
                self._deny(origin, _why(problem))
        except NotAdmitted as refused:
            self._deny(origin, str(refused))
        except Exception as problem:  # noqa: BLE001 - whatever a stranger sent, it is written down, and others go on
            connection.abort()
            accepted.close()
            self._log.error("vault.greeting_failed", kind=type(problem).__name__)
            self._deny(origin, f"{type(problem).__name__} while it said who it is")

    async def _look(self) -> None:
        """Cut off who may not speak any more, within a second."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            problems = {problem for problem in (self._admission.look(), self._look_beside()) if problem}
            for problem in sorted(problems - self._told):
                self._log.error("vault.admission", why=problem)
            self._told = problems
            for connection in tuple(self._connections):
                caller = connection.caller
                assert caller is not None
                if why := self._admission.refuse(caller):
                    connection.abort()
                    self._deny(caller.origin, f"{caller.name}: {why}; the connection was cut")

    def admit(self, connection: _Connection, transport: asyncio.Transport) -> Caller:
        """Who this is. Raises `NotAdmitted`."""
        return self._admission.admit(transport)

    def add(self, connection: _Connection, caller: Caller) -> None:
        """It may call from now on."""
        self._connections.add(connection)
        self._audit.note(Act(what="vault.connect", outcome=DONE, who=caller.name, origin=caller.origin))
        self._log.info("vault.connected", node=caller.name, origin=caller.origin)

    def remove(self, connection: _Connection, caller: Caller) -> None:
        """It is gone."""
        self._connections.discard(connection)
        self._log.info("vault.disconnected", node=caller.name, origin=caller.origin)

    def _deny(self, origin: str, why: str) -> None:
        self._audit.deny(Act(what="vault.connect", outcome=REFUSED, who="stranger", origin=origin, details=clean(why)))
        self._log.warning("vault.refused", origin=origin, why=why)

    async def answer(self, caller: Caller, asked: frames.Asked) -> bytes:
        """The frame of the answer to a call, whatever becomes of it."""
        _caller.set(caller)
        try:
            return frames.answer(asked.id, await self._answers[type(asked.call)](asked.call))
        except Exception as problem:  # noqa: BLE001 - the node must be told, and nothing of it may end the connection
            name = next((NAMES[kind] for kind in type(problem).__mro__ if kind in NAMES), None)
            if name is None and isinstance(problem, UNWRITABLE):
                return frames.refusal(asked.id, "unreachable", f"the vault's database: {type(problem).__name__}")
            if name is None:
                self._log.error("vault.failed", call=type(asked.call).__name__, kind=type(problem).__name__)
                return frames.refusal(asked.id, frames.FAILED, type(problem).__name__)
            return frames.refusal(asked.id, name, mask_cards(str(problem)))

    async def _secret(self) -> bytes:
        return self._vault.idempotency_secret

    async def _record(self, acts: list[Act]) -> None:
        """A node's entries. Where they name somebody else, it stands beside the name that the node says so."""
        caller = _caller.get()
        assert caller is not None
        told = [act for act in acts if act.outcome in OUTCOMES and _is_of_a_node(act.what)]
        if len(told) < len(acts):
            self._log.error("vault.acts_refused", node=caller.name, count=len(acts) - len(told))
        await asyncio.gather(*(self._audit.write(_told(act, caller)) for act in told))


class _Connection(Frames):
    """One node's connection: a greeting, then calls."""

    def __init__(self, server: VaultServer) -> None:
        super().__init__()
        self.caller: Caller | None = None
        self.running: set[asyncio.Task[None]] = set()
        self.greeted_well: asyncio.Future[None] = frames.told_or_not(self._loop.create_future())
        self._server = server
        self._is_reading = True
        self._is_full = False
        self._is_ending = False
        self.said_nothing = False

    def on_frame(self, frame: bytes) -> None:
        """The greeting, or a call."""
        caller = self.caller
        if caller is None:
            self._greet(frames.decode(frames.Hello, frame))
            return
        try:
            asked: frames.Asked = frames.decode(frames.Asked, frame)
        except FrameBroken:
            unread: frames.Unread = frames.decode(frames.Unread, frame)
            self.send(frames.refusal(unread.id, frames.FAILED, "the call is not understood"))
            return
        task = self._loop.create_task(self._answer(caller, asked))
        self.running.add(task)
        task.add_done_callback(self._done)
        self._mind_reading()

    def on_lost(self, problem: Exception | None) -> None:
        """What was asked is done all the same: nobody knows what the node has seen of it."""
        if not self.greeted_well.done():
            self.said_nothing = problem is None and not self.has_received
            self.greeted_well.set_exception(problem or EOFError("hung up"))
        if self.caller is not None:
            self._server.remove(self, self.caller)

    def on_broken(self, problem: FrameBroken) -> None:
        """Before the greeting is over, whoever waits for it is told."""
        if not self.greeted_well.done():
            self.greeted_well.set_exception(problem)
        self.abort()

    def pause_writing(self) -> None:
        """The node does not read: then nothing more of it is read."""
        self._is_full = True
        self._mind_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_full = False
        self._mind_reading()

    def stop_reading(self) -> None:
        """Take no more calls."""
        self._is_ending = True
        self._mind_reading()

    def _greet(self, hello: frames.Hello) -> None:
        assert self._transport is not None
        if self.greeted_well.done():
            raise FrameBroken("a second greeting")
        try:
            if hello.protocol != frames.PROTOCOL:
                raise NotAdmitted(f"speaks version {hello.protocol} of the protocol, the vault {frames.PROTOCOL}")
            caller = self._server.admit(self, self._transport)
        except NotAdmitted as refused:
            self.send(frames.encode(frames.Refused(str(refused))))
            self.hang_up()
            self.greeted_well.set_exception(refused)
            return
        said = clean(hello.node)
        self.caller = replace(caller, origin=f"{caller.origin} {said}")
        self.greeted()
        self.greeted_well.set_result(None)
        self._server.add(self, self.caller)
        self.send(frames.encode(frames.Welcome(frames.PROTOCOL, caller.name)))

    async def _answer(self, caller: Caller, asked: frames.Asked) -> None:
        frame = await self._server.answer(caller, asked)
        with contextlib.suppress(FrameBroken):
            if self._transport is not None:
                self.send(frame)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        self._mind_reading()

    def _mind_reading(self) -> None:
        wanted = not self._is_full and not self._is_ending and len(self.running) < CALLS_MAX
        if self._transport is not None and wanted != self._is_reading:
            self._is_reading = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()


def _named(act: Act) -> Act:
    caller = _caller.get()
    return act if caller is None else replace(act, who=act.who or caller.name, origin=act.origin or caller.origin)


def _is_of_a_node(what: str) -> bool:
    return ACT.fullmatch(what) is not None and not what.startswith(OWN_ACTS)


def _told(act: Act, caller: Caller) -> Act:
    details = clean(act.details)
    if act.who:
        mark = f" (told by {caller.name})"
        details = (details[: TEXT_MAX - len(mark)] + mark).strip()
    return Act(
        what=clean(act.what),
        outcome=act.outcome,
        subject=clean(act.subject),
        who=clean(act.who) or caller.name,
        origin=clean(act.origin) or caller.origin,
        details=details,
    )


def _why(problem: Exception) -> str:
    match problem:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {problem.verify_message}"
        case ssl.SSLError():
            return f"no TLS connection came about: {problem.reason}"
        case TimeoutError():
            return "it did not say who it is in time"
        case FrameBroken():
            return str(problem)
        case _:
            return "it hung up before it said who it is"
