"""The audit log as values: who did what, when, from where and how it ended; entries in chains that anchor each other.

Each process writes a chain of its own. A *link* covers the entries of one commit: its digest is made of the digest
before it and of those entries. A *checkpoint* is an entry with the newest digests of all chains, signed. So whoever
changes, removes or reorders an entry must change every later link, and then a checkpoint no longer fits, perhaps one
that another process wrote. An *anchor* is the same as a line of text that is kept outside the database, so that a cut
end is found too. A *retirement* vouches for the old part of a chain that was taken out and removed.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tollhouse.masking import mask_cards

CHECKPOINT = "audit.checkpoint"
GRANTED, DONE, REFUSED, FAILED = "granted", "done", "refused", "failed"
BEGINNING = bytes(32)  # what stands before a chain's first link
TEXT_MAX = 200
ENTRY_TEXT_MAX = 2000  # of our own words
# Sixteen letters for the digits of a digest: a line of a log with a digest must not look as if it had a card in it.
_LETTERS, _DIGITS = "abcdefghijklmnop", "0123456789abcdef"
ANCHOR_MARK = "tollhouse-anchor-1 "
_ANCHOR = re.compile(ANCHOR_MARK + r"(\S+) (\S+) ([a-p]{128})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is to be written down (PCI DSS 10.2.2). `who` and `origin` are empty for the writing process itself."""

    what: str
    outcome: str
    subject: str = ""
    who: str = ""
    origin: str = ""
    details: str = ""

    @property
    def words(self) -> tuple[str, str, str, str, str, str]:
        """All of it, in the order of a row."""
        return self.what, self.outcome, self.subject, self.who, self.origin, self.details


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An act at its place in a chain. Numbers begin with 1 and have no gap."""

    number: int
    at: datetime
    act: Act

    def canonical(self) -> bytes:
        """All of it as bytes that no other entry has."""
        words = self.act.words
        return _joined(str(self.number), _instant(self.at), *words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The entries of one commit, tied to all before them. `last` is the number of its last entry."""

    number: int
    last: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain is: the number of its newest link, and its digest."""

    number: int
    digest: bytes


Heads = Mapping[str, Head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What chains there were at a moment, and how far each was."""

    at: datetime
    heads: Heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """The links of a chain up to `head` were taken out into a file and removed; `last` is their last entry."""

    chain: str
    head: Head
    last: int
    before: datetime
    file_sha256: bytes

    def signed_by(self, key: Ed25519PrivateKey) -> bytes:
        """The signature that lets a proof begin behind this."""
        return key.sign(self._content())

    def is_signed(self, signature: bytes, key: Ed25519PublicKey) -> bool:
        """Whether this key has signed it."""
        try:
            key.verify(signature, self._content())
        except InvalidSignature:
            return False
        return True

    def _content(self) -> bytes:
        numbers = (str(self.head.number), str(self.last), _instant(self.before))
        return _joined("tollhouse audit retirement 1", self.chain, *numbers, self.head.digest, self.file_sha256)


def clean(text: str) -> str:
    """Words of a stranger as an entry may hold them: printable, not too many, and no card among them."""
    return "".join(one if one.isprintable() else "?" for one in mask_cards(text)[:TEXT_MAX])


def storable(act: Act) -> Act:
    """The act as every database takes it, whoever said its words: printable, no card among them, and not too long."""
    if act.what == CHECKPOINT or all(_is_storable(text) for text in act.words):
        return act
    words = (text if _is_storable(text) else clean(text) for text in act.words)
    what, outcome, subject, who, origin, details = words
    return Act(what=what, outcome=outcome, subject=subject, who=who, origin=origin, details=details)


def _is_storable(text: str) -> bool:
    return len(text) <= ENTRY_TEXT_MAX and text.isprintable() and mask_cards(text) == text


def link_digest(chain: str, number: int, before: bytes, entries: Sequence[Entry]) -> bytes:
    """What ties these entries to all before them."""
    content = _joined("tollhouse audit link 1", chain, str(number), before, *(one.canonical() for one in entries))
    return hashlib.sha256(content).digest()


def checkpoint(heads: Heads, *, chain: str, key: Ed25519PrivateKey) -> str:
    """The details of a checkpoint: the heads and their signature."""
    shown = _shown(heads)
    signature = key.sign(_signed(chain, shown))
    return json.dumps({"heads": shown, "signature": b64encode(signature).decode()}, sort_keys=True)


