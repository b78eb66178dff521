"""Promises that are checked while it happens: at each message, each booking of the bank, each commit and answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.bank import Standing, key_of
from tests.simulation import permits
from tests.simulation.truth import Violation, charges_of, key_of_operation, named_by, payer_of
from tollhouse.acquirers.message import Request
from tollhouse.change import Change
from tollhouse.event import EventType
from tollhouse.flows.settle import Settled
from tollhouse.operation import CHARGES, UNDOABLE, Kind, Operation, State
from tollhouse.payment import Decision, Payment, Phase
from tollhouse.session import PaymentSession, Status

if TYPE_CHECKING:
    from tests.simulation.world import Node, Simulation


def at_sending(simulation: Simulation, node: Node, request: Request) -> None:
    """P1: *submitted* is committed before the first byte leaves, and nothing leaves of what is over."""
    rrn, stan, _, terminal = key_of(request)
    simulation.record(None, f"    {node.name} sends {request.mti} {rrn}/{stan}")
    named = simulation.books.references.get((rrn, stan, terminal))
    if named is None:
        raise Violation("P1", f"{request.mti} {rrn}/{stan} leaves before *submitted* is committed")
    project, session_id, operation_id = named
    session = simulation.books.sessions[project, session_id]
    operation = session.operation(operation_id)
    if operation.kind in UNDOABLE and operation.state is not State.SUBMITTED:
        raise Violation("P1", f"{request.mti} of {operation_id} leaves while it is {operation.state}", session_id)
    if operation.kind in CHARGES:
        permits.at_charge(simulation, session, operation, request)
        _has_its_code(simulation, session, operation, request)


def _has_its_code(simulation: Simulation, session: PaymentSession, operation: Operation, request: Request) -> None:
    """CVV: the first charge of a payment does not leave without the code that its route demands."""
    payment = session.payment(operation.payment_id)
    is_first = not any(o.payment_id == payment.id and o.id != operation.id for o in session.operations)
    code = request.card.sealed_cvv if request.card is not None else None
    if payment.acquirer in simulation.demand_cvv and is_first and code not in simulation.vault.cvvs:
        raise Violation("CVV", f"{operation.id} leaves without the security code that its route demands", session.id)


def at_bank(simulation: Simulation, request: Request) -> None:
    """P1: no cardholder is charged twice, not even for a moment."""
    payer = payer_of(simulation, request.card.card_token if request.card else "")
    live = [entry for entry in charges_of(simulation) if payer_of(simulation, entry.payer) == payer]
    if len(live) > 1:
        _, session_id, _ = named_by(simulation, live[-1].key)
        raise Violation("P1", f"one purchase is charged {len(live)} times", session_id)


def at_answer(simulation: Simulation, settled: Settled) -> None:
    """P10: what is answered with success is durable."""
    answer = settled.answer
    known = simulation.versions.get((answer.project, answer.id), {})
    if settled.is_written and answer.version not in known:
        raise Violation("P10", f"version {answer.version} was answered and is not committed", answer.id)


def at_commit(simulation: Simulation, node: str, before: PaymentSession | None, change: Change) -> None:
    """P2, P4, P6, P7, P9 and 3DS on each commit."""
    after = change.session
    payments = {payment.id: payment for payment in before.payments} if before else {}
    operations = {operation.id: operation for operation in before.operations} if before else {}
    _sessions_stay(before, after)
    if len(after.payments) > 1:
        raise Violation("P1", f"{len(after.payments)} payments of one session", after.id)
    for payment in after.payments:
        earlier = payments.get(payment.id)
        if payment is not earlier:
            _payment_stays(after, earlier, payment)
            _payment_has_evidence(after, earlier, payment)
    for operation in after.operations:
        was = operations.get(operation.id)
        if operation is not was:
            _operation_stays(after, was, operation)
            if operation.is_final and (was is None or not was.is_final):
                _operation_has_evidence(simulation, after, operation)
    known = {one.id: one for one in before.authentications} if before else {}
    for one in after.authentications:
        if one is not known.get(one.id):
            permits.at_authentication(simulation, node, after, known.get(one.id), one)
    _is_announced(change, payments, operations)


def _sessions_stay(before: PaymentSession | None, after: PaymentSession) -> None:
    """P7: an end is dated once, and cancelled is an end for good."""
    if before is None or before.status not in (Status.ACCEPTED, Status.CANCELLED):
        return
    if before.status is Status.CANCELLED and after.status is not Status.CANCELLED:
        raise Violation("P7", f"a cancelled session became {after.status}", after.id)
    if before.status is after.status and before.finished_at != after.finished_at:
        raise Violation("P7", f"an ended session got another end: {before.finished_at} {after.finished_at}", after.id)


def _payment_stays(session: PaymentSession, before: Payment | None, after: Payment) -> None:
    """P4 and P7: a decision is made once; a final payment keeps its phase, reason, time and amount."""
    if before is None:
        return
    if before.decision is not None and before.decision is not after.decision:
        raise Violation("P4", f"decided {before.decision}, then {after.decision}", session.id)
    if before.is_final:
        facts = [(one.phase, one.reason, one.finished_at, one.captured_minor) for one in (before, after)]
        if facts[0] != facts[1]:
            raise Violation("P7", f"a final payment changed from {facts[0]} to {facts[1]}", session.id)


def _payment_has_evidence(session: PaymentSession, before: Payment | None, after: Payment) -> None:
    """P6: a payment that was confirmed ends only when the acquirer has said enough."""
    if not after.is_final or (before is not None and before.is_final) or after.decision is not Decision.CONFIRMED:
        return
    mine = [operation for operation in session.operations if operation.payment_id == after.id]
    over = {o.target_id for o in mine if o.kind is Kind.REVERSAL and o.state is State.APPROVED}
    for operation in mine:
        if after.phase is Phase.FAILED and operation.kind in CHARGES:
            is_refused = any(o.kind is Kind.CAPTURE and o.state is State.DECLINED for o in mine)
            is_kept = operation.state is State.APPROVED and operation.id not in over and not is_refused
            if is_kept or not operation.is_final:
                raise Violation("P6", f"failed while {operation.kind} is {operation.state}", session.id)
    if after.phase is Phase.SUCCEEDED:
        taken = [o for o in mine if o.kind in (Kind.SALE, Kind.CAPTURE) and o.state is State.APPROVED]
        if len(taken) != 1 or taken[0].amount_minor != after.captured_minor:
            raise Violation("P6", "succeeded without an approval of its amount", session.id)


def _operation_stays(session: PaymentSession, before: Operation | None, after: Operation) -> None:
    """P7: a final operation stays as it is."""
    if before is not None and before.is_final:
        facts = [(one.state, one.response_code, one.finished_at, one.references) for one in (before, after)]
        if facts[0] != facts[1]:
            raise Violation("P7", f"final {after.kind} changed from {facts[0]} to {facts[1]}", session.id)


def _operation_has_evidence(simulation: Simulation, session: PaymentSession, operation: Operation) -> None:
    """P6: what becomes final is what the bank has in its books, and nothing of it is on its way any more."""
    about = session.target_of(operation) if operation.kind is Kind.REVERSAL else operation
    if about.references is None or (operation.kind is Kind.REVERSAL and operation.state is not State.APPROVED):
        return
    key = key_of_operation(about)
    if key in simulation.network.mistaken:
        return  # the bank contradicts itself
    entry = simulation.network.bank.entries.get(key)
    is_live = entry is not None and entry.standing is Standing.APPROVED
    said = f"{operation.kind} became {operation.state}"
    if operation.state is State.APPROVED and operation.kind is not Kind.REVERSAL:
        if entry is None or not is_live or entry.amount_minor != operation.amount_minor:
            raise Violation("P2", f"{said} and the bank has not approved it", session.id)
        return
    if is_live:
        raise Violation("P6", f"{said} and the bank has it approved", session.id)
    if simulation.network.on_the_way.get(key) and operation.state is not State.DECLINED:
        raise Violation("P6", f"{said} while its request is still on its way", session.id)


def _is_announced(change: Change, payments: dict[str, Payment], operations: dict[str, Operation]) -> None:
    """P9: what a merchant waits for is announced in the same commit, once."""
    expected: Counter[EventType] = Counter()
    for payment in change.session.payments:
        before = payments.get(payment.id)
        if before is not None and before.phase is payment.phase:
            continue
        match payment.phase:
            case Phase.AWAIT_CONFIRM:
                expected[EventType.READY_TO_CONFIRM] += 1
            case Phase.AWAIT_ACTION:
                expected[EventType.ACTION_REQUIRED] += 1
            case Phase.HELD:
                expected[EventType.READY_TO_CAPTURE] += 1
            case Phase.SUCCEEDED | Phase.FAILED:
                expected[EventType.PAYMENT_FINISHED] += 1
            case _:
                pass
    for operation in change.session.operations:
        was = operations.get(operation.id)
        if operation.kind is Kind.REFUND and operation.is_final and not (was is not None and was.is_final):
            expected[EventType.PAYMENT_REFUNDED] += 1
    announced = Counter(event.type for event in change.events)
    if announced != expected:
        raise Violation("P9", f"announced {dict(announced)}, expected {dict(expected)}", change.session.id)
