"""Card numbers in bytes as they lie: which digits may be a card's, and in what shapes numbers are written down.

Luhn and a scheme's range alone let one in thirty random numbers of 16 digits pass. So a number must also have a length
that its scheme issues today, stand by itself, and not be part of a fraction, a hash or a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from tollhouse.card import BRAND_RANGES, PAN, brand_of, is_luhn

# No scheme issues 13 digits any more, and article numbers have as many; such numbers are found when they are known.
LENGTHS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "american_express": (15,),
        "diners_club": (14, 16, 19),
        "discover": (16, 19),
        "jcb": (16, 19),
        "maestro": (16, 18, 19),
        "mastercard": (16,),
        "mir": (16, 19),
        "unionpay": (16, 19),
        "visa": (16, 19),
    }
)
DIGITS_MIN = min(min(lengths) for lengths in LENGTHS.values())
DIGITS_MAX = max(max(lengths) for lengths in LENGTHS.values())
SEPARATORS = b" -+_"
# Bounds of card ranges and other round figures, of which some pass every other rule.
_BOUND = re.compile(r"(?:0{7,}|9{7,})$")
_FIRST_DIGITS = {str(low)[0] for low, _, _ in BRAND_RANGES} | {str(high)[0] for _, high, _ in BRAND_RANGES}

_LAYOUTS: tuple[tuple[int, ...], ...] = (
    (4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 3), (4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (8, 8), (6, 13),
)  # fmt: skip
_FOREIGN_GROUPS_MAX = 4  # expiry, code and the like beside a number; a longer row is a table
_HASH_DIGITS_MIN = 20
_TOKEN_BYTES_MAX = 128
_PHONE_DIGITS_MAX = 15

_CLASSES = bytes(
    ord("d") if chr(byte) in "0123456789" else ord("s") if byte in SEPARATORS else ord(".") for byte in range(256)
)
_ROW = re.compile(rb"d+(?:sd+)+")
_ROW_BYTES_MAX = 80
_GROUPED = (b"ddddsdddd", b"ds" * (DIGITS_MIN - 1) + b"d")
_GROUP = re.compile(rb"d+")
_TOKEN = re.compile(rb"[0-9A-Za-z]*")
_WHOLE = re.compile(rb"\.0{1,2}(?![0-9])")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_MESSAGE_LENGTHS = "|".join(f"{n}([0-9]{{{n}}})" for n in range(DIGITS_MIN, DIGITS_MAX + 1))
# A message of ISO 8583 in ASCII: length, number, processing code with its two kinds of account, an amount that is
# not zero: a reversal names its original by many digits that end with zeros.
_CODES = b"00|01|02|09|17|20|21|22|26|28|30|31|40"
_MESSAGE = re.compile(b"(?=(?:%b)(?:%b)[0-4]0[0-4]0(?!0{12})[0-9]{12})" % (_MESSAGE_LENGTHS.encode(), _CODES))

_PACKED = bytes(high * 16 + low for high in range(10) for low in range(10))
_PACKED_LENGTHS = {bytes.fromhex(str(length))[0]: length for lengths in LENGTHS.values() for length in lengths}
_PACKED_CODES = bytes.fromhex(_CODES.replace(b"|", b"").decode())
_PACKED_KINDS_MIN = 5  # different digits: programs are full of round figures
_PACKED_ACCOUNTS = b"\x00\x10\x20\x30\x40"
_PACKED_CLASSES = bytes(
    ord("l") if byte in _PACKED_LENGTHS else ord("p") if byte in _PACKED else ord(".") for byte in range(256)
)
_PACKED_MESSAGE = re.compile(rb"l(?=[pl]{%d})" % ((DIGITS_MIN + 1) // 2 + 3))
# EMV: tag 5A has the number; tag 57 has it before the letter D, an expiry date and more. An odd one ends with an F.
_PACKED_TAGS = (re.compile(rb"\x5a([\x07\x08\x0a])"), re.compile(rb"\x57([\x0b-\x13])"))
_PACKED_NUMBER = re.compile(r"([0-9]{14}|[0-9]{16}|[0-9]{15}f|[0-9]{19}f)$")
_TEXT = re.compile(rb"[\t\r\n\x20-\x7e]+")
_PACKED_TRACK = re.compile(r"([0-9]{14,19})d[0-9]{2}(?:0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Shape:
    """Digits that lie somewhere in the bytes, and how they are written."""

    start: int
    end: int
    digits: str
    name: str


def is_card(digits: str) -> bool:
    """Whether these digits alone may be the number of a card that is issued today."""
    if digits[0] not in _FIRST_DIGITS or not DIGITS_MIN <= len(digits) <= DIGITS_MAX or not is_luhn(digits):
        return False
    if _BOUND.search(digits):
        return False
    brand = brand_of(PAN(digits))
    return brand is not None and len(digits) in LENGTHS[brand]


def numbers_in(content: bytes, known: tuple[str, ...] = ()) -> Iterator[Shape]:
    """Every number in these bytes that is written in decimal digits: alone, grouped, in a message, packed.

    Those that are known count wherever they stand and whatever is around them.
    """
    classes = content.translate(_CLASSES)
    yield from _in_one_piece(content, classes)
    yield from _grouped(content, classes)
    yield from _packed(content)
    if known:
        yield from _known(content, known)


def runs(classes: bytes, letter: bytes, length_min: int) -> Iterator[tuple[int, int]]:
    """Where one letter stands at least so many times in a row. Searching for the shortest run skips all else fast."""
    needle, run = letter * length_min, re.compile(letter + b"+")
    at = classes.find(needle)
    while at >= 0:
        found = run.match(classes, at)
        assert found is not None
        yield at, found.end()
        at = classes.find(needle, found.end())


def places(content: bytes, needle: bytes) -> Iterator[int]:
    """Wherever these bytes begin."""
    at = content.find(needle)
    while at >= 0:
        yield at
        at = content.find(needle, at + 1)


def _in_one_piece(content: bytes, classes: bytes) -> Iterator[Shape]:
    for start, end in runs(classes, b"d", DIGITS_MIN):
        if end - start <= DIGITS_MAX:
            digits = content[start:end].decode()
            if is_card(digits) and not _is_something_else(content, start, end):
                yield Shape(start, end, digits, "digits")
        else:
            yield from _in_message(content, start, end)


def _in_message(content: bytes, start: int, end: int) -> Iterator[Shape]:
    for found in _MESSAGE.finditer(content, start, end):
        digits = (found[found.lastindex or 0]).decode()
        if is_card(digits):
            at = found.start(found.lastindex or 0)
            yield Shape(at, at + len(digits), digits, "message")


def _is_something_else(content: bytes, start: int, end: int) -> bool:
    """A fraction, a phone number, or part of a hash or of an id in hexadecimal."""
    before, after = content[max(0, start - 2) : start], content[end : end + 2]
    if before[-1:] == b"." and before[:1].isdigit() and len(before) == 2:
        return True
    # Tables that were read as numbers write 4111111111111111.0 for a card.
    if after[:1] == b"." and after[1:].isdigit() and not _WHOLE.match(content, end):
        return True
    if before[-1:] == b"+" and end - start <= _PHONE_DIGITS_MAX:
        return True
    return _is_hash(content, start, end)


def _is_hash(content: bytes, start: int, end: int) -> bool:
    reach = content[max(0, start - _TOKEN_BYTES_MAX) : start]
    left = _TOKEN.match(reach[::-1])
    right = _TOKEN.match(content, end, end + _TOKEN_BYTES_MAX)
    assert left is not None and right is not None
    around = left[0][::-1] + right[0]
    if len(around) < 3 or len(around) + end - start < _HASH_DIGITS_MIN:
        return False
    letters = sum(not 48 <= byte <= 57 for byte in around)
    return letters >= 3 and _HEX.fullmatch(around) is not None


def _grouped(content: bytes, classes: bytes) -> Iterator[Shape]:
    for needle in _GROUPED:
        at = classes.find(needle)
        while at >= 0:
            row = _row_at(classes, at)
            groups = [group.span() for group in _GROUP.finditer(classes, row.start(), row.end())]
            yield from _in_row(content, groups)
            at = classes.find(needle, row.end())


def _row_at(classes: bytes, at: int) -> re.Match[bytes]:
    """The row of groups around a place in it. It may begin before the place, and other rows before that."""
    floor = max(0, at - _ROW_BYTES_MAX)
    row = _ROW.search(classes, max(floor, classes.rfind(b".", floor, at)))
    while row is not None and row.end() <= at:
        row = _ROW.search(classes, row.end())
    assert row is not None
    return row


def _in_row(content: bytes, groups: list[tuple[int, int]]) -> Iterator[Shape]:
    """Numbers in groups with one separator between any two. Where it changes, a group belongs to both sides."""
    separators = [content[end] for _, end in groups[:-1]]
    first = 0
    while first < len(separators):
        last = first
        while last < len(separators) and separators[last] == separators[first]:
            last += 1
        yield from _in_part(content, groups[first : last + 1])
        first = last


def _in_part(content: bytes, groups: list[tuple[int, int]]) -> Iterator[Shape]:
    lengths = tuple(end - start for start, end in groups)
    layouts = [layout for layout in _LAYOUTS if len(layout) <= len(lengths) <= len(layout) + _FOREIGN_GROUPS_MAX]
    ones = max((len(run) for run in "".join("1" if length == 1 else " " for length in lengths).split()), default=0)
    if DIGITS_MIN <= ones <= DIGITS_MAX and len(lengths) <= ones + _FOREIGN_GROUPS_MAX:
        layouts.append((1,) * ones)
    for layout in layouts:
        for first in range(len(lengths) - len(layout) + 1):
            if lengths[first : first + len(layout)] != layout:
                continue
            members = groups[first : first + len(layout)]
            start, end = members[0][0], members[-1][1]
            digits = b"".join(content[one:other] for one, other in members).decode()
            beside = content[max(0, start - 1) : start], content[end : end + 1]
            if is_card(digits) and not any(byte.isalnum() for byte in beside):
                yield Shape(start, end, digits, "grouped")


def _packed(content: bytes) -> Iterator[Shape]:
    """Two digits to a byte. Any eight bytes may look so by chance: it takes a length or a tag in front."""
    for found in _PACKED_MESSAGE.finditer(content.translate(_PACKED_CLASSES)):
        length = _PACKED_LENGTHS[content[found.start()]]
        end = found.end() + (length + 1) // 2
        code = content[end : end + 3]
        amount = content[end + 3 : end + 9].hex()
        if not amount.isdecimal() or not int(amount) or len(amount) < 12:
            continue
        if code[0] in _PACKED_CODES and set(code[1:]) <= set(_PACKED_ACCOUNTS):
            digits = content[found.end() : end].hex()[-length:]
            if digits.isdecimal() and len(set(digits)) >= _PACKED_KINDS_MIN and is_card(digits):
                yield Shape(found.end(), end, digits, "packed")
    for tag, form in zip(_PACKED_TAGS, (_PACKED_NUMBER, _PACKED_TRACK), strict=True):
        for found in tag.finditer(content):
            packed = content[found.end() : found.end() + found[1][0]]
            number = form.match(packed.hex())
            is_text = found[1] == b"\n" and _TEXT.fullmatch(packed) is not None
            if number is not None and not is_text and is_card(digits := number[1].rstrip("f")):
                yield Shape(found.end(), found.end() + (len(digits) + 1) // 2, digits, "packed")


@dataclass(frozen=True, slots=True)
class _Needles:
    """Many texts that are looked for by the few ways in which they begin."""

    by_beginning: Mapping[bytes, Mapping[bytes, str]]

    @classmethod
    def of(cls, forms: Mapping[bytes, str], beginning_bytes: int) -> _Needles:
        by_beginning: dict[bytes, dict[bytes, str]] = {}
        for form, digits in forms.items():
            by_beginning.setdefault(form[:beginning_bytes], {})[form] = digits
        return cls(by_beginning)

    def find(self, content: bytes) -> Iterator[tuple[int, bytes, str]]:
        """Where each lies, as what, and whose it is."""
        for beginning, forms in self.by_beginning.items():
            at = content.find(beginning)
            while at >= 0:
                for form, digits in forms.items():
                    if content.startswith(form, at):
                        yield at, form, digits
                at = content.find(beginning, at + 1)


@lru_cache(maxsize=8)
def _needles(known: tuple[str, ...]) -> tuple[_Needles, _Needles]:
    """Known numbers as digits, and packed."""
    packed = {form: digits for digits in known for form in packed_forms(digits)}
    return _Needles.of({digits.encode(): digits for digits in known}, 6), _Needles.of(packed, 3)


def _known(content: bytes, known: tuple[str, ...]) -> Iterator[Shape]:
    plain, packed = _needles(known)
    for digits in sorted({digits for _, _, digits in plain.find(content.translate(None, SEPARATORS))}):
        apart = b"[%b]{0,2}" % re.escape(SEPARATORS)
        for found in re.finditer(apart.join(digit.encode() for digit in digits), content):
            yield Shape(found.start(), found.end(), digits, "grouped" if len(found[0]) > len(digits) else "digits")
    for at, form, digits in packed.find(content):
        yield Shape(at, at + len(form), digits, "packed")


def packed_forms(digits: str) -> set[bytes]:
    """The bytes of these digits, two to a byte, that are certain: whichever half of a byte the first one lies in."""
    whole = digits if len(digits) % 2 == 0 else digits[:-1]
    shifted = digits[1:] if len(digits) % 2 else digits[1:-1]
    # Zeros and a few small bytes lie in any file of a database: what has hardly any different ones tells nothing.
    return {form for form in map(bytes.fromhex, (whole, shifted)) if len(set(form)) >= _PACKED_KINDS_MIN}
