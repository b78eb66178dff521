"""The audit log of a node whose vault is another process: entries go there and are written into the vault's chain."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import replace

from tollhouse.audit import REFUSED, Act
from tollhouse.ports import Log, StoreUnreachable
from tollhouse.vault.client import RemoteVault

SEND_SECONDS = 1.0
DENIALS_MAX = 500  # different ones that wait; a flood has no more entries than that in a second
NOTES_MAX = 10_000  # while the vault is away
SENT_AT_ONCE_MAX = 500
OTHERS = "others"


class RemoteAudit:
    """Implements the port `NodeAudit`."""

    def __init__(self, vault: RemoteVault, log: Log) -> None:
        self._vault, self._log = vault, log
        self._notes: deque[Act] = deque(maxlen=NOTES_MAX)
        self._denials: Counter[Act] = Counter()
        self._beside: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send what waits every second from now on."""
        self._beside = asyncio.create_task(self._follow())

    async def write(self, act: Act) -> None:
        """Durable on return. Raises `StoreUnreachable`."""
        await self._vault.record([act])

    def note(self, act: Act) -> None:
        """Within a second, or when the vault is back."""
        self._notes.append(act)

    def deny(self, act: Act) -> None:
        """Within a second; the same one many times in it is one entry that counts."""
        if len(self._denials) >= DENIALS_MAX and act not in self._denials:
            act = Act(what=act.what, outcome=REFUSED, who=OTHERS, origin=OTHERS)
        self._denials[act] += 1

    async def close(self, *, last: Act | None = None) -> None:
        """Send what waits and the last act."""
        if self._beside is not None:
            self._beside.cancel()
            await asyncio.gather(self._beside, return_exceptions=True)
        if last is not None:
            self._notes.append(last)
        await self._send()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(SEND_SECONDS)
            await self._send()

    async def _send(self) -> None:
        denials, self._denials = self._denials, Counter()
        self._notes.extend(
            replace(act, details=f"{act.details} {count} times".strip()) if count > 1 else act
            for act, count in denials.items()
        )
        while self._notes:
            acts = [self._notes.popleft() for _ in range(min(len(self._notes), SENT_AT_ONCE_MAX))]
            try:
                await self._vault.record(acts)
            except StoreUnreachable as problem:
                self._notes.extendleft(reversed(acts))  # one that was written after all stands there twice
                self._log.error("the audit log cannot be written", why=str(problem))
                return
