"""Values to rows and back. Rows that are written are tuples in their table's column order; texts stay texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from tollhouse.authentication import Authentication, Result, Wish
from tollhouse.authentication import State as AuthenticationState
from tollhouse.change import Change, KeyClaim
from tollhouse.event import Event, EventType
from tollhouse.exemption import Exemption
from tollhouse.ledger import Transfer
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, References, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, PayingCard, Payment, Phase
from tollhouse.ports import ClaimedDelivery
from tollhouse.session import Offer, PaymentSession
from tollhouse.verdict import Policy
from tollhouse.webhook import Attempt, Delivery, DeliveryState

Row = Mapping[str, Any]
Columns = tuple[Any, ...]
NOTHING_OFFERED = Offer()
_decode_offer = msgspec.json.Decoder(Offer).decode
_decode_card = msgspec.json.Decoder(PayingCard).decode
_decode_details = msgspec.json.Decoder(Details).decode
_decode_result = msgspec.json.Decoder(Result).decode
_encode = msgspec.json.encode


def text_of(value: object) -> str:
    """JSON text of a value that is kept as it is."""
    return _encode(value).decode()


def group_rows(changes: Sequence[Change], node: str) -> tuple[list[Columns], ...]:
    """The arguments of `commit_changes` for a group: an array of rows for each table, in the tables' column order."""
    asked, sessions, steps = [], [], []
    payments: list[Columns] = []
    operations: list[Columns] = []
    authentications: list[Columns] = []
    transfers: list[Columns] = []
    notes: list[Columns] = []
    alarms: list[Columns] = []
    events: list[Columns] = []
    keys: list[Columns] = []
    for change in changes:
        session = change.session
        project, id = session.project, session.id
        asked.append((project, id, session.version - 1, change.lease.seconds if change.lease else None))
        sessions.append(_session_row(session))
        steps.append((project, id, change.id, session.version, change.at, node, text_of(change.steps)))
        payments += [_payment_row(session, one) for one in session.payments if one.id in change.payment_ids]
        operations += [_operation_row(session, one) for one in session.operations if one.id in change.operation_ids]
        authentications += [
            _authentication_row(session, one) for one in session.authentications if one.id in change.authentication_ids
        ]
        transfers += [_transfer_row(session, one, change.at) for one in change.transfers]
        notes += [
            (project, id, f"{change.id}-{place}", change.at, note.kind, text_of(note.data))
            for place, note in enumerate(change.notes)
        ]
        alarms += [(project, id, change.id, alarm.subject, alarm.what, change.at) for alarm in change.alarms]
        events += [_event_row(event) for event in change.events]
        if change.claim is not None:
            keys.append(_key_row(change.claim, change))
    return asked, sessions, payments, operations, authentications, transfers, steps, notes, alarms, events, keys


def _key_row(claim: KeyClaim, change: Change) -> Columns:
    answer = claim.answer.decode() if claim.answer is not None else None
    return (change.session.project, claim.key, claim.path, claim.body_hash, change.session.id, answer, change.at)


def _event_row(event: Event) -> Columns:
    session = event.session
    told = (session.project, event.id, session.id, event.sequence, event.type, event.body.decode(), event.created_at)
    return (*told, DeliveryState.WAITING, 0, None, None, None, None, None)


def _transfer_row(session: PaymentSession, transfer: Transfer, at: datetime) -> Columns:
    return (
        session.project,
        transfer.id,
        session.id,
        transfer.operation_id,
        transfer.phase,
        transfer.debit,
        transfer.credit,
        transfer.amount_minor,
        transfer.currency,
        transfer.resolves_id,
        at,
    )


def _session_row(session: PaymentSession) -> Columns:
    offer = session.offer
    kept = None if offer == NOTHING_OFFERED else text_of({**msgspec.to_builtins(offer), "sealed_cvv": None})
    return (
        session.project,
        session.id,
        session.version,
        session.api_version,
        session.webhook_version,
        session.status,
        session.created_at,
        session.updated_at,
        session.finished_at,
        kept,
        offer.sealed_cvv,
        session.dropped,
        session.events_count,
        session.due_at,
        session.lease_owner,
        None,
    )


def _payment_row(session: PaymentSession, payment: Payment) -> Columns:
    return (
        session.project,
        payment.id,
        session.id,
        payment.phase,
        payment.money.minor,
        payment.money.currency,
        text_of(payment.card),
        text_of(payment.details),
        payment.acquirer,
        payment.is_two_stage,
        payment.shows_fees,
        payment.hold_seconds,
        payment.hold_expiry,
        payment.sealed_cvv,
        payment.decision,
        payment.decision_deadline_at,
        payment.hold_deadline_at,
        payment.held_minor,
        payment.captured_minor,
        payment.refunded_minor,
        payment.rrn,
        payment.approval_code,
        payment.reason,
        payment.created_at,
        payment.finished_at,
        payment.threeds,
        payment.exemption,
        payment.names_session_on_return,
        payment.action_link,
        payment.action_deadline_at,
        payment.card.fingerprint,
        payment.merchant_name,
    )


def _operation_row(session: PaymentSession, operation: Operation) -> Columns:
    references = operation.references
    return (
        session.project,
        operation.id,
        session.id,
        operation.payment_id,
        operation.kind,
        operation.state,
        operation.amount_minor,
        operation.target_id,
        references.rrn if references else None,
        references.stan if references else None,
        references.terminal if references else None,
        references.transmitted_at if references else None,
        operation.attempts,
        operation.planned_at,
        operation.submitted_at,
        operation.next_attempt_at,
        operation.unclear_since,
        operation.is_stuck,
        operation.response_code,
        operation.approval_code,
        operation.reason,
        operation.finished_at,
        None if operation.metadata is None else text_of(operation.metadata),
        operation.authentication_id,
        operation.exemption,
    )


