"""Our operations against the acquirer's: by table, what agrees, what does not, and what is not compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ground.story import Story
from tests.lives import captured, declined, paid, refunded, released, reversed_late, stuck, told
from tollhouse.comparison import BankEntry, Standing, difference, is_comparable, standing_of
from tollhouse.operation import Kind

SALE = BankEntry(kind="sale", rrn="000000001001", state="approved", amount_minor=2590, currency="eur")

TABLE: list[tuple[Callable[[], Story], Kind, BankEntry | None, str | None]] = [
    (paid, Kind.SALE, SALE, None),
    (paid, Kind.SALE, None, "does not know it"),
    (paid, Kind.SALE, replace(SALE, state="reversed"), "approved here, reversed at the acquirer"),
    (paid, Kind.SALE, replace(SALE, state="declined"), "approved here, declined at the acquirer"),
    (paid, Kind.SALE, replace(SALE, amount_minor=2591), "a sale of 2590 eur here, a sale of 2591 eur"),
    (paid, Kind.SALE, replace(SALE, currency="usd"), "2590 usd at the acquirer"),
    (paid, Kind.SALE, replace(SALE, kind="refund"), "a refund of 2590 eur at the acquirer"),
    (declined, Kind.SALE, None, None),
    (declined, Kind.SALE, replace(SALE, state="declined"), None),
    (declined, Kind.SALE, SALE, "it stands at the acquirer"),
    (reversed_late, Kind.SALE, replace(SALE, state="reversed"), None),
    (reversed_late, Kind.SALE, SALE, "it stands at the acquirer"),
    (released, Kind.AUTHORIZATION, replace(SALE, kind="authorization", state="reversed"), None),
    (released, Kind.AUTHORIZATION, replace(SALE, kind="authorization"), "it stands at the acquirer"),
    (captured, Kind.AUTHORIZATION, replace(SALE, kind="authorization", state="captured"), None),
    (captured, Kind.CAPTURE, replace(SALE, kind="completion", amount_minor=2000), None),
    (refunded, Kind.REFUND, SALE, None),  # it waits for its answer: not compared
    (stuck, Kind.SALE, SALE, None),  # its reversal is at work: not compared
    (stuck, Kind.SALE, None, None),
]


@pytest.mark.parametrize(("story", "kind", "entry", "sentence"), TABLE)
def test_difference(story: Callable[[], Story], kind: Kind, entry: BankEntry | None, sentence: str | None) -> None:
    """An operation that is over either agrees with the acquirer's entry, or the difference is one sentence."""
    session = story().session
    operation = [one for one in session.operations if one.kind is kind][-1]
    found = difference(session, operation, entry)
    assert (found is None) if sentence is None else (found is not None and sentence in found)


def test_a_charge_being_taken_back_is_open() -> None:
    """While a reversal is at work the two books may differ."""
    story = told().start().confirm().answered("").wait(1).answered("00").wait(1).hear_late("00")
    assert standing_of(story.session, story.last(Kind.SALE)) is Standing.OPEN


def test_reversals_and_what_never_left_are_not_compared() -> None:
    """A reversal bears its target's reference, and what was planned only has none."""
    story = reversed_late()
    assert not is_comparable(story.last(Kind.REVERSAL))
    assert not is_comparable(told().start().confirm().last(Kind.SALE))
    assert is_comparable(story.last(Kind.SALE))
