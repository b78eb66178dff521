"""Work that goes on after its caller was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tollhouse.ports import Log, StoreUnreachable


class Tasks:
    """Keeps running coroutines alive and says when one fails; what is left behind, recovery takes up."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or (problem := task.exception()) is None:
            return
        if isinstance(problem, StoreUnreachable):
            self._log.warning("left for recovery", why=str(problem))
        else:
            self._log.error("failed in the background", exc_info=problem)

    async def close(self, *, patience_seconds: float) -> None:
        """Wait for what is running; what takes longer is stopped and left for recovery."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
