"""`session/cancel`."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.flows.settle import Call, Settled, decide
from tollhouse.ports import World


async def cancel(world: World, call: Call, session_id: str) -> Settled:
    """Apply `decision.cancel` and commit it. Raises `SessionUnknown`, `StateForbids`, `KeyTaken`."""
    return await decide(
        world, call, session_id, lambda found: decision.cancel(found, now=world.clock.now(), ids=world.ids)
    )
