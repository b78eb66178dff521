"""Card numbers in text where none belongs: found, and masked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tollhouse.card import PAN, brand_of, is_luhn, mask

_DIGITS_MIN, _DIGITS_MAX = 13, 19
_GAP = "[ \t\u00a0\\-\u2010-\u2015]"
# Groups of digits with at most two blanks or dashes between them, long enough together to hold a card number.
_RUN = re.compile(rf"[0-9](?:{_GAP}{{0,2}}[0-9]){{{_DIGITS_MIN - 1},}}")
_GROUP = re.compile("[0-9]+")
# What machines draw at random: taken whole, because one in some thousands has digits that would pass for a card's.
_DRAWN = (
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})(?![0-9A-Za-z])"
)
_DRAWN_OR_RUN = re.compile(rf"{_DRAWN}|(?P<run>{_RUN.pattern})")
STRAY_DIGITS_MIN = 14


def mask_cards(text: str) -> str:
    """The text with card numbers masked: 13 to 19 digits that pass the Luhn check and lie in a scheme's range.

    Grouped numbers count too, also where an expiry date or a CVV follows. Our own ids have 20 digits in one piece.
    UUIDs and hexadecimal of 32, 40 or 64 digits are never cards.
    """
    return _DRAWN_OR_RUN.sub(lambda found: _mask_run(found["run"]) if found["run"] else found[0], text)


def _mask_run(run: str) -> str:
    groups = list(_GROUP.finditer(run))
    masked: list[str] = []
    end = 0
    for first, last, is_sure in _cards(groups):
        digits = "".join(group[0] for group in groups[first : last + 1])
        # Where the number's end is in doubt, four last digits might show a CVV.
        shown = mask(digits) if is_sure else digits[:6] + "*" * (len(digits) - 6)
        masked += [run[end : groups[first].start()], shown]
        end = groups[last].end()
    return "".join([*masked, run[end:]])


def _cards(groups: list[re.Match[str]]) -> list[tuple[int, int, bool]]:
    """First and last group of what may be a card number, those that overlap as one, and whether it was only one."""
    found: list[tuple[int, int, bool]] = []
    for first in range(len(groups)):
        for last in _card_ends(groups, first):
            if found and first <= found[-1][1]:
                found[-1] = (found[-1][0], max(last, found[-1][1]), False)
            else:
                found.append((first, last, True))
    return found


def _card_ends(groups: list[re.Match[str]], first: int, *, digits_min: int = _DIGITS_MIN) -> Iterator[int]:
    """The groups with which a card number that begins with the group `first` may end."""
    digits = ""
    for last in range(first, min(first + _DIGITS_MAX, len(groups))):
        digits += groups[last][0]
        if digits_min <= len(digits) <= _DIGITS_MAX and is_luhn(digits) and brand_of(PAN(digits)):
            yield last


def mask_json(value: Any) -> Any:
    """JSON of somebody else's with the card numbers in its texts and names masked."""
    match value:
        case str():
            return mask_cards(value)
        case dict():
            return {mask_cards(name): mask_json(member) for name, member in value.items()}
        case list() | tuple():
            return [mask_json(item) for item in value]
        case _:
            text = mask_cards(repr(value))
            return value if text == repr(value) else text


def holds_card(value: object) -> bool:
    """Whether JSON of somebody else's holds what looks like a card number, in a text, a name or a number.

    Thirteen digits do not count here: no scheme issues such numbers any more, and article numbers have as many.
    UUIDs and hexadecimal of 32, 40 or 64 digits do not count either.
    """
    return any(_has_long_card(text) for text in _texts(value))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool() | None:
            return
        case int() | float():
            yield repr(value)
        case dict():
            for name, member in value.items():
                yield from _texts(name)
                yield from _texts(member)
        case list():
            for item in value:
                yield from _texts(item)
        case _:
            raise AssertionError(f"{type(value).__name__} is no JSON")


def _has_long_card(text: str) -> bool:
    for found in _DRAWN_OR_RUN.finditer(text):
        groups = list(_GROUP.finditer(found["run"] or ""))
        if any(
            next(_card_ends(groups, first, digits_min=STRAY_DIGITS_MIN), None) is not None
            for first in range(len(groups))
        ):
            return True
    return False
