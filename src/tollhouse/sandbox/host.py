"""The acquirer's host: ISO 8583 over TCP, a two-byte length before each message.

A connection carries any number of requests at once; answers go out as soon as what they say is on disk. Sign-on,
sign-off and echo are answered at once. Sign-on is not demanded; after a sign-off requests of that connection are
refused with 58 until the next sign-on. A frame that is no message, and a message that no gateway sends, is logged
and left unanswered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import structlog

from tollhouse.acquirers.iso8583.fields import (
    ECHO,
    LENGTH_BYTES,
    PROCESSING_REFUND,
    PROCESSING_SALE,
    SIGN_OFF,
    SIGN_ON,
    Garbled,
    pack,
    unpack,
)
from tollhouse.money import CURRENCIES
from tollhouse.sandbox.asked import FormatError, Kind, read_request
from tollhouse.sandbox.books import Books, Operation
from tollhouse.sandbox.decisions import Answer, answer_of_late, decide
from tollhouse.sandbox.faults import GARBAGE, Delays, Delivery
from tollhouse.sandbox.threeds.values import Values

FINANCIAL = frozenset({"010", "020", "022", "040", "042"})
NETWORK = "080"
ECHOED = ("3", "4", "7", "11", "37", "41", "42", "49", "70")
FORMAT_ERROR, TERMINAL_NOT_PERMITTED, UNAVAILABLE, UNKNOWN_CODE = "30", "58", "91", "12"

log = structlog.get_logger("tollhouse.sandbox")


class Connection(asyncio.Protocol):
    """One connection of a gateway: cuts the stream into messages and hands them to the host."""

    def __init__(self, host: Host) -> None:
        self.is_signed_off = False
        self.signed_on = ""  # the terminal whose connection this is
        self._host = host
        self._unread = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast(asyncio.Transport, transport)
        self._host.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it: late answers go to the terminal's next connection."""
        self._transport = None
        self._host.forget(self)

    def data_received(self, data: bytes) -> None:
        """Cut off every whole message; the rest waits for more."""
        unread = self._unread
        unread += data
        at = 0
        while len(unread) >= at + LENGTH_BYTES and self.is_open:
            start = at + LENGTH_BYTES
            end = start + int.from_bytes(unread[at:start], "big")
            if len(unread) < end:
                break
            self._host.receive(self, bytes(unread[start:end]))
            at = end
        del unread[:at]

    def pause_writing(self) -> None:
        """A gateway that does not read its answers is not read either."""
        assert self._transport is not None
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        assert self._transport is not None
        self._transport.resume_reading()

    @property
    def is_open(self) -> bool:
        """Whether something can still be written."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: bytes) -> None:
        """Write one message, if anyone is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)

    def close(self) -> None:
        """Close after what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Cut it at once, as a broken line does."""
        if self._transport is not None:
            self._transport.abort()


