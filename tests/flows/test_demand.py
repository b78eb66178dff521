"""Routes that demand the security code: refused at the call, or failed before anything is sent; never stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import (
    OFFER,
    announced,
    asked,
    awaiting_payer,
    call,
    card,
    confirmed,
    created,
    driven,
    heard,
    prepared,
    recovered,
)
from tests.issuer import answering, result
from tests.worlds import NOT_WRITTEN, PROJECT, MemoryWorld, declined, memory_world
from tollhouse.card import TokenizedCard
from tollhouse.flows.create_session import create_session
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.refusal import RequestInvalid
from tollhouse.routing import SANDBOX, require_cvv
from tollhouse.session import Offer, Status

MEMBER = "payment_details.card.bank_card.security_code"


def demanding_world() -> MemoryWorld:
    """A world whose acquirer demands the security code."""
    return memory_world(demand_cvv=frozenset({SANDBOX}))


async def test_a_card_without_its_code_is_refused_at_each_call() -> None:
    """Create, start and init name the member that is missing, and nothing is kept."""
    world = demanding_world()
    waiting = await created(world)
    without = card(cvv=None)
    kept = dict(world.vault.cards)
    for begin in (
        create_session(world, call(), OFFER, without),
        start_payment(world, call(), waiting.id, Offer(), without),
        init_payment(world, call(), OFFER, without),
    ):
        with pytest.raises(RequestInvalid) as caught:
            await begin
        assert (caught.value.code, caught.value.path) == ("invalid_request", MEMBER)
    assert world.vault.cards == kept
    assert len(world.books.sessions) == 1


async def test_a_route_that_demands_nothing_takes_it() -> None:
    """Without the demand a card needs no code; a live project, which has no route, is refused for that alone."""
    world = memory_world()
    session = await driven(world, await prepared(world, cvv=None))
    assert session.payments[0].phase is Phase.AWAIT_CONFIRM
    require_cvv(replace(PROJECT, is_live=True), card(cvv=None), {SANDBOX}, has_cvv=False)


def test_a_token_without_a_code_is_named() -> None:
    """A token whose code is gone is refused where the request names it."""
    token = TokenizedCard(token="tc_1", path="payment_details.card.tokenized_card.token")
    with pytest.raises(RequestInvalid, match=r"tokenized_card\.token: this card has no security code any more"):
        require_cvv(PROJECT, token, {SANDBOX}, has_cvv=False)
    require_cvv(PROJECT, token, {SANDBOX}, has_cvv=True)
    require_cvv(PROJECT, None, {SANDBOX}, has_cvv=False)


async def test_with_its_code_it_is_paid() -> None:
    """A payment with its code goes its way."""
    world = demanding_world()
    session = await driven(world, await confirmed(world))
    assert session.payments[0].phase is Phase.SUCCEEDED
    assert world.link.had_cvv == [True]


async def test_a_code_that_died_fails_the_payment_before_anything_is_sent() -> None:
    """The payment fails at once, for want of a route, and is announced; the acquirer hears nothing of it."""
    world = demanding_world()
    session = await confirmed(world)
    world.vault.cvvs.clear()
    session = await driven(world, session)
    (payment,) = session.payments
    assert (session.status, payment.phase, payment.reason) == (Status.CANCELLED, Phase.FAILED, Reason.ROUTING)
    assert [(o.kind, o.state) for o in session.operations] == [(Kind.SALE, State.DECLINED)]
    assert world.link.sent == []
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert session.due_at is None
    assert payment.sealed_cvv is None


async def test_without_the_demand_it_goes_without_the_code() -> None:
    """A route that demands nothing gets the payment without the code that died."""
    world = memory_world()
    session = await confirmed(world)
    world.vault.cvvs.clear()
    session = await driven(world, session)
    assert session.payments[0].phase is Phase.SUCCEEDED
    assert world.link.had_cvv == [False]


async def test_a_code_that_dies_between_two_attempts() -> None:
    """A payment that could not be sent at first, and whose code dies meanwhile, fails and is not sent."""
    world = demanding_world()
    world.link.script += [NOT_WRITTEN]
    session = await driven(world, await confirmed(world))
    assert session.payments[0].phase is Phase.CONFIRMED
    world.vault.cvvs.clear()
    world.clock.move(60)
    session = await recovered(world, session)
    assert (session.payments[0].phase, session.payments[0].reason) == (Phase.FAILED, Reason.ROUTING)
    assert world.link.sent == []


async def test_the_second_authorization_needs_no_code() -> None:
    """After a soft decline the payer is authenticated, and the second authorization goes without the code."""
    world = demanding_world()
    session = await awaiting_payer(world)
    world.link.script.append(declined("1A"))
    world.directory.script += [answering("U"), answering("C")]
    await asked(world, session)
    await asked(world, session)
    await heard(world, result(world.directory.asked[1], "Y"))
    assert world.session(session).payments[0].phase is Phase.SUCCEEDED
    assert world.link.had_cvv == [True, False]
