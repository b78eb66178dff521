"""Values to rows and back. Rows are plain dictionaries named as the columns are; texts stay texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tollhouse.change import Change, KeyClaim
from tollhouse.event import EventType
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, References, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, PayingCard, Payment, Phase
from tollhouse.ports import ClaimedDelivery
from tollhouse.session import Offer, PaymentSession
from tollhouse.webhook import Attempt, Delivery

Row = Mapping[str, Any]
_decode_offer = msgspec.json.Decoder(Offer).decode
_decode_card = msgspec.json.Decoder(PayingCard).decode
_decode_details = msgspec.json.Decoder(Details).decode
_encode = msgspec.json.encode


def text_of(value: object) -> str:
    """JSON text of a value that is kept as it is."""
    return _encode(value).decode()


def change_doc(change: Change, node: str) -> dict[str, Any]:
    """A change as `commit_changes` takes it. Members of a list that stays empty are left out."""
    session = change.session
    doc: dict[str, Any] = {
        "project": session.project,
        "session_id": session.id,
        "before_version": session.version - 1,
        "lease_seconds": change.lease.seconds if change.lease else None,
        "session": _session_row(session),
        "history": {
            "project": session.project,
            "session_id": session.id,
            "change_id": change.id,
            "version": session.version,
            "at": change.at,
            "node": node,
            "steps": change.steps,
        },
    }
    if change.payment_ids:
        doc["payments"] = [_payment_row(session, p) for p in session.payments if p.id in change.payment_ids]
    if change.operation_ids:
        doc["operations"] = [_operation_row(session, o) for o in session.operations if o.id in change.operation_ids]
    named = {"project": session.project, "session_id": session.id}
    if change.transfers:
        doc["transfers"] = [{**named, "at": change.at, **msgspec.to_builtins(one)} for one in change.transfers]
    if change.notes:
        doc["notes"] = [
            {**named, "id": f"{change.id}-{place}", "at": change.at, "kind": note.kind, "data": text_of(note.data)}
            for place, note in enumerate(change.notes)
        ]
    if change.alarms:
        doc["alarms"] = [
            {**named, "change_id": change.id, "at": change.at, "subject": alarm.subject, "what": alarm.what}
            for alarm in change.alarms
        ]
    if change.events:
        doc["events"] = [
            {
                **named,
                "id": event.id,
                "sequence": event.sequence,
                "type": event.type,
                "body": event.body.decode(),
                "created_at": event.created_at,
            }
            for event in change.events
        ]
    if change.claim is not None:
        doc["claim"] = _claim_row(change.claim, change)
    return doc


def sections(docs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which sections occur in these documents; `new` and `known` say whether their sessions exist already."""
    found: set[str] = set()
    for doc in docs:
        found.update(doc)
        found.add("known" if doc["before_version"] else "new")
    return list(found)


def _claim_row(claim: KeyClaim, change: Change) -> dict[str, Any]:
    return {
        "project": change.session.project,
        "key": claim.key,
        "path": claim.path,
        "body_hash": "\\x" + claim.body_hash.hex(),
        "session_id": change.session.id,
        "answer": claim.answer.decode() if claim.answer is not None else None,
        "at": change.at,
    }


def _session_row(session: PaymentSession) -> dict[str, Any]:
    offer = session.offer
    is_empty = offer == Offer()
    return {
        "project": session.project,
        "id": session.id,
        "version": session.version,
        "api_version": session.api_version,
        "webhook_version": session.webhook_version,
        "status": session.status,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "finished_at": session.finished_at,
        "offer": None if is_empty else text_of({**msgspec.to_builtins(offer), "sealed_cvv": None}),
        "offer_sealed_cvv": offer.sealed_cvv,
        "dropped": session.dropped,
        "events_count": session.events_count,
        "due_at": session.due_at,
        "lease_owner": session.lease_owner,
    }


def _payment_row(session: PaymentSession, payment: Payment) -> dict[str, Any]:
    return {
        "project": session.project,
        "id": payment.id,
        "session_id": session.id,
        "phase": payment.phase,
        "amount_minor": payment.money.minor,
        "currency": payment.money.currency,
        "card": text_of(payment.card),
        "details": text_of(payment.details),
        "acquirer": payment.acquirer,
        "is_two_stage": payment.is_two_stage,
        "shows_fees": payment.shows_fees,
        "hold_seconds": payment.hold_seconds,
        "hold_expiry": payment.hold_expiry,
        "sealed_cvv": payment.sealed_cvv,
        "decision": payment.decision,
        "decision_deadline_at": payment.decision_deadline_at,
        "hold_deadline_at": payment.hold_deadline_at,
        "held_minor": payment.held_minor,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "rrn": payment.rrn,
        "approval_code": payment.approval_code,
        "reason": payment.reason,
        "created_at": payment.created_at,
        "finished_at": payment.finished_at,
    }


def _operation_row(session: PaymentSession, operation: Operation) -> dict[str, Any]:
    references = operation.references
    return {
        "project": session.project,
        "id": operation.id,
        "session_id": session.id,
        "payment_id": operation.payment_id,
        "kind": operation.kind,
        "state": operation.state,
        "amount_minor": operation.amount_minor,
        "target_id": operation.target_id,
        "rrn": references.rrn if references else None,
        "stan": references.stan if references else None,
        "terminal": references.terminal if references else None,
        "transmitted_at": references.transmitted_at if references else None,
        "attempts": operation.attempts,
        "planned_at": operation.planned_at,
        "submitted_at": operation.submitted_at,
        "next_attempt_at": operation.next_attempt_at,
        "unclear_since": operation.unclear_since,
        "is_stuck": operation.is_stuck,
        "response_code": operation.response_code,
        "approval_code": operation.approval_code,
        "reason": operation.reason,
        "finished_at": operation.finished_at,
        "metadata": None if operation.metadata is None else text_of(operation.metadata),
    }


def session_of(row: Row) -> PaymentSession:
    """The session of a row of the query `find_session`."""
    offer = _decode_offer(row["offer"]) if row["offer"] is not None else Offer()
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


def finished_doc(delivery: Delivery, attempt: Attempt) -> dict[str, Any]:
    """An attempt and its delivery as `finish_deliveries` takes them."""
    return {
        "event": {
            "project": delivery.project,
            "id": delivery.event_id,
            "state": delivery.state,
            "attempts": delivery.attempts,
            "first_attempt_at": delivery.first_attempt_at,
            "next_attempt_at": delivery.next_attempt_at,
            "signature": delivery.signature,
        },
        "attempt": {
            "project": delivery.project,
            "event_id": delivery.event_id,
            "number": attempt.number,
            "at": attempt.at,
            "status": attempt.status,
            "error": attempt.error,
            "excerpt": attempt.excerpt,
            "duration_ms": round(attempt.duration_seconds * 1000),
        },
    }
