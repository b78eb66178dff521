"""The merchants' webhook addresses: they fail, hang, are away for minutes, and answer after the time limit."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tests.simulation.scheduler import Pause
from tollhouse.ports import ClaimedDelivery, Posted
from tollhouse.webhook import ANSWER_SECONDS_MAX

if TYPE_CHECKING:
    from tests.simulation.world import Simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A webhook as it reached the merchant."""

    at: float
    event_id: str
    body: bytes
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The beginning of an attempt, whether it reached anybody or not."""

    at: float
    event_id: str


class Receivers:
    """Every merchant's end, by session."""

    def __init__(self, simulation: Simulation) -> None:
        self.starts: dict[tuple[str, str], list[Start]] = {}
        self.receipts: dict[tuple[str, str], list[Receipt]] = {}
        self._simulation = simulation
        self._away: dict[str, tuple[float, float]] = {}

    def is_away(self, project: str) -> bool:
        """Whether the project's receiver is away now. It is away once, for less than the retry window."""
        if project not in self._away:
            start = self._simulation.random.uniform(0, 600)
            seconds = self._simulation.random.uniform(60, 600)
            is_there = self._simulation.random.random() >= self._simulation.weather.receiver_down
            self._away[project] = (0.0, 0.0) if is_there else (start, start + seconds)
        start, end = self._away[project]
        return self._simulation.is_storm and start <= self._simulation.scheduler.now < end


class Herald:
    """`ports.Herald` of one node."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def sign(self, project: str, body: bytes) -> str:
        """The same for the same body and project."""
        await Pause(0.001)
        return f"{project}:{zlib.crc32(body)}"

    async def post(self, claimed: ClaimedDelivery, signature: str, at: datetime) -> Posted:
        """One attempt; it may reach the merchant although we hear of a failure."""
        simulation, delivery = self._simulation, claimed.delivery
        key = (delivery.project, delivery.session_id)
        receivers = simulation.receivers
        receivers.starts.setdefault(key, []).append(Start(at=simulation.scheduler.now, event_id=delivery.event_id))
        await Pause(0.02)
        if receivers.is_away(delivery.project):
            return _posted(None, "connection refused")
        if simulation.chance("receiver_fails"):
            return _posted(500, None)
        hangs = simulation.chance("receiver_hangs")
        if not hangs or simulation.random.random() < 0.5:
            receipt = Receipt(
                at=simulation.scheduler.now, event_id=delivery.event_id, body=delivery.body, signature=signature
            )
            receivers.receipts.setdefault(key, []).append(receipt)
        if hangs:
            await Pause(ANSWER_SECONDS_MAX)
            return _posted(None, "no answer in time")
        await Pause(0.02)
        return _posted(200, None)

    def jitter_percent(self) -> int:
        """From the seed."""
        return self._simulation.random.randrange(11)


def _posted(status: int | None, error: str | None) -> Posted:
    return Posted(status=status, error=error, excerpt="", duration_seconds=0.0)
