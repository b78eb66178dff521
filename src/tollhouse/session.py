"""The payment session: what merchant and payer see. Its status is derived, never set (wire-api 8.1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from tollhouse.authentication import Authentication
from tollhouse.money import Money
from tollhouse.operation import CHARGES, STUCK_AFTER_SECONDS, Kind, Operation, State
from tollhouse.outcome import Reason
from tollhouse.payment import Details, PayingCard, Payment, Phase

UNSTARTED_SECONDS_MAX = 30 * 24 * 3600
GIVEN_CARD_SECONDS_MAX = 24 * 3600
DECISION_SECONDS_MAX = 240 * 60


class Status(StrEnum):
    """A session's status on the wire."""

    CREATED = "created"
    IN_PROGRESS = "in_progress"
    ACCEPTED = "accepted"
    CANCELLED = "cancelled"
    ERROR = "error"


class RefundStatus(StrEnum):
    """A refund's status on the wire (wire-api 8.4)."""

    IN_PROGRESS = "in_progress"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a merchant gave for a payment so far, at create or at start; a later member replaces the earlier whole."""

    money: Money | None = None
    card: PayingCard | None = None
    sealed_cvv: str | None = None
    card_given_at: datetime | None = None
    details: Details = field(default_factory=Details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Which node works on the session, and until when on the database's clock."""

    owner: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSession:
    """One session with everything in it. `version` counts its committed changes."""

    project: str
    id: str
    version: int
    api_version: int
    webhook_version: int | None = None  # pinned by the project when the session was created
    created_at: datetime
    updated_at: datetime
    offer: Offer = Offer()
    payments: tuple[Payment, ...] = ()
    operations: tuple[Operation, ...] = ()
    authentications: tuple[Authentication, ...] = ()
    events_count: int = 0
    dropped: Reason | None = None  # ended before any payment started
    finished_at: datetime | None = None
    lease_owner: str | None = None

    @property
    def status(self) -> Status:
        if self.dropped is not None:
            return Status.CANCELLED
        if not self.payments:
            return Status.CREATED
        if any(operation.is_stuck and self.is_open(operation) for operation in self.operations):
            return Status.ERROR
        if not all(payment.is_final for payment in self.payments) or any(
            operation.kind is Kind.REFUND and not operation.is_final for operation in self.operations
        ):
            return Status.IN_PROGRESS
        succeeded = any(payment.phase is Phase.SUCCEEDED for payment in self.payments)
        return Status.ACCEPTED if succeeded else Status.CANCELLED

    @property
    def next_action(self) -> str | None:
        open_payments = [payment for payment in self.payments if not payment.is_final]
        if open_payments and all(payment.phase is Phase.AWAIT_CONFIRM for payment in open_payments):
            return "confirm"
        if any(payment.phase is Phase.HELD for payment in open_payments):
            return "capture"
        return None

    @property
    def reason(self) -> Reason | None:
        """Why the session is cancelled or needs a person; None otherwise."""
        match self.status:
            case Status.CANCELLED:
                failed = [payment.reason for payment in self.payments if payment.reason is not None]
                return self.dropped or failed[-1]
            case Status.ERROR:
                return Reason.ACQUIRER_TIMEOUT
            case _:
                return None

    def is_open(self, operation: Operation) -> bool:
        """Whether something the merchant sees waits for this operation (a reversal: for what it undoes)."""
        if operation.kind is Kind.REVERSAL:
            target = self.target_of(operation)
            return target.state is State.REVERSING or not self.payment(operation.payment_id).is_final
        return not operation.is_final

    def payment(self, payment_id: str) -> Payment:
        return next(payment for payment in self.payments if payment.id == payment_id)

    def operation(self, operation_id: str) -> Operation:
        return next(operation for operation in self.operations if operation.id == operation_id)

    def target_of(self, operation: Operation) -> Operation:
        """What a capture, refund or reversal acts on."""
        assert operation.target_id is not None
        return self.operation(operation.target_id)

    def charge_of(self, payment_id: str) -> Operation | None:
        """The payment's live or successful sale or authorization: at most one."""
        live = [
            operation
            for operation in self.operations
            if operation.payment_id == payment_id
            and operation.kind in CHARGES
            and operation.state not in (State.DECLINED, State.REVERSED)
        ]
        assert len(live) <= 1, "two live authorizations of one payment"
        return live[0] if live else None

    def refunds_of(self, payment_id: str) -> tuple[Operation, ...]:
        return tuple(o for o in self.operations if o.kind is Kind.REFUND and o.payment_id == payment_id)

    def reversal_of(self, operation_id: str) -> Operation | None:
        """The reversal still at work on this operation, if any."""
        return next(
            (
                operation
                for operation in self.operations
                if operation.kind is Kind.REVERSAL and operation.target_id == operation_id and not operation.is_final
            ),
            None,
        )

    def is_undone(self, operation_id: str) -> bool:
        """Whether the acquirer has acknowledged a reversal of this operation."""
        reversals = (o for o in self.operations if o.kind is Kind.REVERSAL and o.target_id == operation_id)
        return any(reversal.state is State.APPROVED for reversal in reversals)

    def authentication(self, authentication_id: str) -> Authentication:
        return next(one for one in self.authentications if one.id == authentication_id)

    def authentications_of(self, payment_id: str) -> tuple[Authentication, ...]:
        """Every attempt for this payment, oldest first, an open one last whatever the clocks said when they began."""
        found = (one for one in self.authentications if one.payment_id == payment_id)
        return tuple(sorted(found, key=lambda one: not one.is_final))

    def with_authentication(self, authentication: Authentication) -> PaymentSession:
        kept = tuple(authentication if old.id == authentication.id else old for old in self.authentications)
        known = any(old.id == authentication.id for old in self.authentications)
        return replace(self, authentications=kept if known else (*self.authentications, authentication))

    def with_payment(self, payment: Payment) -> PaymentSession:
        kept = tuple(payment if old.id == payment.id else old for old in self.payments)
        known = any(old.id == payment.id for old in self.payments)
        return replace(self, payments=kept if known else (*self.payments, payment))

    def with_operation(self, operation: Operation) -> PaymentSession:
        kept = tuple(operation if old.id == operation.id else old for old in self.operations)
        known = any(old.id == operation.id for old in self.operations)
        return replace(self, operations=kept if known else (*self.operations, operation))

    @property
    def due_at(self) -> datetime | None:
        """When the session next needs somebody: the earliest of its timers and attempts."""
        times: list[datetime] = []
        if self.status is Status.CREATED:
            times.append(self.created_at + timedelta(seconds=UNSTARTED_SECONDS_MAX))
            if self.offer.card_given_at is not None:
                times.append(self.offer.card_given_at + timedelta(seconds=GIVEN_CARD_SECONDS_MAX))
        for payment in self.payments:
            deadlines = (payment.decision_deadline_at, payment.action_deadline_at, payment.hold_deadline_at)
            times += [at for at in deadlines if at is not None and not payment.is_final]
        times += [one.answer_due_at for one in self.authentications if one.answer_due_at is not None]
        times += [o.next_attempt_at for o in self.operations if o.next_attempt_at is not None]
        times += [
            o.unclear_since + timedelta(seconds=STUCK_AFTER_SECONDS)
            for o in self.operations
            if o.unclear_since is not None and not o.is_final and not o.is_stuck
        ]
        return min(times, default=None)


def refund_status(refund: Operation) -> RefundStatus:
    """The wire's word for a refund operation."""
    assert refund.kind is Kind.REFUND
    match refund.state:
        case State.APPROVED:
            return RefundStatus.ACCEPTED
        case State.DECLINED | State.REVERSED:
            return RefundStatus.DECLINED
        case State.PLANNED | State.SUBMITTED | State.REVERSING:
            return RefundStatus.ERROR if refund.is_stuck else RefundStatus.IN_PROGRESS
