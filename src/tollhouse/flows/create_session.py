"""`session/create`: a session that waits for its payment."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.card import GivenCard
from tollhouse.flows.demand import keep_demanded
from tollhouse.flows.keep_card import drop_card
from tollhouse.flows.settle import Call, Settled, settle_call
from tollhouse.ports import KeyTaken, World
from tollhouse.session import Offer


async def create_session(world: World, call: Call, offer: Offer, card: GivenCard | None) -> Settled:
    """Open a session with whatever the merchant gave already; a card given now is kept for 24 hours.

    Raises `CardHasExpired`, `KeyTaken`.
    """
    now = world.clock.now()
    offer = await keep_demanded(world, call.project, offer, card, now=now)
    session = decision.open_session(
        project=call.project.name,
        id=world.ids.new("ps"),
        api_version=call.api_version,
        now=now,
        webhook_version=call.project.settings.webhook_version,
    )
    change = decision.create_session(session, offer, now=now, ids=world.ids)
    try:
        return await settle_call(world, call, change)
    except KeyTaken:
        await drop_card(world, offer)
        raise
