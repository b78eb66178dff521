"""A session told step by step: the rules applied to it, and the promises checked after each of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.ground.promises import (
    check_amounts,
    check_authentications,
    check_books,
    check_card,
    check_finals,
    check_watch,
)
from tollhouse import authenticating, decision, hearing
from tollhouse.authenticating import Answered
from tollhouse.authentication import Authentication, Enrolment, Result, TransStatus
from tollhouse.card import Expiry
from tollhouse.change import Alarm, Change
from tollhouse.event import Event
from tollhouse.exemption import Exemption
from tollhouse.ledger import Transfer
from tollhouse.merchant import CaptureMode, Project, Settings
from tollhouse.money import Money
from tollhouse.operation import CHARGES, INSISTENT, Kind, Limits, Operation, References, State
from tollhouse.outcome import Outcome, Unknown, outcome_of_code, outcome_of_reversal
from tollhouse.payment import Details, PayingCard, Payment
from tollhouse.session import Offer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits(answer_seconds=15, in_flight_seconds=60)
CARD = PayingCard(token="ct_1", bin="424242", last4="4242", brand="visa", expiry=Expiry(2031, 8))
SEALED_CVV = "sealed-1"
VALUE = "AAABBWcSNIdjeUZThmNHAAAAAAA="
DS_ID, ACS_ID = "d5000000-0000-4000-8000-000000000001", "acc00000-0000-4000-8000-000000000001"
ONE_STAGE, TWO_STAGE = Settings(), Settings(capture_mode=CaptureMode.TWO_STAGE)
OFFER = Offer(
    money=Money(2_590, "eur"),
    card=CARD,
    sealed_cvv=SEALED_CVV,
    card_given_at=NOON,
    details=Details(customer={"reference": "u-1"}),
)


# The same with a card that takes part in 3-D Secure.
ENROLLED = replace(OFFER, card=replace(CARD, enrolment=Enrolment(version="2.2.0")))


class Counted:
    """Ids in order: `pm_1`, `op_2`, `evt_3`."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        """The next one."""
        self.count += 1
        return f"{prefix}_{self.count}"

    def secret(self) -> str:
        """22 characters."""
        self.count += 1
        return f"{self.count:022d}"

    def uuid(self) -> str:
        """The next one."""
        self.count += 1
        return f"00000000-0000-4000-8000-{self.count:012d}"

    def token(self) -> str:
        """64 hexadecimal digits, counted."""
        self.count += 1
        return f"{self.count:064x}"


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

    def start(self, offer: Offer = OFFER, exemption: Exemption | None = None) -> Story:
        """Start the payment."""
        self.take(
            decision.start_payment(self.session, offer, self.project, now=self.now, ids=self.ids, exemption=exemption)
        )
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

    # --- 3-D Secure -----------------------------------------------------------------------------------------------

    def ask(self) -> Story:
        """The payer's browser came: the directory server is asked."""
        self.take(authenticating.ask(self.session, self.attempt.id, now=self.now, ids=self.ids))
        return self

    def reply(self, status: str, attempt: Authentication | None = None, **result: Any) -> Story:
        """The directory server answers with this outcome; an empty one is no answer."""
        answered = None
        if status:
            acs_url = "https://acs.test/" if status == "C" else None
            outcome = result_of(status, **result)
            answered = Answered(ds_transaction_id=DS_ID, acs_transaction_id=ACS_ID, acs_url=acs_url, result=outcome)
        named = (attempt or self.attempt).id
        self.take(authenticating.hear_answer(self.session, named, answered, now=self.now, ids=self.ids))
        return self

    def result(self, status: str, attempt: Authentication | None = None, **result: Any) -> Story:
        """The result message comes."""
        named, outcome = (attempt or self.attempt).id, result_of(status, **result)
        self.take(authenticating.hear_result(self.session, named, outcome, now=self.now, ids=self.ids))
        return self

    def broken_off(self, attempt: Authentication | None = None) -> Story:
        """An error message comes, server to server."""
        named = (attempt or self.attempt).id
        self.take(authenticating.hear_error(self.session, named, now=self.now, ids=self.ids))
        return self

    def retry(self) -> Story:
        """The payer begins anew, if that is possible."""
        self.take(authenticating.retry(self.session, self.payment.id, now=self.now, ids=self.ids))
        return self

    @property
    def attempt(self) -> Authentication:
        """The payment's present attempt to authenticate."""
        return self.session.authentications_of(self.payment.id)[-1]

    # --- time -----------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> Story:
        """Let time pass; nobody sweeps."""
        self.now += timedelta(seconds=seconds)
        return self

    def sweep(self) -> Story:
        """Let the timers speak, and the rule that hands over to people."""
        self.take(decision.expire(self.session, now=self.now, ids=self.ids))
        self.take(authenticating.expire_actions(self.session, now=self.now, ids=self.ids))
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
        check_authentications(before, after)
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


def asked_for(settings: Settings = ONE_STAGE) -> Story:
    """A confirmed payment whose payer must act: the link is out, nobody was asked."""
    return Story(settings).start(ENROLLED).confirm()


def result_of(status: str, **parts: Any) -> Result:
    """What the directory server says, with an authentication value where one belongs."""
    value = VALUE if status in ("Y", "A") else None
    return Result(**{"status": TransStatus(status), "value": value, **parts})


def outcome_for(operation: Operation, code: str) -> Outcome:
    """What an answer with this response code means to this operation; an empty one is no answer."""
    if not code:
        return Unknown(why="no answer")
    return (
        outcome_of_reversal(code) if operation.kind is Kind.REVERSAL else outcome_of_code(code, approval_code="7K20QX")
    )
