"""The audit log of a node whose vault is another process: entries go there and are written into the vault's chain."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from tollhouse.audit import Act, clean, storable
from tollhouse.ports import Log, StoreUnreachable
from tollhouse.vault.client import RemoteVault
from tollhouse.vault.denials import Denials
from tollhouse.vault.frames import FRAME_BYTES_MAX

SEND_SECONDS = 1.0
NOTES_MAX = 10_000  # while the vault is away
SENT_AT_ONCE_MAX = 500
BYTES_AT_ONCE_MAX = FRAME_BYTES_MAX // 2
TEXT_BYTES = 8  # beside its letters


class RemoteAudit:
    """Implements the port `NodeAudit`."""

    def __init__(self, vault: RemoteVault, log: Log) -> None:
        self._vault, self._log = vault, log
        self._notes: deque[Act] = deque(maxlen=NOTES_MAX)
        self._denials = Denials()
        self._beside: asyncio.Task[None] | None = None
        self._lost = 0

    def start(self) -> None:
        """Send what waits every second from now on."""
        self._beside = asyncio.create_task(self._follow())

    async def write(self, act: Act) -> None:
        """Durable on return. Raises `StoreUnreachable`."""
        await self._vault.record([act])

    def note(self, act: Act) -> None:
        """Within a second, or when the vault is back."""
        if len(self._notes) == NOTES_MAX:
            self._lost += 1  # the oldest goes
        self._notes.append(storable(act))

    def deny(self, act: Act) -> None:
        """Within a second; the same one many times in it is one entry that counts."""
        act = replace(act, subject=clean(act.subject), who=clean(act.who), origin=clean(act.origin))
        self._denials.add(act)

    async def close(self, *, last: Act | None = None) -> None:
        """Send what waits and the last act."""
        if self._beside is not None:
            self._beside.cancel()
            await asyncio.gather(self._beside, return_exceptions=True)
        if last is not None:
            self.note(last)
        await self._send()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(SEND_SECONDS)
            try:
                await self._send()
            except Exception as problem:  # noqa: BLE001 - whatever it was, sending goes on, and it is told (10.7)
                self._log.error("the audit log is not kept as it should be", kind=type(problem).__name__)

    async def _send(self) -> None:
        for act, count in self._denials.take().items():
            self.note(replace(act, details=f"{act.details} {count} times".strip()) if count > 1 else act)
        if self._lost:
            self._log.error("entries of the audit log are lost", count=self._lost)
            self._lost = 0
        while self._notes:
            acts = self._take()
            try:
                await self._vault.record(acts)
            except BaseException as problem:
                self._notes.extendleft(reversed(acts))  # one that was written after all stands there twice
                if not isinstance(problem, StoreUnreachable):
                    raise
                self._log.error("the audit log cannot be written", why=str(problem))
                return

    def _take(self) -> list[Act]:
        """The next ones, as many as fit into a frame."""
        acts, size = list[Act](), 0
        while self._notes and len(acts) < SENT_AT_ONCE_MAX:
            size += sum(len(text.encode()) + TEXT_BYTES for text in self._notes[0].words)
            if acts and size > BYTES_AT_ONCE_MAX:
                break
            acts.append(self._notes.popleft())
        return acts
