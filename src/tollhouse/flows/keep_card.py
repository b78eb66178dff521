"""Hand card details over to the vault and go on with what may be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tollhouse.card import CardDetails, GivenCard, TokenizedCard
from tollhouse.merchant import Project
from tollhouse.payment import PayingCard
from tollhouse.ports import World
from tollhouse.refusal import CardHasExpired, RequestInvalid, TokenUnknown, Unavailable
from tollhouse.session import Offer
from tollhouse.verdict import Policy


async def keep_card(world: World, project: Project, offer: Offer, card: GivenCard | None, *, now: datetime) -> Offer:
    """The offer with the card in the vault. Raises `CardHasExpired` before anything is kept, `TokenUnknown`,
    `RequestInvalid` (a token of a number without its expiry).

    Where every payer is to be authenticated, and nobody knows yet which cards take part: `Unavailable`.
    """
    if card is None:
        return offer
    if project.settings.threeds is Policy.ALWAYS and not world.directory.knows_ranges:
        raise Unavailable("the card ranges of 3-D Secure are not known yet; retry soon")
    if isinstance(card, TokenizedCard):
        return await _take_token(world, project, offer, card, now=now)
    return await _keep_details(world, project, offer, card, now=now)


async def _keep_details(world: World, project: Project, offer: Offer, card: CardDetails, *, now: datetime) -> Offer:
    if card.expiry is not None and card.expiry.is_past(now):
        raise CardHasExpired
    kept = await world.vault.keep(project.name, card)
    sealed = None if card.cvv is None else await world.vault.seal_cvv(project.name, card.cvv)
    paying = PayingCard(
        token=kept.token,
        bin=kept.bin,
        last4=kept.last4,
        brand=kept.brand,
        expiry=kept.expiry,
        fingerprint=kept.fingerprint,
        enrolment=world.directory.find_enrolment(card.pan),
        card_id=kept.id_of(project.settings.card_id),
    )
    return replace(offer, card=paying, sealed_cvv=sealed, card_given_at=now)


async def _take_token(world: World, project: Project, offer: Offer, card: TokenizedCard, *, now: datetime) -> Offer:
    """The card of a token. Its security code is used by the first who takes it, if it is not too old by then.

    A token of a number alone is refused: no later call can name the expiry that a payment needs.
    """
    found = await world.tokens.find_card(project.name, card.token)
    if found is None or not found.is_usable(now):
        raise TokenUnknown(f"{card.path}: no such token of this project, or its time is over")
    if found.card.expiry is None:
        raise RequestInvalid(card.path, "a token of a card with its expiry expected; this one is of a number alone")
    if found.card.expiry.is_past(now):
        raise CardHasExpired(f"{card.path}: the card has expired")
    taken = await world.tokens.take_card(project.name, card.token, now)
    assert taken is not None, "tokens of cards are never taken away"
    sealed = taken.sealed_cvv if taken.has_cvv(now) else None
    if taken.sealed_cvv is not None and sealed is None:
        await world.vault.erase_cvv(taken.sealed_cvv)
    return replace(offer, card=taken.card, sealed_cvv=sealed, card_given_at=now)


async def drop_card(world: World, offer: Offer) -> None:
    """Nothing came of what the card was given for: its security code goes at once."""
    if offer.sealed_cvv is not None:
        await world.vault.erase_cvv(offer.sealed_cvv)
