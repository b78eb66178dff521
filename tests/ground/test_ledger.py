"""The ledger: sums, and every way in which a set of transfers can be wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import currencies
from tollhouse.ledger import Account, Transfer, TransferPhase, balances, flaws

PENDING = Transfer(
    id="op_1-1",
    operation_id="op_1",
    phase=TransferPhase.PENDING,
    debit=Account.ACQUIRER_RECEIVABLE,
    credit=Account.PAYER_FUNDS,
    amount_minor=2590,
    currency="eur",
)
POSTED = replace(PENDING, id="op_2-1", operation_id="op_2", phase=TransferPhase.POSTED, resolves_id="op_1-1")
VOIDED = replace(PENDING, id="op_3-1", operation_id="op_3", phase=TransferPhase.VOIDED, resolves_id="op_1-1")

transfers = st.builds(
    Transfer,
    id=st.uuids().map(str),
    operation_id=st.just("op_1"),
    phase=st.just(TransferPhase.POSTED),
    debit=st.just(Account.PAYER_FUNDS),
    credit=st.sampled_from((Account.ACQUIRER_RECEIVABLE, Account.MERCHANT_PAYABLE)),
    amount_minor=st.integers(1, 10**12),
    currency=currencies,
)


@given(st.lists(transfers, max_size=20))
def test_every_currency_sums_to_zero(every: list[Transfer]) -> None:
    """Whatever is posted, the balances of each currency sum to zero (P8)."""
    totals = balances(every)
    for currency in {transfer.currency for transfer in every}:
        assert sum(amount for (of, _), amount in totals.items() if of == currency) == 0
    assert flaws(every) == []


@pytest.mark.parametrize(
    ("every", "receivable"),
    [
        ([PENDING], 0),
        ([PENDING, POSTED], 2590),
        ([PENDING, VOIDED], 0),
        ([PENDING, replace(POSTED, amount_minor=5)], 5),
    ],
)
def test_only_what_is_posted_counts(every: list[Transfer], receivable: int) -> None:
    """Pending and voided transfers move nothing; posting a part of what was pending moves that part."""
    assert flaws(every) == []
    assert balances(every).get(("eur", Account.ACQUIRER_RECEIVABLE), 0) == receivable


@pytest.mark.parametrize(
    ("every", "flaw"),
    [
        ([PENDING, PENDING], "a transfer stands twice"),
        ([POSTED], "resolves op_1-1, which is not pending"),
        ([replace(PENDING, phase=TransferPhase.POSTED), VOIDED], "which is not pending"),
        ([PENDING, replace(POSTED, amount_minor=2591)], "posts more than was pending"),
        ([PENDING, POSTED, VOIDED], "is resolved 2 times"),
        ([PENDING, VOIDED, replace(VOIDED, id="op_4-1")], "is resolved 2 times"),
    ],
)
def test_flaws_are_found(every: list[Transfer], flaw: str) -> None:
    """A transfer that stands twice, resolves nothing, posts too much or resolves a second time is a flaw."""
    assert len([found for found in flaws(every) if flaw in found]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"credit": Account.ACQUIRER_RECEIVABLE},
        {"phase": TransferPhase.VOIDED},
    ],
)
def test_impossible_transfers_are_bugs(wrong: dict[str, object]) -> None:
    """A transfer moves something, between two accounts; a void names what it voids."""
    with pytest.raises(AssertionError):
        replace(PENDING, **wrong)
