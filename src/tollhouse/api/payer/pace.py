"""How often one payment's page may be asked for: so often that nobody notices, but no page in a loop can hurt."""

from __future__ import annotations

from collections.abc import Callable

REQUESTS_PER_MINUTE_MAX = 300
RETURNS_PER_MINUTE_MAX = 10  # that are kept: what browsers bring from the issuer
WINDOW_SECONDS = 60


class Pace:
    """Counts requests per link, minute by minute. Only links that exist are counted, so that it stays small."""

    def __init__(self, monotonic: Callable[[], float], *, per_minute_max: int = REQUESTS_PER_MINUTE_MAX) -> None:
        self._monotonic = monotonic
        self._per_minute_max = per_minute_max
        self._minute = 0
        self._counts: dict[str, int] = {}

    def is_over(self, link: str) -> bool:
        """Whether this link was asked for too often in this minute."""
        minute = int(self._monotonic() // WINDOW_SECONDS)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        return self._counts.get(link, 0) >= self._per_minute_max

    def count(self, link: str) -> None:
        """One more request to a link that exists."""
        self._counts[link] = self._counts.get(link, 0) + 1
