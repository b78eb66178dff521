"""Moves everything to the current version of a key: in batches, no faster than told, resumable anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tollhouse.vault.piles import FIRST, Pile, Place

BATCH_SIZE = 500
PASSES_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is."""

    total: int
    moved: int = 0
    broken: tuple[str, ...] = ()


Told = Callable[[Progress], None]


async def rewrap(piles: Sequence[Pile], *, rate: int, told: Told, batch_size: int = BATCH_SIZE) -> Progress:
    """Move every pile; `rate` is rows a second at most, 0 as fast as can be. What does not open is told and left."""
    if rate:
        batch_size = min(batch_size, rate)  # else all of a small pile would go at once, and be waited for afterwards
    progress = Progress(total=sum([await pile.count() for pile in piles]))
    told(progress)
    for pile in piles:
        # Whoever had not heard yet of the current version may write behind us: so look again until nothing moves.
        for _ in range(PASSES_MAX):
            before = progress.moved
            progress = await _pass(pile, progress, rate=rate, told=told, batch_size=batch_size)
            if progress.moved == before:
                break
    return progress


async def _pass(pile: Pile, progress: Progress, *, rate: int, told: Told, batch_size: int) -> Progress:
    place: Place | None = FIRST
    while place is not None:
        began = time.monotonic()
        batch = await pile.move(place, batch_size)
        place = batch.last
        new = tuple(name for name in batch.broken if name not in progress.broken)
        moved = progress.moved + batch.moved
        progress = replace(progress, total=max(progress.total, moved), moved=moved, broken=progress.broken + new)
        if batch.moved or new:
            told(progress)
        if rate and place is not None:
            await asyncio.sleep(max(0.0, batch.moved / rate - (time.monotonic() - began)))
    return progress