def _authentication_row(session: PaymentSession, one: Authentication) -> Columns:
    return (
        session.project,
        one.id,
        session.id,
        one.payment_id,
        one.state,
        one.version,
        one.wish,
        one.opened_at,
        one.asked_at,
        one.ds_transaction_id,
        one.acs_transaction_id,
        one.acs_url,
        None if one.result is None else text_of(one.result),
        one.finished_at,
        session.payment(one.payment_id).card.fingerprint,
    )


def session_of(row: Row) -> PaymentSession:
    """The session of a row of the query `find_session`."""
    offer = _decode_offer(row["offer"]) if row["offer"] is not None else NOTHING_OFFERED
    if row["offer_sealed_cvv"] is not None:
        offer = replace(offer, sealed_cvv=row["offer_sealed_cvv"])
    return PaymentSession(
        project=row["project"],
        id=row["id"],
        version=row["version"],
        api_version=row["api_version"],
        webhook_version=row["webhook_version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        offer=offer,
        payments=tuple(_payment_of(one) for one in row["payments"]),
        operations=tuple(_operation_of(one) for one in row["operations"]),
        authentications=tuple(_authentication_of(one) for one in row["authentications"]),
        events_count=row["events_count"],
        dropped=Reason(row["dropped"]) if row["dropped"] else None,
        finished_at=row["finished_at"],
        lease_owner=row["lease_owner"],
    )


def _payment_of(row: Row) -> Payment:
    return Payment(
        id=row["id"],
        phase=Phase(row["phase"]),
        money=Money(row["amount_minor"], row["currency"]),
        card=_decode_card(row["card"]),
        details=_decode_details(row["details"]),
        acquirer=row["acquirer"],
        created_at=row["created_at"],
        is_two_stage=row["is_two_stage"],
        shows_fees=row["shows_fees"],
        hold_seconds=row["hold_seconds"],
        hold_expiry=HoldExpiry(row["hold_expiry"]),
        sealed_cvv=row["sealed_cvv"],
        decision=Decision(row["decision"]) if row["decision"] else None,
        decision_deadline_at=row["decision_deadline_at"],
        hold_deadline_at=row["hold_deadline_at"],
        held_minor=row["held_minor"],
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        rrn=row["rrn"],
        approval_code=row["approval_code"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        finished_at=row["finished_at"],
        threeds=Policy(row["threeds"]),
        exemption=Exemption(row["exemption"]) if row["exemption"] else None,
        names_session_on_return=row["names_session_on_return"],
        action_link=row["action_link"],
        action_deadline_at=row["action_deadline_at"],
        merchant_name=row["merchant_name"],
    )


def _operation_of(row: Row) -> Operation:
    references = None
    if row["rrn"] is not None:
        references = References(
            rrn=row["rrn"], stan=row["stan"], terminal=row["terminal"], transmitted_at=row["transmitted_at"]
        )
    return Operation(
        id=row["id"],
        kind=Kind(row["kind"]),
        payment_id=row["payment_id"],
        amount_minor=row["amount_minor"],
        planned_at=row["planned_at"],
        target_id=row["target_id"],
        state=State(row["state"]),
        references=references,
        attempts=row["attempts"],
        submitted_at=row["submitted_at"],
        next_attempt_at=row["next_attempt_at"],
        unclear_since=row["unclear_since"],
        is_stuck=row["is_stuck"],
        response_code=row["response_code"],
        approval_code=row["approval_code"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        finished_at=row["finished_at"],
        metadata=msgspec.json.decode(row["metadata"]) if row["metadata"] is not None else None,
        authentication_id=row["authentication_id"],
        exemption=Exemption(row["exemption"]) if row["exemption"] else None,
    )


def _authentication_of(row: Row) -> Authentication:
    return Authentication(
        id=row["id"],
        payment_id=row["payment_id"],
        version=row["version"],
        wish=Wish(row["wish"]),
        opened_at=row["opened_at"],
        state=AuthenticationState(row["state"]),
        asked_at=row["asked_at"],
        ds_transaction_id=row["ds_transaction_id"],
        acs_transaction_id=row["acs_transaction_id"],
        acs_url=row["acs_url"],
        result=_decode_result(row["result"]) if row["result"] is not None else None,
        finished_at=row["finished_at"],
    )


def claimed_of(row: Row) -> ClaimedDelivery:
    """An event of the query `claim_deliveries`, with where it goes."""
    delivery = Delivery(
        project=row["project"],
        session_id=row["session_id"],
        event_id=row["id"],
        type=EventType(row["type"]),
        sequence=row["sequence"],
        body=row["body"].encode(),
        attempts=row["attempts"],
        first_attempt_at=row["first_attempt_at"],
        next_attempt_at=row["next_attempt_at"],
        signature=row["signature"],
    )
    return ClaimedDelivery(
        delivery=delivery, url=row["webhook_url"], is_live=row["is_live"], window_seconds=row["window_seconds"]
    )


def finished_rows(delivery: Delivery, attempt: Attempt) -> tuple[Columns, Columns]:
    """An attempt and where its delivery stands, as `finish_deliveries` takes them."""
    made = (
        delivery.project,
        delivery.event_id,
        attempt.number,
        attempt.at,
        attempt.status,
        attempt.error,
        attempt.excerpt,
        round(attempt.duration_seconds * 1000),
    )
    standing = (
        delivery.project,
        delivery.event_id,
        delivery.state,
        delivery.attempts,
        delivery.first_attempt_at,
        delivery.next_attempt_at,
        delivery.signature,
    )
    return made, standing
