"""`session/create`: what it keeps, and what it leaves behind when nothing comes of it."""

from __future__ import annotations

import pytest

from tests.builders import OFFER, announced, call, card, created
from tests.worlds import memory_world
from tollhouse.card import CardDetails, Expiry
from tollhouse.flows.create_session import create_session
from tollhouse.ports import KeyTaken
from tollhouse.refusal import CardHasExpired
from tollhouse.session import Offer, Status


async def test_session_waits_to_be_started() -> None:
    """A created session has no payment, no event and no operation, and is due in 30 days."""
    world = memory_world()
    session = await created(world)
    assert session.status is Status.CREATED
    assert (session.version, session.payments, session.operations) == (1, (), ())
    assert announced(world, session) == []
    assert session.due_at is not None
    assert (session.due_at - session.created_at).days == 30


async def test_card_given_at_create_is_kept() -> None:
    """The session names a token and a sealed security code; the vault has the card."""
    world = memory_world()
    session = await created(world, with_card=True)
    assert session.offer.card is not None
    assert (session.offer.card.bin, session.offer.card.last4) == ("424242", "4242")
    assert session.offer.card.token in world.vault.cards
    assert session.offer.sealed_cvv in world.vault.cvvs
    assert session.offer.card_given_at == world.clock.now()


async def test_expired_card_is_refused_before_it_is_kept() -> None:
    """An expired card leaves nothing behind, neither a session nor a card."""
    world = memory_world()
    expired = CardDetails(pan=card().pan, expiry=Expiry(2025, 12))
    with pytest.raises(CardHasExpired):
        await create_session(world, call(), OFFER, expired)
    assert (world.books.sessions, world.vault.cards) == ({}, {})


async def test_empty_offer() -> None:
    """A session may be created with nothing at all."""
    world = memory_world()
    settled = await create_session(world, call(), Offer(), None)
    assert settled.answer.status is Status.CREATED


async def test_key_is_used_up_with_the_session() -> None:
    """The key is stored in the same commit and names the session."""
    world = memory_world()
    settled = await create_session(world, call(key="k1"), OFFER, None)
    used = await world.store.find_key("shop", "k1")
    assert used is not None
    assert used.session_id == settled.session.id


async def test_second_session_of_a_key() -> None:
    """A key makes one session; the loser's security code is erased at once (P5, P11)."""
    world = memory_world()
    await create_session(world, call(key="k1"), OFFER, card())
    with pytest.raises(KeyTaken):
        await create_session(world, call(key="k1"), OFFER, card())
    assert len(world.books.sessions) == 1
    assert len(world.vault.cvvs) == 1
