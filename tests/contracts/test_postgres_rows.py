"""Rows: each value that is committed lands in the column that is named after it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from tests.contracts.shelf import claiming
from tests.ground.story import CARD, NOON, OFFER
from tollhouse.authentication import Authentication, Enrolment, Result, TransStatus, Wish
from tollhouse.authentication import State as AuthenticationState
from tollhouse.change import Alarm, Change, Note, Step
from tollhouse.event import Event, EventType
from tollhouse.exemption import Exemption
from tollhouse.ledger import Account, Transfer, TransferPhase
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, References, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, Payment, Phase
from tollhouse.session import Lease, PaymentSession
from tollhouse.store.postgres import PostgresStore
from tollhouse.store.rows import group_rows
from tollhouse.verdict import Policy

# The parameters of `commit_changes`, in order, and what their rows are.
WRITTEN = (
    *("asked_change", "session", "payment", "operation", "authentication", "transfer"),
    *("history", "note", "alarm", "event", "idempotency_key"),
)
JSON = frozenset({"offer", "card", "details", "steps", "data", "metadata", "result"})


def at(number: int) -> Any:
    """An instant that no other number has."""
    return NOON + timedelta(seconds=number, microseconds=number)


PAID = Payment(
    id="pm_1",
    phase=Phase.SUCCEEDED,
    money=Money(4990, "eur"),
    card=replace(CARD, fingerprint="f-1", enrolment=Enrolment(version="2.3.1", method_url="https://acs.test/m")),
    details=Details(customer={"reference": "é"}),
    acquirer="sandbox",
    created_at=at(1),
    is_two_stage=True,
    hold_seconds=3600,
    hold_expiry=HoldExpiry.CAPTURE,
    decision=Decision.CONFIRMED,
    decision_deadline_at=at(2),
    hold_deadline_at=at(3),
    held_minor=4990,
    captured_minor=4000,
    refunded_minor=1500,
    rrn="R00000000001",
    approval_code="7K20QX",
    reason=Reason.CAPTURE_TIMEOUT,
    finished_at=at(4),
    threeds=Policy.ALWAYS,
    exemption=Exemption.CORPORATE,
    names_session_on_return=False,
    action_link="link-1",
    action_deadline_at=at(17),
)
WAITING = replace(
    PAID,
    id="pm_2",
    phase=Phase.CONFIRMED,
    shows_fees=True,
    is_two_stage=False,
    hold_seconds=1,
    created_at=at(5),
    sealed_cvv="cvv.slot.sealed",
    action_link="link-2",
    held_minor=0,
    captured_minor=0,
    refunded_minor=0,
)
REFUND = Operation(
    id="rf_1",
    kind=Kind.REFUND,
    payment_id="pm_1",
    amount_minor=1500,
    planned_at=at(6),
    target_id="op_0",
    state=State.REVERSING,
    references=References(rrn="R00000000002", stan="000002", terminal="T0000001", transmitted_at=at(7)),
    attempts=3,
    submitted_at=at(8),
    next_attempt_at=at(9),
    unclear_since=at(10),
    is_stuck=True,
    response_code="05",
    approval_code="7K20QY",
    reason=Reason.DECLINED_BY_ISSUER,
    finished_at=at(11),
    metadata={"why": None},
    authentication_id="au_0",
    exemption=Exemption.LOW_VALUE,
)
PROVEN = Authentication(
    id="au_1",
    payment_id="pm_1",
    version="2.3.1",
    wish=Wish.MANDATE,
    opened_at=at(18),
    state=AuthenticationState.FINISHED,
    asked_at=at(19),
    ds_transaction_id="ds",
    acs_transaction_id="acs",
    acs_url="https://acs.test/",
    result=Result(status=TransStatus.AUTHENTICATED, status_reason="01", eci="05", value="v", cancelled="04"),
    finished_at=at(20),
)
TRANSFER = Transfer(
    id="t_1",
    operation_id="rf_1",
    phase=TransferPhase.VOIDED,
    debit=Account.MERCHANT_PAYABLE,
    credit=Account.PAYER_FUNDS,
    amount_minor=12,
    currency="usd",
    resolves_id="t_0",
)


def full() -> Change:
    """A change with a row for every table, and another value in every column."""
    session = PaymentSession(
        project="shop",
        id="ps_1",
        version=1,
        api_version=2,
        webhook_version=3,
        created_at=at(12),
        updated_at=at(13),
        offer=replace(OFFER, sealed_cvv="offer.offer_slot.sealed"),
        payments=(PAID, WAITING),
        operations=(REFUND,),
        authentications=(PROVEN,),
        events_count=7,
        dropped=Reason.CANCELLED,
        finished_at=at(14),
        lease_owner="n9",
    )
    event = Event(
        id="evt_1", type=EventType.PAYMENT_REFUNDED, sequence=5, session=session, created_at=at(15), body=b'{"e": 1}'
    )
    change = Change(
        id="ch_1",
        at=at(16),
        session=session,
        answer=session,
        payment_ids=frozenset({"pm_1", "pm_2"}),
        operation_ids=frozenset({"rf_1"}),
        authentication_ids=frozenset({"au_1"}),
        steps=(Step(subject="rf_1", before="submitted", heard="silence", after="reversing"),),
        transfers=(TRANSFER,),
        events=(event,),
        notes=(Note(kind="request", data={"a": 1}),),
        alarms=(Alarm(subject="rf_1", what="look at it"),),
        lease=Lease(owner="n9", seconds=30),
    )
    return claiming(change, "k", answer=b'{"id": "ps_1"}')


def named(value: object, columns: Sequence[str], **others: Any) -> dict[str, Any]:
    """What each column holds: another thing by name, or the value's attribute of that name."""
    found = {column: others[column] if column in others else getattr(value, column) for column in columns}
    return {column: msgspec.to_builtins(held) if column in JSON else held for column, held in found.items()}


