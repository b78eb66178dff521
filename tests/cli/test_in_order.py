"""What is learned in any order is told in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.cli.in_order import InOrder


@dataclass(frozen=True)
class Something:
    """It happened."""

    at_seconds: float
    name: str = ""


def test_nothing_is_told_before_what_is_under_way() -> None:
    """A call that began before is told first, although it is learned of last; in one instant the first learned is."""
    told: list[Something] = []
    order = InOrder(told.append)
    with order.under_way(1.0):
        order.add(Something(1.5, "webhook"))
        order.add(Something(1.5, "message"))
        order.tell_until(2.0)
        assert told == []
    order.add(Something(1.0, "call"))
    order.tell_until(1.4)
    assert [one.name for one in told] == ["call"]
    order.tell_all()
    assert [one.name for one in told] == ["call", "webhook", "message"]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100))))
def test_any_order_becomes_that_of_time(learned: Sequence[tuple[float, float]]) -> None:
    """As long as nothing is learned of a time that was said to be known, the order is that of time."""
    told: list[Something] = []
    order, known_until = InOrder(told.append), 0.0
    for at, until in learned:
        order.add(Something(max(at, known_until)))
        known_until = max(known_until, until)
        order.tell_until(until)
    order.tell_all()
    assert [one.at_seconds for one in told] == sorted(one.at_seconds for one in told)
    assert len(told) == len(learned)
