"""Our operations against the acquirer's, one by one (promise P2). What is still on its way is not compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tollhouse.operation import Kind, Operation, State
from tollhouse.session import PaymentSession

KIND_THERE: dict[Kind, str] = {
    Kind.SALE: "sale",
    Kind.AUTHORIZATION: "authorization",
    Kind.CAPTURE: "completion",
    Kind.REFUND: "refund",
}
LIVE_THERE = frozenset({"approved", "captured"})


class Standing(StrEnum):
    """What an operation comes to in our books."""

    OPEN = "open"  # unclear, or being taken back: the two books may differ
    LIVE = "live"
    GONE = "gone"  # declined, reversed or given back


@dataclass(frozen=True, slots=True, kw_only=True)
class BankEntry:
    """An operation in the acquirer's books."""

    kind: str
    rrn: str
    state: str
    amount_minor: int
    currency: str
    acceptor: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_THERE


def is_comparable(operation: Operation) -> bool:
    """Whether the acquirer may know it by a reference of its own: a reversal bears its target's."""
    return operation.kind is not Kind.REVERSAL and operation.references is not None


def standing_of(session: PaymentSession, operation: Operation) -> Standing:
    """What our books say of it."""
    if not operation.is_final or session.reversal_of(operation.id) is not None:
        return Standing.OPEN
    is_given_back = any(
        other.kind is Kind.REVERSAL and other.target_id == operation.id and other.state is State.APPROVED
        for other in session.operations
    )
    return Standing.LIVE if operation.state is State.APPROVED and not is_given_back else Standing.GONE


def difference(session: PaymentSession, operation: Operation, entry: BankEntry | None) -> str | None:
    """What the two books disagree about, in one sentence; None when they agree or cannot be compared yet."""
    name = f"{operation.kind} {operation.id}"
    match standing_of(session, operation):
        case Standing.OPEN:
            return None
        case Standing.GONE:
            is_live = entry is not None and entry.is_live
            return f"{name} is {operation.state} and over here, it stands at the acquirer" if is_live else None
        case Standing.LIVE:
            if entry is None:
                return f"{name} is approved here, the acquirer does not know it"
            if not entry.is_live:
                return f"{name} is approved here, {entry.state} at the acquirer"
            currency = session.payment(operation.payment_id).money.currency
            ours = (KIND_THERE[operation.kind], operation.amount_minor, currency)
            theirs = (entry.kind, entry.amount_minor, entry.currency)
            return None if ours == theirs else f"{name} is {_told(ours)} here, {_told(theirs)} at the acquirer"


def _told(facts: tuple[str, int, str]) -> str:
    kind, amount_minor, currency = facts
    return f"a {kind} of {amount_minor} {currency}"
