"""`tokenize/elements`: a merchant's server turns card numbers into tokens (wire-api 9.17)."""

from __future__ import annotations

from collections.abc import Mapping

from tollhouse.card import PAN, CardDetails
from tollhouse.flows.keep_card import keep_card
from tollhouse.flows.tokenize_card import CARD_TOKEN_PREFIX
from tollhouse.merchant import Project
from tollhouse.ports import World
from tollhouse.public_token import CardToken
from tollhouse.session import Offer


async def tokenize_elements(world: World, project: Project, numbers: Mapping[str, PAN]) -> dict[str, CardToken]:
    """A token for each number, by the merchant's reference; all are kept or none.

    A number has no expiry, so its token pays no session. The same number again gets another token.
    """
    now = world.clock.now()
    made: dict[str, CardToken] = {}
    for ref, pan in numbers.items():
        kept = await keep_card(world, project, Offer(), CardDetails(pan=pan, expiry=None), now=now)
        assert kept.card is not None, "a card was given"
        token = CARD_TOKEN_PREFIX + world.ids.secret()
        made[ref] = CardToken(token=token, project=project.name, card=kept.card, created_at=now)
    # What the vault kept is nobody's until this is durable: without a token nothing leads to it.
    await world.tokens.keep_cards(list(made.values()))
    return made
