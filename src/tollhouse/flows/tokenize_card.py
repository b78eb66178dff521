"""`cds/v1/tokenize/card`: a browser turns one card into a token that its merchant pays with (wire-api 9.18)."""

from __future__ import annotations

from tollhouse.card import CardDetails
from tollhouse.flows.keep_card import drop_card, keep_card
from tollhouse.merchant import Project
from tollhouse.ports import StoreUnreachable, World
from tollhouse.public_token import CardToken, PublicToken
from tollhouse.refusal import PublicTokenInvalid
from tollhouse.session import Offer

CARD_TOKEN_PREFIX = "tc_"
_NO_RIGHT = "X-PUBLIC-TOKEN: this token turns no card into a token, or has done so already"


async def tokenize_card(world: World, project: Project, token: PublicToken, card: CardDetails) -> CardToken:
    """The card's token; the public token is used up with it. Raises `PublicTokenInvalid`, `CardHasExpired`."""
    if not token.may_tokenize or token.used_at is not None:
        raise PublicTokenInvalid(_NO_RIGHT)
    now = world.clock.now()
    kept = await keep_card(world, project, Offer(), card, now=now)
    assert kept.card is not None, "a card was given"
    made = CardToken(
        token=CARD_TOKEN_PREFIX + world.ids.secret(),
        project=project.name,
        card=kept.card,
        sealed_cvv=kept.sealed_cvv,
        created_at=now,
    )
    try:
        is_first = await world.tokens.exchange(token.id, made)
    except StoreUnreachable:
        # It may be kept all the same: then its code is noise, and the card is paid with without it.
        await drop_card(world, kept)
        raise
    if not is_first:
        await drop_card(world, kept)
        raise PublicTokenInvalid(_NO_RIGHT)
    return made
