"""How a payment stands, as lines of JSON: one at once and one at each change, so that the form needs not ask again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tollhouse.api.streaming import StreamReply, Write
from tollhouse.api.widget.policy import STREAM_HEADERS
from tollhouse.api.widget.state import is_final, state_of, without_clock
from tollhouse.api.widget.watch import Watch
from tollhouse.progress import Progress
from tollhouse.public_token import PublicToken

STREAMS_PER_TOKEN_MAX = 4
SIGN_OF_LIFE = b"\n"

Look = Callable[[], Awaitable[Progress]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """How often a stream looks for changes of other processes, says that it lives, and when it ends."""

    poll_seconds: float = 2
    alive_seconds: float = 10
    end_seconds: float = 55


class StatusStreams:
    """The streams of this process, a few for each token."""

    def __init__(self, watch: Watch, public_url: str, beat: Beat) -> None:
        self._watch = watch
        self._public_url = public_url
        self._beat = beat
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are open."""
        return self._open.total()

    def reply(self, token: PublicToken, look: Look) -> StreamReply | None:
        """A stream for this token; None when it has too many."""
        if self._open[token.id] >= STREAMS_PER_TOKEN_MAX:
            return None
        self._open[token.id] += 1

        def close() -> None:
            self._open[token.id] -= 1
            if not self._open[token.id]:
                del self._open[token.id]

        async def run(write: Write) -> None:
            await self._run(token, look, write)

        return StreamReply(headers=STREAM_HEADERS, run=run, close=close)

    async def _run(self, token: PublicToken, look: Look, write: Write) -> None:
        """Write until a final stage or the stream's time is over."""
        assert token.session_id is not None, "only a form's token has a status"
        beat, time = self._beat, asyncio.get_running_loop().time
        ends_at, alive_at = time() + beat.end_seconds, time() + beat.alive_seconds
        shown: dict[str, Any] | None = None
        with self._watch.follow(token.project, token.session_id) as follower:
            while True:
                progress = await look()
                state = state_of(progress, self._public_url)
                if without_clock(state) != shown:
                    shown = without_clock(state)
                    await write(msgspec.json.encode(state) + b"\n")
                    alive_at = time() + beat.alive_seconds
                elif time() >= alive_at:
                    await write(SIGN_OF_LIFE)
                    alive_at = time() + beat.alive_seconds
                if is_final(progress) or time() >= ends_at:
                    return
                await follower.wait(max(0, min(beat.poll_seconds, alive_at - time(), ends_at - time())))
