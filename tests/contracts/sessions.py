"""Sessions written by hand, field by field, and the changes that commit them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tollhouse.authentication import Authentication, Wish
from tollhouse.card import Expiry
from tollhouse.change import Change, KeyClaim
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, References
from tollhouse.payment import Details, PayingCard, Payment, Phase
from tollhouse.ports import Store
from tollhouse.session import PaymentSession

NOW = datetime(2026, 3, 2, 9, 15, 0, 204511, tzinfo=UTC)
CARD = PayingCard(token="card_1", bin="400012", last4="0008", brand="visa", expiry=Expiry(2031, 8))


def fresh(id: str = "ps_1", project: str = "shop") -> PaymentSession:
    """A session that was never committed."""
    return PaymentSession(project=project, id=id, version=0, api_version=2, created_at=NOW, updated_at=NOW)


def change(session: PaymentSession, *, id: str = "", **parts: Any) -> Change:
    """The next version of a session; everything in it is listed as changed."""
    after = replace(session, version=session.version + 1)
    lease = parts.get("lease")
    after = replace(after, lease_owner=lease.owner if lease else None)
    return Change(
        id=id or f"ch_{session.id}_{after.version}",
        at=NOW,
        session=after,
        answer=after,
        payment_ids=frozenset(payment.id for payment in session.payments),
        operation_ids=frozenset(operation.id for operation in session.operations),
        authentication_ids=frozenset(one.id for one in session.authentications),
        **parts,
    )


async def written(store: Store, session: PaymentSession, **parts: Any) -> PaymentSession:
    """Commit the next version and return it."""
    one = change(session, **parts)
    await store.commit(one)
    return one.session


def claim_of(key: str) -> KeyClaim:
    """A claim to this key."""
    return KeyClaim(key=key, path="/api/v2/session/create", body_hash=b"\x00\xff", keeps_answer=True, answer=b'{"a":1}')


def payment(id: str = "pm_1", **parts: Any) -> Payment:
    """A payment that waits for its decision."""
    given: dict[str, Any] = {
        "phase": Phase.AWAIT_CONFIRM,
        "money": Money(4990, "eur"),
        "card": CARD,
        "details": Details(customer={"reference": "u"}),
        "acquirer": "sandbox",
        "created_at": NOW,
    }
    return Payment(id=id, **{**given, **parts})


def authentication(id: str, *, number: int = 1, **parts: Any) -> Authentication:
    """An authentication of payment pm_1 that waits for the payer."""
    given: dict[str, Any] = {"payment_id": "pm_1", "version": "2.2.0", "wish": Wish.NO_PREFERENCE}
    return Authentication(id=id, opened_at=NOW + timedelta(seconds=number), **{**given, **parts})


def operation(id: str, kind: Kind, *, number: int, **parts: Any) -> Operation:
    """An operation under references of its own."""
    references = References(
        rrn=f"R{number:011d}", stan=f"{number:06d}", terminal="T0000001", transmitted_at=NOW.replace(microsecond=0)
    )
    given: dict[str, Any] = {"payment_id": "pm_1", "amount_minor": 4990, "references": references, "attempts": 1}
    at = NOW + timedelta(seconds=number)
    return Operation(id=id, kind=kind, planned_at=at, submitted_at=at, **{**given, **parts})
