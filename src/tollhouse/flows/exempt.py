"""Find the exemption from authentication that a payment may claim, of those its project has switched on."""

from __future__ import annotations

from tollhouse.exemption import LOW_VALUE_MINOR_MAX, Exemption, Facts, LowValueUse, find_exemption
from tollhouse.merchant import Project
from tollhouse.ports import World
from tollhouse.routing import route
from tollhouse.session import Offer
from tollhouse.verdict import Policy


async def exempt(world: World, project: Project, offer: Offer) -> Exemption | None:
    """The exemption to claim with the first authorization; None also where nothing would be authenticated anyway.

    The counters of low value are read before the payment is written, so payments at the same instant may exceed
    them by a few: the issuer counts too, and declines softly what it does not accept.
    """
    switched_on = frozenset(project.settings.threeds_exemptions)
    card, money, acquirer = offer.card, offer.money, route(project)
    if project.settings.threeds is not Policy.AUTO or not switched_on or acquirer is None:
        return None
    if card is None or card.enrolment is None or money is None:
        return None
    use = LowValueUse()
    if Exemption.LOW_VALUE in switched_on and money.minor < LOW_VALUE_MINOR_MAX:
        use = await world.store.low_value_use(project.name, card.fingerprint)
    sender = (offer.details.participants or {}).get("sender") or {}
    facts = Facts(
        amount_minor=money.minor,
        currency=money.currency,
        is_company=bool(sender.get("company_name")),
        fraud_basis_points=world.acquirers[acquirer].registration.fraud_basis_points,
        low_value_use=use,
    )
    return find_exemption(facts, switched_on)
