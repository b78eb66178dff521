"""Forms of values at their edges, and conditions that are open, met or not."""

from __future__ import annotations

from typing import Any

import pytest

from tollhouse.threeds.condition import ALWAYS, NEVER, given, one_of
from tollhouse.threeds.field import Format
from tollhouse.threeds.formats import Choice, Digits, Flag, Ip, Moment, Pattern, Text, Url
from tollhouse.threeds.nesting import Anything, Array, Object

A, B = one_of("a", "1"), one_of("b", "1")


@pytest.mark.parametrize(
    ("form", "value", "fits"),
    [
        (Text(3), "abc", True),
        (Text(3), "a\nb", False),
        (Text(3), "a\tb", True),
        (Text(3, lines=True), "a\nb", True),
        (Text(3, lines=True), "a\rb", False),
        (Text(3), "жé東", True),
        (Digits(1, 2, low=2, high=10), "10", True),
        (Digits(1, 2, low=2, high=10), "02", True),
        (Digits(1, 2, low=2, high=10), "11", False),
        (Choice(("01",), scheme=True), "99", True),
        (Choice(("01",), scheme=True), "80", True),
        (Choice(("01",)), "80", False),
        (Pattern(r"\d", "digit", "1"), "1\n", False),
        (Flag(only_true=True), False, False),
        (Flag(), False, True),
        (Ip(), "::ffff:1.2.3.4", True),
        (Ip(), "fe80::1%eth0", False),
        (Url(), "http://127.0.0.1:8402/ds", True),
        (Url(), "https://example.com", True),
        (Moment("YYYYMMDD"), "20280229", True),
        (Moment("YYYYMMDD"), "20270229", False),
        (Moment("YYYYMMDD"), "21000229", False),
        (Moment("YYYYMMDD"), "20260431", False),
        (Moment("YYYYMMDDHHMM"), "202601012400", False),
        (Moment("YYYYMMDDHHMMSS"), "20260101235960", False),
        (Moment("YYMM"), "2612", True),
        (Anything(9), {"a": "b"}, True),
        (Anything(9), {"a": "bc"}, False),
        (Anything(99), {"a": float("nan")}, False),
        (Array(Text(1), most=2), ["a", "b"], True),
        (Object("o", ()), {"a": 1}, True),
        (Object("o", ()), {}, False),
    ],
)
def test_edges_of_forms(form: Format, value: Any, fits: bool) -> None:
    """Each form takes what is just inside its limits and refuses what is just outside."""
    assert form.fits(value) is fits


def test_a_condition_is_open_until_its_members_are_known() -> None:
    """Conditions are decided as far as the known members decide them."""
    assert (A & B).settled({}) is None
    assert (A & B).settled({"a": "2"}) is False
    assert (A & B).settled({"a": "1", "b": "1"}) is True
    assert (A | B).settled({"a": "1"}) is True
    assert (A | B).settled({"a": "2"}) is None
    assert (A | B).settled({"a": "2", "b": "2"}) is False
    assert (given("a") | NEVER).settled({"a": None}) is True
    assert (given("a") & ALWAYS).settled({}) is None


def test_a_condition_looks_into_lists_and_objects() -> None:
    """A list counts when it holds a value; a dotted name is that of a nested member."""
    assert A.met({"a": ["0", "1"]})
    assert one_of("a.b", "1").met({"a": {"b": "1"}})
    assert not one_of("a.b", "1").met({"a": "1"})


def test_a_condition_reads_as_a_sentence() -> None:
    """People read the condition that is decided."""
    assert (A & (B | given("c"))).text == "`a` is 1 and (`b` is 1, or `c` is given)"
