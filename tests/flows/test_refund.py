"""`session/refund`: whole, in part, several at once, never too much."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.builders import announced, call, captured, driven, held, moved, recovered, refunding, succeeded
from tests.worlds import ANSWER_LOST, PROJECT, TWO_STAGE, declined, memory_world, second_node
from tollhouse import decision
from tollhouse.flows.drive import drive
from tollhouse.flows.refund import refund
from tollhouse.flows.settle import Settled
from tollhouse.merchant import Settings
from tollhouse.money import Money
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.ports import KeyTaken
from tollhouse.refusal import NotPermitted, RefundExceedsCaptured, RequestInvalid, StateForbids
from tollhouse.session import RefundStatus, Status, refund_status


async def test_whole_refund() -> None:
    """All that is left goes back; the refund names the sale."""
    world = memory_world()
    session = await refunding(world)
    assert session.status is Status.IN_PROGRESS
    after = await driven(world, session)
    assert after.status is Status.ACCEPTED
    assert after.payments[0].refunded_minor == 4990
    assert world.link.types == ["0200", "0200"]
    assert world.link.sent[1].fields["3"] == "200000"
    assert world.link.sent[1].fields["48"] == f"3712{world.link.sent[0].fields['37']}"
    assert announced(world, session) == ["ready_to_confirm", "payment_finished", "payment_refunded"]
    assert moved(world, session)[2:] == [
        ("posted", "merchant_payable", "payer_funds", 4990),
        ("posted", "payer_funds", "acquirer_receivable", 4990),
    ]


async def test_refund_of_a_capture() -> None:
    """The refund of a captured hold names the completion, and is limited by what was captured."""
    world = memory_world()
    session = await captured(world, Money(4000, "eur"))
    with pytest.raises(RefundExceedsCaptured):
        await refund(world, call(TWO_STAGE), session.id, Money(4001, "eur"), payment_id=None, metadata=None)
    settled = await refund(world, call(TWO_STAGE), session.id, None, payment_id=None, metadata=None)
    await driven(world, settled)
    assert world.link.sent[2].fields["48"] == f"3712{world.link.sent[1].fields['37']}"
    assert world.link.sent[2].fields["4"] == "000000004000"


async def test_refunds_in_parallel() -> None:
    """Of refunds that together exceed what was captured, only those that fit are made, on any node (P3)."""
    world = memory_world()
    session = await succeeded(world)
    nodes = (world, second_node(world, "n2"), second_node(world, "n3"))

    async def ask(place: int) -> Settled | Exception:
        try:
            return await refund(
                nodes[place % 3], call(), session.id, Money(2000, "eur"), payment_id=None, metadata=place
            )
        except RefundExceedsCaptured as refused:
            return refused

    answers = await asyncio.gather(*(ask(place) for place in range(4)))
    assert sum(isinstance(answer, Settled) for answer in answers) == 2
    for answer in answers:
        if isinstance(answer, Settled):
            await drive(nodes[0] if answer.session.lease_owner == "n1" else nodes[1], answer.session)
    world.clock.move(30)
    after = await recovered(world, session)
    assert after.payments[0].refunded_minor == 4000


async def test_declined_refund_gives_the_amount_back() -> None:
    """A declined refund is announced, and its amount may be refunded again."""
    world = memory_world()
    session = await refunding(world)
    world.link.script += [declined("05")]
    after = await driven(world, session)
    refused = after.operations[-1]
    assert (refund_status(refused), refused.reason) == (RefundStatus.DECLINED, Reason.DECLINED_BY_ISSUER)
    assert after.payments[0].refunded_minor == 0
    assert announced(world, session)[-1] == "payment_refunded"
    assert (await refund(world, call(), session.id, None, payment_id=None, metadata=None)).is_written


async def test_unanswered_refund_is_undone() -> None:
    """A refund without an answer is reversed and declined with provider_timeout; nothing is refunded."""
    world = memory_world()
    session = await refunding(world)
    world.link.script += [ANSWER_LOST]
    after = await driven(world, session)
    refused = next(o for o in after.operations if o.kind is Kind.REFUND)
    assert (refused.state, refused.reason) == (State.REVERSED, Reason.ACQUIRER_TIMEOUT)
    assert after.payments[0].refunded_minor == 0
    assert world.link.types == ["0200", "0200", "0400"]
    assert all(entry.refunded_minor == 0 for entry in world.link.bank.entries.values())


async def test_one_key_one_refund() -> None:
    """The key of a refund makes one refund (P5)."""
    world = memory_world()
    session = await succeeded(world)
    money = Money(100, "eur")
    await refund(world, call(key="r"), session.id, money, payment_id=None, metadata=None)
    with pytest.raises(KeyTaken):
        await refund(world, call(key="r"), session.id, money, payment_id=None, metadata=None)
    assert world.session(session).payments[0].refunded_minor == 100


async def test_metadata_is_kept_on_the_refund() -> None:
    """Any JSON may come along."""
    world = memory_world()
    session = await succeeded(world)
    metadata = {"why": ["returned", None, 3.5]}
    settled = await refund(world, call(), session.id, None, payment_id=None, metadata=metadata)
    assert settled.session.operations[-1].metadata == metadata


async def test_partial_refunds_off() -> None:
    """A project without partial refunds may refund the whole only."""
    world = memory_world()
    session = await succeeded(world)
    project = replace(PROJECT, settings=Settings(partial_refunds=False))
    with pytest.raises(NotPermitted):
        await refund(world, call(project), session.id, Money(1, "eur"), payment_id=None, metadata=None)
    assert (await refund(world, call(project), session.id, None, payment_id=None, metadata=None)).is_written


async def test_refund_of_nothing_paid() -> None:
    """What is only held cannot be refunded; an unknown payment or another currency is refused."""
    world = memory_world()
    session = await held(world)
    with pytest.raises(StateForbids):
        await refund(world, call(TWO_STAGE), session.id, None, payment_id=None, metadata=None)
    paid = await succeeded(world)
    with pytest.raises(RequestInvalid):
        await refund(world, call(), paid.id, None, payment_id="pm_0", metadata=None)
    with pytest.raises(RequestInvalid):
        await refund(world, call(), paid.id, Money(1, "usd"), payment_id=None, metadata=None)


async def test_card_that_was_erased() -> None:
    """Once the card is gone from the vault nothing can go back to it: the merchant is told so at once."""
    world = memory_world()
    session = await succeeded(world)
    assert session.payments[0].card is not None
    erased = replace(session.payments[0], card=replace(session.payments[0].card, token=""))
    after = replace(session, payments=(erased,))
    with pytest.raises(StateForbids, match="erased at the end of its retention"):
        decision.refund(after, None, PROJECT, payment_id=None, metadata=None, now=world.clock.now(), ids=world.ids)
