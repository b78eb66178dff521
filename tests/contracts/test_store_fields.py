"""What is committed is found again, field by field: in memory and in Postgres alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.contracts.sessions import CARD, NOW, authentication, fresh, operation, payment, written
from tollhouse.authentication import Authentication, Enrolment, Result, TransStatus, Wish
from tollhouse.authentication import State as AuthenticationState
from tollhouse.bookkeeping import transfers_of
from tollhouse.card import CardId, CardIdScope
from tollhouse.change import Note, Step
from tollhouse.exemption import Exemption
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, Payment, Phase
from tollhouse.ports import Store
from tollhouse.session import Lease, Offer, PaymentSession
from tollhouse.verdict import Policy

ODD = {"": [None, True, 1.5, -0.1, 10**15, '\u2028 ключ \\ " / \u00e9 \U0001f600', {"a": {}}], "b": [[], ""]}
LATER = NOW + timedelta(microseconds=1)


def rich() -> PaymentSession:
    """A session in which every field of every value is set, with odd JSON and microseconds."""
    return replace(
        fresh(),
        webhook_version=1,
        updated_at=LATER,
        payments=rich_payments(),
        operations=(*taken(), *given_back()),
        authentications=attempts(),
        events_count=3,
        finished_at=LATER,
    )


def rich_payments() -> tuple[Payment, ...]:
    """One that was paid and partly refunded, one that failed, one that waits."""
    paid = payment(
        phase=Phase.SUCCEEDED,
        details=Details(
            customer={"reference": "u", "contacts": [{"email": "kai@example.org"}]},
            participants={"sender": {"full_name": "Ж"}},
            options={"return_url": "https://shop.example/back"},
            metadata=ODD,
            unechoed={"payment_metadata": {"device_session_id": "d"}},
        ),
        is_two_stage=True,
        hold_seconds=3600,
        hold_expiry=HoldExpiry.CAPTURE,
        card=replace(
            CARD,
            fingerprint="f",
            enrolment=Enrolment(version="2.3.1", method_url="https://acs.test/ж"),
            card_id=CardId(scope=CardIdScope.SHARED, text="5e" * 32),
        ),
        threeds=Policy.ALWAYS,
        exemption=Exemption.TRA,
        names_session_on_return=False,
        action_link="a-link",
        decision=Decision.CONFIRMED,
        held_minor=4990,
        captured_minor=4000,
        refunded_minor=1500,
        rrn="R00000000001",
        approval_code="7K20QX",
        finished_at=LATER,
    )
    failed = payment(
        "pm_2",
        phase=Phase.FAILED,
        card=replace(CARD, brand=None),
        money=Money(1, "jpy"),
        acquirer=None,
        reason=Reason.ROUTING,
        created_at=LATER,
        finished_at=LATER,
    )
    deadlines = {"decision_deadline_at": LATER, "hold_deadline_at": NOW + timedelta(days=3)}
    waiting = payment("pm_3", sealed_cvv="cvv1.AAA.BBB", created_at=LATER, threeds=Policy.NEVER, **deadlines)
    return paid, failed, waiting


def attempts() -> tuple[Authentication, ...]:
    """One that lapsed, one that said everything, one that is under way."""
    return (
        authentication("au_1", number=1, state=AuthenticationState.LAPSED, asked_at=LATER, finished_at=LATER),
        authentication(
            "au_2",
            number=2,
            version="2.3.1",
            wish=Wish.MANDATE,
            state=AuthenticationState.FINISHED,
            asked_at=LATER,
            ds_transaction_id="ds",
            acs_transaction_id="acs",
            acs_url="https://acs.test/?a=ж",
            result=Result(status=TransStatus.ATTEMPTED, status_reason="26", eci="06", value="v" * 28, cancelled="01"),
            finished_at=NOW + timedelta(hours=1, microseconds=1),
        ),
        authentication(
            "au_3", number=3, payment_id="pm_3", state=AuthenticationState.DECOUPLED, acs_transaction_id="a"
        ),
    )


def taken() -> tuple[Operation, ...]:
    """A hold and its capture, and a sale that has not left."""
    planned = operation("op_3", Kind.SALE, number=3, payment_id="pm_3", attempts=0)
    return (
        operation(
            "op_1",
            Kind.AUTHORIZATION,
            number=1,
            state=State.APPROVED,
            response_code="00",
            finished_at=LATER,
            authentication_id="au_2",
            exemption=Exemption.LOW_VALUE,
        ),
        operation(
            "op_2",
            Kind.CAPTURE,
            number=2,
            target_id="op_1",
            amount_minor=4000,
            state=State.APPROVED,
            approval_code="7K20QX",
        ),
        replace(planned, references=None, submitted_at=None),
    )


def given_back() -> tuple[Operation, ...]:
    """An unclear refund with its reversal at work, and a declined one."""
    return (
        operation(
            "rf_4",
            Kind.REFUND,
            number=4,
            target_id="op_2",
            amount_minor=1500,
            state=State.REVERSING,
            unclear_since=LATER,
            is_stuck=True,
            metadata=ODD,
        ),
        operation(
            "op_5",
            Kind.REVERSAL,
            number=5,
            target_id="rf_4",
            amount_minor=1500,
            state=State.SUBMITTED,
            attempts=7,
            next_attempt_at=NOW + timedelta(hours=1, microseconds=7),
        ),
        operation(
            "rf_6",
            Kind.REFUND,
            number=6,
            target_id="op_2",
            amount_minor=1,
            state=State.DECLINED,
            response_code="N7",
            reason=Reason.DECLINED_BY_ISSUER,
            metadata="item returned",
        ),
    )


async def test_every_field_comes_back(store: Store) -> None:
    """A session in which everything is set is found exactly as it was committed."""
    session = await written(store, rich(), lease=Lease(owner="n1", seconds=60))
    assert await store.find_session("shop", "ps_1") == session


async def test_offer_comes_back(store: Store) -> None:
    """What was given at create, with its card and sealed code, is found as it was; so is a session that was dropped."""
    offer = Offer(
        money=Money(999_999_999_999, "kwd"),
        card=CARD,
        sealed_cvv="cvv1.AAA.BBB",
        card_given_at=NOW,
        details=Details(customer={"reference": "u"}, metadata=["x", {"y": None}]),
    )
    session = await written(store, replace(fresh(), offer=offer))
    assert await store.find_session("shop", "ps_1") == session
    bare = replace(session, offer=replace(offer, card=None, sealed_cvv=None, card_given_at=None))
    dropped = await written(store, replace(bare, dropped=Reason.CANCELLED, finished_at=NOW))
    assert await store.find_session("shop", "ps_1") == dropped


async def test_changed_fields_come_back(store: Store) -> None:
    """What a later change moves in payments and operations is found as it became."""
    first = replace(fresh(), payments=(payment(sealed_cvv="cvv1.A.B", decision_deadline_at=NOW),))
    before = await written(store, first)
    sale = operation("op_1", Kind.SALE, number=1, state=State.SUBMITTED, next_attempt_at=NOW)
    moved = payment(phase=Phase.AUTHORIZING, decision=Decision.CONFIRMED)
    submitted = await written(store, replace(before, payments=(moved,), operations=(sale,)))
    assert await store.find_session("shop", "ps_1") == submitted
    done = replace(sale, state=State.APPROVED, next_attempt_at=None, response_code="00", finished_at=NOW)
    paid = replace(moved, phase=Phase.SUCCEEDED, held_minor=4990, captured_minor=4990, finished_at=NOW)
    moves = transfers_of(done, currency="eur", target=None)
    steps = (Step(subject="op_1", before="submitted", heard="approval", after="approved"),)
    notes = (Note(kind="message_in", data={"mti": "0210", "fields": {"39": "00"}}),)
    last = replace(submitted, payments=(paid,), operations=(done,))
    ended = await written(store, last, transfers=moves, steps=steps, notes=notes)
    assert await store.find_session("shop", "ps_1") == ended
