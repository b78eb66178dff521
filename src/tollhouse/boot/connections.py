"""The connections to the gateway: how many there may be, how large a request's head, how long it may take to arrive.

uvicorn's protocol bounds none of it. Here is what it calls anyway, counted; one look a second at all connections
ends those that are overdue, so that a request costs no timers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tollhouse.api.wire.answers import refused_body
from tollhouse.refusal import RequestInvalid, RequestTooLarge
from tollhouse.source import Trusted, is_of_this_machine, place_of

HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
PIPELINE_MAX = 16
HEAD_SECONDS_MAX = 15.0  # from the first byte to the last of a head, and from connecting to the first head's end
BODY_SECONDS_MAX = 30.0
STALL_SECONDS_MAX = 30.0  # how long a caller may leave what we wrote unread
CLOSE_SECONDS_MAX = 10.0

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may come at a time. `only_proxies`: only a trusted proxy, or somebody on this machine, may connect."""

    connections_max: int
    per_address_max: int
    trusted: Trusted
    only_proxies: bool = False
    head_seconds: float = HEAD_SECONDS_MAX
    body_seconds: float = BODY_SECONDS_MAX
    stall_seconds: float = STALL_SECONDS_MAX
    close_seconds: float = CLOSE_SECONDS_MAX


class Doorway:
    """All connections of this process, counted by where they come from."""

    def __init__(self, bounds: Bounds, headers: Headers = ()) -> None:
        """`headers` stand in the answers to what is no request at all."""
        self.bounds = bounds
        self.headers = tuple(headers)
        self.turned_away = 0
        self._open: set[BoundedProtocol] = set()
        self._by_place: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: BoundedProtocol, address: str) -> bool:
        """Whether there is room for one more from here."""
        bounds, place = self.bounds, place_of(address)
        is_proxy = bounds.trusted.holds(address)
        is_stranger = bounds.only_proxies and not is_proxy and not is_of_this_machine(address)
        is_full = len(self._open) >= bounds.connections_max
        has_enough = not is_proxy and self._by_place[place] >= bounds.per_address_max
        if is_stranger or is_full or has_enough:
            self.turned_away += 1
            return False
        self._open.add(connection)
        self._by_place[place] += 1
        return True

    def leave(self, connection: BoundedProtocol, address: str) -> None:
        """One that was admitted is gone."""
        if connection in self._open:
            self._open.discard(connection)
            place = place_of(address)
            self._by_place[place] -= 1
            if not self._by_place[place]:
                del self._by_place[place]

    def sweep(self, now: float) -> None:
        """End what is overdue. `now` is the loop's time."""
        for connection in tuple(self._open):
            connection.end_if_overdue(now)


class _Refused(Exception):
    """A head that is not read to its end."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


_WORDS = {
    400: RequestInvalid("", "this is no HTTP request"),
    408: RequestInvalid("", "the request did not arrive in time"),
    431: RequestTooLarge(f"request line, headers or trailers are larger than {HEAD_BYTES_MAX // 1024} KiB or too many"),
}


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Of each request first the head is awaited, then the body."""

    def __init__(self, doorway: Doorway, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._doorway = doorway
        self._address = ""
        self._head_since: float | None = None
        self._body_since: float | None = None
        self._stalled_since: float | None = None
        self._closing_since: float | None = None
        self._head_bytes = self._header_count = self._unparsed_bytes = 0
        self._heads = 0
        self._is_in_head = True
        self._is_begun = False
        self._is_refused = False
        self._has_body = False
        self._overtaken: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Asked for by the loop; with TLS, once keys are agreed on."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        if not self._doorway.admit(self, self._address):
            self._is_refused = True
            transport.abort()
            return
        self._head_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asked for by the loop. uvicorn tells the request that came last; those before it hear of it here."""
        self._doorway.leave(self, self._address)
        super().connection_lost(exc)
        for cycle in self._overtaken:
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Asked for by the loop."""
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        heads, was_in_head, self._has_body = self._heads, self._is_in_head, False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self.cycle is not None:
                self.cycle.keep_alive = False  # we speak nothing else, and what follows is no request
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 400)
        else:
            # A line that never ends is not told by the parser: so count what is of one head for certain, and what is
            # neither head nor body: lengths of chunks, trailers, empty lines.
            is_same = was_in_head == self._is_in_head and heads == self._heads and not self._has_body
            self._unparsed_bytes = self._unparsed_bytes + len(data) if is_same else 0
            if self._unparsed_bytes > HEAD_BYTES_MAX:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """Asked for by the parser, at the first byte of a request."""
        super().on_message_begin()
        self._head_bytes = self._header_count = 0
        self._is_in_head = self._is_begun = True
        if self._head_since is None:
            self._head_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Asked for by the parser."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Asked for by the parser. After the body they would still become headers, which others have looked at."""
        if not self._is_in_head:
            raise _Refused(400)
        self._header_count += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Asked for by the parser."""
        if len(self.pipeline) >= PIPELINE_MAX:
            raise _Refused(400)
        self._heads += 1
        self._is_in_head = False
        self._head_since = None
        self._body_since = self.loop.time()
        self._overtaken = [cycle for cycle in (*self._overtaken, self.cycle) if cycle and not cycle.response_complete]
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Asked for by the parser."""
        self._has_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Asked for by the parser, at the last byte of a request."""
        self._body_since = None
        self._is_begun = False
        super().on_message_complete()

    def end_if_overdue(self, now: float) -> None:
        """Hang up where a head, a body, a reader or a farewell takes too long."""
        bounds = self._doorway.bounds
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > bounds.close_seconds:
                self.transport.abort()
        elif _is_over(self._head_since, bounds.head_seconds, now) or _is_over(
            self._body_since, bounds.body_seconds, now
        ):
            self._refuse(408)
        elif self.transport.get_write_buffer_size() == 0:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > bounds.stall_seconds:
            self.transport.abort()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX or self._header_count > HEADERS_MAX:
            raise _Refused(431)

    def _refuse(self, status: int) -> None:
        """Answer where nothing else is being answered, and hang up."""
        self._is_refused = True
        is_answering = self.cycle is not None and not self.cycle.response_complete
        awaits_answer = is_answering and self._body_since is not None and not self.cycle.response_started
        is_answered = self.cycle is not None and self.cycle.response_complete and self._body_since is not None
        says_nothing = is_answered or (status == 408 and not self._is_begun)
        if (not is_answering or awaits_answer) and not self.pipeline and not says_nothing:
            self.transport.write(_answer(status, self._doorway.headers))
        self.transport.close()


def _is_over(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since > seconds


def _answer(status: int, headers: Headers) -> bytes:
    refusal = _WORDS[status]
    body = refused_body(refusal.code, refusal.description)
    lines = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    return b"".join([STATUS_LINE[status], *(b"%s: %s\r\n" % line for line in lines), b"\r\n", body])
