"""The setting `card_id`: which cards get an id, and which payments show it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import OFFER, call, card, created
from tests.forms import opened, pay
from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld, fake_card_ids, memory_world
from tollhouse.card import CardIdScope, Expiry, TokenizedCard
from tollhouse.flows.create_session import create_session
from tollhouse.flows.form import find_token
from tollhouse.flows.issue_token import issue_token
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.merchant import Project
from tollhouse.public_token import FormOptions
from tollhouse.refusal import TokenUnknown
from tollhouse.session import Offer, PaymentSession

SCOPES = [CardIdScope.PROJECT, CardIdScope.SHARED]


def sharing(scope: CardIdScope, project: Project = PROJECT) -> Project:
    """The project with this setting."""
    return replace(project, settings=replace(project.settings, card_id=scope))


def id_in(session: PaymentSession) -> str | None:
    """The id that the session's payment shows."""
    shown = session.payments[0].card.card_id
    return None if shown is None else shown.text


async def paid(world: MemoryWorld, project: Project, **details: object) -> str | None:
    """The id that a payment with the card shows."""
    return id_in((await init_payment(world, call(project), OFFER, replace(card(), **details))).session)  # type: ignore[arg-type]


async def test_off_shows_none() -> None:
    """Nor is one kept: whoever turns the setting on later has ids of cards given from then on."""
    world = memory_world()
    assert await paid(world, PROJECT) is None


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_same_card_has_the_same_id(scope: CardIdScope) -> None:
    """By number and expiry: another expiry is another card."""
    world = memory_world()
    project = sharing(scope)
    first = await paid(world, project)
    assert first is not None
    assert first == await paid(world, project, cvv=None)
    assert first != await paid(world, project, expiry=Expiry(2032, 8))


async def test_who_shares_and_who_does_not() -> None:
    """With `shared` all projects that share see the same id; with `project` each has its own."""
    world = memory_world()
    shared = {await paid(world, sharing(CardIdScope.SHARED, one)) for one in (PROJECT, TWO_STAGE)}
    own = {await paid(world, sharing(CardIdScope.PROJECT, one)) for one in (PROJECT, TWO_STAGE)}
    assert (len(shared), len(own)) == (1, 2)
    assert shared.isdisjoint(own)


@pytest.mark.parametrize("scope", SCOPES)
async def test_an_id_comes_with_the_token_and_the_form(scope: CardIdScope) -> None:
    """However the card was given: by a browser's token, at create, or typed into the form."""
    world = memory_world()
    project = sharing(scope)
    wanted = next(one.text for one in fake_card_ids("shop", card()) if one.scope is scope)
    text = await issue_token(world, project, session_id=None, options=FormOptions(), may_tokenize=True)
    made = await tokenize_card(world, project, await find_token(world, text), card())
    by_token = (await init_payment(world, call(project), OFFER, TokenizedCard(token=made.token))).session
    at_create = (await create_session(world, call(project), OFFER, card())).session
    at_create = (await start_payment(world, call(project), at_create.id, Offer(), None)).session
    by_form, _ = await pay(world, await opened(world, project=project), project=project)
    assert {id_in(by_token), id_in(at_create), id_in(by_form)} == {wanted}


@pytest.mark.parametrize("then", CardIdScope)
@pytest.mark.parametrize("now", CardIdScope)
async def test_the_setting_of_the_day_of_the_payment_counts(then: CardIdScope, now: CardIdScope) -> None:
    """A card that was given under another setting shows no id: an id is never shown to whom it was not made for."""
    world = memory_world()
    session = (await create_session(world, call(sharing(then)), OFFER, card())).session
    started = await start_payment(world, call(sharing(now)), session.id, Offer(), None)
    is_shown = then is now and now is not CardIdScope.OFF
    assert (id_in(started.session) is not None) is is_shown


@pytest.mark.parametrize("scope", SCOPES)
async def test_an_id_pays_nothing(scope: CardIdScope) -> None:
    """As a token it is unknown."""
    world = memory_world()
    shown = await paid(world, sharing(scope))
    assert shown is not None
    session = await created(world)
    with pytest.raises(TokenUnknown):
        await start_payment(world, call(), session.id, Offer(), TokenizedCard(token=shown))
