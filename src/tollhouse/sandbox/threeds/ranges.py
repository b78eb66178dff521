"""The card ranges that take part in 3-D Secure, and what changed since a serial number.

For each BIN, first answer and method digit of a composable number there is one range, and one for each familiar
number that takes part; digits between that have another meaning are left out. Tests may change the ranges.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tollhouse.authentication import VERSIONS
from tollhouse.sandbox.cards import ALIASES, BINS, Authentication, Behaviour, Method

ONLY_OLD = frozenset({"discover"})  # speak 2.2.0 only, so that both versions can be met
SERIALS_MAX = 100  # earlier states that a difference can be told from
SERIAL_LENGTH = 20


class Action(StrEnum):
    """What became of a range: `actionInd`."""

    ADD = "A"
    MODIFY = "M"
    DELETE = "D"


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Card numbers from the first to the last, both included, all of one length."""

    first: str
    last: str
    versions: tuple[str, ...] = VERSIONS
    method: Method = Method.NONE

    def __post_init__(self) -> None:
        assert len(self.first) == len(self.last) and self.first <= self.last

    @property
    def bounds(self) -> tuple[int, str, str]:
        """What makes it this range; shorter numbers first."""
        return len(self.first), self.first, self.last


class RangesRefused(ValueError):
    """A change of ranges that makes no sense; the text is one line for a person."""


class SerialUnknown(Exception):
    """No state of the ranges has had this serial number."""


class CardRanges:
    """All ranges as they stand, and as they stood."""

    def __init__(self) -> None:
        self._ranges = tuple(sorted(_composed(), key=lambda one: one.bounds))
        self._earlier: OrderedDict[tuple[Range, ...], None] = OrderedDict()

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def find(self, pan: str) -> Range | None:
        """The range that holds a card."""
        at = bisect_right(self._ranges, (len(pan), pan), key=lambda one: (len(one.first), one.first)) - 1
        found = self._ranges[at] if at >= 0 else None
        return found if found and len(found.first) == len(pan) and found.first <= pan <= found.last else None

    def change(self, *, add: Iterable[Range], remove: Iterable[tuple[str, str]]) -> None:
        """Take ranges out, then put ranges in; the same bounds replace. Raises `RangesRefused`, nothing changed."""
        left = {(one.first, one.last): one for one in self._ranges}
        for first, last in remove:
            if left.pop((first, last), None) is None:
                raise RangesRefused("remove: no range has these bounds")
        left |= {(one.first, one.last): one for one in add}
        fresh = sorted(left.values(), key=lambda one: one.bounds)
        for one, following in pairwise(fresh):
            if len(one.last) == len(following.first) and one.last >= following.first:
                raise RangesRefused("add: a range overlaps another; remove that one first")
        self._earlier[self._ranges] = None
        self._ranges = tuple(fresh)
        self._earlier.pop(self._ranges, None)
        while len(self._earlier) > SERIALS_MAX:
            self._earlier.popitem(last=False)

    def serial(self, base: str) -> str:
        """The serial number of today's ranges: equal for equal ranges at the same address, also after a restart."""
        return _serial(self._ranges, base)

    def since(self, serial: str | None, base: str) -> list[tuple[Action, Range]]:
        """What changed since a serial number; everything is new to who has none. Raises `SerialUnknown`."""
        before = () if serial is None else self._at(serial, base)
        old = {one.bounds: one for one in before}
        new = {one.bounds: one for one in self._ranges}
        gone = [(Action.DELETE, one) for bounds, one in old.items() if bounds not in new]
        changed = [
            (Action.MODIFY if bounds in old else Action.ADD, one)
            for bounds, one in new.items()
            if old.get(bounds) != one
        ]
        return gone + changed

    def _at(self, serial: str, base: str) -> tuple[Range, ...]:
        for ranges in (self._ranges, *self._earlier):
            if _serial(ranges, base) == serial:
                return ranges
        raise SerialUnknown


def _serial(ranges: Collection[Range], base: str) -> str:
    text = "\n".join([base, *(f"{one.first}-{one.last} {one.versions} {int(one.method)}" for one in ranges)])
    return hashlib.sha256(text.encode()).hexdigest()[:SERIAL_LENGTH]


def _composed() -> Iterator[Range]:
    """The ranges that the cards' digits ask for."""
    familiar = {pan: behaviour for pan, behaviour in ALIASES.items() if _takes_part(behaviour)}
    for pan, behaviour in familiar.items():
        yield Range(pan, pan, VERSIONS, behaviour.method)
    for brand, bin_digits in BINS.items():
        length = 15 if brand == "american_express" else 16
        versions = VERSIONS[:1] if brand in ONLY_OLD else VERSIONS
        for answer in Authentication:
            for method in Method:
                start = f"{bin_digits}{int(answer)}{int(method)}"
                if answer is not Authentication.NONE:
                    yield from _without_familiar(start.ljust(length, "0"), start.ljust(length, "9"), versions, method)


def _without_familiar(first: str, last: str, versions: tuple[str, ...], method: Method) -> Iterator[Range]:
    """The range in pieces around the familiar numbers in it, which behave otherwise."""
    inside = sorted(pan for pan in ALIASES if len(pan) == len(first) and first <= pan <= last)
    for pan in inside:
        if first < pan:
            yield Range(first, _moved(pan, -1), versions, method)
        first = _moved(pan, 1)
    if first <= last:
        yield Range(first, last, versions, method)


def _moved(pan: str, by: int) -> str:
    return str(int(pan) + by).zfill(len(pan))


def _takes_part(behaviour: Behaviour) -> bool:
    return behaviour.authentication is not Authentication.NONE