def expected_rows(columns: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    """The rows that `full` makes, column by column."""
    change = full()
    session, (event,), (note,), (alarm,) = change.session, change.events, change.notes, change.alarms
    mine = {"project": "shop", "session_id": "ps_1"}
    changed = {**mine, "change_id": "ch_1", "at": at(16)}
    sent = {"rrn": "R00000000002", "stan": "000002", "terminal": "T0000001", "transmitted_at": at(7)}
    money = {"amount_minor": 4990, "currency": "eur"}
    waits = {"body": '{"e": 1}', "state": "waiting", "attempts": 0, "next_attempt_at": at(15)}
    unsent = dict.fromkeys(("first_attempt_at", "signature", "lease_owner", "lease_until"))
    sealed = {"offer": replace(session.offer, sealed_cvv=None), "offer_sealed_cvv": "offer.offer_slot.sealed"}
    return {
        "session": [named(session, columns["session"], **sealed, lease_until=None)],
        "payment": [
            named(one, columns["payment"], **mine, **money, card_fingerprint="f-1") for one in session.payments
        ],
        "authentication": [named(PROVEN, columns["authentication"], **mine, card_fingerprint="f-1")],
        "operation": [named(REFUND, columns["operation"], **mine, **sent)],
        "transfer": [named(TRANSFER, columns["transfer"], **mine, at=at(16))],
        "history": [named(session, columns["history"], **changed, node="n1", steps=list(change.steps))],
        "note": [named(note, columns["note"], **mine, id="ch_1-0", at=at(16))],
        "alarm": [named(alarm, columns["alarm"], **changed)],
        "event": [named(event, columns["event"], **mine, **waits, **unsent)],
        "idempotency_key": [
            named(change.claim, columns["idempotency_key"], **mine, answer='{"id": "ps_1"}', at=at(16))
        ],
    }


def plain(row: asyncpg.Record) -> dict[str, Any]:
    """A row with its documents read; the end of a lease is the database's own."""
    found = {column: json.loads(held) if held and column in JSON else held for column, held in row.items()}
    return {column: None if column == "lease_until" else held for column, held in found.items()}


async def columns_of(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """The columns of every table and row type, in order."""
    found = await pool.fetch(
        """select relname, attname from pg_attribute join pg_class on pg_class.oid = attrelid
           where relnamespace = 'public'::regnamespace and relkind in ('r', 'c') and attnum > 0 and not attisdropped
           order by relname, attnum"""
    )
    columns: dict[str, list[str]] = {}
    for table, column in found:
        columns.setdefault(table, []).append(column)
    return columns


async def test_every_column_holds_what_it_is_named_after(pool: asyncpg.Pool, postgres_store: PostgresStore) -> None:
    """Rows are written by place: each value lands in the column of its name, in every table."""
    await postgres_store.commit(full())
    for table, expected in expected_rows(await columns_of(pool)).items():
        written = [plain(row) for row in await pool.fetch(f"select * from {table} order by 1, 2")]
        assert written == expected, table


async def test_rows_are_as_wide_as_their_tables(pool: asyncpg.Pool) -> None:
    """Each row that is written has a value for every column, in the order of the parameters of `commit_changes`."""
    columns = await columns_of(pool)
    widths = [{len(row) for row in rows} for rows in group_rows([full()], "n1")]
    assert widths == [{len(columns[table])} for table in WRITTEN]


async def test_a_change_is_one_commit(pool: asyncpg.Pool, postgres_store: PostgresStore) -> None:
    """Whatever a change brings along becomes visible in the same instant."""
    await postgres_store.commit(full())
    union = " union ".join(f"select xmin::text from {table}" for table in WRITTEN[1:])
    assert await pool.fetchval(f"select count(*) from ({union}) written") == 1


async def test_slots_that_rows_still_name(postgres_store: PostgresStore) -> None:
    """A slot is alive while a session or a payment names it; of all others the vault may be rid."""
    await postgres_store.commit(full())
    assert await postgres_store.live_cvv_slots(["slot", "offer_slot", "sealed", "other"]) == {"slot", "offer_slot"}
