"""`session/capture`."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.flows.settle import Call, Settled, decide
from tollhouse.money import Money
from tollhouse.ports import World


async def capture(world: World, call: Call, session_id: str, money: Money | None) -> Settled:
    """Apply `decision.capture` and commit it. Raises `SessionUnknown`, `StateForbids`, `CaptureExceedsHold`."""
    return await decide(
        world, call, session_id, lambda found: decision.capture(found, money, now=world.clock.now(), ids=world.ids)
    )
