"""`session/confirm`."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.flows.settle import Call, Settled, decide
from tollhouse.ports import World


async def confirm(world: World, call: Call, session_id: str) -> Settled:
    """Apply `decision.confirm` and commit it. Raises `SessionUnknown`, `StateForbids`, `KeyTaken`."""
    return await decide(
        world, call, session_id, lambda found: decision.confirm(found, now=world.clock.now(), ids=world.ids)
    )
