"""What follows when an operation leaves and when its acquirer is heard (money-safety 2, wire-api 8.2).

Every rule may be called again with the same news: what is known already changes nothing and announces nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tollhouse import authenticating
from tollhouse.authentication import Wish
from tollhouse.change import Change
from tollhouse.draft import Draft, Ids
from tollhouse.event import EventType
from tollhouse.operation import (
    CHARGES,
    INSISTENT,
    NOT_SENT_GAP_SECONDS,
    NOT_SENT_SECONDS_MAX,
    SEND_SECONDS_MAX,
    Heard,
    Kind,
    Limits,
    Operation,
    References,
    State,
    hear,
    heard_of,
    is_in_flight,
    is_overdue,
    leave,
    next_gap_seconds,
    not_sent_gap_seconds,
)
from tollhouse.outcome import Approved, Declined, Outcome, Reason, Unknown
from tollhouse.payment import Payment, Phase, Told, may_tell
from tollhouse.session import PaymentSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """This operation is to be sent now, for the first time or (insistent ones) again."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludeSilence:
    """The answer limit of this operation has passed and nobody waits for it any more."""

    operation_id: str


def next_step(session: PaymentSession, now: datetime) -> Send | ConcludeSilence | None:
    """What is to be done for the session's operations at `now`, sending first; None when nothing is due."""
    for operation in session.operations:
        is_due = operation.next_attempt_at is not None and operation.next_attempt_at <= now
        if is_due and (operation.state is State.PLANNED or operation.kind in INSISTENT):
            return Send(operation_id=operation.id)
    return find_silence(session, now)


def find_silence(session: PaymentSession, now: datetime) -> ConcludeSilence | None:
    """An operation that was sent once and whose answer is overdue.

    Only who has taken the session over may conclude it: then its lease has run out on the database's clock, so that
    nobody waits for the answer any more, whatever the nodes' own clocks say.
    """
    for operation in session.operations:
        is_due = operation.next_attempt_at is not None and operation.next_attempt_at <= now
        if is_due and operation.state is State.SUBMITTED and operation.kind not in INSISTENT:
            return ConcludeSilence(operation_id=operation.id)
    return None


def submit(
    session: PaymentSession, operation_id: str, references: References, *, now: datetime, ids: Ids, limits: Limits
) -> Change:
    """*Submitted*, to be committed before the first byte leaves. The sealed security code goes with this change."""
    draft = Draft(session, now=now, ids=ids)
    operation = session.operation(operation_id)
    if operation.kind is Kind.REVERSAL:
        named = session.target_of(operation).references
        assert named is not None, "what never left needs no reversal"
        references = replace(references, rrn=named.rrn, terminal=named.terminal)
    draft.operation(leave(operation, references, now, limits), Heard.LEAVING)
    if operation.kind in CHARGES:
        payment = draft.tell(operation.payment_id, Told.LEAVING)
        draft.payment(replace(payment, sealed_cvv=None))
    return draft.change()


def hear_not_sent(
    session: PaymentSession, operation_id: str, *, sealed_cvv: str | None, now: datetime, ids: Ids
) -> Change | None:
    """Nothing was written, for certain: back to *planned* for 30 seconds, then given up; insistent ones try later."""
    operation = session.operation(operation_id)
    if operation.state is not State.SUBMITTED:
        return None
    draft = Draft(session, now=now, ids=ids)
    refused_since = operation.unclear_since or now
    if operation.kind in INSISTENT:
        # What was never written was no attempt: the first message on the wire is no repetition.
        gap = timedelta(seconds=not_sent_gap_seconds(now - refused_since))
        heard = replace(hear(operation, Heard.NOT_SENT, None, now), attempts=operation.attempts - 1)
        draft.operation(replace(heard, next_attempt_at=now + gap), Heard.NOT_SENT)
        return draft.change()
    again_at = now + timedelta(seconds=NOT_SENT_GAP_SECONDS)
    planned = replace(hear(operation, Heard.NOT_SENT, None, now), next_attempt_at=again_at, unclear_since=refused_since)
    draft.operation(planned, Heard.NOT_SENT)
    gives_up = now >= refused_since + timedelta(seconds=NOT_SENT_SECONDS_MAX)
    if operation.kind in CHARGES:
        payment = draft.tell(operation.payment_id, Told.NOT_SENT)
        draft.payment(replace(payment, sealed_cvv=None if gives_up else sealed_cvv))
    if gives_up:
        draft.erase_cvv(sealed_cvv)
        _give_up(draft, planned, Reason.ACQUIRER_INTERNAL)
    return draft.change()


