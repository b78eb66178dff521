"""`session/refund`."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.flows.settle import Call, Settled, decide
from tollhouse.money import Money
from tollhouse.ports import World


async def refund(
    world: World, call: Call, session_id: str, money: Money | None, *, payment_id: str | None, metadata: object
) -> Settled:
    """Apply `decision.refund` and commit it. Raises `SessionUnknown`, `StateForbids`, `RefundExceedsCaptured`."""
    return await decide(
        world,
        call,
        session_id,
        lambda found: decision.refund(
            found,
            money,
            call.project,
            payment_id=payment_id,
            metadata=metadata,
            now=world.clock.now(),
            ids=world.ids,
        ),
    )