def read_checkpoint(details: str, *, chain: str, key: Ed25519PublicKey) -> dict[str, Head]:
    """The heads that a checkpoint vouches for. Raises `ValueError` when it is not signed by this key."""
    try:
        content = json.loads(details)
        shown = content["heads"]
        key.verify(b64decode(content["signature"]), _signed(chain, shown))
        return {name: Head(int(number), bytes.fromhex(digest)) for name, (number, digest) in shown.items()}
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("its signature is not of this database's audit key") from None


def anchor_line(anchor: Anchor, *, key: Ed25519PrivateKey) -> str:
    """An anchor as one signed line, without blanks but between its four words and without a quotation mark."""
    at, shown = _instant(anchor.at), _anchored(anchor.heads)
    return f"{ANCHOR_MARK}{at} {shown} {_lettered(key.sign(_joined('tollhouse audit anchor 1', at, shown)))}"


def read_anchor(line: str, *, key: Ed25519PublicKey) -> Anchor | None:
    """The anchor in a line, such as one of a log; None when it has none. Raises `ValueError` when it is forged."""
    match = _ANCHOR.search(line)
    if match is None:
        return None
    at, shown, signature = match.groups()
    try:
        key.verify(_unlettered(signature), _joined("tollhouse audit anchor 1", at, shown))
    except InvalidSignature:
        raise ValueError("its signature is not of this database's audit key") from None
    heads = {}
    for word in shown.split(",") if shown != "-" else []:
        chain, number, digest = word.split("=")
        heads[unquote(chain)] = Head(int(number), _unlettered(digest))
    return Anchor(at=datetime.fromisoformat(at), heads=heads)


class Proof:
    """Walks one chain, link by link, and says what does not fit. Feed it in order of numbers.

    It begins behind what was retired of the chain, where anything was.
    """

    def __init__(self, chain: str, retired: Retirement | None = None) -> None:
        self.chain = chain
        self.head = retired.head if retired else Head(0, BEGINNING)
        self.entries = retired.last if retired else 0
        self.findings: list[str] = []

    def feed(self, link: Link, entries: Sequence[Entry]) -> None:
        """The next link with the entries that name it."""
        place = f"chain {self.chain}, link {link.number}"
        if link.number != self.head.number + 1:
            self.findings.append(f"{place}: the links between {self.head.number} and it are gone")
        numbers = [one.number for one in entries]
        if numbers != list(range(self.entries + 1, link.last + 1)):
            self.findings.append(f"{place}: its entries are not {self.entries + 1} to {link.last} without a gap")
        elif link_digest(self.chain, link.number, self.head.digest, entries) != link.digest:
            self.findings.append(f"{place}: entries {self.entries + 1} to {link.last} are not as they were written")
        self.entries = link.last
        self.head = Head(link.number, link.digest)

    def end(self, strays: Iterable[int]) -> list[str]:
        """Everything found; `strays` are numbers of entries that no link covers."""
        self.findings += [f"chain {self.chain}, entry {number}: no link covers it" for number in strays]
        return self.findings


def anchor_findings(witness: str, vouched: Heads, found: Heads, retired: Heads | None = None) -> list[str]:
    """What of the vouched heads is not so: `found` has the links of these numbers as they are now.

    A link in the `retired` part of a chain lies in a file; of the last one the digest is still known.
    """
    findings = []
    for chain, head in vouched.items():
        end = (retired or {}).get(chain)
        if end is not None and head.number < end.number:
            continue
        there = end if end is not None and head.number == end.number else found.get(chain)
        if there is None:
            findings.append(f"chain {chain}, link {head.number}: is gone, but {witness} vouches for it")
        elif there != head:
            findings.append(f"chain {chain}, link {head.number}: is another one than {witness} vouches for")
    return findings


def _shown(heads: Heads) -> dict[str, list[object]]:
    return {chain: [head.number, head.digest.hex()] for chain, head in sorted(heads.items())}


def _anchored(heads: Heads) -> str:
    words = [f"{quote(chain, safe='')}={head.number}={_lettered(head.digest)}" for chain, head in sorted(heads.items())]
    return ",".join(words) or "-"


def _lettered(raw: bytes) -> str:
    return raw.hex().translate(str.maketrans(_DIGITS, _LETTERS))


def _unlettered(text: str) -> bytes:
    return bytes.fromhex(text.translate(str.maketrans(_LETTERS, _DIGITS)))


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _signed(chain: str, shown: Mapping[str, object]) -> bytes:
    return _joined("tollhouse audit checkpoint 1", chain, json.dumps(shown, sort_keys=True))


def _joined(*parts: str | bytes) -> bytes:
    """Parts with their lengths in front, so that no two lists of parts give the same bytes."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in raw])
