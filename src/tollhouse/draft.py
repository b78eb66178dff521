"""A change being drafted: rules write down step by step what becomes true, then take the whole as one `Change`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from tollhouse.authentication import Authentication
from tollhouse.authentication import State as AuthenticationState
from tollhouse.bookkeeping import transfers_of
from tollhouse.change import Alarm, Change, Step
from tollhouse.event import Event, EventType
from tollhouse.ledger import Transfer
from tollhouse.operation import UNDOABLE, Heard, Kind, Operation, State
from tollhouse.outcome import Reason
from tollhouse.payment import Payment, Told, tell
from tollhouse.session import PaymentSession, Status


class Ids(Protocol):
    """Where new ids come from: unique for ever."""

    def new(self, prefix: str) -> str:
        """In the shape of wire-api section 1: `pm_` and digits."""

    def secret(self) -> str:
        """128 random bits as 22 characters of a URL."""

    def uuid(self) -> str:
        """A random UUID, as 3-D Secure wants its ids."""

    def token(self) -> str:
        """256 random bits as 64 hexadecimal digits, as the wire wants its tokens."""


class Draft:
    """Collects one change to one session. Pure: ids come in, nothing goes out but the `Change`."""

    def __init__(self, session: PaymentSession, *, now: datetime, ids: Ids) -> None:
        self.before = session
        self.session = replace(session, version=session.version + 1, updated_at=now)
        self.now = now
        self.ids = ids
        self._payment_ids: set[str] = set()
        self._operation_ids: set[str] = set()
        self._authentication_ids: set[str] = set()
        self._steps: list[Step] = []
        self._transfers: list[Transfer] = []
        self._events: list[Event] = []
        self._alarms: list[Alarm] = []
        self._erased_cvvs: list[str] = []
        self._leaves = False

    def payment(self, payment: Payment) -> Payment:
        """Put a payment as it becomes."""
        self.session = self.session.with_payment(payment)
        self._payment_ids.add(payment.id)
        return payment

    def tell(self, payment_id: str, told: Told, *, reason: Reason | None = None) -> Payment:
        """Move a payment's phase by the table, and remember the step."""
        before = self.session.payment(payment_id)
        after = self.payment(tell(before, told, self.now, reason=reason))
        self._steps.append(Step(subject=payment_id, before=before.phase, heard=told, after=after.phase))
        return after

    def operation(self, operation: Operation, heard: str) -> Operation:
        """Put an operation as it becomes; a new one or one that moved leaves a step."""
        known = [old for old in self.session.operations if old.id == operation.id]
        before = known[0].state if known else ""
        if before != operation.state:
            self._steps.append(Step(subject=operation.id, before=before, heard=heard, after=operation.state))
        self._leaves = self._leaves or heard == Heard.LEAVING
        self.session = self.session.with_operation(operation)
        self._operation_ids.add(operation.id)
        return operation

    def authentication(self, authentication: Authentication, heard: str) -> Authentication:
        """Put an authentication as it becomes; a new one or one that moved leaves a step."""
        known = [old for old in self.session.authentications if old.id == authentication.id]
        before = known[0].state if known else ""
        if before != authentication.state:
            subject = authentication.id
            self._steps.append(Step(subject=subject, before=before, heard=heard, after=authentication.state))
        self.session = self.session.with_authentication(authentication)
        self._authentication_ids.add(authentication.id)
        return authentication

    def plan(self, kind: Kind, payment: Payment, amount_minor: int, *, target: Operation | None = None) -> Operation:
        """Write down a new operation, to be sent at once."""
        operation = Operation(
            id=self.ids.new("rf" if kind is Kind.REFUND else "op"),
            kind=kind,
            payment_id=payment.id,
            amount_minor=amount_minor,
            planned_at=self.now,
            next_attempt_at=self.now,
            target_id=target.id if target else None,
            state=State.PLANNED,
        )
        return self.operation(operation, "planned")

    def post(self, operation: Operation) -> None:
        """Book the transfers that follow from an operation just approved."""
        target = self.session.target_of(operation) if operation.target_id else None
        currency = self.session.payment(operation.payment_id).money.currency
        self._transfers += transfers_of(operation, currency=currency, target=target)

    def announce(self, type: EventType) -> None:
        """Add an event with the session as it is at this point of the draft."""
        self.session = replace(self.session, events_count=self.session.events_count + 1)
        self._events.append(
            Event(
                id=self.ids.new("evt"),
                type=type,
                sequence=self.session.events_count,
                session=self.seen(),
                created_at=self.now,
            )
        )

    def alarm(self, subject: str, what: str) -> None:
        """Tell a person."""
        self._alarms.append(Alarm(subject=subject, what=what))

    def erase_cvv(self, sealed: str | None) -> None:
        """The security code's key goes once this change is committed."""
        if sealed is not None:
            self._erased_cvvs.append(sealed)

    def step(self, subject: str, before: str, heard: str, after: str) -> None:
        """Remember a transition of the session itself."""
        self._steps.append(Step(subject=subject, before=before, heard=heard, after=after))

    def seen(self) -> PaymentSession:
        """The session as somebody sees it now, with its end dated."""
        ended = self.session.status in (Status.ACCEPTED, Status.CANCELLED)
        unmoved = self.before.status is self.session.status and self.before.finished_at is not None
        finished_at = (self.before.finished_at if unmoved else self.now) if ended else None
        return replace(self.session, finished_at=finished_at)

    def change(self, *, answer: PaymentSession | None = None) -> Change:
        """The whole draft as one decision."""
        session = self.seen()
        due_now = any(
            operation.state is State.PLANNED
            and operation.next_attempt_at is not None
            and operation.next_attempt_at <= self.now
            for operation in session.operations
        )
        # The lease keeps everybody else from concluding that an answer somebody waits for will not come.
        awaited = any(o.state is State.SUBMITTED and o.kind in UNDOABLE for o in session.operations) or any(
            one.state is AuthenticationState.ASKED for one in session.authentications
        )
        return Change(
            id=self.ids.new("ch"),
            at=self.now,
            session=session,
            answer=answer or session,
            payment_ids=frozenset(self._payment_ids),
            operation_ids=frozenset(self._operation_ids),
            authentication_ids=frozenset(self._authentication_ids),
            steps=tuple(self._steps),
            transfers=tuple(self._transfers),
            events=tuple(self._events),
            alarms=tuple(self._alarms),
            erased_cvvs=tuple(self._erased_cvvs),
            goes_on=self._leaves or due_now or awaited,
        )
