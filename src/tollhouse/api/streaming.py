"""Answers that are written bit by bit, until they end, the caller hangs up, or the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from tollhouse.api.calls import Receive

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReply:
    """An answer of unknown length: `run` writes it; `close` is called once, whatever becomes of it."""

    headers: dict[str, str]
    run: Callable[[Write], Awaitable[None]]
    close: Callable[[], None]
    status: int = 200


async def write_out(reply: StreamReply, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
    """The body of a stream whose head was sent. Raises what `run` raises."""

    async def write(piece: bytes) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    writing = asyncio.ensure_future(reply.run(write))
    others = [asyncio.create_task(_hang_up(receive)), asyncio.create_task(stopping.wait())]
    try:
        await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (writing, *others):
            task.cancel()
        await asyncio.gather(writing, *others, return_exceptions=True)
    if not writing.cancelled():
        writing.result()


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
