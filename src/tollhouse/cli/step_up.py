"""The first charge of a step-up: the issuer declined it softly, and wants its payer authenticated before another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollhouse.authentication import Wish
from tollhouse.change import Note
from tollhouse.life import Kept, Life
from tollhouse.money import Money
from tollhouse.operation import Operation
from tollhouse.outcome import Declined, is_soft_decline, outcome_of_code


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftlyDeclined:
    """A request for money that was declined softly, when it was answered."""

    at: datetime
    operation_id: str
    kind: str
    money: Money
    response_code: str

    @property
    def words(self) -> str:
        """What happened, in one line."""
        return (
            f"{self.kind} {self.money} softly declined ({self.response_code}):"
            " the issuer wants the payer authenticated, then another may follow"
        )


def softly_declined(life: Life) -> list[SoftlyDeclined]:
    """The charges of a session that led to a step-up, oldest first."""
    operations = {operation.id: operation for operation in life.session.operations}
    return [found for kept in life.notes for found in _read(life, operations, kept)]


def shown_decline(one: SoftlyDeclined) -> dict[str, Any]:
    """A soft decline for programs."""
    return {
        "at": one.at.isoformat().replace("+00:00", "Z"),
        "operation_id": one.operation_id,
        "kind": one.kind,
        "amount": {"amount": one.money.minor, "currency": one.money.currency},
        "response_code": one.response_code,
    }


def _read(life: Life, operations: dict[str, Operation], kept: Kept) -> Iterator[SoftlyDeclined]:
    note = kept.what
    if not isinstance(note, Note) or note.kind != "message_in" or not isinstance(note.data, dict):
        return
    operation = operations.get(str(note.data.get("operation")))
    if operation is None:
        return
    payment = life.session.payment(operation.payment_id)
    outcome = outcome_of_code(str((note.data.get("fields") or {}).get("39", "")))
    steps_up = any(one.wish is Wish.MANDATE for one in life.session.authentications_of(payment.id))
    if steps_up and isinstance(outcome, Declined) and is_soft_decline(outcome, payment.card.brand):
        yield SoftlyDeclined(
            at=kept.at,
            operation_id=operation.id,
            kind=operation.kind.value,
            money=Money(operation.amount_minor, payment.money.currency),
            response_code=outcome.response_code,
        )
