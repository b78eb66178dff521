"""Find what is unfinished or overdue and go on with it, whoever began it."""

from __future__ import annotations

from tollhouse.authenticating import expire_actions
from tollhouse.change import Change
from tollhouse.decision import expire
from tollhouse.flows.drive import apply, conclude_silence, drive
from tollhouse.hearing import give_to_person
from tollhouse.ports import World
from tollhouse.session import PaymentSession

CLAIMS_MAX = 50


async def claim(world: World) -> list[tuple[str, str]]:
    """Sessions that are due and that nobody works on, now leased to this node."""
    return await world.store.claim_due(world.clock.now(), limit=CLAIMS_MAX)


async def recover(world: World, project: str, session_id: str) -> None:
    """Let the timers speak, then drive what is open."""
    session = await world.store.find_session(project, session_id)
    assert session is not None

    def timers_speak(found: PaymentSession) -> Change | None:
        return expire(found, now=world.clock.now(), ids=world.ids)

    def overdue_is_told(found: PaymentSession) -> Change | None:
        return give_to_person(found, now=world.clock.now(), ids=world.ids)

    def payers_are_late(found: PaymentSession) -> Change | None:
        return expire_actions(found, now=world.clock.now(), ids=world.ids)

    for rule in (timers_speak, payers_are_late, overdue_is_told):
        after = await apply(world, session, rule)
        if after is None:
            return
        session = after
    heard = await conclude_silence(world, session)
    if heard is not None:
        await drive(world, heard)