def hear_cvv_gone(session: PaymentSession, operation_id: str, *, now: datetime, ids: Ids) -> Change | None:
    """Nothing was written, and waiting brings no security code back: the route does not take this payment."""
    operation = session.operation(operation_id)
    if operation.state is not State.SUBMITTED:
        return None
    draft = Draft(session, now=now, ids=ids)
    planned = draft.operation(hear(operation, Heard.NOT_SENT, None, now), Heard.NOT_SENT)
    draft.tell(operation.payment_id, Told.NOT_SENT)
    _give_up(draft, planned, Reason.ROUTING)
    return draft.change()


def _give_up(draft: Draft, planned: Operation, reason: Reason) -> None:
    given_up = replace(hear(planned, Heard.GIVEN_UP, None, draft.now), reason=reason)
    draft.operation(given_up, Heard.GIVEN_UP)
    _fail(draft, given_up, Told.GIVEN_UP)


def hear_outcome(
    session: PaymentSession, operation_id: str, outcome: Outcome, *, now: datetime, ids: Ids, limits: Limits
) -> Change | None:
    """What an acquirer's answer, or its absence, makes of an operation and all that hangs on it.

    None when nothing changes. A final state never changes: what contradicts it raises an alarm and is undone (P7).
    """
    draft = Draft(session, now=now, ids=ids)
    operation = session.operation(operation_id)
    match operation.kind:
        case Kind.SALE | Kind.AUTHORIZATION | Kind.REFUND:
            return _hear_undoable(draft, operation, outcome)
        case Kind.CAPTURE:
            return _hear_capture(draft, operation, outcome)
        case Kind.REVERSAL:
            return _hear_reversal(draft, operation, outcome, limits)


def _hear_undoable(draft: Draft, operation: Operation, outcome: Outcome) -> Change | None:
    heard = heard_of(outcome)
    after = hear(operation, heard, outcome, draft.now)
    if after.state is operation.state:
        return _contradiction(draft, operation, heard)
    draft.operation(after, heard)
    match after.state:
        case State.APPROVED:
            draft.post(after)
            _succeed(draft, after)
        case State.DECLINED:
            if isinstance(outcome, Declined) and operation.kind in CHARGES and _steps_up(draft, operation, outcome):
                return draft.change()
            _fail(draft, after, Told.DECLINED)
        case State.REVERSING:
            payment = draft.session.payment(operation.payment_id)
            if operation.kind in CHARGES:
                if operation.state is State.PLANNED:  # it had left after all
                    draft.erase_cvv(payment.sealed_cvv)
                    draft.payment(replace(payment, sealed_cvv=None))
                    draft.tell(payment.id, Told.LEAVING)
                payment = draft.tell(payment.id, Told.SILENCE)
            draft.plan(Kind.REVERSAL, payment, operation.amount_minor, target=after)
        case State.PLANNED | State.SUBMITTED | State.REVERSED:
            raise AssertionError(f"{operation.kind} cannot become {after.state} by an answer")
    return draft.change()


def _steps_up(draft: Draft, operation: Operation, outcome: Declined) -> bool:
    """A soft decline is final for its operation; the payment goes on with the payer's authentication (P24)."""
    if not authenticating.may_step_up(draft.session, operation, outcome):
        return False
    payment = draft.session.payment(operation.payment_id)
    authenticating.begin(draft, payment, Told.STEP_UP, Wish.MANDATE)
    return True


