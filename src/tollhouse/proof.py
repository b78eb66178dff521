"""Promises checked on what the rows tell, after the fact and by nobody's word: P1 to P5 and P8 of money-safety.

Each check takes one session's life and yields a sentence for every violation it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tollhouse import ledger
from tollhouse.bookkeeping import transfers_of
from tollhouse.ledger import Transfer
from tollhouse.life import Life
from tollhouse.operation import CHARGES, Kind, Operation, State
from tollhouse.outcome import NOT_FOUND_CODE, Approved, PartlyApproved, outcome_of_code
from tollhouse.payment import Decision, Payment, Phase, Told
from tollhouse.session import PaymentSession

RESPONSE_CODE, AMOUNT = "39", "4"  # fields of the acquirer's messages


class Promise(StrEnum):
    """What can be proved from rows."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
    P5 = "P5"
    P8 = "P8"


STATEMENTS: dict[Promise, str] = {
    Promise.P1: "a payment is charged at most once",
    Promise.P2: "what we say was approved, the acquirer approved",
    Promise.P3: "captured <= authorized, refunded <= captured",
    Promise.P4: "confirm, cancel and deadline are one decision",
    Promise.P5: "an idempotency key makes at most one operation",
    Promise.P8: "the ledger sums to zero, and every transfer has its operation",
}
assert set(STATEMENTS) == set(Promise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was not kept, and where."""

    promise: Promise
    project: str
    subject: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """An idempotency key, and what was written in the instant it was used up."""

    key: str
    path: str
    session_id: str
    has_session: bool
    changes: int
    payments: int
    operations: int


def charged_once(life: Life) -> Iterator[str]:
    """P1: of a payment's charges at most one is live, and one approved too late is being taken back."""
    session = life.session
    for payment in session.payments:
        charges = [o for o in session.operations if o.payment_id == payment.id and o.kind in CHARGES]
        live = [charge for charge in charges if charge.state not in (State.DECLINED, State.REVERSED)]
        if len(live) > 1:
            yield f"payment {payment.id} has {len(live)} live charges: {', '.join(charge.id for charge in live)}"
        for charge in charges:
            if charge in live or not any(_is_approval(fields) for fields in _answers(life, charge)):
                continue
            if not any(o.kind is Kind.REVERSAL and o.target_id == charge.id for o in session.operations):
                yield f"{charge.kind} {charge.id} is {charge.state}, its approval came, and nothing reverses it"


def approvals_stand(life: Life) -> Iterator[str]:
    """P2: an approved operation has an approving answer, others have none on their row, and history agrees."""
    for operation in life.session.operations:
        name = f"{operation.kind} {operation.id}"
        if operation.state is State.APPROVED:
            if not any(_approves(operation, fields) for fields in _answers(life, operation)):
                yield f"{name} is approved, and no message of the acquirer says so"
            if not _is_approving_code(operation, operation.response_code or ""):
                yield f"{name} is approved with response code {operation.response_code}"
        elif operation.is_final and isinstance(outcome_of_code(operation.response_code or ""), Approved):
            yield f"{name} is {operation.state} with response code {operation.response_code}"
        yield from _broken_chain(life, operation.id, "", operation.state)


def amounts_hold(life: Life) -> Iterator[str]:
    """P3: captured within held, refunded within captured, each the sum of its operations."""
    for payment in life.session.payments:
        sums = {
            "held": (payment.held_minor, _sum(life, payment, CHARGES, {State.APPROVED})),
            "captured": (payment.captured_minor, _sum(life, payment, {Kind.SALE, Kind.CAPTURE}, {State.APPROVED})),
            "refunded": (
                payment.refunded_minor,
                _sum(life, payment, {Kind.REFUND}, set(State) - {State.DECLINED, State.REVERSED}),
            ),
        }
        for name, (stated, summed) in sums.items():
            if stated != summed:
                yield f"payment {payment.id} states {stated} as {name}, its operations sum to {summed}"
        limits = (payment.money.minor, payment.held_minor, payment.captured_minor)
        for (name, (stated, _)), limit in zip(sums.items(), limits, strict=True):
            if not 0 <= stated <= limit:
                yield f"payment {payment.id} states {stated} as {name}, {limit} is possible"


def decided_once(life: Life) -> Iterator[str]:
    """P4: history holds one decision at most, the one that stands; phases follow each other; no version came twice."""
    for payment in life.session.payments:
        steps = [step for past in life.history for step in past.steps if step.subject == payment.id]
        found = [_DECIDES[step.before, step.heard] for step in steps if (step.before, step.heard) in _DECIDES]
        if len(found) > 1:
            yield f"payment {payment.id} was decided {len(found)} times: {', '.join(found)}"
        elif found != ([payment.decision] if payment.decision else []):
            yield f"payment {payment.id} stands as {payment.decision or 'undecided'}, history says {found or 'nothing'}"
        yield from _broken_chain(life, payment.id, Phase.ROUTING, payment.phase)
    versions = [past.version for past in life.history]
    if versions != sorted(set(versions)) or versions[-1:] > [life.session.version]:
        yield f"the versions of its changes are {versions} at version {life.session.version}"


_DECIDES: dict[tuple[str, str], Decision] = {
    (Phase.ROUTING, Told.AUTO_CONFIRMED): Decision.CONFIRMED,
    (Phase.AWAIT_CONFIRM, Told.CONFIRM): Decision.CONFIRMED,
    (Phase.AWAIT_CONFIRM, Told.CANCEL): Decision.CANCELLED,
    (Phase.AWAIT_CONFIRM, Told.DECISION_OVER): Decision.TIMED_OUT,
}


def key_used_once(use: KeyUse) -> Iterator[str]:
    """P5: a key has its session, came with one change, and one operation of a payment at most."""
    if not use.has_session:
        yield f"{use.path} made session {use.session_id}, which does not exist"
    elif use.changes < 1:
        yield f"{use.path} came with no change of session {use.session_id}"
    elif use.operations > max(use.payments, 1):
        yield f"{use.path} made {use.operations} operations for {use.payments} payments of session {use.session_id}"


def ledger_holds(life: Life) -> Iterator[str]:
    """P8: the transfers are exactly those that follow from the approved operations, and they sum to zero."""
    booked = {kept.what.id: kept.what for kept in life.transfers if isinstance(kept.what, Transfer)}
    for transfer in _expected_transfers(life.session):
        found = booked.pop(transfer.id, None)
        if found is None:
            yield f"operation {transfer.operation_id} is approved, its transfer {transfer.id} is missing"
        elif found != transfer:
            yield f"transfer {transfer.id} is {_told(found)}, its operation makes it {_told(transfer)}"
    for transfer in booked.values():
        yield f"transfer {transfer.id} of {_told(transfer)} follows from nothing that was approved"
    yield from ledger.flaws(kept.what for kept in life.transfers if isinstance(kept.what, Transfer))


CHECKS: Mapping[Promise, Callable[[Life], Iterator[str]]] = {
    Promise.P1: charged_once,
    Promise.P2: approvals_stand,
    Promise.P3: amounts_hold,
    Promise.P4: decided_once,
    Promise.P8: ledger_holds,
}


def _expected_transfers(session: PaymentSession) -> Iterator[Transfer]:
    undone: set[str | None] = set()
    for operation in session.operations:
        if operation.state is State.APPROVED:
            target = find_operation(session, operation.target_id)
            if operation.kind is Kind.REVERSAL:
                if operation.target_id in undone:
                    continue  # late money that was reversed again: the first reversal moved what there was to move
                undone.add(operation.target_id)
            needs_target = operation.kind in (Kind.CAPTURE, Kind.REVERSAL)
            currency = [p.money.currency for p in session.payments if p.id == operation.payment_id]
            if currency and (target or not needs_target):
                yield from transfers_of(operation, currency=currency[0], target=target)


def find_operation(session: PaymentSession, operation_id: str | None) -> Operation | None:
    """The operation of this id, if the session has it."""
    return next((operation for operation in session.operations if operation.id == operation_id), None)


def _answers(life: Life, operation: Operation) -> Iterator[Mapping[str, Any]]:
    for message in life.messages_of(operation.id, "message_in"):
        fields = message.get("fields")
        if isinstance(fields, dict):
            yield fields


def _is_approval(fields: Mapping[str, Any]) -> bool:
    return isinstance(outcome_of_code(str(fields.get(RESPONSE_CODE, ""))), Approved | PartlyApproved)


def _approves(operation: Operation, fields: Mapping[str, Any]) -> bool:
    """Whether an answer approves this operation, for its own amount."""
    amount = str(fields.get(AMOUNT, operation.amount_minor))
    is_same = amount.isdecimal() and int(amount) == operation.amount_minor
    return is_same and _is_approving_code(operation, str(fields.get(RESPONSE_CODE, "")))


def _is_approving_code(operation: Operation, code: str) -> bool:
    """00; and for a reversal also that there is nothing to reverse."""
    return isinstance(outcome_of_code(code), Approved) or (operation.kind is Kind.REVERSAL and code == NOT_FOUND_CODE)


def _sum(life: Life, payment: Payment, kinds: set[Kind] | frozenset[Kind], states: set[State]) -> int:
    return sum(
        operation.amount_minor
        for operation in life.session.operations
        if operation.payment_id == payment.id and operation.kind in kinds and operation.state in states
    )


def _broken_chain(life: Life, subject: str, start: str, end: str) -> Iterator[str]:
    """Whether the steps of a subject lead from its start, one into the next, to where it stands."""
    at = start
    for past in life.history:
        for step in past.steps:
            if step.subject != subject:
                continue
            if step.before != at:
                yield f"{subject} was {at or 'nothing'} before change {past.change_id} and left {step.before} in it"
            at = step.after
    if at != end:
        yield f"{subject} is {end}, history ends with {at or 'nothing'}"


def _told(transfer: Transfer) -> str:
    return f"{transfer.amount_minor} {transfer.currency} {transfer.phase} {transfer.debit} > {transfer.credit}"
