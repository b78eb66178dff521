"""HTTP to a directory server of 3-D Secure: one POST, one answer. The PAN goes in right before the bytes leave.

Nothing is repeated here, redirects are not followed, proxies of the environment are not used. What goes wrong becomes
a line of our own: no exception of the HTTP client, whose frames have held the message, leaves this file.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import msgspec

from tollhouse.acquirers.message import CardUse, NoAnswer, NotSent, Slot
from tollhouse.threeds.translate import Inquiry

USER_AGENT = "Tollhouse-3DSS/1"
LIMIT_SECONDS = 10.0  # for everything from the connection to the last byte of the answer
TELL_SECONDS_MAX = 2.0  # a payer may be waiting meanwhile
ANSWER_BYTES_MAX = 64 * 1024
RANGES_BYTES_MAX = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
# Shorter than the five seconds after which many servers hang up: a connection is then rarely lost while in use.
KEEP_ALIVE_SECONDS = 4.0
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": USER_AGENT,
}


class Egress(Protocol):
    """The vault's way out."""

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]:
        """The values of these slots by their names. Raises `NotSent`."""


class DirectoryLink:
    """Asks one directory server over connections that are kept. Without an egress it can only be asked for ranges."""

    def __init__(
        self,
        url: str,
        *,
        egress: Egress | None = None,
        trust: ssl.SSLContext | None = None,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._url = url
        self._egress = egress
        self._trust = trust
        self._limit_seconds = limit_seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return self._url

    async def start(self) -> None:
        """Open the pool of connections; must run in the event loop that will ask."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=self._trust or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
            headers=HEADERS,
        )

    async def close(self) -> None:
        """Hang up; whoever is being answered gets `NoAnswer`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, inquiry: Inquiry) -> bytes:
        """The answer to an authentication request. Raises `NotSent`, `NoAnswer`, never with card data in them."""
        if self._egress is None:
            raise NotSent("there is no vault here that could fill in the card")
        answer = await self._fill_and_post(self._egress, inquiry)
        return _given(answer)

    async def ask_ranges(self, message: Mapping[str, Any]) -> bytes:
        """The answer to a request for card ranges. Raises `NotSent`, `NoAnswer`."""
        body = msgspec.json.encode(message)
        return _given(await self._post(body, bytes_max=RANGES_BYTES_MAX, limit_seconds=self._limit_seconds))

    async def tell(self, message: Mapping[str, Any]) -> None:
        """An error message, for what it is worth: whether it arrives, and what is said to it, changes nothing."""
        body = msgspec.json.encode(message)
        limit_seconds = min(TELL_SECONDS_MAX, self._limit_seconds)
        await self._post(body, bytes_max=ANSWER_BYTES_MAX, limit_seconds=limit_seconds)

    async def _fill_and_post(self, egress: Egress, inquiry: Inquiry) -> bytes | NotSent | NoAnswer:
        """A failure is returned, so that what raises it is a frame that has never held the card."""
        try:
            filled = await egress.fill_text(inquiry.card, inquiry.slots)
        except NotSent as problem:
            return NotSent(str(problem))
        except Exception as problem:  # noqa: BLE001 - whatever it is, nothing was written
            return NotSent(f"the card data could not be filled in: {type(problem).__name__}")
        body = msgspec.json.encode({**inquiry.message, **filled})
        return await self._post(body, bytes_max=ANSWER_BYTES_MAX, limit_seconds=self._limit_seconds)

    async def _post(self, body: bytes, *, bytes_max: int, limit_seconds: float) -> bytes | NotSent | NoAnswer:
        session = self._session
        if session is None:
            return NotSent("the link to the directory server is closed")
        try:
            async with (
                asyncio.timeout(limit_seconds),
                session.post(self._url, data=body, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    return NoAnswer(f"the directory server answered with HTTP status {answer.status}")
                found = await _read(answer, bytes_max)
        except aiohttp.ClientConnectorError as problem:
            return NotSent(f"no connection to the directory server: {_why(problem)}")
        except TimeoutError:
            return NoAnswer(f"no answer of the directory server within {limit_seconds:g} s")
        except (aiohttp.ClientError, OSError, RuntimeError) as problem:  # RuntimeError: closed while it was asked
            return NoAnswer(f"the connection to the directory server broke: {type(problem).__name__}")
        return NoAnswer(f"the directory server answered more than {bytes_max:,} bytes") if found is None else found


async def _read(answer: aiohttp.ClientResponse, bytes_max: int) -> bytes | None:
    """The whole answer; None when it is longer than that, however long it may be."""
    found = bytearray()
    while chunk := await answer.content.read(CHUNK_BYTES):
        found += chunk
        if len(found) > bytes_max:
            return None
    return bytes(found)


def _given(answer: bytes | NotSent | NoAnswer) -> bytes:
    if isinstance(answer, bytes):
        return answer
    raise answer


def _why(problem: aiohttp.ClientConnectorError) -> str:
    match problem:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorDNSError():
            return "its name was not found"
        case _:
            return (problem.os_error.strerror or type(problem.os_error).__name__).lower()
