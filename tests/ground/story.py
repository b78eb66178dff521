"""A session told step by step: the rules applied to it, and the promises checked after each of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tollhouse import decision, hearing, ledger
from tollhouse.card import Expiry
from tollhouse.change import Alarm, Change
from tollhouse.event import Event, EventType
from tollhouse.ledger import Account, Transfer, TransferPhase
from tollhouse.merchant import CaptureMode, Project, Settings
from tollhouse.money import Money
from tollhouse.operation import CHARGES, INSISTENT, Kind, Limits, Operation, References, State
from tollhouse.outcome import Outcome, Unknown, outcome_of_code, outcome_of_reversal
from tollhouse.payment import Details, PayingCard, Payment, Phase
from tollhouse.session import Offer, PaymentSession, Status

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits(answer_seconds=15, in_flight_seconds=60)
CARD = PayingCard(token="ct_1", bin="424242", last4="4242", brand="visa", expiry=Expiry(2031, 8))
SEALED_CVV = "sealed-1"
ONE_STAGE, TWO_STAGE = Settings(), Settings(capture_mode=CaptureMode.TWO_STAGE)
OFFER = Offer(
    money=Money(2_590, "eur"),
    card=CARD,
    sealed_cvv=SEALED_CVV,
    card_given_at=NOON,
    details=Details(customer={"reference": "u-1"}),
)


class Counted:
    """Ids in order: `pm_1`, `op_2`, `evt_3`."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        """The next one."""
        self.count += 1
        return f"{prefix}_{self.count}"


@dataclass
class Story:
    """Begins with a created session, or with a started one. `take` is where the promises are checked."""

    settings: Settings = ONE_STAGE
    now: datetime = NOON
    ids: Counted = field(default_factory=Counted)
    transfers: list[Transfer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    names: int = 0

    def __post_init__(self) -> None:
        self.project = Project(name="shop", settings=self.settings)
        self.session = decision.open_session(project="shop", id="ps_1", api_version=2, now=self.now)

    # --- what a merchant says -------------------------------------------------------------------------------------

    def create(self, offer: Offer = OFFER) -> Story:
        """Create the session with what the merchant gives already."""
        self.take(decision.create_session(self.session, offer, now=self.now, ids=self.ids))
        return self

    def start(self, offer: Offer = OFFER) -> Story:
        """Start the payment."""
        self.take(decision.start_payment(self.session, offer, self.project, now=self.now, ids=self.ids))
        return self

    def confirm(self) -> Story:
        """Confirm."""
        self.take(decision.confirm(self.session, now=self.now, ids=self.ids))
        return self

    def cancel(self) -> Story:
        """Cancel."""
        self.take(decision.cancel(self.session, now=self.now, ids=self.ids))
        return self

    def capture(self, minor: int | None = None) -> Story:
        """Capture all, or so much."""
        self.take(decision.capture(self.session, self.money(minor), now=self.now, ids=self.ids))
        return self

    def refund(self, minor: int | None = None) -> Story:
        """Refund what is left, or so much."""
        self.take(
            decision.refund(
                self.session,
                self.money(minor),
                self.project,
                payment_id=None,
                metadata=None,
                now=self.now,
                ids=self.ids,
            )
        )
        return self

    @staticmethod
    def money(minor: int | None) -> Money | None:
        """So much in the payment's currency."""
        return None if minor is None else Money(minor, "eur")

    # --- what happens on the wire ---------------------------------------------------------------------------------

    def send(self, kind: Kind | None = None) -> Operation:
        """Submit the due operation (of this kind) and return it as it left."""
        due = [
            operation
            for operation in self.session.operations
            if operation.next_attempt_at is not None
            and (operation.state is State.PLANNED or operation.kind in INSISTENT)
            and kind in (None, operation.kind)
        ]
        assert due, f"nothing to send: {[(o.kind, o.state) for o in self.session.operations]}"
        return self.submit(due[0])

    def submit(self, operation: Operation) -> Operation:
        """Submit this operation under fresh references."""
        self.names += 1
        references = References(
            rrn=f"{self.names:012d}", stan=f"{self.names:06d}", terminal="TERM0001", transmitted_at=self.now
        )
        self.take(hearing.submit(self.session, operation.id, references, now=self.now, ids=self.ids, limits=LIMITS))
        return self.session.operation(operation.id)

    def hear(self, operation: Operation, outcome: Outcome) -> Story:
        """An outcome for an operation, or the silence in its place."""
        self.take(hearing.hear_outcome(self.session, operation.id, outcome, now=self.now, ids=self.ids, limits=LIMITS))
        return self

    def answered(self, code: str, kind: Kind | None = None) -> Story:
        """Send what is due and hear this response code; an empty one is no answer."""
        operation = self.send(kind)
        return self.hear(operation, outcome_for(operation, code))

    def hear_late(self, code: str) -> Story:
        """An answer to the charge that nobody waits for any more."""
        charge = next(operation for operation in self.session.operations if operation.kind in CHARGES)
        return self.hear(charge, outcome_for(charge, code))

    def not_sent(self, kind: Kind | None = None) -> Story:
        """Send what is due and learn that nothing was written."""
        sealed_cvv = next((payment.sealed_cvv for payment in self.session.payments), None)
        return self.was_not_sent(self.send(kind), sealed_cvv)

    def was_not_sent(self, operation: Operation, sealed_cvv: str | None = None) -> Story:
        """Nothing of it was written."""
        self.take(hearing.hear_not_sent(self.session, operation.id, sealed_cvv=sealed_cvv, now=self.now, ids=self.ids))
        return self

    # --- time -----------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> Story:
        """Let time pass; nobody sweeps."""
        self.now += timedelta(seconds=seconds)
        return self

    def sweep(self) -> Story:
        """Let the timers speak, and the rule that hands over to people."""
        self.take(decision.expire(self.session, now=self.now, ids=self.ids))
        self.take(hearing.give_to_person(self.session, now=self.now, ids=self.ids))
        return self

    def be_stuck(self, kind: Kind) -> Story:
        """No clear answer for the due operation of this kind, nor for its repeats, until a person is called."""
        self.answered("", kind)
        return self.wait(25 * 3600).sweep()

    # --- what stands ----------------------------------------------------------------------------------------------

    @property
    def payment(self) -> Payment:
        """The session's only payment."""
        (payment,) = self.session.payments
        return payment

    def last(self, kind: Kind) -> Operation:
        """The newest operation of this kind."""
        return [operation for operation in self.session.operations if operation.kind is kind][-1]

    @property
    def announced(self) -> list[str]:
        """The types of all events so far."""
        return [event.type.value for event in self.events]

    def take(self, change: Change | None) -> bool:
        """Let a change become true, and check every promise that a single session can break."""
        if change is None:
            return False
        before, after = self.session, change.session
        assert after.version == before.version + 1
        self.session = after
        self.changes.append(change)
        self.transfers += change.transfers
        self.events += change.events
        self.alarms += change.alarms
        self.erased += change.erased_cvvs
        check_finals(before, after)
        check_amounts(after)
        check_books(self)
        check_card(self)
        check_watch(after)
        return True


