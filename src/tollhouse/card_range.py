"""Ranges of cards that take part in 3-D Secure, as a directory server lists them, and which of them a card lies in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tollhouse.authentication import VERSIONS, Enrolment, common_version
from tollhouse.card import PAN

SHOWN_DIGITS = 8  # of a bound, where people read it: as many as a BIN may have
AFTER = ":"  # sorts behind every digit: the place right after a bound


class Action(StrEnum):
    """What a directory server says of a range."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class CardRange:
    """PANs from the first to the last, both included, all of one length, and how they take part.

    `versions` are those in which the issuer and the directory server both speak. `info`: the protocol's codes for
    what the issuer can do.
    """

    first: str
    last: str
    versions: tuple[str, ...] = ()
    method_url: str | None = None
    info: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[str, str]:
        """What makes it this range."""
        return self.first, self.last

    @property
    def text(self) -> str:
        """For people, no more of it than a BIN."""
        return f"{self.first[:SHOWN_DIGITS]}… to {self.last[:SHOWN_DIGITS]}… ({len(self.first)} digits)"

    def holds_bin(self, digits: str) -> bool:
        """Whether a card that begins so may lie in it."""
        return self.first[: len(digits)] <= digits <= self.last[: len(digits)]


Said = Iterable[tuple[Action, CardRange]]


class RangesRefused(ValueError):
    """These ranges cannot be; the text is one line for a person."""


class RangeBackwards(RangesRefused):
    """A range whose bounds differ in length, or whose last lies before its first."""

    def __init__(self, wrong: CardRange) -> None:
        super().__init__(f"card range {wrong.text} ends before it begins, or has bounds of two lengths")


class RangesOverlap(RangesRefused):
    """Two ranges hold the same card."""

    def __init__(self, one: CardRange, other: CardRange) -> None:
        super().__init__(f"card ranges overlap: {one.text} and {other.text}")


class RangeUnknown(RangesRefused):
    """A range is changed or removed that was never listed."""

    def __init__(self, action: Action, unknown: CardRange) -> None:
        super().__init__(f"card range {unknown.text} is {action} and was never listed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What one state of the ranges has and another has not. `put` is what was added or changed."""

    added: tuple[CardRange, ...]
    changed: tuple[CardRange, ...]
    removed: tuple[CardRange, ...]

    @property
    def put(self) -> tuple[CardRange, ...]:
        return self.added + self.changed


class Ranges:
    """Ranges that do not overlap, in order; never changed once made."""

    __slots__ = ("_bounds", "_ranges")

    def __init__(self, ranges: Iterable[CardRange] = ()) -> None:
        """Raises `RangeBackwards`, `RangesOverlap`."""
        self._ranges: Sequence[CardRange] = sorted(ranges, key=lambda one: _place(one.first))
        for one in self._ranges:
            if len(one.first) != len(one.last) or one.first > one.last:
                raise RangeBackwards(one)
        for one, following in pairwise(self._ranges):
            if _place(following.first) <= _place(one.last):
                raise RangesOverlap(one, following)
        # Where each range begins and, right after its last, ends: a card in a range has passed an odd number of these.
        self._bounds = [bound for one in self._ranges for bound in (_place(one.first), _place(one.last) + AFTER)]

    @classmethod
    def of(cls, said: Said) -> Ranges:
        """The whole list, whatever each entry is said to be. Raises `RangesRefused`."""
        return cls(one for action, one in said if action is not Action.REMOVED)

    def __iter__(self) -> Iterator[CardRange]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(tuple(self._ranges))

    def __repr__(self) -> str:
        return f"Ranges({len(self)})"

    def find(self, pan: PAN) -> CardRange | None:
        """The range that a card lies in."""
        passed = pan.place_in(self._bounds)
        return self._ranges[passed // 2] if passed % 2 else None

    def after(self, said: Said) -> Ranges:
        """As they become when these changes are applied in their order. Raises `RangesRefused`: then ask for all."""
        found = {one.bounds: one for one in self._ranges}
        for action, one in said:
            known = found.get(one.bounds)
            if action is Action.ADDED:
                if known is not None:
                    raise RangesOverlap(known, one)
                found[one.bounds] = one
            elif known is None:
                raise RangeUnknown(action, one)
            elif action is Action.CHANGED:
                found[one.bounds] = one
            else:
                del found[one.bounds]
        return Ranges(found.values())

    def difference(self, after: Ranges) -> Difference:
        """What must be done to these to become those."""
        old = {one.bounds: one for one in self}
        new = {one.bounds: one for one in after}
        return Difference(
            added=tuple(one for one in after if one.bounds not in old),
            changed=tuple(one for one in after if one.bounds in old and one != old[one.bounds]),
            removed=tuple(one for one in self if one.bounds not in new),
        )


def enrolment_of(found: CardRange, directory_versions: tuple[str, ...] = VERSIONS) -> Enrolment | None:
    """How a card of this range takes part: in the highest version that all speak; None when there is none."""
    version = common_version(found.versions, directory_versions)
    return None if version is None else Enrolment(version=version, method_url=found.method_url)


def _place(digits: str) -> str:
    """Digits as a bound that sorts by length first: see `PAN.place_in`."""
    return f"{len(digits):02d}{digits}"
