"""`session/start/payment` and `session/init/payment`: routing, the first event, and cards that came for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import AMOUNT, OFFER, announced, call, card, created, prepared
from tests.worlds import PROJECT, memory_world
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.merchant import Settings
from tollhouse.money import Money
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, Phase
from tollhouse.ports import KeyTaken
from tollhouse.refusal import RequestInvalid, SessionUnknown, StateForbids, Unavailable
from tollhouse.session import DECISION_SECONDS_MAX, Offer, Status
from tollhouse.verdict import Policy


async def test_init_prepares_a_payment() -> None:
    """After init the payment waits for the decision; the answer shows the moment before."""
    world = memory_world()
    settled = await init_payment(world, call(), OFFER, card())
    (payment,) = settled.session.payments
    assert payment.phase is Phase.AWAIT_CONFIRM
    assert settled.session.next_action == "confirm"
    assert settled.answer.payments[0].phase is Phase.ROUTING
    assert announced(world, settled.session) == ["ready_to_confirm"]
    assert world.link.sent == []
    assert payment.decision_deadline_at is not None
    assert (payment.decision_deadline_at - world.clock.now()).total_seconds() == DECISION_SECONDS_MAX


async def test_start_merges_what_was_given() -> None:
    """A member given at start replaces the one given at create as a whole; the rest stays."""
    world = memory_world()
    session = await created(world, with_card=True)
    later = Offer(money=Money(100, "usd"), details=Details(metadata="later"))
    settled = await start_payment(world, call(), session.id, later, None)
    (payment,) = settled.session.payments
    assert (payment.money, payment.details.metadata) == (Money(100, "usd"), "later")
    assert payment.details.customer == OFFER.details.customer
    assert payment.card == session.offer.card
    assert settled.session.offer == Offer()


async def test_card_given_again_replaces_the_first() -> None:
    """The security code of the card that is not used any more is erased with the commit."""
    world = memory_world()
    session = await created(world, with_card=True)
    settled = await start_payment(world, call(), session.id, Offer(), card(pan="5454545454545454"))
    (payment,) = settled.session.payments
    assert payment.card.last4 == "5454"
    assert world.vault.cvvs == {payment.sealed_cvv}
    assert world.vault.erased == [session.offer.sealed_cvv]


async def test_started_once_only() -> None:
    """The second start is refused, and keeps nothing of its card."""
    world = memory_world()
    session = await created(world)
    await start_payment(world, call(), session.id, Offer(), card())
    with pytest.raises(StateForbids):
        await start_payment(world, call(), session.id, Offer(), card())
    assert len(world.vault.cards) == 1


async def test_loser_of_a_race_to_start() -> None:
    """Who loses the race after its card was kept is refused, and its security code is erased."""
    world = memory_world()
    session = await created(world)
    keep = world.vault.keep

    async def keep_after_rival(project: str, details: object) -> object:
        world.vault.keep = keep  # type: ignore[method-assign]
        await start_payment(world, call(), session.id, Offer(), card())
        return await keep(project, details)  # type: ignore[arg-type]

    world.vault.keep = keep_after_rival  # type: ignore[assignment,method-assign]
    with pytest.raises(StateForbids):
        await start_payment(world, call(), session.id, Offer(), card())
    assert world.vault.cvvs == {world.session(session).payments[0].sealed_cvv}


async def test_loser_of_a_race_for_a_key() -> None:
    """A key starts one payment; the other call's security code is erased (P5, P11)."""
    world = memory_world()
    await init_payment(world, call(key="k"), OFFER, card())
    with pytest.raises(KeyTaken):
        await init_payment(world, call(key="k"), OFFER, card())
    session = await created(world)
    with pytest.raises(KeyTaken):
        await start_payment(world, call(key="k"), session.id, Offer(), card())
    assert len(world.vault.cvvs) == 1
    assert world.session(session).status is Status.CREATED


@pytest.mark.parametrize("missing", ["amount_details", "customer"])
async def test_incomplete_init(missing: str) -> None:
    """What is missing is named, and the security code that was given is erased."""
    world = memory_world()
    offer = replace(OFFER, money=None) if missing == "amount_details" else Offer(money=AMOUNT)
    with pytest.raises(RequestInvalid) as refused:
        await init_payment(world, call(), offer, card())
    assert refused.value.path == missing
    assert world.vault.cvvs == set()


async def test_start_without_a_card() -> None:
    """A payment method is needed at create or at start."""
    world = memory_world()
    session = await created(world)
    with pytest.raises(RequestInvalid) as refused:
        await start_payment(world, call(), session.id, Offer(), None)
    assert refused.value.path == "payment_details"


async def test_another_projects_session() -> None:
    """A session of another project is unknown, and no card is kept for it (P12)."""
    world = memory_world()
    session = await created(world)
    other = replace(PROJECT, name="inn")
    with pytest.raises(SessionUnknown):
        await start_payment(world, call(other), session.id, Offer(), card())
    assert world.vault.cards == {}


async def test_no_route() -> None:
    """A live project has no acquirer yet: the payment fails at once, and the code is erased."""
    world = memory_world()
    live = replace(PROJECT, name="live", is_live=True)
    world.books.add_project(live)
    session = await prepared(world, project=live)
    assert session.status is Status.CANCELLED
    assert session.reason is Reason.ROUTING
    assert announced(world, session) == ["payment_finished"]
    assert world.vault.cvvs == set()


async def test_auto_confirm() -> None:
    """A project that confirms by itself gets no ready_to_confirm; the charge is planned at once."""
    world = memory_world()
    project = replace(PROJECT, settings=Settings(auto_confirm=True))
    session = await prepared(world, project=project)
    assert session.payments[0].decision is Decision.CONFIRMED
    assert [(o.kind, o.state) for o in session.operations] == [(Kind.SALE, State.PLANNED)]
    assert announced(world, session) == []
    assert session.lease_owner == world.node


async def test_no_card_ranges_yet() -> None:
    """Where every payer is to be authenticated, nobody pays before it is known which cards take part."""
    world = memory_world()
    world.directory.knows_ranges = False
    strict = replace(PROJECT, settings=Settings(threeds=Policy.ALWAYS))
    with pytest.raises(Unavailable, match="card ranges"):
        await init_payment(world, call(strict), OFFER, card())
    assert world.vault.cards == {}
    assert (await init_payment(world, call(), OFFER, card())).session.payments[0].card.enrolment is None
