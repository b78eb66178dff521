"""Leaks in a stream of bytes of any size: card numbers and known secrets, also disguised and compressed, in layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tollhouse.card import PAN, brand_of, mask
from tollhouse.disguise import uncover
from tollhouse.masking import mask_cards
from tollhouse.sighting import Shape, numbers_in, places
from tollhouse.wrapping import Opening, Unpacking, openings

# Disguises and compressions one in the other: gzip of base64 of UTF-16 is found, another one around it is not.
LAYERS_MAX = 3
BLOCK_BYTES = 1 << 22
# What is shorter than this, as it lies there, is found wherever a block ends.
REACH_BYTES = 1 << 16
_TAR = re.compile(rb"ustar(?:\x0000|  \x00)")
_TAR_OFFSET, _TAR_NAME_BYTES = 257, 100

# The names under which security codes travel, and the tag of field 48 of ISO 8583.
_CODE_NAME = re.compile(rb"(?i)(?:security[_ -]?code|card[_ -]?code|cvv2?|cvc2?|csc|\bcode)[\"'\\\s:=>]{1,12}$")
_CODE_NAME_BYTES_MAX = 40


class Kind(StrEnum):
    """What was found."""

    CARD = "card"
    TEST = "test number"
    KNOWN_CARD = "known card"
    KNOWN_CODE = "known code"
    KNOWN_TEXT = "known text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for beyond any card: numbers, security codes, bytes. Test numbers are told as such."""

    numbers: tuple[str, ...] = field(default=(), repr=False)
    codes: tuple[str, ...] = field(default=(), repr=False)
    texts: tuple[bytes, ...] = field(default=(), repr=False)
    test_numbers: frozenset[str] = frozenset()

    def kind_of(self, digits: str) -> Kind:
        """What a number is."""
        if digits in self.numbers:
            return Kind.KNOWN_CARD
        return Kind.TEST if digits in self.test_numbers else Kind.CARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One thing found. `shown` is all of it that may be told.

    `layers` are what it lies under, the outermost first; `inside` is the place in the innermost stream that was
    unpacked, and `line` that in a text.
    """

    offset: int
    kind: Kind
    shown: str
    shape: str
    layers: tuple[str, ...] = ()
    line: int | None = None
    inside: int | None = None
    member: str = ""

    @property
    def encoding(self) -> str:
        """As people say it: from the outside inwards."""
        return " > ".join((*self.layers, self.shape))

    @property
    def brand(self) -> str | None:
        """The scheme, as far as a BIN tells."""
        return brand_of(PAN(self.shown)) if self.kind in (Kind.CARD, Kind.TEST, Kind.KNOWN_CARD) else None


class Seeker:
    """Takes a stream piece by piece and finds what is in it, however the pieces are cut. Memory stays as it is.

    `unseen` says what could not be looked into.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        layers: tuple[str, ...] = (),
        block_bytes: int = BLOCK_BYTES,
        reach_bytes: int = REACH_BYTES,
    ) -> None:
        self._wanted = wanted
        self._layers = layers
        self._block_bytes, self._reach_bytes = block_bytes, reach_bytes
        self._buffer = bytearray()
        self._base = self._lines = self._fed = self._owned = 0
        self._streams: list[_Stream] = []
        self._members: list[tuple[int, str]] = [(0, "")]
        self._found: list[Sighting] = []
        self.unseen: list[str] = []

    def feed(self, piece: bytes) -> list[Sighting]:
        """More of the stream; what was found meanwhile."""
        for start in range(0, len(piece), self._block_bytes):
            self._buffer += piece[start : start + self._block_bytes]
            if len(self._buffer) - self._fed >= self._block_bytes:
                self._search(is_end=False)
        return self._taken()

    def finish(self) -> list[Sighting]:
        """The stream is over; the rest of what was found."""
        self._search(is_end=True)
        for stream in self._streams:
            stream.end()
            self._collect(stream)
        self._streams = []
        return self._taken()

    def _taken(self) -> list[Sighting]:
        found, self._found = self._found, []
        return found

    def _search(self, *, is_end: bool) -> None:
        """Look through the buffer. Each place is answered for by one buffer, which has what is around it."""
        content = bytes(self._buffer)
        for stream in self._streams:
            stream.feed(memoryview(content)[self._fed :])
        end = len(content) if is_end else max(self._owned, len(content) - self._reach_bytes)
        mine = [one for one in search(content, self._wanted, self._layers) if self._owned <= one.offset < end]
        if len(self._layers) < LAYERS_MAX:
            for opening in openings(content, self._owned, end, is_begin=self._base == 0 and not self._layers):
                self._open(opening, content)
        self._note_members(content, end)
        for one in mine:
            self._found.append(self._placed(one, content))
        self._streams = [stream for stream in self._streams if not self._collect(stream)]
        keep = max(0, end - self._reach_bytes)
        self._lines += content.count(b"\n", 0, keep)
        del self._buffer[:keep]
        self._base += keep
        self._fed, self._owned = len(self._buffer), end - keep

    def _placed(self, one: Sighting, content: bytes) -> Sighting:
        line = None if self._layers else self._lines + content.count(b"\n", 0, one.offset) + 1
        at = self._base + one.offset
        member = one.member or next(name for begin, name in reversed(self._members) if begin <= at)
        return replace(one, offset=at, line=line, member=member)

    def _open(self, opening: Opening, content: bytes) -> None:
        if opening.unpacker is None:
            member = f" {mask_cards(opening.member)}" if opening.member else ""
            self.unseen.append(f"offset {self._base + opening.offset}: {opening.name}{member}")
            return
        inner = Seeker(
            self._wanted,
            layers=(*self._layers, opening.name),
            block_bytes=self._block_bytes,
            reach_bytes=self._reach_bytes,
        )
        stream = _Stream(opening, inner, offset=self._base + opening.offset)
        stream.feed(memoryview(content)[opening.data :])
        if stream.is_any:
            # Most beginnings are accidents, and counting lines takes longer than finding that out.
            stream.line = None if self._layers else self._lines + content.count(b"\n", 0, opening.offset) + 1
            self._streams.append(stream)

    def _collect(self, stream: _Stream) -> bool:
        """Take over what a stream found; whether it is over."""
        self._found += stream.taken()
        if stream.is_over:
            self.unseen += stream.unseen()
        return stream.is_over

    def _note_members(self, content: bytes, end: int) -> None:
        """Files in an archive of tar, by their heads. The one before this buffer goes on in it."""
        del self._members[:-1]
        for found in _TAR.finditer(content, max(self._owned, _TAR_OFFSET), end):
            head = found.start() - _TAR_OFFSET
            name = content[head : head + _TAR_NAME_BYTES].rstrip(b"\0").decode(errors="replace")
            self._members.append((self._base + head, mask_cards(name)))