def _contradiction(draft: Draft, operation: Operation, heard: Heard) -> Change | None:
    """An answer that does not move the operation: nothing, unless it says the contrary of what stands."""
    approvals = (Heard.APPROVAL, Heard.PARTIAL_APPROVAL)
    match operation.state:
        case State.REVERSING if heard in approvals:
            draft.alarm(operation.id, "approved after its reversal had begun; the reversal goes on")
        case State.DECLINED | State.REVERSED if heard in approvals:
            draft.alarm(operation.id, f"approved after it was {operation.state}; it is reversed (again)")
            _reverse_again(draft, operation)
        case State.APPROVED if heard in approvals and draft.session.is_undone(operation.id):
            draft.alarm(operation.id, "approved again after its hold was released; it is reversed again")
            _reverse_again(draft, operation)
        case State.APPROVED if heard is Heard.DECLINE:
            draft.alarm(operation.id, "declined after it was approved; compare with the acquirer's books")
        case _:
            return None
    return draft.change()


def _reverse_again(draft: Draft, operation: Operation) -> None:
    if draft.session.reversal_of(operation.id) is None:
        payment = draft.session.payment(operation.payment_id)
        draft.plan(Kind.REVERSAL, payment, operation.amount_minor, target=operation)


def _succeed(draft: Draft, operation: Operation) -> None:
    payment = draft.session.payment(operation.payment_id)
    assert operation.references is not None
    match operation.kind:
        case Kind.SALE | Kind.AUTHORIZATION:
            known = replace(
                payment,
                held_minor=operation.amount_minor,
                rrn=operation.references.rrn,
                approval_code=operation.approval_code,
            )
            if operation.kind is Kind.SALE:
                draft.payment(replace(known, captured_minor=operation.amount_minor))
                draft.tell(payment.id, Told.CHARGED)
                draft.announce(EventType.PAYMENT_FINISHED)
            else:
                deadline = draft.now + timedelta(seconds=payment.hold_seconds)
                draft.payment(replace(known, hold_deadline_at=deadline))
                draft.tell(payment.id, Told.HELD)
                draft.announce(EventType.READY_TO_CAPTURE)
        case Kind.REFUND:
            draft.announce(EventType.PAYMENT_REFUNDED)
        case Kind.CAPTURE:
            draft.payment(replace(payment, captured_minor=operation.amount_minor))
            draft.tell(payment.id, Told.CAPTURED)
            draft.announce(EventType.PAYMENT_FINISHED)
        case Kind.REVERSAL:
            raise AssertionError("a reversal does not succeed for the payer")


def _fail(draft: Draft, operation: Operation, told: Told) -> None:
    """A charge or refund that came to nothing: the payment fails, or the refund is given up."""
    payment = draft.session.payment(operation.payment_id)
    if operation.kind is Kind.REFUND:
        draft.payment(replace(payment, refunded_minor=payment.refunded_minor - operation.amount_minor))
        draft.announce(EventType.PAYMENT_REFUNDED)
        return
    draft.tell(payment.id, told, reason=operation.reason)
    draft.announce(EventType.PAYMENT_FINISHED)


def _hear_capture(draft: Draft, operation: Operation, outcome: Outcome) -> Change | None:
    heard = heard_of(outcome)
    after = hear(operation, heard, outcome, draft.now)
    if operation.is_final:
        return _contradiction(draft, operation, heard)
    if after.state is State.SUBMITTED:
        payment = draft.session.payment(operation.payment_id)
        if payment.phase is Phase.CAPTURING:
            draft.tell(payment.id, Told.SILENCE)
        _schedule(draft, after)
        return draft.change()
    draft.operation(after, heard)
    if after.state is State.APPROVED:
        draft.post(after)
        _succeed(draft, after)
    else:
        draft.tell(operation.payment_id, Told.CAPTURE_REFUSED, reason=after.reason)
        draft.announce(EventType.PAYMENT_FINISHED)
        charge = draft.session.target_of(after)
        payment = draft.session.payment(operation.payment_id)
        draft.plan(Kind.REVERSAL, payment, charge.amount_minor, target=charge)
    return draft.change()


