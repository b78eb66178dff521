"""Card ranges: which of them a card lies in, and how they become others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import pans
from tollhouse.authentication import Enrolment
from tollhouse.card import PAN, luhn_digit
from tollhouse.card_range import (
    Action,
    CardRange,
    RangeBackwards,
    Ranges,
    RangesOverlap,
    RangesRefused,
    RangeUnknown,
    enrolment_of,
)

BOTH = ("2.2.0", "2.3.1")
LOW = CardRange("4000120000000000", "4000129999999999", BOTH, "https://acs.test/method", ("01", "02"))
HIGH = CardRange("4000130000000000", "4000130999999999", ("2.2.0",))
SHORT = CardRange("340000000000000", "349999999999999", BOTH)
KNOWN = Ranges([HIGH, SHORT, LOW])


@st.composite
def apart(draw: st.DrawFn) -> list[CardRange]:
    """Ranges that do not overlap, of several lengths, some of them neighbours, some of one card."""
    found: list[CardRange] = []
    for length in (13, 16, 19):
        numbers = st.integers(0, 60) if draw(st.booleans()) else st.integers(0, 10**length - 1)
        cuts = sorted(draw(st.lists(numbers, max_size=8, unique=True)))
        if len(cuts) % 2:
            cuts.append(cuts[-1])
        pairs = list(zip(cuts[::2], cuts[1::2], strict=True))
        found += [CardRange(str(first).zfill(length), str(last).zfill(length), BOTH) for first, last in pairs]
    return draw(st.permutations(found))


def naive(ranges: list[CardRange], digits: str) -> CardRange | None:
    """One after the other."""
    return next((one for one in ranges if len(one.first) == len(digits) and one.first <= digits <= one.last), None)


@given(apart(), pans, st.data())
def test_a_card_is_found_as_by_looking_at_each_range(ranges: list[CardRange], pan: PAN, data: st.DataObject) -> None:
    """Any card, a bound, or a card beside a bound: the search finds what looking at each finds."""
    known = Ranges(ranges)
    digits = [pan.reveal()]
    if ranges:
        one = data.draw(st.sampled_from(ranges))
        near = [int(bound) + step for bound in one.bounds for step in (-1, 0, 1)]
        digits += [str(number).zfill(len(one.first)) for number in near if number >= 0]
    for text in digits:
        assert known.find(PAN(text)) == naive(ranges, text)


def test_two_hundred_thousand_ranges() -> None:
    """As many as a directory server may list: each card is found in its own, and the gaps hold none."""
    known = Ranges(CardRange(f"4{number:06d}000000000", f"4{number:06d}499999999", BOTH) for number in range(200_000))
    assert len(known) == 200_000
    for number in range(0, 200_000, 997):
        inside, between = f"4{number:06d}49999999", f"4{number:06d}50000000"
        found = known.find(PAN(inside + luhn_digit(inside)))
        assert found is not None
        assert found.first == f"4{number:06d}000000000"
        assert known.find(PAN(between + luhn_digit(between))) is None


def test_nobody_lies_in_no_range() -> None:
    """Without ranges no card takes part."""
    assert Ranges().find(PAN("4242424242424242")) is None
    assert len(Ranges()) == 0


@pytest.mark.parametrize("length", [15, 17])
def test_a_card_of_another_length_is_in_no_range(length: int) -> None:
    """The same digits with one more or one less are another card."""
    assert KNOWN.find(PAN("4000125555555555555"[:length])) is None


def test_ranges_are_in_order_whatever_the_order_they_came_in() -> None:
    """Shorter cards first, then by digits; equal ranges make equal lists."""
    assert list(KNOWN) == [SHORT, LOW, HIGH]
    assert Ranges([LOW, HIGH, SHORT]) == KNOWN
    assert hash(Ranges([LOW, HIGH, SHORT])) == hash(KNOWN)
    assert Ranges([LOW]) != KNOWN
    assert repr(KNOWN) == "Ranges(3)"


@pytest.mark.parametrize(
    "other",
    [
        CardRange("4000129999999999", "4000130000000000"),
        CardRange("4000121000000000", "4000121000000000"),
        CardRange("4000110000000000", "4000140000000000"),
        LOW,
    ],
)
def test_ranges_must_not_overlap(other: CardRange) -> None:
    """Not at an edge, not inside, not around, not twice the same; only eight digits of a bound are told."""
    with pytest.raises(RangesOverlap, match="card ranges overlap: 4000") as refusal:
        Ranges([LOW, other])
    assert "400012000" not in str(refusal.value)


def test_neighbours_do_not_overlap() -> None:
    """One may begin right after another, and lengths do not meddle with each other."""
    after = CardRange("4000131000000000", "4000139999999999", BOTH)
    longer = CardRange("4000120000000000000", "4000129999999999999", BOTH)
    assert len(Ranges([LOW, HIGH, after, longer])) == 4


@pytest.mark.parametrize(
    ("first", "last"), [("4000120000000001", "4000120000000000"), ("400012000000000", "4000129999999999")]
)
def test_bounds_must_fit(first: str, last: str) -> None:
    """The last is not before the first, and both have one length."""
    with pytest.raises(RangeBackwards, match=r"4000120\d… "):
        Ranges([CardRange(first, last)])


def test_changes_are_applied_in_their_order() -> None:
    """Added, changed, removed: also a range that makes room for two others."""
    left = CardRange("4000120000000000", "4000124999999999", BOTH)
    right = CardRange("4000125000000000", "4000129999999999", BOTH)
    slower = replace(HIGH, method_url="https://acs.test/other")
    after = KNOWN.after([(Action.REMOVED, LOW), (Action.ADDED, left), (Action.ADDED, right), (Action.CHANGED, slower)])
    assert list(after) == [SHORT, left, right, slower]
    assert list(KNOWN) == [SHORT, LOW, HIGH]


@pytest.mark.parametrize(
    ("action", "one", "refusal"),
    [
        (Action.ADDED, LOW, RangesOverlap),
        (Action.ADDED, CardRange("4000125000000000", "4000125999999999"), RangesOverlap),
        (Action.ADDED, CardRange("5", "4"), RangeBackwards),
        (Action.CHANGED, CardRange("4000120000000000", "4000120000000001"), RangeUnknown),
        (Action.REMOVED, CardRange("4000120000000000", "4000120000000001"), RangeUnknown),
    ],
)
def test_changes_that_make_no_sense(action: Action, one: CardRange, refusal: type[RangesRefused]) -> None:
    """They show that our list is not the one they were made for."""
    with pytest.raises(refusal):
        KNOWN.after([(action, one)])


def test_a_whole_list_needs_no_other() -> None:
    """What each entry is said to be does not matter, but what is removed is not there."""
    said = [(Action.CHANGED, LOW), (Action.ADDED, HIGH), (Action.REMOVED, SHORT)]
    assert Ranges.of(said) == Ranges([LOW, HIGH])


@given(apart(), apart())
def test_a_difference_leads_from_one_to_the_other(before: list[CardRange], after: list[CardRange]) -> None:
    """What is removed, changed and added between two lists makes the one the other."""
    now = Ranges(replace(one, info=("01",)) for one in after)
    difference = Ranges(before).difference(now)
    said = [
        *((Action.REMOVED, one) for one in difference.removed),
        *((Action.CHANGED, one) for one in difference.changed),
        *((Action.ADDED, one) for one in difference.added),
    ]
    assert Ranges(before).after(said) == now
    assert difference.put == difference.added + difference.changed


@pytest.mark.parametrize(
    ("one", "versions", "enrolment"),
    [
        (LOW, BOTH, Enrolment(version="2.3.1", method_url="https://acs.test/method")),
        (LOW, ("2.2.0",), Enrolment(version="2.2.0", method_url="https://acs.test/method")),
        (HIGH, BOTH, Enrolment(version="2.2.0")),
        (HIGH, ("2.3.1",), None),
        (replace(LOW, versions=("2.1.0", "2.4.0")), BOTH, None),
    ],
)
def test_enrolment_is_in_the_highest_common_version(
    one: CardRange, versions: tuple[str, ...], enrolment: Enrolment | None
) -> None:
    """Issuer, directory server and we must all speak it."""
    assert enrolment_of(one, versions) == enrolment


@pytest.mark.parametrize(
    ("digits", "holds"), [("400012", True), ("40001299", True), ("4000", True), ("400013", False), ("400011", False)]
)
def test_cards_of_a_bin(digits: str, holds: bool) -> None:
    """A range holds a BIN when a card that begins so may lie in it."""
    assert LOW.holds_bin(digits) is holds
