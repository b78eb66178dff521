"""Bytes that stand for other bytes: UTF-16, hexadecimal, base64, escapes. Each is taken off, and the way back is kept.

Everything in one disguise is uncovered together, into one content, so that searching it costs what its size costs.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tollhouse.sighting import DIGITS_MIN, places, runs

_APART = b"\n\n"
_APART_BASE64 = b"AAAA"  # three zeros
_BASE64_MIN = DIGITS_MIN * 4 // 3
_HEX_MIN = DIGITS_MIN * 2
_NEAR_BYTES = 1024
# A stretch with escapes is worth a look when it has the digits of a card, or room for something compressed.
_STRETCH_MIN = 64
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))


def _classes(*letters: tuple[bytes, bytes]) -> bytes:
    """A table that makes these letters of those bytes, and a dot of all others."""
    table = bytearray(b"." * 256)
    for letter, members in letters:
        for byte in members:
            table[byte] = letter[0]
    return bytes(table)


_PRINTED = bytes(range(0x20, 0x7F)) + b"\t\r\n\xa0"
_WORDS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_IN_BASE64 = _classes((b"b", _WORDS + b"+/-_"))
_IN_HEX = _classes((b"h", b"0123456789abcdefABCDEF"), (b"s", b" :"))
_IN_WIDE = _classes((b"p", _PRINTED), (b"z", b"\0"))
_IN_ESCAPED = _classes((b"t", bytes(set(range(0x21, 0x7F)) - set(b"\"'<>`{}|^"))))
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % _BASE64_MIN)
_NEXT_LINE = re.compile(rb"\r?\n([A-Za-z0-9+/]{4,})")
_LINE_BYTES_MIN = 48  # in front of a line end inside of base64: mails have 76, keys and certificates 64
_WIDE = {"utf-16": (2, re.compile(rb"(?:pz)+p?")), "utf-32": (4, re.compile(rb"(?:pzzz)+p?"))}
_SPACED_HEX = re.compile(rb"hh(?:shh)+")
_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})|\\+u00([0-9A-Fa-f]{2})|\\+x([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2});|&#([0-9]{1,3});"
)
_ESCAPE_BEGINNINGS = (
    re.compile(rb"%(?=[0-9A-Fa-f]{2})"),
    re.compile(rb"\\u00(?=[0-9A-Fa-f]{2})"),
    re.compile(rb"\\x(?=[0-9A-Fa-f]{2})"),
    re.compile(rb"&#(?=x[0-9A-Fa-f]{2};|[0-9]{1,3};)"),
)
# What typists and typesetters leave between the groups of a number beside what `sighting` knows: blanks that do not
# break, long dashes, two of a kind, a tab, a dot. All gaps of a number are alike, and one alone is mostly a fraction.
_GAP = rb"\xc2\xa0|\xa0|\xe2\x80[\x80-\x95\xaf]|  |--|\t|\."
_COLUMNS_APART, _COLUMNS_MAX = (b"\t", b"  "), 5  # a longer row of these is a table
_IN_GAPS = _classes((b"d", b"0123456789"), (b"g", b"\xc2\xa0\xe2\x80\xaf -\t." + bytes(range(0x80, 0x96))))
_GROUPS = re.compile(rb"(?<![0-9])[0-9]{1,19}(?:(%b)[0-9]{1,19})(?:\1[0-9]{1,19})+" % _GAP)


Piece = tuple[int, int, bytes]  # where it begins uncovered, where it lies, and the bytes as they lie there


@dataclass(frozen=True, slots=True)
class Uncovered:
    """What lay under one disguise, piece after piece, to be searched at once."""

    name: str
    content: bytes
    pieces: list[Piece]
    way_back: Callable[[int, bytes], int]

    def origin(self, at: int) -> int:
        """Where the byte here came from."""
        begin, start, raw = self.pieces[max(0, bisect_right(self.pieces, (at + 1,)) - 1)]
        return start + self.way_back(max(0, at - begin), raw)


def uncover(content: bytes) -> Iterator[Uncovered]:
    """The content without each of the disguises that it wears in places."""
    yield from _wide(content)
    yield from _hexadecimal(content)
    yield from _base64(content)
    yield from _escaped(content)
    yield from _spread(content)


def _joined(name: str, found: list[tuple[int, bytes, bytes]], way_back: Callable[[int, bytes], int]) -> list[Uncovered]:
    """One content of what lay at these places, as it lies there and uncovered. Nothing for nothing."""
    pieces, begin = list[Piece](), 0
    for start, raw, uncovered in found:
        pieces.append((begin, start, raw))
        begin += len(uncovered) + len(_APART)
    return [Uncovered(name, _APART.join(one[2] for one in found), pieces, way_back)] if found else []


def _wide(content: bytes) -> Iterator[Uncovered]:
    """UTF-16 and UTF-32 of plain characters, either byte order: all bytes of a character but one are zero."""
    classes = content.translate(_IN_WIDE)
    for name, (width, whole) in _WIDE.items():
        needle = (b"p" + b"z" * (width - 1)) * (DIGITS_MIN - 1) + b"p"
        found = [(start, b"", content[start:end:width]) for start, end in _repeated(classes, needle, whole)]
        yield from _joined(name, found, lambda index, _, width=width: width * index)  # type: ignore[misc]


def _hexadecimal(content: bytes) -> Iterator[Uncovered]:
    """Two characters for a byte, without gaps or with one between any two bytes."""
    classes = content.translate(_IN_HEX)
    closed, apart = list[tuple[int, bytes, bytes]](), list[tuple[int, bytes, bytes]]()
    for start, end in runs(classes, b"h", _HEX_MIN):
        for first in (start, start + 1):
            last = end - (end - first) % 2
            closed.append((first, b"", bytes.fromhex(content[first:last].decode())))
    for start, end in _repeated(classes, b"hhs" * (DIGITS_MIN - 1) + b"hh", _SPACED_HEX):
        apart.append((start, b"", bytes.fromhex(content[start:end].replace(b":", b" ").decode())))
    yield from _joined("hex", closed, lambda index, _: 2 * index)
    yield from _joined("hex", apart, lambda index, _: 3 * index)


def _repeated(classes: bytes, needle: bytes, whole: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    at = classes.find(needle)
    while at >= 0:
        run = whole.match(classes, at)
        assert run is not None
        yield at, run.end()
        at = classes.find(needle, run.end())


def _base64(content: bytes) -> Iterator[Uncovered]:
    """Either alphabet, with or without line ends. Where a text begins is not known, so each of four places is tried."""
    if b"b" * _BASE64_MIN not in content.translate(_IN_BASE64):
        return
    texts, pieces, begin, done = list[bytes](), list[Piece](), 0, 0
    for found in _BASE64.finditer(content):
        start, end = found.span()
        raw = found[0]
        # Digits, zeros and whatever is compressed have capitals in base64; paths and hexadecimal mostly have none.
        if start < done or raw == raw.lower():
            continue
        text = raw
        if end - start >= _LINE_BYTES_MIN and content[end : end + 1] in b"\r\n":
            while line := _NEXT_LINE.match(content, end):
                end = line.end()
            raw = content[start:end]
            text = raw.translate(None, b"\r\n")
        done = end
        text += b"A" * (-len(text) % 4) + _APART_BASE64
        pieces.append((begin, start, raw))
        texts.append(text)
        begin += len(text)
    whole = b"".join(texts).translate(_FROM_URL)
    for shift in range(4) if texts else ():
        plain = a2b_base64(whole[shift:] + b"A" * shift)
        moved = [(first * 3 // 4, start, raw) for first, start, raw in pieces]
        yield Uncovered("base64", plain, moved, lambda index, raw, shift=shift: _in_base64(shift + index * 4 // 3, raw))  # type: ignore[misc]


def _in_base64(wanted: int, raw: bytes) -> int:
    """Where the character of this number stands in a text with line ends."""
    at = wanted
    while (more := wanted + raw.count(b"\n", 0, at + 1) + raw.count(b"\r", 0, at + 1)) != at:
        at = more
    return at


def _escaped(content: bytes) -> list[Uncovered]:
    """Of URLs, JSON, program texts and HTML: where several stand close together without a blank between."""
    marks = sorted(match.start() for one in _ESCAPE_BEGINNINGS for match in one.finditer(content))
    if not marks:
        return []
    classes = content.translate(_IN_ESCAPED)
    found = []
    first = 0
    for index in range(1, len(marks) + 1):
        before, here = marks[index - 1], marks[index] if index < len(marks) else len(content)
        if index < len(marks) and here - before <= _NEAR_BYTES and classes.find(b".", before, here) < 0:
            continue
        start, end = _stretch(classes, marks[first], before)
        raw = content[start:end]
        if end - start >= _STRETCH_MIN or len(raw.translate(None, _NO_DIGITS)) >= DIGITS_MIN:
            found.append((start, raw, _ESCAPE.sub(_character, raw)))
        first = index
    return _joined("escapes", found, _in_escaped)


def _stretch(classes: bytes, first: int, last: int) -> tuple[int, int]:
    floor = max(0, first - _NEAR_BYTES)
    start = max(classes.rfind(b".", floor, first) + 1, floor)
    end = classes.find(b".", last, last + _NEAR_BYTES)
    return start, end if end >= 0 else min(last + _NEAR_BYTES, len(classes))


def _character(found: re.Match[bytes]) -> bytes:
    if found[5] is not None:
        return bytes([int(found[5]) % 256])
    return bytes.fromhex((found[1] or found[2] or found[3] or found[4]).decode())


def _in_escaped(index: int, raw: bytes) -> int:
    at = 0
    for found in _ESCAPE.finditer(raw):
        plain = found.start() - at
        if index <= plain:
            break
        index -= plain + 1
        at = found.end()
    return at + index


def _spread(content: bytes) -> list[Uncovered]:
    """Groups of digits with the same unusual gap between any two; each gap becomes one blank."""
    classes = content.translate(_IN_GAPS)
    found, done = list[tuple[int, bytes, bytes]](), 0
    for at in sorted(at for size in (1, 2, 3) for at in places(classes, b"dddd" + b"g" * size + b"dddd")):
        row = _GROUPS.match(content, at) if at >= done else None
        if row is not None:
            done = row.end()
            if row[1] in _COLUMNS_APART and row[0].count(row[1]) >= _COLUMNS_MAX:
                continue
            start, end = max(0, at - 1), done + 1  # what stands beside a number tells what it is
            raw = content[start:end]
            found.append((start, raw, raw.replace(row[1], b" ")))
    return _joined("gaps", found, _in_gaps)


def _in_gaps(index: int, raw: bytes) -> int:
    groups = _GROUPS.search(raw)
    assert groups is not None
    at = 0
    for part in raw.split(groups[1]):
        if index <= len(part):
            break
        index -= len(part) + 1
        at += len(part) + len(groups[1])
    return at + index