def _hear_reversal(draft: Draft, operation: Operation, outcome: Outcome, limits: Limits) -> Change | None:
    target = draft.session.target_of(operation)
    if operation.is_final:
        return None
    if isinstance(outcome, Unknown) and outcome.is_not_found:
        if not _left_late_enough(operation, target, limits):
            return _reverse_anew(draft, operation, target, outcome, limits)
        if target.state is State.APPROVED:
            draft.alarm(target.id, "the acquirer does not know an authorization it had approved")
        outcome = Approved(response_code=outcome.response_code or "")
    heard = heard_of(outcome)
    after = hear(operation, heard, outcome, draft.now)
    payment = draft.session.payment(operation.payment_id)
    if after.state is State.SUBMITTED:
        if payment.phase is Phase.CANCELLING:
            draft.tell(payment.id, Told.SILENCE)
        _schedule(draft, after)
        return draft.change()
    if not draft.session.is_undone(target.id):  # given back once in our books, however often at the acquirer
        draft.post(after)
    draft.operation(after, heard)
    _undone(draft, target, payment)
    return draft.change()


def _left_late_enough(reversal: Operation, target: Operation, limits: Limits) -> bool:
    """Whether "never heard of it" is proof: when the reversal first left, its target was no longer on its way.

    When the answer is heard proves nothing: it may be an old one, or this process may have slept.
    """
    assert reversal.submitted_at is not None
    return not is_in_flight(target, reversal.submitted_at - timedelta(seconds=SEND_SECONDS_MAX), limits)


def _reverse_anew(draft: Draft, reversal: Operation, target: Operation, outcome: Outcome, limits: Limits) -> Change:
    """This reversal came too early. Another, under references of its own, leaves when the target must have landed."""
    assert target.submitted_at is not None
    draft.operation(hear(reversal, Heard.DECLINE, outcome, draft.now), Heard.DECLINE)
    payment = draft.session.payment(reversal.payment_id)
    another = draft.plan(Kind.REVERSAL, payment, reversal.amount_minor, target=target)
    landed_at = target.submitted_at + timedelta(seconds=SEND_SECONDS_MAX + limits.in_flight_seconds)
    draft.operation(replace(another, next_attempt_at=max(draft.now, landed_at)), "planned")
    return draft.change()


def _undone(draft: Draft, target: Operation, payment: Payment) -> None:
    """What a reversal has undone: the unclear charge or refund fails, a released hold ends its payment."""
    undone = draft.operation(hear(target, Heard.UNDONE, None, draft.now), Heard.UNDONE)
    if target.state is State.REVERSING:
        _fail(draft, undone, Told.UNDONE)
    elif target.state is State.APPROVED and may_tell(payment, Told.RELEASED):
        draft.tell(payment.id, Told.RELEASED, reason=payment.reason)
        draft.announce(EventType.PAYMENT_FINISHED)


def _schedule(draft: Draft, operation: Operation) -> None:
    """When an insistent operation is repeated."""
    gap = timedelta(seconds=next_gap_seconds(operation.attempts))
    draft.operation(replace(operation, next_attempt_at=draft.now + gap), Heard.SILENCE)


def give_to_person(session: PaymentSession, *, now: datetime, ids: Ids) -> Change | None:
    """Operations unclear for a day go before a person, with an alarm; work on them goes on (P6, P13)."""
    overdue = [o for o in session.operations if not o.is_final and is_overdue(o, now)]
    if not overdue:
        return None
    draft = Draft(session, now=now, ids=ids)
    for operation in overdue:
        draft.operation(replace(operation, is_stuck=True), "overdue")
        draft.alarm(operation.id, f"{operation.kind} has no clear outcome for a day: settle it with the acquirer")
    return draft.change()
