"""Promises checked on what the rows tell, after the fact and by nobody's word: P1 to P5 and P8 of money-safety,
and that no charge went out without what 3-D Secure demands of it.

Each check takes one session's life and yields a sentence for every violation it finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tollhouse import ledger
from tollhouse.authentication import Authentication, TransStatus, Wish
from tollhouse.authentication import State as Standing
from tollhouse.bookkeeping import transfers_of
from tollhouse.change import Step
from tollhouse.ledger import Transfer
from tollhouse.life import Life
from tollhouse.operation import CHARGES, Kind, Operation, State
from tollhouse.outcome import NOT_FOUND_CODE, Approved, PartlyApproved, outcome_of_code
from tollhouse.payment import Decision, Payment, Phase, Told
from tollhouse.session import PaymentSession
from tollhouse.verdict import Ending, Policy, Verdict, ending_of, proof_of, verdict_of

RESPONSE_CODE, AMOUNT = "39", "4"  # fields of the acquirer's messages


class Promise(StrEnum):
    """What can be proved from rows."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
    P5 = "P5"
    P8 = "P8"
    THREEDS = "3DS"


STATEMENTS: dict[Promise, str] = {
    Promise.P1: "a payment is charged at most once",
    Promise.P2: "what we say was approved, the acquirer approved",
    Promise.P3: "captured <= authorized, refunded <= captured",
    Promise.P4: "confirm, cancel and deadline are one decision",
    Promise.P5: "an idempotency key makes at most one operation",
    Promise.P8: "the ledger sums to zero, and every transfer has its operation",
    Promise.THREEDS: "a charge has an authentication that permits it, or needs none",
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


def authenticated(life: Life) -> Iterator[str]:
    """3-D Secure: each charge is permitted by the attempts before it, and uses up none that another charge used."""
    session = life.session
    for payment in session.payments:
        charges = [o for o in session.operations if o.payment_id == payment.id and o.kind in CHARGES]
        for number, charge in enumerate(charges):
            name = f"{charge.kind} {charge.id}"
            attempts = _attempts_before(life, charge)
            for attempt, _ in attempts:
                if attempt.result is not None and attempt.result.status in _FORBIDDING:
                    yield f"{name} followed authentication {attempt.id}, which ended with {attempt.result.status}"
            if charge.authentication_id is not None:
                yield from _proof_flaws(charge, name, payment, attempts)
            elif number:
                yield f"{name} is a second charge and names no authentication"
            elif attempts:
                yield from _silence_flaws(name, payment, attempts)
            elif not _needs_none(payment, charge):
                yield f"{name} went out without authentication, its payment is to be authenticated"
            if charge.exemption not in (None, payment.exemption) or (charge.exemption and attempts):
                yield f"{name} claims exemption {charge.exemption}, which it may not"
    uses = Counter(o.authentication_id for o in session.operations if o.authentication_id is not None)
    for authentication_id, count in uses.items():
        if count > 1:
            yield f"authentication {authentication_id} is used by {count} operations"
    for one in session.authentications:
        yield from _broken_chain(life, one.id, "", one.state)


_FORBIDDING = (TransStatus.NOT_AUTHENTICATED, TransStatus.REJECTED)
_ASKED_FOR = (Standing.CHALLENGED, Standing.DECOUPLED)
_Attempt = tuple[Authentication, Step]  # with the last it heard


def _attempts_before(life: Life, charge: Operation) -> list[_Attempt]:
    """The payment's attempts when the charge was planned, oldest first: history's order, whatever the clocks said."""
    known = {one.id: one for one in life.session.authentications_of(charge.payment_id)}
    heard: dict[str, Step] = {}
    for step in (step for past in life.history for step in past.steps):
        if step.subject == charge.id:
            break
        if step.subject in known:
            heard[step.subject] = step
    return [(known[id], step) for id, step in heard.items()]


def _proof_flaws(charge: Operation, name: str, payment: Payment, attempts: list[_Attempt]) -> Iterator[str]:
    """What is wrong with the authentication that a charge uses up."""
    found = [(attempt, step) for attempt, step in attempts if attempt.id == charge.authentication_id]
    if not found:
        yield f"{name} names authentication {charge.authentication_id}, which its payment did not have by then"
        return
    ((attempt, step),) = found
    result = attempt.result
    if step.after != Standing.FINISHED or result is None or result.status in _UNDECIDED:
        yield f"{name} names authentication {attempt.id}, which was {step.after} by then"
        return
    is_good = result.status in (TransStatus.AUTHENTICATED, TransStatus.ATTEMPTED)
    is_hollow = is_good and proof_of(attempt, payment.card.brand).value is None
    ending = Ending.UNAVAILABLE if is_hollow else ending_of(result.status)
    is_mandated = _is_mandated(attempts)
    if verdict_of(payment.threeds, ending, is_mandated=is_mandated) is Verdict.FAIL:
        what = f"{result.status} without a value" if is_hollow else result.status
        asked = ", and the issuer had asked for the payer" if is_mandated else ""
        yield f"{name} uses authentication {attempt.id}, which ended with {what}: threeds is {payment.threeds}{asked}"


_UNDECIDED = (TransStatus.CHALLENGE, TransStatus.DECOUPLED)


def _is_mandated(attempts: list[_Attempt]) -> bool:
    """Whether the issuer asked for the payer: by a soft decline, or by a challenge, be it one that was left."""
    return any(
        attempt.wish is Wish.MANDATE
        or step.before in _ASKED_FOR
        or (step.after == Standing.LAPSED and attempt.acs_transaction_id is not None)
        for attempt, step in attempts
    )


def _silence_flaws(name: str, payment: Payment, attempts: list[_Attempt]) -> Iterator[str]:
    """What is wrong with a charge that names no authentication though one was begun: only silence permits that."""
    _, step = attempts[-1]
    is_mandated = _is_mandated(attempts)
    permits = verdict_of(payment.threeds, Ending.NO_ANSWER, is_mandated=is_mandated) is not Verdict.FAIL
    if (step.before, step.after) != (Standing.ASKED, Standing.LAPSED) or not permits:
        yield f"{name} names no authentication, the last before it was {step.before}, then {step.after}"


def _needs_none(payment: Payment, charge: Operation) -> bool:
    """Whether a payment goes without: the project never asks, nobody can be asked, or an exemption is claimed."""
    is_exempt = payment.threeds is Policy.AUTO and charge.exemption is not None
    return payment.threeds is Policy.NEVER or payment.card.enrolment is None or is_exempt


CHECKS: Mapping[Promise, Callable[[Life], Iterator[str]]] = {
    Promise.P1: charged_once,
    Promise.P2: approvals_stand,
    Promise.P3: amounts_hold,
    Promise.P4: decided_once,
    Promise.P8: ledger_holds,
    Promise.THREEDS: authenticated,
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
