"""Exemptions: each rule at its limits, their order, and that none is claimed unless it was switched on."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import currencies
from tollhouse.exemption import (
    ALWAYS_ON,
    RULES,
    Exemption,
    Facts,
    LowValueUse,
    find_exemption,
)

E = Exemption
ALL = frozenset(Exemption)
SMALL = Facts(amount_minor=2_999, currency="eur")


def used(count: int, sum_minor: int) -> LowValueUse:
    """So many payments in a row without authentication, of so much together."""
    return LowValueUse(count=count, sum_minor=sum_minor)


LIMITS = [
    ("29.99 is low", E.LOW_VALUE, SMALL, True),
    ("30.00 is not", E.LOW_VALUE, replace(SMALL, amount_minor=3_000), False),
    ("one cent", E.LOW_VALUE, replace(SMALL, amount_minor=1), True),
    ("another currency", E.LOW_VALUE, replace(SMALL, currency="usd"), False),
    ("the fifth in a row", E.LOW_VALUE, replace(SMALL, low_value_use=used(4, 4)), True),
    ("the sixth in a row", E.LOW_VALUE, replace(SMALL, low_value_use=used(5, 5)), False),
    ("100.00 together", E.LOW_VALUE, replace(SMALL, low_value_use=used(4, 7_001)), True),
    ("100.01 together", E.LOW_VALUE, replace(SMALL, low_value_use=used(4, 7_002)), False),
    ("no fraud, 500.00", E.TRA, Facts(amount_minor=50_000, currency="eur", fraud_basis_points=0), True),
    ("0.01 %, 500.00", E.TRA, Facts(amount_minor=50_000, currency="eur", fraud_basis_points=1), True),
    ("0.01 %, 500.01", E.TRA, Facts(amount_minor=50_001, currency="eur", fraud_basis_points=1), False),
    ("0.02 %, 250.00", E.TRA, Facts(amount_minor=25_000, currency="eur", fraud_basis_points=2), True),
    ("0.02 %, 250.01", E.TRA, Facts(amount_minor=25_001, currency="eur", fraud_basis_points=2), False),
    ("0.06 %, 250.00", E.TRA, Facts(amount_minor=25_000, currency="eur", fraud_basis_points=6), True),
    ("0.07 %, 100.00", E.TRA, Facts(amount_minor=10_000, currency="eur", fraud_basis_points=7), True),
    ("0.07 %, 100.01", E.TRA, Facts(amount_minor=10_001, currency="eur", fraud_basis_points=7), False),
    ("0.13 %, 100.00", E.TRA, Facts(amount_minor=10_000, currency="eur", fraud_basis_points=13), True),
    ("0.14 %, one cent", E.TRA, Facts(amount_minor=1, currency="eur", fraud_basis_points=14), False),
    ("risk in another currency", E.TRA, Facts(amount_minor=1, currency="gbp", fraud_basis_points=0), False),
    ("a company", E.CORPORATE, Facts(amount_minor=10**9, currency="usd", is_company=True), True),
    ("no company", E.CORPORATE, Facts(amount_minor=10**9, currency="usd"), False),
    ("the merchant began", E.MERCHANT_INITIATED, replace(SMALL, currency="jpy", is_merchant_initiated=True), True),
    ("the payer is there", E.MERCHANT_INITIATED, replace(SMALL, currency="jpy"), False),
]


@pytest.mark.parametrize(("exemption", "facts", "applies"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_limits(exemption: Exemption, facts: Facts, applies: bool) -> None:
    """With one exemption switched on, it is claimed up to its limit and not a cent or a payment further."""
    assert find_exemption(facts, frozenset({exemption})) == (exemption if applies else None)


def test_every_exemption_has_its_limits_tested() -> None:
    """The table above has each exemption where it applies and where it does not."""
    assert {(row[1], row[3]) for row in LIMITS} == {(one, applies) for one in Exemption for applies in (True, False)}
    assert [exemption for exemption, _ in RULES] == [E.MERCHANT_INITIATED, E.LOW_VALUE, E.TRA, E.CORPORATE]


EVERYTHING = Facts(
    amount_minor=2_999, currency="eur", is_merchant_initiated=True, is_company=True, fraud_basis_points=0
)


@pytest.mark.parametrize("switched_on", [frozenset(some) for size in range(5) for some in combinations(E, size)])
def test_the_first_of_the_table_is_claimed(switched_on: frozenset[Exemption]) -> None:
    """Where several apply, the first that is switched on; a merchant's own payments are always out of scope."""
    assert find_exemption(EVERYTHING, switched_on) is E.MERCHANT_INITIATED
    present = replace(EVERYTHING, is_merchant_initiated=False)
    order = [E.LOW_VALUE, E.TRA, E.CORPORATE]
    assert find_exemption(present, switched_on) == next((one for one in order if one in switched_on), None)


facts = st.builds(
    Facts,
    amount_minor=st.integers(1, 60_000),
    currency=st.just("eur") | currencies,
    is_company=st.booleans(),
    fraud_basis_points=st.integers(0, 20),
    low_value_use=st.builds(LowValueUse, count=st.integers(0, 8), sum_minor=st.integers(0, 12_000)),
)


@given(facts)
def test_none_by_default(facts: Facts) -> None:
    """Without a setting nothing is claimed for a payer who is present."""
    assert find_exemption(facts, frozenset()) is None
    assert frozenset({E.MERCHANT_INITIATED}) == ALWAYS_ON


@given(facts, st.integers(1, 60_000))
def test_less_money_is_no_more_risk(facts: Facts, less: int) -> None:
    """Whatever may go unauthenticated may so for a smaller amount too."""
    smaller = replace(facts, amount_minor=min(less, facts.amount_minor))
    assert find_exemption(facts, ALL) is None or find_exemption(smaller, ALL) is not None


@given(facts)
def test_other_currencies_are_not_exempt_by_amount(facts: Facts) -> None:
    """The limits are in euro: in any other currency only a company's payment may be exempt."""
    other = replace(facts, currency="usd")
    assert find_exemption(other, ALL) == (E.CORPORATE if facts.is_company else None)