class Host:
    """Answers every connection from one set of books."""

    def __init__(self, books: Books, delays: Delays, values: Values) -> None:
        self.connections: set[Connection] = set()
        self._values = values
        self._books = books
        self._delays = delays
        self._by_terminal: dict[str, Connection] = {}
        self._refused_until: dict[str, float] = {}
        self._is_closed = False

    async def listen(self, listener: socket.socket) -> asyncio.Server:
        """Serve a listening socket."""
        return await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=listener)

    def close(self) -> None:
        """Close all connections; what was to come late comes no more."""
        self._is_closed = True
        for connection in tuple(self.connections):
            connection.close()

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        for terminal in [name for name, last in self._by_terminal.items() if last is connection]:
            del self._by_terminal[terminal]

    def receive(self, connection: Connection, raw: bytes) -> None:
        """Take one message from a connection."""
        try:
            fields = unpack(raw)
        except Garbled as problem:
            log.warning("sandbox.message_ignored", problem=str(problem), message_bytes=len(raw))
            return
        terminal = fields.get("41", "").strip()
        if self._is_refused(terminal) and connection.signed_on in ("", terminal):
            self._refuse(connection, fields)
            return
        if terminal:
            self._by_terminal[terminal] = connection
        if fields["t"][:3] == NETWORK:
            self._answer_network(connection, fields)
        elif fields["t"][:3] in FINANCIAL and fields["t"][3:] in ("0", "1"):
            self._answer_request(connection, fields)
        else:
            log.warning("sandbox.message_ignored", problem="not a request of this dialect", mti=fields["t"])

    def _answer_network(self, connection: Connection, fields: Mapping[str, str]) -> None:
        code = fields.get("70", "")
        if code in (SIGN_ON, SIGN_OFF):
            connection.is_signed_off = code == SIGN_OFF
        if code == SIGN_ON:
            connection.signed_on = fields.get("41", "").strip()
        known = code in (SIGN_ON, SIGN_OFF, ECHO)
        connection.send(_pack_answer(fields, Answer(response_code="00" if known else UNKNOWN_CODE)))

    def _answer_request(self, connection: Connection, fields: Mapping[str, str]) -> None:
        if connection.is_signed_off:
            connection.send(_pack_answer(fields, Answer(response_code=TERMINAL_NOT_PERMITTED)))
            return
        try:
            asked = read_request(fields, self._values)
        except FormatError as problem:
            log.warning("sandbox.request_refused", problem=str(problem), mti=fields["t"])
            connection.send(_pack_answer(fields, Answer(response_code=FORMAT_ERROR)))
            return
        answer = decide(self._books, asked)
        self._books.journal.after_durable(partial(self._deliver, connection, fields, answer))
        if answer.afterwards is not None:
            delay = self._delays.approved_again_seconds
            asyncio.get_running_loop().call_later(delay, self._answer_late, answer.afterwards)

    def _deliver(self, connection: Connection, fields: Mapping[str, str], answer: Answer) -> None:
        terminal = fields["41"].strip()
        match answer.delivery:
            case Delivery.PROMPT:
                connection.send(_pack_answer(fields, answer))
            case Delivery.TWICE:
                connection.send(_pack_answer(fields, answer))
                connection.send(_pack_answer(fields, answer))
            case Delivery.LATE:
                self._send_after(self._delays.late_seconds, terminal, _pack_answer(fields, answer))
            case Delivery.SLOW:
                self._send_after(self._delays.slow_seconds, terminal, _pack_answer(fields, answer))
            case Delivery.GARBAGE:
                connection.send(GARBAGE)
            case Delivery.DROPPED:
                connection.drop()
            case Delivery.REFUSED:
                now = asyncio.get_running_loop().time()
                self._refused_until[terminal] = now + self._delays.refused_seconds
                connection.drop()
            case Delivery.LOST:
                return

    def _send_after(self, seconds: float, terminal: str, message: bytes) -> None:
        asyncio.get_running_loop().call_later(seconds, self._send_to_terminal, terminal, message)

    def _send_to_terminal(self, terminal: str, message: bytes) -> None:
        """Over the connection that the terminal uses by now; without one it is lost, as on a real line.

        From a refusal of the terminal until it is back, over another's: else that fault would swallow what others are
        to do.
        """
        connection = self._by_terminal.get(terminal)
        if connection is None and terminal in self._refused_until:
            connection = next(iter(self._by_terminal.values()), None)
        if connection is not None:
            connection.send(message)

    def _answer_late(self, afterwards: Callable[[], Operation | None]) -> None:
        operation = None if self._is_closed else afterwards()
        if operation is not None:
            message = _pack_late_answer(operation)
            self._books.journal.after_durable(partial(self._send_to_terminal, operation.terminal, message))

    def _is_refused(self, terminal: str) -> bool:
        until = self._refused_until.get(terminal)
        if until is None:
            return False
        if asyncio.get_running_loop().time() < until:
            return True
        del self._refused_until[terminal]
        return False

    def _refuse(self, connection: Connection, fields: Mapping[str, str]) -> None:
        """A sign-on of a refused terminal hears 91 before the connection is closed; all else is cut off."""
        if fields["t"][:3] == NETWORK:
            connection.send(_pack_answer(fields, Answer(response_code=UNAVAILABLE)))
            connection.close()
        else:
            connection.drop()


def _pack_answer(fields: Mapping[str, str], answer: Answer) -> bytes:
    """The answer to a message: its fields echoed, the response code added. 0200 → 0210, 0221 → 0230."""
    echoed = {field: fields[field] for field in ECHOED if field in fields}
    mti = fields["t"]
    return _pack(f"{mti[:2]}{int(mti[2]) + 1}0", echoed, answer)


def _pack_late_answer(operation: Operation) -> bytes:
    """The answer to an operation whose request is long gone, from the books."""
    fields = {
        "3": PROCESSING_REFUND if operation.kind is Kind.REFUND else PROCESSING_SALE,
        "4": f"{operation.requested_minor:012d}",
        "7": operation.transmitted_at,
        "11": operation.stan,
        "37": operation.rrn.ljust(12),
        "41": operation.terminal.ljust(8),
        "42": operation.acceptor.ljust(15),
        "49": CURRENCIES[operation.currency].number,
    }
    mti = "0110" if operation.kind is Kind.AUTHORIZATION else "0210"
    return _pack(mti, fields, answer_of_late(operation))


def _pack(mti: str, fields: dict[str, str], answer: Answer) -> bytes:
    fields["39"] = answer.response_code
    if answer.approval_code is not None:
        fields["38"] = answer.approval_code
    if answer.amount_minor is not None:
        fields["4"] = f"{answer.amount_minor:012d}"
    return pack(mti, fields)
