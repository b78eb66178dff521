"""A seeded scheduler for coroutines that await only ports: virtual time, any interleaving, a crash at any await.

Tasks belong to a *house*: a process that dies or is stopped as a whole. Whatever a task awaits ends up in `Pause` or
in `Box.take`, the only two things that wait.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

JITTER_SECONDS = 0.01


@dataclass(slots=True)
class Pause:
    """Awaited: so many virtual seconds."""

    seconds: float

    def __await__(self) -> Generator[Any, None, None]:
        yield self


@dataclass(slots=True)
class _Take:
    box: Box
    seconds: float

    def __await__(self) -> Generator[Any, None, Any]:
        yield self
        self.box.waiting = None
        return self.box.content


@dataclass(slots=True)
class Box:
    """Something that one task waits for and another puts in."""

    scheduler: Scheduler
    content: Any = None
    waiting: Task | None = None

    def put(self, content: Any) -> None:
        """Give it to whoever waits. The first content stays."""
        if self.content is None:
            self.content = content
            if self.waiting is not None:
                self.scheduler.wake(self.waiting)

    def take(self, *, within_seconds: float) -> _Take:
        """Awaited: the content, or None when the time is over."""
        return _Take(self, 0 if self.content is not None else within_seconds)


@dataclass(slots=True, eq=False)
class House:
    """A process: it lives, it may be stopped for a while (nothing in it runs), it may die (nothing of it is left)."""

    name: str
    is_alive: bool = True
    stopped_until: float = 0.0
    tasks: dict[int, Task] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Task:
    """One coroutine on its way. `turn` tells a wake-up that is still meant from one that is not."""

    number: int
    name: str
    coroutine: Coroutine[Any, Any, Any]
    house: House | None
    turn: int = 0
    box: Box | None = None


class Scheduler:
    """Runs tasks one step at a time, in the order of virtual time; chance comes from the seed alone."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.before_step: Callable[[Task], None] = _nothing
        self._queue: list[tuple[float, int, Task, int]] = []
        self._numbers = 0

    def spawn(
        self, name: str, coroutine: Coroutine[Any, Any, Any], *, house: House | None = None, after: float = 0.0
    ) -> Task:
        """Start a task, a moment later."""
        self._numbers += 1
        task = Task(self._numbers, name, coroutine, house)
        if house is not None:
            house.tasks[task.number] = task
        self._push(task, after + self.random.random() * JITTER_SECONDS)
        return task

    def wake(self, task: Task, *, after: float = 0.0) -> None:
        """Let a waiting task go on now, or at another time than it wanted."""
        self._push(task, max(0.0, after) + self.random.random() * JITTER_SECONDS)

    def kill(self, house: House) -> None:
        """End a process at once: its tasks never run again, not even to clean up."""
        house.is_alive = False
        tasks, house.tasks = house.tasks, {}
        for task in tasks.values():
            task.turn = -1
            task.coroutine.close()

    def run(self, *, until: float, is_over: Callable[[], bool]) -> None:
        """Run until nothing is left, `is_over` says so, or virtual time has come to `until`."""
        while self._queue and self._queue[0][0] <= until and not is_over():
            at, _, task, turn = heapq.heappop(self._queue)
            if turn != task.turn:
                continue
            self.now = max(self.now, at)
            if task.house is not None and task.house.stopped_until > self.now:
                self._push(task, task.house.stopped_until - self.now + self.random.random() * JITTER_SECONDS)
                continue
            self.before_step(task)
            if turn == task.turn:
                self._step(task)

    def end(self) -> None:
        """Close what is left, so that nothing warns about it."""
        for _, _, task, _ in self._queue:
            task.coroutine.close()
        self._queue.clear()

    def _step(self, task: Task) -> None:
        self.steps += 1
        try:
            awaited = task.coroutine.send(None)
        except StopIteration:
            if task.house is not None:
                task.house.tasks.pop(task.number, None)
            return
        if isinstance(awaited, _Take):
            awaited.box.waiting = task
            self._push(task, awaited.seconds)
            return
        assert isinstance(awaited, Pause), f"{task.name} awaits something else than a port: {awaited!r}"
        self._push(task, awaited.seconds + self.random.random() * JITTER_SECONDS)

    def _push(self, task: Task, seconds: float) -> None:
        if task.turn < 0:
            return
        self._numbers += 1
        task.turn = self._numbers
        heapq.heappush(self._queue, (self.now + seconds, self._numbers, task, task.turn))


def _nothing(task: Task) -> None:
    return None
