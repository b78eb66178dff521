"""Pages and their files as a browser asks for them, with the headers of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from tollhouse.net.merchant import Caller

FETCH_SECONDS_MAX = 30.0
# What is changed for payers only must not look unchanged to us.
_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
    "Accept-Language": "en",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer, unpacked. Headers that came twice are joined by a comma, as HTTP reads them."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


Fetch = Callable[[str, Mapping[str, str]], Awaitable[Page]]


class _Heads:
    """The headers of the newest answer."""

    def __init__(self) -> None:
        self.newest: tuple[tuple[str, str], ...] = ()

    async def keep(self, _: aiohttp.ClientSession, __: SimpleNamespace, ended: aiohttp.TraceRequestEndParams) -> None:
        self.newest = tuple(ended.response.headers.items())


@asynccontextmanager
async def fetching(timeout_seconds: float = FETCH_SECONDS_MAX) -> AsyncIterator[Fetch]:
    """What fetches an address with these headers besides, one after another. It raises `Unreachable`."""
    heads, trace = _Heads(), aiohttp.TraceConfig()
    trace.on_request_end.append(heads.keep)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
    ) as session:
        caller = Caller(session)

        async def fetch(url: str, headers: Mapping[str, str]) -> Page:
            answer = await caller.get(url, {**_BROWSER, **headers})
            return Page(url=url, status=answer.status, headers=heads.newest, body=answer.body)

        yield fetch
