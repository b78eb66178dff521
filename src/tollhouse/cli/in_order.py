"""Tells what happened in order of time, although it is learned in another: from answers, from webhooks, from rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something that happened."""

    @property
    def at_seconds(self) -> float:
        """When, on the clock of them all."""


T = TypeVar("T", bound=Timed)


class InOrder(Generic[T]):
    """Keeps each until nothing earlier can be learned of any more; whoever uses it says when that is."""

    def __init__(self, tell: Callable[[T], None]) -> None:
        self._tell = tell
        self._held: list[tuple[float, int, T]] = []
        self._count = 0
        self._under_way: list[float] = []

    def add(self, happened: T) -> None:
        """It is told in its turn; in one instant, what was learned first comes first."""
        self._count += 1
        heapq.heappush(self._held, (happened.at_seconds, self._count, happened))

    @contextmanager
    def under_way(self, at_seconds: float) -> Iterator[None]:
        """Something began then and is told under that time when it is over: nothing later is told before it."""
        self._under_way.append(at_seconds)
        try:
            yield
        finally:
            self._under_way.remove(at_seconds)

    def tell_until(self, at_seconds: float) -> None:
        """Nothing that happened up to then is still to be learned of."""
        until = min([at_seconds, *self._under_way])
        while self._held and self._held[0][0] <= until:
            self._tell(heapq.heappop(self._held)[2])

    def tell_all(self) -> None:
        """Nothing more is waited for."""
        self.tell_until(float("inf"))
