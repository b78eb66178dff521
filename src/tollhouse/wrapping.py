"""Compressed streams that begin somewhere in bytes: found by how they begin, and unpacked piece by piece."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

_PIECE_BYTES = 1 << 20
_FIRST_BYTES = 1 << 10
# What a bomb of a few bytes may become. More than that is told as not looked into.
UNPACKED_BYTES_MAX = 1 << 32
_RAW, _GZIP = -15, 31

_ZIP_MEMBER = b"PK\x03\x04"
_ZIP_HEADER_BYTES = 30
_ENCRYPTED = 1
_STORED, _DEFLATED = 0, 8
# By APPNOTE.TXT: those that are known and that we do not unpack. bzip2 and xz are found by how they begin.
_ZIP_METHODS = {9: "deflate64", 14: "lzma", 93: "zstd", 98: "ppmd"}
# Not unpacked; told where a file or stream begins so.
_CLOSED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x1f\x9d": "compress",
}


class Unpacker(Protocol):
    """How the libraries unpack."""

    @property
    def eof(self) -> bool:
        """The stream has come to its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """More of what was packed."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream that begins at `offset` (its data at `data`); or what cannot be looked into, with the reason."""

    offset: int
    data: int
    name: str
    unpacker: Callable[[], Unpacker] | None
    member: str = ""


_BEGINNINGS: tuple[tuple[bytes, str, Callable[[], Unpacker]], ...] = (
    (b"\x1f\x8b\x08", "gzip", lambda: zlib.decompressobj(_GZIP)),
    *((bytes([0x78, flags]), "zlib", zlib.decompressobj) for flags in (0x01, 0x5E, 0x9C, 0xDA)),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", "xz", lzma.LZMADecompressor),
)


def openings(content: bytes, start: int, end: int, *, is_begin: bool) -> Iterator[Opening]:
    """Every stream that begins here. `is_begin`: the content is the beginning of a file, or of another stream."""
    for beginning, name, unpacker in _BEGINNINGS:
        for at in _places(content, beginning, start, end):
            yield Opening(at, at, name, unpacker)
    for at in _places(content, _ZIP_MEMBER, start, end):
        yield from _zip_member(content, at)
    if is_begin and start == 0:
        yield from (Opening(0, 0, name, None) for magic, name in _CLOSED.items() if content.startswith(magic))
        yield Opening(0, 0, "deflate", lambda: zlib.decompressobj(_RAW))


def _places(content: bytes, beginning: bytes, start: int, end: int) -> Iterator[int]:
    """Where these bytes begin before the end; they may reach over it."""
    reach = end + len(beginning) - 1
    at = content.find(beginning, start, reach)
    while at >= 0:
        yield at
        at = content.find(beginning, at + 1, reach)


def _zip_member(content: bytes, at: int) -> Iterator[Opening]:
    flags, method = (int.from_bytes(content[at + place : at + place + 2], "little") for place in (6, 8))
    name_size, extra_size = (int.from_bytes(content[at + place : at + place + 2], "little") for place in (26, 28))
    data = at + _ZIP_HEADER_BYTES + name_size + extra_size
    name = content[at + _ZIP_HEADER_BYTES : at + _ZIP_HEADER_BYTES + name_size]
    if data > len(content) or not name or re.search(rb"[\x00-\x1f]", name):
        return
    member = name.decode(errors="replace")
    if flags & _ENCRYPTED:
        yield Opening(at, data, "encrypted zip member", None, member)
    elif method == _DEFLATED:
        yield Opening(at, data, "zip", lambda: zlib.decompressobj(_RAW), member)
    elif method in _ZIP_METHODS:
        yield Opening(at, data, f"zip member by {_ZIP_METHODS[method]}", None, member)


class Unpacking:
    """One stream being unpacked. What it gives is handed to `take`; a stream that turns out to be none just ends."""

    def __init__(self, unpacker: Unpacker, take: Callable[[bytes], None]) -> None:
        self._unpacker = unpacker
        self._take = take
        self._unpacked = 0
        self.is_over = False
        self.is_too_long = False

    def feed(self, packed: memoryview) -> None:
        """More of the stream. The first bytes come alone: most streams by accident end within them."""
        for at in (0, *range(_FIRST_BYTES, len(packed), _PIECE_BYTES)):
            if self.is_over:
                return
            size = _FIRST_BYTES if at == 0 else _PIECE_BYTES
            self._unpack(bytes(packed[at : at + size]))

    def _unpack(self, packed: bytes) -> None:
        while not self.is_over:
            try:
                piece = self._unpacker.decompress(packed, _PIECE_BYTES)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
                self.is_over = True
                return
            if piece:
                self._unpacked += len(piece)
                self._take(piece)
            self.is_too_long = self._unpacked > UNPACKED_BYTES_MAX
            self.is_over = self._unpacker.eof or self.is_too_long
            # zlib hands back what it did not need yet, the others keep it.
            packed = getattr(self._unpacker, "unconsumed_tail", b"")
            if not packed and getattr(self._unpacker, "needs_input", not piece or len(piece) < _PIECE_BYTES):
                return
