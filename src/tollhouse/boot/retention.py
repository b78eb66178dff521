"""How long things are kept: what the settings may be, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Callable

DAYS_MAX = 36500


def days_from(floor: int, why: str) -> Callable[[str], int]:
    """Reads a number of days that is not below the floor; `why` is told to whoever wants less."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not floor <= int(text) <= DAYS_MAX:
            raise ValueError(f"expected a number of days from {floor} to {DAYS_MAX}; {why}")
        return int(text)

    return read


read_cards = days_from(30, "a card is needed for refunds and disputes of what was paid with it")
read_personal = days_from(30, "who disputes a payment must be found")
read_events = days_from(30, "a webhook may be on its way for 30 days, and is sent again on demand")
read_books = days_from(1825, "no tax law known to us is content with less than 5 years")
