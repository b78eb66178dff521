"""Webhooks out: one POST, one `Delivery`. The only file that knows an HTTP client.

Nothing on the network makes `post` raise: whatever goes wrong is a short line in `Delivery.error`. Repeating is
not done here (that is `flows/deliver.py`), redirects are not followed, proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tollhouse.net.guard import UrlRefused, check_url, may_connect

USER_AGENT = "Tollhouse-Webhook/1"
EXCERPT_BYTES_MAX = 1024
CONCURRENT_MAX = 100
# Shorter than the five seconds after which many servers hang up: a connection is then rarely lost while in use.
KEEP_ALIVE_SECONDS = 4.0
LOOKUP_THREADS = 16

Lookup = Callable[[str], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one sending. Either `status` is set, or `error` says why there is none (a redirect has both)."""

    status: int | None
    error: str | None
    excerpt: str
    duration_seconds: float

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it: any 2xx."""
        return self.status is not None and 200 <= self.status <= 299


class AddressNotAllowed(OSError):
    """A name resolves to nothing but addresses that webhooks may not go to."""


class GuardedResolver(AbstractResolver):
    """Resolves names and hands on only addresses that may be connected to; the client connects to exactly these."""

    def __init__(self, lookup: Lookup, *, live: bool) -> None:
        self._lookup = lookup
        self._live = live

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The permitted addresses of `host`. Raises `AddressNotAllowed` when it has others only."""
        found = await self._lookup(host)
        allowed = [address for address in found if may_connect(address, live=self._live)]
        if not found:
            raise OSError(f"{host} has no address")
        if not allowed:
            raise AddressNotAllowed(f"{host} has no address that webhooks may go to")
        return [_resolved(host, port, address) for address in allowed]

    async def close(self) -> None:
        """Nothing to give back: the lookup belongs to the sender."""


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)


class WebhookSender:
    """Sends webhooks over shared keep-alive connections, which test and live projects do not share."""

    def __init__(
        self,
        *,
        concurrent_max: int = CONCURRENT_MAX,
        lookup: Lookup | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._places = asyncio.Semaphore(concurrent_max)
        self._lookup = lookup or self._system_lookup
        self._trust = trust
        self._threads: ThreadPoolExecutor | None = None
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def start(self) -> None:
        """Open the two connection pools; must run in the event loop that will send."""
        # Threads of our own: a slow name server must not occupy the threads that others in the process wait for.
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="webhook-lookup")
        self._sessions = {live: self._session(live=live) for live in (True, False)}

    async def close(self) -> None:
        """Close all connections; what is being sent fails."""
        for session in self._sessions.values():
            await session.close()
        self._sessions = {}
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, live: bool, timeout_seconds: float = 10.0
    ) -> Delivery:
        """Send `body` once. The time limit covers everything from the name lookup to the excerpt of the answer."""
        session = self._sessions[live]
        status: int | None = None
        error: str | None = None
        excerpt = bytearray()
        async with self._places:
            began = time.monotonic()
            try:
                target = URL(check_url(url, live=live).url, encoded=True)
                async with (
                    asyncio.timeout(timeout_seconds),
                    session.post(target, data=body, headers=headers, allow_redirects=False) as answer,
                ):
                    status = answer.status
                    await _read_excerpt(answer, excerpt)
            except (aiohttp.ClientError, OSError, UrlRefused) as problem:
                # Once the status is known the answer has been given; a body that breaks off or drips changes nothing.
                if status is None:
                    error = _reason(problem, timeout_seconds)
            duration_seconds = time.monotonic() - began
        if status is not None and 300 <= status <= 399:
            error = "redirect not followed"
        return Delivery(status=status, error=error, excerpt=_readable(excerpt), duration_seconds=duration_seconds)

    def _session(self, *, live: bool) -> aiohttp.ClientSession:
        pool = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._lookup, live=live),
            limit=0,  # the places bound it: waiting for one must not use up the time limit
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=self._trust or True,
        )
        return aiohttp.ClientSession(
            connector=pool,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=2 * EXCERPT_BYTES_MAX,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )

    async def _system_lookup(self, host: str) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)


def _addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    # A scope (fe80::1%eth0) is cut off: such an address is refused anyway.
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


async def _read_excerpt(answer: aiohttp.ClientResponse, excerpt: bytearray) -> None:
    """Read until the end or the limit. A connection with more to come is closed by the client, not used again."""
    while len(excerpt) < EXCERPT_BYTES_MAX:
        chunk = await answer.content.read(EXCERPT_BYTES_MAX - len(excerpt))
        if not chunk:
            return
        excerpt += chunk


def _readable(excerpt: bytearray) -> str:
    text = " ".join(excerpt.decode("utf-8", "replace").split())
    return "".join(character for character in text if character.isprintable())


def _reason(problem: Exception, timeout_seconds: float) -> str:
    """One short line for the merchant's list of deliveries."""
    match problem:
        case UrlRefused():
            return f"address not allowed: {problem.reason}"
        case TimeoutError():
            return f"timed out after {timeout_seconds:g} s"
        case aiohttp.ClientConnectorCertificateError():
            return "certificate not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "TLS handshake failed"
        case aiohttp.ClientConnectorDNSError() if isinstance(problem.os_error, AddressNotAllowed):
            return "address not allowed"
        case aiohttp.ClientConnectorDNSError():
            return "host name not found"
        case aiohttp.ClientConnectorError() if problem.os_error.errno == errno.ECONNREFUSED:
            return "connection refused"
        case aiohttp.ClientConnectorError():
            return "cannot connect"
        case aiohttp.ServerDisconnectedError() | OSError():
            return "connection closed before an answer"
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return "answer not understood"
        case _:
            return f"failed ({type(problem).__name__})"