class _Stream:
    """A compressed stream and who looks through what comes out of it."""

    def __init__(self, opening: Opening, inner: Seeker, *, offset: int) -> None:
        assert opening.unpacker is not None
        self._opening, self._inner, self._offset = opening, inner, offset
        self.line: int | None = None
        self._found: list[Sighting] = []
        self._unpacking = Unpacking(opening.unpacker(), self._take)

    @property
    def is_any(self) -> bool:
        """Whether it goes on, or something came of it."""
        return not self.is_over or bool(self._found or self._inner.unseen) or self._unpacking.is_too_long

    @property
    def is_over(self) -> bool:
        return self._unpacking.is_over

    def feed(self, packed: memoryview) -> None:
        was_over = self.is_over
        self._unpacking.feed(packed)
        if self.is_over and not was_over:
            self._found += self._inner.finish()

    def end(self) -> None:
        """Nothing more comes: cut off, or the end is missing."""
        if not self.is_over:
            self._unpacking.is_over = True
            self._found += self._inner.finish()

    def taken(self) -> Iterator[Sighting]:
        """What was found, as seen from outside of the stream."""
        found, self._found = self._found, []
        for one in found:
            inside = one.offset if one.inside is None else one.inside
            member = one.member or mask_cards(self._opening.member)
            yield replace(one, offset=self._offset, line=self.line, inside=inside, member=member)

    def unseen(self) -> Iterator[str]:
        """What could not be looked into."""
        for text in self._inner.unseen:
            yield f"offset {self._offset} ({self._opening.name}): {text}"
        if self._unpacking.is_too_long:
            yield f"offset {self._offset}: {self._opening.name}, of which only the first part was unpacked"

    def _take(self, piece: bytes) -> None:
        self._found += self._inner.feed(piece)