def confirmed(settings: Settings = ONE_STAGE) -> Story:
    """A payment that was started and confirmed; its charge is planned."""
    return Story(settings).start().confirm()


def paid() -> Story:
    """A sale that was approved."""
    return confirmed().answered("00")


def held() -> Story:
    """An authorization that was approved."""
    return confirmed(TWO_STAGE).answered("00")


def unknown() -> Story:
    """A sale without an answer; its reversal is planned."""
    return confirmed().answered("")


def outcome_for(operation: Operation, code: str) -> Outcome:
    """What an answer with this response code means to this operation; an empty one is no answer."""
    if not code:
        return Unknown(why="no answer")
    return (
        outcome_of_reversal(code) if operation.kind is Kind.REVERSAL else outcome_of_code(code, approval_code="7K20QX")
    )


def check_finals(before: PaymentSession, after: PaymentSession) -> None:
    """What is final stays as it is (P7)."""
    for payment in before.payments:
        now: Any = after.payment(payment.id)
        if payment.is_final:
            assert now == replace(payment, refunded_minor=now.refunded_minor)
        if payment.decision is not None:
            assert now.decision is payment.decision
    for operation in before.operations:
        if operation.is_final:
            assert after.operation(operation.id) == operation
    if before.status is Status.CANCELLED:
        assert (after.status, after.finished_at, after.reason) == (before.status, before.finished_at, before.reason)
    assert (after.finished_at is not None) == (after.status in (Status.ACCEPTED, Status.CANCELLED))


