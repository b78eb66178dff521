"""Writing together: what waits while one group is on its way goes out as the next, in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Closed(RuntimeError):
    """Work was given to a writer that is closed."""


class Grouped(Generic[Item, Answer]):
    """Runs groups one after another. An item alone goes at once; nothing is delayed to make a group larger."""

    def __init__(self, run: Callable[[list[Item]], Awaitable[list[Answer]]], *, group_size_max: int) -> None:
        self._run = run
        self._group_size_max = group_size_max
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, item: Item) -> Answer:
        """The answer to this item. When its group fails, every item of the group gets the exception."""
        return await self.put(item)

    def put(self, item: Item) -> asyncio.Future[Answer]:
        """The same for whoever has something else to do before it waits for the answer."""
        if self._closed:
            raise Closed("closed")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run_all())
        return answer

    async def close(self) -> None:
        """Take nothing more and wait until what was taken is done."""
        self._closed = True
        if self._runner is not None:
            await self._runner

    async def _run_all(self) -> None:
        group: list[tuple[Item, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                group = self._waiting[: self._group_size_max]
                del self._waiting[: self._group_size_max]
                await self._run_one(group)
        finally:
            # Reached with something left only when the event loop is being torn down: nobody may wait for ever.
            for _, answer in group + self._waiting:
                answer.cancel()
            self._waiting.clear()
            self._runner = None

    async def _run_one(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._run([item for item, _ in group])
        except Exception as problem:  # noqa: BLE001 - nothing is swallowed: every caller gets it
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(problem)
            return
        for (_, answer), value in zip(group, answers, strict=True):
            if not answer.done():
                answer.set_result(value)
