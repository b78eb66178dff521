"""Components for custodians: one key as several parts of full length, each of which says nothing by itself.

The parts are random but for the last, which is their XOR with the key. So all parts but one leave every key equally
possible. A part is a line of text that says which part of how many it is, of which splitting, and carries a checksum
of itself, so that a slip of the pen is told at once.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

from tollhouse.vault.box import KEY_BYTES, text_of

PARTS_MIN, PARTS_MAX = 2, 9
SET_BYTES = 6
CHECKSUM_BYTES = 6
_LINE = re.compile(r"tollhouse-part\.([1-9])\.([1-9])\.([A-Za-z0-9_-]{8})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{8})")


class PartRefused(Exception):
    """What a custodian entered is no part, or not the one that is wanted; the text is one line and holds none of it."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One custodian's share. Its `repr` shows which one it is and no key."""

    number: int
    of: int
    splitting: str
    content: bytes = field(repr=False)

    def line(self) -> str:
        """As a custodian keeps it."""
        head = f"tollhouse-part.{self.number}.{self.of}.{self.splitting}.{text_of(self.content)}"
        return f"{head}.{_checksum(head)}"


def split(key: bytes, parts: int) -> list[Part]:
    """So many parts of a key."""
    assert PARTS_MIN <= parts <= PARTS_MAX
    shares = [os.urandom(len(key)) for _ in range(parts - 1)]
    shares.append(xor([key, *shares]))
    splitting = text_of(os.urandom(SET_BYTES))
    return [Part(number=number, of=parts, splitting=splitting, content=share) for number, share in enumerate(shares, 1)]


def xor(shares: Sequence[bytes]) -> bytes:
    """All shares, bit by bit."""
    joined = bytes(KEY_BYTES)
    for share in shares:
        joined = bytes(one ^ other for one, other in zip(joined, share, strict=True))
    return joined


def parse_part(line: str) -> Part:
    """The part that a custodian entered. Raises `PartRefused`."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise PartRefused("that is no key part; enter the whole line, which begins with tollhouse-part")
    if _checksum(line.strip().rpartition(".")[0]) != found[5]:
        raise PartRefused("a character of this key part is wrong: its checksum does not fit; enter it again")
    content = b64decode(found[4] + "=", altchars=b"-_")
    return Part(number=int(found[1]), of=int(found[2]), splitting=found[3], content=content)


class Joining:
    """Parts as they come in, one custodian after another, until there is a key."""

    def __init__(self, parts: int) -> None:
        self._wanted = parts
        self._parts: dict[int, Part] = {}

    @property
    def missing(self) -> int:
        """How many parts are still wanted."""
        return self._wanted - len(self._parts)

    def add(self, part: Part) -> None:
        """Take a part. Raises `PartRefused` for one of another splitting, and for one that is here already."""
        if part.of != self._wanted or not 1 <= part.number <= self._wanted:
            raise PartRefused(f"this part is one of {part.of}, and the key has {self._wanted}; enter the newest part")
        if any(other.splitting != part.splitting for other in self._parts.values()):
            raise PartRefused("this part belongs to another splitting than those before; enter the newest part")
        if part.number in self._parts:
            raise PartRefused(f"part {part.number} is here already; the other custodians enter theirs")
        self._parts[part.number] = part

    def join(self) -> bytes:
        """The key, once nothing is missing."""
        assert not self.missing
        return xor([part.content for part in self._parts.values()])

    def forget(self) -> None:
        """Begin again: together the parts made a wrong key."""
        self._parts.clear()


def _checksum(head: str) -> str:
    return text_of(hashlib.sha256(head.encode()).digest()[:CHECKSUM_BYTES])
