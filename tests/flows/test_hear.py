"""Answers that nobody waits for: each is taken in once, and none of them turns an end around."""

from __future__ import annotations

from tests.bank import answer
from tests.builders import alarms, announced, call, captured, confirmed, driven, moved, releasing, succeeded
from tests.worlds import ANSWER_LOST, REQUEST_LOST, TWO_STAGE, MemoryWorld, Turn, declined, memory_world
from tollhouse.acquirers.message import Response
from tollhouse.flows.capture import capture
from tollhouse.flows.hear import hear_late
from tollhouse.operation import Kind, State
from tollhouse.payment import Phase
from tollhouse.session import Status


def late(world: MemoryWorld, place: int, code: str = "00") -> Response:
    """An answer to the message that left as number `place`."""
    return answer(world.link.sent[place], code, "7K20QX")


async def test_answer_after_a_restart() -> None:
    """A process that died while it waited is no loss: the answer ends the payment when it comes."""
    world = memory_world()
    session = await confirmed(world)

    class Died(Exception):
        pass

    async def die() -> None:
        raise Died

    world.link.script += [Turn(meanwhile=die)]
    try:
        await driven(world, session)
    except Died:
        await hear_late(world, "sandbox", late(world, 0))
    after = world.session(session)
    assert after.status is Status.ACCEPTED
    assert after.payments[0].approval_code == "7K20QX"


async def test_duplicate_answer() -> None:
    """A repeated answer changes nothing and announces nothing."""
    world = memory_world()
    session = await succeeded(world)
    await hear_late(world, "sandbox", late(world, 0))
    assert world.session(session) == session
    assert alarms(world, session) == []


async def test_late_approval_while_it_is_reversed() -> None:
    """Once a reversal has left, an approval never makes the payment succeed: alarm, and the reversal goes on (P7)."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST, REQUEST_LOST]
    after = await driven(world, session)
    await hear_late(world, "sandbox", late(world, 0))
    after = world.session(session)
    assert after.operations[0].state is State.REVERSING
    assert after.payments[0].phase is Phase.UNKNOWN
    assert alarms(world, session) == ["approved after its reversal had begun; the reversal goes on"]


async def test_late_approval_after_the_reversal() -> None:
    """A bank that approves what it had reversed is alarmed about, and reversed again; the payment stays failed (P7)."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST]
    failed = await driven(world, session)
    world.clock.move(5)
    (entry,) = world.link.bank.entries.values()
    world.link.bank.approve_again(entry)
    await hear_late(world, "sandbox", late(world, 0))
    after = world.session(session)
    assert (after.status, after.payments, after.finished_at) == (failed.status, failed.payments, failed.finished_at)
    assert world.link.types == ["0200", "0400", "0400"]
    assert entry.standing == "reversed"
    assert alarms(world, session) == ["approved after it was reversed; it is reversed (again)"]
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]


async def test_late_approval_after_a_release() -> None:
    """A hold that the bank approves again after its release is released again, once in our ledger (P2, P8)."""
    world = memory_world()
    session = await driven(world, await releasing(world))
    (entry,) = world.link.bank.entries.values()
    world.link.bank.approve_again(entry)
    await hear_late(world, "sandbox", late(world, 0))
    after = world.session(session)
    assert after.status is Status.CANCELLED
    assert entry.standing == "reversed"
    assert [phase for phase, _, _, _ in moved(world, session)] == ["pending", "voided"]
    assert len(alarms(world, session)) == 1


async def test_late_approval_of_a_declined_refund_and_capture() -> None:
    """What was declined stays declined: a late approval is alarmed about."""
    world = memory_world()
    session = await captured(world)
    world.link.script += [declined("05")]
    other = await driven(world, await confirmed(world))
    await hear_late(world, "sandbox", late(world, 2))
    assert world.session(other).status is Status.CANCELLED
    assert world.session(session).status is Status.ACCEPTED
    assert alarms(world, other) == ["approved after it was declined; it is reversed (again)"]


async def test_late_decline_of_what_was_approved() -> None:
    """A decline after the approval moves nothing; a person compares the books."""
    world = memory_world()
    session = await succeeded(world)
    await hear_late(world, "sandbox", late(world, 0, "05"))
    after = world.session(session)
    assert (after.status, after.payments) == (session.status, session.payments)
    assert alarms(world, session) == ["declined after it was approved; compare with the acquirer's books"]


async def test_late_answer_to_a_completion() -> None:
    """The answer to an earlier attempt of a completion ends it as well as that to the last."""
    world = memory_world()
    session = await driven(world, await confirmed(world, project=TWO_STAGE))
    settled = await capture(world, call(TWO_STAGE), session.id, None)
    world.link.script += [ANSWER_LOST]
    await driven(world, settled)
    await hear_late(world, "sandbox", late(world, 1))
    assert world.session(session).status is Status.ACCEPTED


async def test_late_answer_to_a_reversal() -> None:
    """The acknowledgement that came after our limit ends the reversal."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST, ANSWER_LOST]
    await driven(world, session)
    await hear_late(world, "sandbox", late(world, 1))
    after = world.session(session)
    assert [(o.kind, o.state) for o in after.operations] == [
        (Kind.SALE, State.REVERSED),
        (Kind.REVERSAL, State.APPROVED),
    ]


async def test_old_never_heard_of_it() -> None:
    """An early 25 that is heard long after the in-flight limit is no proof: it was said while nothing was certain."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [REQUEST_LOST, REQUEST_LOST]
    await driven(world, session)
    world.clock.move(3600)
    await hear_late(world, "sandbox", late(world, 1, "25"))
    after = world.session(session)
    assert after.operations[1].state is State.DECLINED
    assert after.operations[1].response_code == "25"
    assert after.operations[2].kind is Kind.REVERSAL
    assert after.status is Status.CANCELLED  # the new reversal left at once, and its 25 is proof


async def test_answer_for_nothing_of_ours() -> None:
    """An answer that names no operation of ours is logged, shortened, and changes nothing."""
    world = memory_world()
    session = await succeeded(world)
    response = late(world, 0)
    foreign = Response(mti=response.mti, fields={**response.fields, "11": "999999"})
    await hear_late(world, "sandbox", foreign)
    assert world.session(session) == session
    assert [(level, event) for level, event, _ in world.log.lines] == [("warning", "answer for nothing of ours")]


async def test_message_of_the_wrong_type() -> None:
    """A message of another type under our references says nothing about the outcome."""
    world = memory_world()
    session = await succeeded(world)
    response = late(world, 0, "05")
    await hear_late(world, "sandbox", Response(mti="0430", fields=response.fields))
    assert world.session(session) == session
