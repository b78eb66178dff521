"""Bookkeeping: which transfers follow from which operation."""

from __future__ import annotations

import pytest

from tests.ground.story import NOON
from tollhouse.bookkeeping import transfers_of
from tollhouse.operation import Kind, Operation, State


def _operation(kind: Kind, state: State = State.APPROVED, *, id: str = "op_2", amount_minor: int = 2590) -> Operation:
    return Operation(id=id, kind=kind, payment_id="pm_1", amount_minor=amount_minor, planned_at=NOON, state=state)


# Operation, what it acts on with its state at that moment, and each transfer as phase, debit → credit, resolved.
TABLE = [
    (
        Kind.SALE,
        None,
        ["posted acquirer_receivable→payer_funds", "posted payer_funds→merchant_payable"],
    ),
    (Kind.AUTHORIZATION, None, ["pending acquirer_receivable→payer_funds"]),
    (
        Kind.CAPTURE,
        _operation(Kind.AUTHORIZATION, id="op_1"),
        ["posted acquirer_receivable→payer_funds resolves op_1-1", "posted payer_funds→merchant_payable"],
    ),
    (
        Kind.REFUND,
        _operation(Kind.SALE, id="op_1"),
        ["posted merchant_payable→payer_funds", "posted payer_funds→acquirer_receivable"],
    ),
    (
        Kind.REVERSAL,
        _operation(Kind.AUTHORIZATION, id="op_1"),
        ["voided payer_funds→acquirer_receivable resolves op_1-1"],
    ),
    *(
        (Kind.REVERSAL, _operation(kind, state, id="op_1"), [])
        for kind in (Kind.SALE, Kind.AUTHORIZATION, Kind.CAPTURE, Kind.REFUND)
        for state in (State.REVERSING, State.REVERSED, State.DECLINED)
    ),
]


@pytest.mark.parametrize(("kind", "target", "lines"), TABLE)
def test_transfers(kind: Kind, target: Operation | None, lines: list[str]) -> None:
    """Money moves on approvals only; a reversal moves something only where an approved hold was booked."""
    every = transfers_of(_operation(kind, amount_minor=2000), currency="eur", target=target)
    assert [
        f"{transfer.phase} {transfer.debit}→{transfer.credit}"
        + (f" resolves {transfer.resolves_id}" if transfer.resolves_id else "")
        for transfer in every
    ] == lines
    assert all((t.amount_minor, t.currency, t.operation_id) == (2000, "eur", "op_2") for t in every)
    assert [transfer.id for transfer in every] == [f"op_2-{number}" for number in range(1, len(every) + 1)]


def test_every_kind_has_a_line() -> None:
    """The table above names every kind of operation."""
    assert {row[0] for row in TABLE} == set(Kind)
