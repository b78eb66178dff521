"""Refused accesses that wait for the audit log: the same ones counted, and a flood of different ones folded into one.

The log cannot be emptied for a year, so strangers must not fill it: beyond a burst, few different ones a second have an
entry of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tollhouse.audit import REFUSED, Act

OTHERS = "others"
DENIALS_MAX = 500
DENIALS_A_LOOK = 5  # what each look at them gives back, once a second


class Denials:
    """What waits. Whoever writes them takes all, and puts back what could not be written."""

    def __init__(self) -> None:
        self._waiting: Counter[Act] = Counter()
        self._left = DENIALS_MAX

    def add(self, act: Act) -> None:
        """One more."""
        if act not in self._waiting:
            if self._left == 0:
                act = Act(what=act.what, outcome=REFUSED, who=OTHERS, origin=OTHERS)
            else:
                self._left -= 1
        self._waiting[act] += 1

    def take(self) -> Counter[Act]:
        """All that wait, with how often each came."""
        self._left = min(DENIALS_MAX, self._left + DENIALS_A_LOOK)
        waiting, self._waiting = self._waiting, Counter()
        return waiting

    def put_back(self, denials: Mapping[Act, int]) -> None:
        """For the next time."""
        self._waiting.update(denials)
