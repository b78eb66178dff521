"""How often somebody may guess wrong: so many times a minute, and then not at all for a minute.

A wrong guess is a debt of one, which is forgiven slowly. When the debt is too high, nothing of that source is looked
at for `LOCK_SECONDS`; then it begins anew. So in no minute more than `most` wrong guesses of one source are looked at.
Whoever never guesses wrong is never refused, however many others do.

Everything here has a size that it never exceeds: what was not touched for longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

LOCK_SECONDS = 60.0
SOURCES_MAX = 20_000
FAMILIAR_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """`burst` wrong guesses at once, and `per_minute` more in the course of a minute."""

    burst: int
    per_minute: int

    @property
    def most(self) -> int:
        """More than so many wrong guesses are looked at in no minute."""
        return self.burst + self.per_minute


@dataclass(slots=True)
class _Standing:
    debt: float
    at: float
    locked_until: float = 0.0


class Guesses:
    """Counts wrong guesses by source. `now` is a clock that never goes back, in seconds."""

    def __init__(self, allowance: Allowance, *, sources_max: int = SOURCES_MAX) -> None:
        self._allowance = allowance
        self._sources_max = sources_max
        self._standings: OrderedDict[str, _Standing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._standings)

    def wait_seconds(self, source: str, now: float) -> float:
        """How long until a guess of this source is looked at again; 0 when it is now."""
        found = self._standings.get(source)
        return max(0.0, found.locked_until - now) if found is not None else 0.0

    def count(self, source: str, now: float) -> bool:
        """One more wrong guess was looked at. Whether it is the one that shuts the source out."""
        found = self._standings.get(source)
        if found is None or now >= found.locked_until > 0:
            found = self._standings[source] = _Standing(debt=0.0, at=now)
        forgiven = (now - found.at) * self._allowance.per_minute / 60
        found.debt = max(0.0, found.debt - forgiven) + 1
        found.at = now
        self._standings.move_to_end(source)
        while len(self._standings) > self._sources_max:
            self._standings.popitem(last=False)
        if found.locked_until == 0 and found.debt > self._allowance.burst - 1:
            found.locked_until = now + LOCK_SECONDS
            return True
        return False


class Familiar:
    """Who was right before: (source, what it was right about). They are listened to, whoever else guesses beside."""

    def __init__(self, *, size_max: int = FAMILIAR_MAX) -> None:
        self._size_max = size_max
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, one: tuple[str, str]) -> bool:
        return one in self._known

    def remember(self, source: str, about: str) -> None:
        """This source was right about this."""
        self._known[source, about] = None
        self._known.move_to_end((source, about))
        if len(self._known) > self._size_max:
            self._known.popitem(last=False)
