"""Take over a card that comes with a payment, unless its route demands the security code and there is none."""

from __future__ import annotations

from datetime import datetime

from tollhouse.card import CardDetails, GivenCard
from tollhouse.flows.keep_card import keep_card
from tollhouse.merchant import Project
from tollhouse.ports import World
from tollhouse.routing import require_cvv
from tollhouse.session import Offer


async def keep_demanded(
    world: World, project: Project, offer: Offer, card: GivenCard | None, *, now: datetime
) -> Offer:
    """As `keep_card`. Raises also `RequestInvalid`: for open card details before anything is kept."""
    if isinstance(card, CardDetails):
        require_cvv(project, card, world.demand_cvv, has_cvv=card.cvv is not None)
    kept = await keep_card(world, project, offer, card, now=now)
    require_cvv(project, card, world.demand_cvv, has_cvv=kept.sealed_cvv is not None)
    return kept
