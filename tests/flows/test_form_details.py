"""What a payment by the form is made of: the payer's card, and what the merchant gave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import (
    AMOUNT,
    OFFER,
    call,
    card,
    created,
    with_settings,
)
from tests.forms import BACK, DAY_SECONDS, OTHER_PAN, issued, opened, pay, stage
from tests.worlds import PROJECT, memory_world
from tollhouse.flows.create_session import create_session
from tollhouse.payment import Details
from tollhouse.progress import Stage
from tollhouse.refusal import (
    CardHasExpired,
    Unavailable,
)
from tollhouse.session import Offer
from tollhouse.verdict import Policy


async def test_bad_cards_do_not_use_the_form_up() -> None:
    """An expired card is refused before anything is kept, as is any card while nobody knows who takes part."""
    world = memory_world()
    token = await opened(world)
    world.clock.move(DAY_SECONDS - 1)
    old = replace(card(), expiry=replace(card().expiry, year=2026, month=2))
    with pytest.raises(CardHasExpired):
        await pay(world, token, old)
    always = with_settings(PROJECT, threeds=Policy.ALWAYS)
    world.directory.knows_ranges = False
    with pytest.raises(Unavailable):
        await pay(world, token, project=always)
    assert (world.vault.cards, world.vault.cvvs) == ({}, set())
    assert await stage(world, token) is Stage.READY
    assert (await pay(world, token))[1].stage is Stage.CONFIRMING


async def test_the_card_of_the_form_counts() -> None:
    """A card that the merchant gave at create is not paid with, and its security code is erased."""
    world = memory_world()
    session = await created(world, with_card=True)
    given_cvv = session.offer.sealed_cvv
    paid, _ = await pay(world, await issued(world, session), card(pan=OTHER_PAN))
    assert paid.payments[0].card.last4 == "4444"
    assert given_cvv in world.vault.erased
    assert world.vault.cvvs == {paid.payments[0].sealed_cvv}


async def test_a_payer_without_a_name() -> None:
    """A session without a customer gets one: the session itself."""
    world = memory_world()
    session = (await create_session(world, call(), Offer(money=AMOUNT), None)).session
    paid, _ = await pay(world, await issued(world, session))
    assert paid.payments[0].details.customer == {"reference": session.id, "contacts": []}


async def test_what_the_merchant_gave_stays() -> None:
    """Customer, metadata, participants and options of the session are the payment's; nothing else is shown with it."""
    world = memory_world()
    details = Details(
        customer={"reference": "u-1", "contacts": []},
        participants={"sender": {"company_name": "Kai & Co"}},
        options={"return_url": BACK},
        metadata="order-1",
        unechoed={"device": {"id": "d-1"}},
    )
    session = (await create_session(world, call(), Offer(money=AMOUNT, details=details), None)).session
    paid, _ = await pay(world, await issued(world, session))
    kept = paid.payments[0].details
    assert replace(kept, unechoed=None) == replace(details, unechoed=None)
    assert set(kept.unechoed or {}) == {"device", "form"}


@pytest.mark.parametrize(
    ("is_shown", "is_ticked", "given", "wanted"),
    [
        (True, True, None, {"recurrent": True}),
        (True, True, {"return_url": BACK}, {"return_url": BACK, "recurrent": True}),
        (True, False, None, None),
        (True, False, {"return_url": BACK}, {"return_url": BACK}),
        (True, False, {"return_url": BACK, "recurrent": True}, {"return_url": BACK, "recurrent": False}),
        (True, True, {"recurrent": True}, {"recurrent": True}),
        (False, False, {"recurrent": True}, {"recurrent": True}),
        (False, True, None, None),
        (False, True, {"return_url": BACK}, {"return_url": BACK}),
    ],
)
async def test_the_payers_yes_to_further_charges(
    is_shown: bool, is_ticked: bool, given: dict[str, Any] | None, wanted: dict[str, Any] | None
) -> None:
    """Where the merchant has it asked, the tick alone counts; elsewhere the merchant's own option."""
    world = memory_world()
    offer = replace(OFFER, details=replace(OFFER.details, options=given))
    session = (await create_session(world, call(), offer, None)).session
    token = await issued(world, session, shows_recurrent=is_shown)
    paid, _ = await pay(world, token, recurrent=is_ticked)
    assert paid.payments[0].details.options == wanted


async def test_the_payment_knows_what_the_payer_was_shown() -> None:
    """The display name at the time of the submit, for the payer's page and the issuer."""
    world = memory_world()
    shown = with_settings(PROJECT, display_name="Kai & Co")
    paid, _ = await pay(world, await opened(world), project=shown)
    assert paid.payments[0].merchant_name == "Kai & Co"
