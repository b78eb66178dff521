"""Answers that nobody waits for: late, repeated, or after a restart. Each only feeds the machine."""

from __future__ import annotations

from dataclasses import replace

from tollhouse.acquirers.message import Response
from tollhouse.change import Change
from tollhouse.flows.drive import apply, drive, heard_note
from tollhouse.hearing import hear_outcome
from tollhouse.ports import World
from tollhouse.session import PaymentSession


async def hear_late(world: World, acquirer_name: str, response: Response) -> None:
    """Give an unmatched answer to the operation it names; one that names none of ours is logged."""
    fields = response.fields
    found = await world.store.find_operation(
        rrn=fields.get("37", ""), stan=fields.get("11", ""), terminal=fields.get("41", "").strip()
    )
    if found is None:
        world.log.warning("answer for nothing of ours", acquirer=acquirer_name, rrn=fields.get("37", "")[:12])
        return
    project, session_id, operation_id = found
    session = await world.store.find_session(project, session_id)
    assert session is not None
    outcome = world.acquirers[acquirer_name].outcome(session.operation(operation_id), response)
    note = heard_note(operation_id, response)

    def rule(current: PaymentSession) -> Change | None:
        now = world.clock.now()
        change = hear_outcome(current, operation_id, outcome, now=now, ids=world.ids, limits=world.limits)
        return None if change is None else replace(change, notes=(note,))

    after = await apply(world, session, rule)
    if after is not None:
        await drive(world, after)
