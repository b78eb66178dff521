"""Card numbers turned into tokens by a merchant's server, and what such tokens are good for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.builders import OFFER, call, created
from tests.forms import DAY_SECONDS
from tests.worlds import PROJECT, TWO_STAGE, memory_world
from tollhouse.card import CardIdScope, TokenizedCard, parse_pan
from tollhouse.flows.create_session import create_session
from tollhouse.flows.issue_token import card_token_info
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.flows.tokenize_elements import tokenize_elements
from tollhouse.merchant import Project, Settings
from tollhouse.ports import StoreUnreachable
from tollhouse.public_token import CardToken
from tollhouse.refusal import RequestInvalid, TokenUnknown, Unavailable
from tollhouse.session import Offer
from tollhouse.store.memory_tokens import MemoryTokens
from tollhouse.verdict import Policy

ONE, OTHER = parse_pan("4242424242424242"), parse_pan("5555555555554444")


async def test_each_number_becomes_a_token() -> None:
    """By its reference, in the order given, with at least 128 random bits; nothing of an expiry is made up."""
    world = memory_world()
    made = await tokenize_elements(world, PROJECT, {"b": ONE, "a": OTHER})
    assert list(made) == ["b", "a"]
    assert [(one.card.last4, one.card.expiry, one.sealed_cvv) for one in made.values()] == [
        ("4242", None, None),
        ("4444", None, None),
    ]
    assert all(one.token.startswith("tc_") and len(one.token) == 25 for one in made.values())
    for one in made.values():
        assert await card_token_info(world, PROJECT, one.token) == one


async def test_the_same_number_twice() -> None:
    """Two references, two tokens: whoever has one of them learns nothing of the other."""
    made = await tokenize_elements(memory_world(), PROJECT, {"a": ONE, "b": ONE})
    assert made["a"].token != made["b"].token


async def test_a_number_alone_has_no_card_id() -> None:
    """An id is made of number and expiry."""
    world = memory_world()
    project = Project(name="shop", settings=Settings(card_id=CardIdScope.SHARED))
    made = await tokenize_elements(world, project, {"a": ONE})
    assert made["a"].card.card_id is None


@pytest.mark.parametrize("path", ["payment_details.card.tokenized_card.token", "payment_details.card.x.number_hash"])
async def test_a_number_alone_pays_nothing(path: str) -> None:
    """Every call that takes a card says which member is at fault; the token stays as it was, no session is made."""
    world = memory_world()
    made = (await tokenize_elements(world, PROJECT, {"a": ONE}))["a"]
    session = await created(world)
    given = TokenizedCard(token=made.token, path=path)
    for attempt in (
        init_payment(world, call(), OFFER, given),
        start_payment(world, call(), session.id, Offer(), given),
        create_session(world, call(), OFFER, given),
    ):
        with pytest.raises(RequestInvalid, match=f"^{path}: .*expiry"):
            await attempt
    assert await card_token_info(world, PROJECT, made.token) == made
    assert len(world.books.sessions) == 1


async def test_its_life_is_that_of_any_cards_token() -> None:
    """A day until its first use, for its own project."""
    world = memory_world()
    made = (await tokenize_elements(world, PROJECT, {"a": ONE}))["a"]
    with pytest.raises(TokenUnknown):
        await card_token_info(world, TWO_STAGE, made.token)
    world.clock.move(DAY_SECONDS)
    with pytest.raises(TokenUnknown):
        await card_token_info(world, PROJECT, made.token)


class FullTokens(MemoryTokens):
    """Cannot write."""

    async def keep_cards(self, cards: Sequence[CardToken]) -> None:
        """Fail."""
        raise StoreUnreachable("the disk is full")


async def test_all_of_them_or_none() -> None:
    """They are written at once: without that nobody has any token."""
    world = memory_world(tokens=FullTokens())
    with pytest.raises(StoreUnreachable):
        await tokenize_elements(world, PROJECT, {"a": ONE, "b": OTHER})


async def test_before_the_card_ranges_are_known() -> None:
    """Where every payer is to be authenticated nothing is kept that could not be."""
    world = memory_world()
    world.directory.knows_ranges = False
    with pytest.raises(Unavailable):
        await tokenize_elements(world, Project(name="shop", settings=Settings(threeds=Policy.ALWAYS)), {"a": ONE})
    assert world.vault.cards == {}