def search(content: bytes, wanted: Wanted, layers: tuple[str, ...] = ()) -> list[Sighting]:
    """What is in these bytes, in order; compressed streams are left to `Seeker` at the outermost layer."""
    found: dict[tuple[int, str], Sighting] = {}
    for secret, one in _in_layers(content, wanted, layers):
        before = found.get((one.offset, secret))
        if before is None or len(one.layers) < len(before.layers):
            found[one.offset, secret] = one
    return sorted(found.values(), key=lambda one: one.offset)


def _in_layers(content: bytes, wanted: Wanted, layers: tuple[str, ...]) -> Iterator[tuple[str, Sighting]]:
    for shape in numbers_in(content, wanted.numbers):
        yield shape.digits, _sighting(shape, wanted, layers)
    yield from _known(content, wanted, layers)
    if len(layers) >= LAYERS_MAX:
        return
    for found in uncover(content):
        below = (*layers, found.name)
        for secret, one in [*_in_layers(found.content, wanted, below), *_unpacked(found.content, wanted, below)]:
            yield secret, replace(one, offset=found.origin(one.offset))


def _unpacked(content: bytes, wanted: Wanted, layers: tuple[str, ...]) -> Iterable[tuple[str, Sighting]]:
    """What is in streams that begin under a disguise, as far as they lie in these bytes."""
    if len(layers) >= LAYERS_MAX:
        return
    for opening in openings(content, 0, len(content), is_begin=False):
        if opening.unpacker is not None:
            stream = _Stream(opening, Seeker(wanted, layers=(*layers, opening.name)), offset=opening.offset)
            stream.feed(memoryview(content)[opening.data :])
            stream.end()
            for one in stream.taken():
                yield f"{one.shown} {one.inside}", one


def _sighting(shape: Shape, wanted: Wanted, layers: tuple[str, ...]) -> Sighting:
    kind = wanted.kind_of(shape.digits)
    return Sighting(offset=shape.start, kind=kind, shown=mask(shape.digits), shape=shape.name, layers=layers)


def _known(content: bytes, wanted: Wanted, layers: tuple[str, ...]) -> Iterator[tuple[str, Sighting]]:
    for code in wanted.codes:
        for at in places(content, code.encode()):
            if _is_code(content, at, len(code)):
                shown = "*" * len(code)
                yield code, Sighting(offset=at, kind=Kind.KNOWN_CODE, shown=shown, shape="code", layers=layers)
    for text in wanted.texts:
        for at in places(content, text):
            yield text.hex(), Sighting(offset=at, kind=Kind.KNOWN_TEXT, shown="***", shape="bytes", layers=layers)


def _is_code(content: bytes, at: int, size: int) -> bool:
    """Three or four digits are everywhere: they count by their name, in quotes, and in an acquirer's message."""
    before, after = content[max(0, at - _CODE_NAME_BYTES_MAX) : at], content[at + size : at + size + 1]
    if after.isdigit():
        return False
    is_quoted = before[-1:] in (b'"', b"'") and after in (b'"', b"'", b"\\")
    return is_quoted or before.endswith(b"92%02d" % size) or _CODE_NAME.search(before) is not None
