"""Who waits for a session to change is woken by the commit that changes it, in the process that makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Follower:
    """One who waits. What is told between two waits ends the next one at once."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        """The session has changed."""
        self._told.set()

    async def wait(self, seconds: float) -> None:
        """Returns when told, or after that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        self._told.clear()


class Watch:
    """Everybody who follows a session in this process. Changes made by other processes are not heard here."""

    def __init__(self) -> None:
        self._followers: dict[tuple[str, str], set[Follower]] = {}

    def tell(self, project: str, session_id: str) -> None:
        """This session was changed by a commit."""
        for follower in self._followers.get((project, session_id), ()):
            follower.tell()

    @contextmanager
    def follow(self, project: str, session_id: str) -> Iterator[Follower]:
        """Hear of the session's changes as long as the block lasts: begin before reading it, and none is missed."""
        follower, key = Follower(), (project, session_id)
        self._followers.setdefault(key, set()).add(follower)
        try:
            yield follower
        finally:
            others = self._followers[key]
            others.discard(follower)
            if not others:
                del self._followers[key]

    def __len__(self) -> int:
        """How many sessions are followed."""
        return len(self._followers)
