"""Sending and hearing: what leaves, when, and what follows from each thing that may come back."""

from __future__ import annotations

import pytest

from tests.builders import (
    alarms,
    announced,
    confirmed,
    driven,
    held,
    moved,
    recovered,
    refunding,
    releasing,
)
from tests.worlds import (
    ANSWER_LOST,
    NOT_WRITTEN,
    PARTLY_APPROVED,
    REQUEST_LOST,
    MemoryWorld,
    Turn,
    declined,
    memory_world,
    second_node,
)
from tollhouse.acquirers.message import Response
from tollhouse.flows.drive import drive
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.session import PaymentSession, Status


def states(session: PaymentSession) -> list[tuple[Kind, State]]:
    """The session's operations."""
    return [(operation.kind, operation.state) for operation in session.operations]


async def test_approved_sale() -> None:
    """An approved sale succeeds, moves the money in the ledger and is announced; the security code has left."""
    world = memory_world()
    session = await driven(world, await confirmed(world))
    (payment,) = session.payments
    assert (session.status, payment.phase) == (Status.ACCEPTED, Phase.SUCCEEDED)
    assert (payment.held_minor, payment.captured_minor) == (4990, 4990)
    assert payment.rrn == world.link.sent[0].fields["37"]
    assert payment.approval_code == "000001"
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert moved(world, session) == [
        ("posted", "acquirer_receivable", "payer_funds", 4990),
        ("posted", "payer_funds", "merchant_payable", 4990),
    ]
    assert world.link.had_cvv == [True]
    assert world.vault.cvvs == set()
    assert session.lease_owner is None


async def test_submitted_is_committed_before_the_bytes_leave() -> None:
    """While the message is on its way, the books say *submitted*, under its references, without the security code."""
    world = memory_world()
    session = await confirmed(world)
    seen: list[PaymentSession] = []

    async def look() -> None:
        seen.append(world.session(session))

    world.link.script += [Turn(meanwhile=look)]
    await driven(world, session)
    (operation,) = seen[0].operations
    assert operation.state is State.SUBMITTED
    assert operation.references is not None
    assert operation.references.rrn == world.link.sent[0].fields["37"]
    assert seen[0].payments[0].sealed_cvv is None
    assert seen[0].lease_owner == world.node


async def test_declined_sale() -> None:
    """A clear decline fails the payment with its reason; nothing moves in the ledger."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [declined("51")]
    after = await driven(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.INSUFFICIENT_FUNDS)
    assert after.operations[0].response_code == "51"
    assert moved(world, session) == []
    assert world.link.types == ["0200"]


@pytest.mark.parametrize("turn", [ANSWER_LOST, Turn(response=Response(mti="0210", fields={})), declined("09")])
async def test_no_clear_answer_is_reversed(turn: Turn) -> None:
    """No answer, one without a code, and an unclear code are never a decline: the sale is reversed, then it failed."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [turn]
    after = await driven(world, session)
    assert world.link.types == ["0200", "0400"]
    assert states(after) == [(Kind.SALE, State.REVERSED), (Kind.REVERSAL, State.APPROVED)]
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACQUIRER_TIMEOUT)
    assert moved(world, session) == []
    named, original = world.link.sent[1].fields, world.link.sent[0].fields
    assert (named["37"], named["41"], named["4"]) == (original["37"], original["41"], original["4"])
    assert named["90"] == f"0200{original['11']}{original['7']}{'0' * 22}"
    assert named["11"] != original["11"]


async def test_partial_approval_is_reversed() -> None:
    """Less than the payer agreed to is undone and declined."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [PARTLY_APPROVED]
    after = await driven(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.DECLINED_BY_ISSUER)
    assert [entry.standing for entry in world.link.bank.entries.values()] == ["reversed"]


async def test_unknown_outcome_waits_for_evidence() -> None:
    """Until the reversal is acknowledged the payment is neither paid nor failed; nothing is announced (P6)."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST] + [REQUEST_LOST] * 3
    after = await driven(world, session)
    for _ in range(2):
        world.clock.move(140)
        after = await recovered(world, after)
    assert after.payments[0].phase is Phase.UNKNOWN
    assert after.status is Status.IN_PROGRESS
    assert announced(world, session) == ["ready_to_confirm"]
    assert world.link.types == ["0200", "0400", "0420", "0421"]
    assert len({request.fields["11"] for request in world.link.sent[1:]}) == 1


