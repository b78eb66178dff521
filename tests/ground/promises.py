"""What holds after every change of a session: `Story.take` checks it, whatever was said in whatever order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tollhouse import ledger
from tollhouse.event import EventType
from tollhouse.ledger import Account, TransferPhase
from tollhouse.operation import CHARGES, Kind, State
from tollhouse.payment import Phase
from tollhouse.session import Offer, PaymentSession, Status

if TYPE_CHECKING:
    from tests.ground.story import Story


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
        if payment.phase not in (Phase.ROUTING, Phase.AWAIT_CONFIRM, Phase.CONFIRMED, Phase.AWAIT_ACTION):
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


def check_authentications(before: PaymentSession, after: PaymentSession) -> None:
    """While the payer is awaited exactly one attempt is open and no charge is live; each is used up once at most."""
    for payment in after.payments:
        attempts = after.authentications_of(payment.id)
        is_awaited = payment.phase is Phase.AWAIT_ACTION
        assert [one.is_final for one in attempts if not one.is_final or one is attempts[-1]] == (
            [not is_awaited] if attempts else []
        )
        assert is_awaited == (payment.action_deadline_at is not None)
        assert not is_awaited or (payment.action_link and after.charge_of(payment.id) is None)
        assert sum(one.asked_at is not None for one in attempts) <= 3
    used = [operation.authentication_id for operation in after.operations if operation.authentication_id]
    assert len(used) == len(set(used))
    for one in before.authentications:
        assert not one.is_final or after.authentication(one.id) == one


def check_announcements(story: Story) -> None:
    """Events are numbered without a gap, and the end of a payment is announced once (P9)."""
    assert [event.sequence for event in story.events] == list(range(1, len(story.events) + 1))
    ends = story.announced.count(EventType.PAYMENT_FINISHED)
    assert ends == sum(payment.is_final for payment in story.session.payments)