def check_amounts(session: PaymentSession) -> None:
    """Captured within held within asked, refunded within captured, one live charge (P1, P3)."""
    for payment in session.payments:
        assert payment.held_minor in (0, payment.money.minor)
        assert 0 <= payment.refunded_minor <= payment.captured_minor <= payment.held_minor
        mine = [operation for operation in session.operations if operation.payment_id == payment.id]
        living = [o for o in mine if o.state not in (State.DECLINED, State.REVERSED)]
        assert sum(o.kind in CHARGES for o in living) <= 1
        assert sum(o.kind is Kind.CAPTURE for o in living) <= 1
        assert payment.refunded_minor == sum(o.amount_minor for o in living if o.kind is Kind.REFUND)
        assert (payment.phase is Phase.FAILED) == (payment.is_final and payment.reason is not None)


def check_books(story: Story) -> None:
    """The ledger is sound, and its balances are what the payments say (P8)."""
    assert ledger.flaws(story.transfers) == []
    approved = {o.id for o in story.session.operations if o.state is State.APPROVED}
    assert {transfer.operation_id for transfer in story.transfers} <= approved
    captured = sum(payment.captured_minor for payment in story.session.payments)
    refunds = [o for o in story.session.operations if o.kind is Kind.REFUND and o.state is State.APPROVED]
    owed = captured - sum(o.amount_minor for o in refunds)
    totals = ledger.balances(story.transfers)
    assert totals.get(("eur", Account.MERCHANT_PAYABLE), 0) == -owed
    assert totals.get(("eur", Account.ACQUIRER_RECEIVABLE), 0) == owed
    assert totals.get(("eur", Account.PAYER_FUNDS), 0) == 0
    if story.session.due_at is None:
        resolved = Counter(transfer.resolves_id for transfer in story.transfers)
        assert all(resolved[t.id] for t in story.transfers if t.phase is TransferPhase.PENDING)


def check_card(story: Story) -> None:
    """The sealed security code is gone once the charge may have left, and at every end (P11)."""
    for payment in story.session.payments:
        if payment.phase not in (Phase.ROUTING, Phase.AWAIT_CONFIRM, Phase.CONFIRMED):
            assert payment.sealed_cvv is None
    if story.session.payments:
        assert story.session.offer == Offer()


def check_watch(session: PaymentSession) -> None:
    """Something open is always due at some time; nothing is due once all is over (P13)."""
    is_quiet = session.status in (Status.ACCEPTED, Status.CANCELLED) and all(o.is_final for o in session.operations)
    assert (session.due_at is None) == is_quiet
    for operation in session.operations:
        if operation.state is State.REVERSING:
            assert session.reversal_of(operation.id) is not None


def check_announcements(story: Story) -> None:
    """Events are numbered without a gap, and the end of a payment is announced once (P9)."""
    assert [event.sequence for event in story.events] == list(range(1, len(story.events) + 1))
    ends = story.announced.count(EventType.PAYMENT_FINISHED)
    assert ends == sum(payment.is_final for payment in story.session.payments)