async def test_never_heard_of_it_counts_only_when_it_cannot_be_on_its_way() -> None:
    """Code 25 from a reversal that left within the in-flight limit proves nothing: another one is sent after it."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [REQUEST_LOST]
    after = await driven(world, session)
    assert states(after) == [
        (Kind.SALE, State.REVERSING),
        (Kind.REVERSAL, State.DECLINED),
        (Kind.REVERSAL, State.PLANNED),
    ]
    world.clock.move(64)
    assert (await recovered(world, after)).operations[2].state is State.PLANNED
    world.clock.move(1)
    after = await recovered(world, after)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACQUIRER_TIMEOUT)
    assert world.link.types == ["0200", "0400", "0400"]
    assert world.link.sent[1].fields["11"] != world.link.sent[2].fields["11"]


async def test_request_that_lands_after_the_first_reversal() -> None:
    """What was still on its way when the bank had not heard of it is undone by the second reversal (P2)."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [REQUEST_LOST]
    after = await driven(world, session)
    world.link.bank.decide(world.link.sent[0])
    world.clock.move(65)
    after = await recovered(world, after)
    assert after.status is Status.CANCELLED
    assert [entry.standing for entry in world.link.bank.entries.values()] == ["reversed"]


async def test_not_sent_is_tried_again() -> None:
    """A refused connection is certain: back to planned, with the security code, and sent again under new references."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [NOT_WRITTEN]
    after = await driven(world, session)
    assert states(after) == [(Kind.SALE, State.PLANNED)]
    assert after.payments[0].phase is Phase.CONFIRMED
    assert after.payments[0].sealed_cvv in world.vault.cvvs
    assert after.lease_owner is None
    world.clock.move(2)
    after = await recovered(world, after)
    assert after.status is Status.ACCEPTED
    assert world.link.had_cvv == [True]
    assert world.vault.cvvs == set()


async def test_not_sent_for_half_a_minute_is_given_up() -> None:
    """After 30 seconds of refused connections the payment fails: it is certain that no money moved."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [NOT_WRITTEN] * 3
    after = await driven(world, session)
    world.clock.move(15)
    after = await recovered(world, after)
    assert after.status is Status.IN_PROGRESS
    world.clock.move(15)
    after = await recovered(world, after)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACQUIRER_INTERNAL)
    assert world.link.sent == []
    assert world.vault.cvvs == set()


async def test_sleeper_does_not_send() -> None:
    """A node that slept over its deadline sends nothing; who took over finds out, and the code is erased."""
    world = memory_world()
    session = await confirmed(world)
    commit = world.store.commit

    async def commit_and_sleep(change: object) -> None:
        world.store.commit = commit  # type: ignore[method-assign]
        await commit(change)  # type: ignore[arg-type]
        world.clock.move(40)
        await recovered(second_node(world), session)

    world.store.commit = commit_and_sleep  # type: ignore[assignment,method-assign]
    await drive(world, session)
    assert world.link.types == ["0400"]
    assert world.vault.cvvs == set()
    world.clock.move(60)
    after = await recovered(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACQUIRER_TIMEOUT)


async def test_only_the_owner_drives() -> None:
    """A node that does not hold the lease does nothing."""
    world = memory_world()
    session = await confirmed(world)
    await drive(second_node(world), session)
    assert world.link.sent == []


async def test_late_answer_of_our_own_waits_for_nobody() -> None:
    """Driving a session in which nothing is due sends nothing and writes nothing."""
    world = memory_world()
    session = await held(world)
    await drive(world, session)
    assert world.session(session) == session


async def test_two_nodes_at_one_operation() -> None:
    """Two nodes that both believe they may send commit *submitted* once: one message leaves (P1)."""
    world = memory_world()
    session = await confirmed(world)
    rival = second_node(world, node=world.node)
    await drive(world, session)
    await drive(rival, session)
    assert world.link.types == ["0200"]


async def test_refused_reversal_is_repeated() -> None:
    """A reversal that is refused is not done: it is repeated until it is acknowledged."""
    world = memory_world()
    session = await releasing(world)
    world.link.script += [declined("96"), declined("96")]
    after = await driven(world, session)
    assert after.payments[0].phase is Phase.UNKNOWN
    for _ in range(2):
        world.clock.move(60)
        after = await recovered(world, after)
    assert after.status is Status.CANCELLED
    assert after.reason is Reason.CANCELLED_BY_MERCHANT
    assert world.link.types == ["0100", "0400", "0420", "0421"]


async def test_unclear_for_a_day() -> None:
    """After a day without evidence the session is in error and a person is told; the work goes on (P6, P13)."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST] + [REQUEST_LOST] * 20
    after = await driven(world, session)
    for _ in range(30):
        world.clock.move(3600)
        after = await recovered(world, after)
    assert after.status is Status.ERROR
    assert any("no clear outcome for a day" in what for what in alarms(world, session))
    world.link.script.clear()
    world.clock.move(5 * 3600)
    after = await recovered(world, after)
    assert after.status is Status.CANCELLED


async def _refund_and(world: MemoryWorld, turn: Turn) -> PaymentSession:
    session = await refunding(world)
    world.link.script += [turn]
    return await driven(world, session)


async def test_partly_approved_refund_is_undone() -> None:
    """A refund of less than asked is undone and declined."""
    world = memory_world()
    after = await _refund_and(world, PARTLY_APPROVED)
    assert after.status is Status.ACCEPTED
    assert after.payments[0].refunded_minor == 0
