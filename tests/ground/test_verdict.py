"""Verdicts: every row of the table, and what the acquirer is told of each outcome."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tests.ground.story import DS_ID, NOON, VALUE, result_of
from tollhouse.authentication import Authentication, Proof, State, TransStatus, Wish
from tollhouse.card import BRAND_RANGES
from tollhouse.verdict import (
    Ending,
    Policy,
    Verdict,
    ending_of,
    indicators_of,
    proof_of,
    verdict_of,
)

# Ending, then the verdict of always, of auto, of a mandate: P proceeds with proof, u without, - fails.
TABLE = """
Y             P P P
A             P P P
N             - - -
U             - u -
R             - - -
I             - u -
no_answer     - u -
not_enrolled  u u -
"""
VERDICT_OF = {"P": Verdict.PROCEED, "u": Verdict.UNPROVEN, "-": Verdict.FAIL}
ROWS = {Ending(row.split()[0]): [VERDICT_OF[mark] for mark in row.split()[1:]] for row in TABLE.strip().splitlines()}


@pytest.mark.parametrize("ending", Ending)
def test_every_row(ending: Ending) -> None:
    """Each ending under each policy, by itself and where the issuer itself asked for authentication."""
    always, auto, mandated = ROWS[ending]
    assert verdict_of(Policy.ALWAYS, ending, is_mandated=False) is always
    assert verdict_of(Policy.AUTO, ending, is_mandated=False) is auto
    assert verdict_of(Policy.NEVER, ending, is_mandated=False) is Verdict.UNPROVEN
    for policy in Policy:
        assert verdict_of(policy, ending, is_mandated=True) is mandated


def test_laws_of_the_table() -> None:
    """Nothing goes on after N or R, nothing unproven satisfies a mandate, and `always` is never laxer than `auto`."""
    for ending, is_mandated in product(Ending, (False, True)):
        strict = verdict_of(Policy.ALWAYS, ending, is_mandated=is_mandated)
        lax = verdict_of(Policy.AUTO, ending, is_mandated=is_mandated)
        assert strict is lax or strict is Verdict.FAIL
        if ending in (Ending.NOT_AUTHENTICATED, Ending.REJECTED):
            assert strict is lax is Verdict.FAIL
        if is_mandated:
            assert strict is not Verdict.UNPROVEN
        assert (lax is Verdict.PROCEED) == (ending in (Ending.AUTHENTICATED, Ending.ATTEMPTED))


@pytest.mark.parametrize("status", TransStatus)
def test_ending_of_each_status(status: TransStatus) -> None:
    """Each outcome has its ending; a challenge under way has none."""
    if status in (TransStatus.CHALLENGE, TransStatus.DECOUPLED):
        with pytest.raises(AssertionError, match="not over yet"):
            ending_of(status)
    else:
        assert ending_of(status).value == status.value


ECI = {"mastercard": ("02", "01", "00"), "maestro": ("02", "01", "00")}
OTHERS = ("05", "06", "07")
BRAND_NAMES: list[str | None] = [*sorted({brand for _, _, brand in BRAND_RANGES}), "unheard-of", None]


@pytest.mark.parametrize("brand", BRAND_NAMES)
def test_indicators_of_each_brand(brand: str | None) -> None:
    """Mastercard and Maestro have their own, all others Visa's."""
    found = indicators_of(brand)
    assert (found.full, found.attempt, found.none) == ECI.get(brand or "", OTHERS)


def finished(status: str, **parts: str | None) -> Authentication:
    """An authentication that ended so."""
    return Authentication(
        id="a",
        payment_id="pm_1",
        version="2.3.1",
        wish=Wish.NO_PREFERENCE,
        opened_at=NOON,
        state=State.FINISHED,
        ds_transaction_id=DS_ID,
        result=result_of(status, **parts),
        finished_at=NOON,
    )


@pytest.mark.parametrize("brand", BRAND_NAMES)
@pytest.mark.parametrize(("status", "place"), [("Y", 0), ("A", 1)])
def test_proof(brand: str | None, status: str, place: int) -> None:
    """Authenticated and attempted go along with value, id and version; the issuer's ECI counts before the usual one."""
    usual = ECI.get(brand or "", OTHERS)[place]
    expected = Proof(eci=usual, value=VALUE, ds_transaction_id=DS_ID, version="2.3.1")
    assert proof_of(finished(status), brand) == expected
    assert proof_of(finished(status, eci="08"), brand) == replace(expected, eci="08")


@pytest.mark.parametrize("brand", ["visa", "mastercard"])
@pytest.mark.parametrize(("status", "place"), [("Y", 0), ("A", 1)])
def test_an_indicator_that_cannot_be_does_not_count(brand: str, status: str, place: int) -> None:
    """An attempt is never told as full authentication, and nothing leaves that the acquirer's line cannot carry."""
    indicators = ECI.get(brand, OTHERS)
    for said in (*indicators, "\t\t", "é1", "<>"):
        assert proof_of(finished(status, eci=said), brand).eci == indicators[place]


@pytest.mark.parametrize("brand", ["visa", "mastercard"])
@pytest.mark.parametrize("status", ["Y", "A", "N", "U", "R", "I"])
def test_what_proves_nothing(brand: str, status: str) -> None:
    """Any other outcome, and one of the good ones without its value, is told as not authenticated, and no more."""
    without = finished(status, value=None, eci="05")
    none = Proof(eci=ECI.get(brand, OTHERS)[2])
    assert proof_of(without, brand) == none
    if status not in ("Y", "A"):
        assert proof_of(finished(status, value=VALUE, eci="05"), brand) == none
    assert proof_of(replace(without, result=None), brand) == none
    assert proof_of(None, brand) == none
