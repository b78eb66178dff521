"""`session/capture`: whole, in part, once."""

from __future__ import annotations

import pytest

from tests.builders import alarms, announced, call, captured, driven, held, moved, recovered, succeeded
from tests.worlds import ANSWER_LOST, NOT_WRITTEN, REQUEST_LOST, TWO_STAGE, declined, memory_world
from tollhouse.flows.capture import capture
from tollhouse.money import Money
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.refusal import CaptureExceedsHold, RequestInvalid, StateForbids
from tollhouse.session import Status


async def test_whole_capture() -> None:
    """The hold is posted in full; the completion names the authorization."""
    world = memory_world()
    session = await captured(world)
    assert session.status is Status.ACCEPTED
    assert session.payments[0].captured_minor == 4990
    assert world.link.types == ["0100", "0220"]
    assert world.link.sent[1].fields["48"] == f"3712{world.link.sent[0].fields['37']}"
    assert announced(world, session) == ["ready_to_confirm", "ready_to_capture", "payment_finished"]
    assert moved(world, session) == [
        ("pending", "acquirer_receivable", "payer_funds", 4990),
        ("posted", "acquirer_receivable", "payer_funds", 4990),
        ("posted", "payer_funds", "merchant_payable", 4990),
    ]


async def test_partial_capture() -> None:
    """A part is taken; what is left of the hold is released with it."""
    world = memory_world()
    session = await captured(world, Money(4000, "eur"))
    assert session.payments[0].captured_minor == 4000
    assert world.link.sent[1].fields["4"] == "000000004000"
    assert [amount for _, _, _, amount in moved(world, session)] == [4990, 4000, 4000]


@pytest.mark.parametrize(
    ("money", "refused"),
    [(Money(4991, "eur"), CaptureExceedsHold), (Money(4990, "usd"), RequestInvalid)],
)
async def test_capture_of_what_is_not_held(money: Money, refused: type[Exception]) -> None:
    """More than the hold, or another currency, is refused; nothing leaves (P3)."""
    world = memory_world()
    session = await held(world)
    with pytest.raises(refused):
        await capture(world, call(TWO_STAGE), session.id, money)
    assert world.link.types == ["0100"]


async def test_second_capture() -> None:
    """The same amount again is answered with the session; another amount is refused: one capture per payment."""
    world = memory_world()
    session = await captured(world, Money(4000, "eur"))
    assert not (await capture(world, call(TWO_STAGE), session.id, Money(4000, "eur"))).is_written
    for other in (Money(990, "eur"), None):  # no amount means the whole hold
        with pytest.raises(StateForbids):
            await capture(world, call(TWO_STAGE), session.id, other)
    assert world.link.types == ["0100", "0220"]


async def test_nothing_held() -> None:
    """A one-stage payment that was declined or not confirmed has nothing to capture."""
    world = memory_world()
    session = await held(world)
    world.link.script += [declined("05")]
    other = await succeeded(world)
    assert other.status is Status.CANCELLED
    with pytest.raises(StateForbids):
        await capture(world, call(), other.id, None)
    assert world.session(session).payments[0].phase is Phase.HELD


@pytest.mark.parametrize("turn", [ANSWER_LOST, REQUEST_LOST, NOT_WRITTEN])
async def test_completion_without_answer_is_repeated(turn: object) -> None:
    """The money is promised: a completion is repeated under the same references, and never reversed."""
    world = memory_world()
    session = await held(world)
    settled = await capture(world, call(TWO_STAGE), session.id, None)
    world.link.script += [turn]  # type: ignore[list-item]
    unclear = await driven(world, settled)
    assert unclear.status is Status.IN_PROGRESS
    world.clock.move(30)
    after = await recovered(world, unclear)
    assert after.status is Status.ACCEPTED
    assert "0400" not in world.link.types
    repeats = [request for request in world.link.sent if request.mti in ("0220", "0221")]
    assert {(one.fields["37"], one.fields["11"], one.fields["7"]) for one in repeats} == {
        (repeats[0].fields["37"], repeats[0].fields["11"], repeats[0].fields["7"])
    }
    assert repeats[-1].mti == ("0220" if turn is NOT_WRITTEN else "0221")  # what was never written is no repetition
    assert len([entry for entry in world.link.bank.entries.values() if entry.asked == "completion"]) == 1


async def test_refused_capture_releases_the_hold() -> None:
    """A refused completion fails the payment, and the hold is given back at the acquirer and in the ledger."""
    world = memory_world()
    session = await held(world)
    settled = await capture(world, call(TWO_STAGE), session.id, None)
    world.link.script += [declined("05")]
    after = await driven(world, settled)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.DECLINED_BY_ISSUER)
    assert world.link.types == ["0100", "0220", "0400"]
    assert [(o.kind, o.state) for o in after.operations][1:] == [
        (Kind.CAPTURE, State.DECLINED),
        (Kind.REVERSAL, State.APPROVED),
    ]
    assert [phase for phase, _, _, _ in moved(world, session)] == ["pending", "voided"]
    assert announced(world, session)[-1] == "payment_finished"
    assert alarms(world, session) == []
