"""`session/start/payment` and `session/init/payment`: begin a payment with open card details."""

from __future__ import annotations

from tollhouse import decision
from tollhouse.card import GivenCard
from tollhouse.flows.demand import keep_demanded
from tollhouse.flows.exempt import exempt
from tollhouse.flows.keep_card import drop_card
from tollhouse.flows.settle import Call, Settled, decide, settle_call
from tollhouse.ports import KeyTaken, World
from tollhouse.refusal import Refusal, SessionUnknown
from tollhouse.session import Offer


async def start_payment(world: World, call: Call, session_id: str, offer: Offer, card: GivenCard | None) -> Settled:
    """Start the payment of a created session. Raises what `decision.start_payment` refuses, before keeping a card."""
    session = await world.store.find_session(call.project.name, session_id)
    if session is None:
        raise SessionUnknown
    now = world.clock.now()
    decision.require_whole(session, offer, now=now, is_card_coming=card is not None)
    kept = await keep_demanded(world, call.project, offer, card, now=now)
    exemption = await exempt(world, call.project, decision.merge_offer(session.offer, kept))
    try:
        return await decide(
            world,
            call,
            session_id,
            lambda found: decision.start_payment(
                found, kept, call.project, now=now, ids=world.ids, exemption=exemption
            ),
        )
    except (Refusal, KeyTaken):
        await drop_card(world, kept)
        raise


async def init_payment(world: World, call: Call, offer: Offer, card: GivenCard) -> Settled:
    """Create a session and start its payment in one commit. Raises `CardHasExpired`, `KeyTaken`."""
    now = world.clock.now()
    kept = await keep_demanded(world, call.project, offer, card, now=now)
    exemption = await exempt(world, call.project, kept)
    session = decision.open_session(
        project=call.project.name,
        id=world.ids.new("ps"),
        api_version=call.api_version,
        now=now,
        webhook_version=call.project.settings.webhook_version,
    )
    try:
        change = decision.start_payment(session, kept, call.project, now=now, ids=world.ids, exemption=exemption)
        return await settle_call(world, call, change)
    except (Refusal, KeyTaken):
        await drop_card(world, kept)
        raise
