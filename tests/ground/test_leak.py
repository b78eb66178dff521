"""Leaks: each encoding at each offset and over each border of a block is found, once, at its place."""

from __future__ import annotations

import random
import re
from base64 import b64encode

import pytest

from tests.disguises import AT_THE_BEGINNING, EVERY, PACKED, TEXTUAL
from tollhouse.leak import Kind, Seeker, Sighting, Wanted

VISA, AMEX = "4000120000001238", "371449000001230"
VARIED = "4929420573595709"  # packed, a number of hardly any different digits would be found in any database
PLAIN = VISA.encode()
WANTED = Wanted()
SMALL = {"block_bytes": 4096, "reach_bytes": 2048}
RANDOM_BYTES = 3_000_000
# Streams cannot be told apart from the text in them by size: those that are whole must lie within reach.
STORED = "zlib, stored"  # seen twice: in the stream, and as it lies there
BINARY = {*PACKED, *(name for name in TEXTUAL if name.startswith("UTF"))}
FORMS = {"plain": lambda text: text, "grouped": lambda text: b"4000 1200 0000 1238", **EVERY}


def seek(content: bytes, *, piece_bytes: int = 1 << 20, wanted: Wanted = WANTED, **sizes: int) -> list[Sighting]:
    """Everything found in a stream that comes in such pieces."""
    seeker = Seeker(wanted, **sizes)
    found = []
    for at in range(0, len(content), piece_bytes):
        found += seeker.feed(content[at : at + piece_bytes])
    return found + seeker.finish()


def filler(size: int) -> bytes:
    """Lines of a log, so many bytes of them."""
    return (b"2026-11-22T10:00:00Z info a line of 40 bytes. \n" * (size // 40 + 1))[:size]


@pytest.mark.parametrize("name", FORMS)
def test_every_encoding_at_every_offset_over_every_border(name: str) -> None:
    """Planted so that the border of a block falls before, into and behind it, it is found once and at its place."""
    planted = b' "' + FORMS[name](PLAIN) + b'" '
    for border in (4096 - 2048, 4096, 8192 - 2048, 8192):
        for shift in range(-len(planted) - 2, 3, max(1, len(planted) // 60)):
            before = border + shift
            found = seek(filler(before) + planted + filler(6000), **SMALL)
            assert len({one.offset for one in found}) == 1 + (name == STORED), (border, shift, found)
            assert {one.shown for one in found} == {"400012******1238"}
            assert before < found[0].offset < before + len(planted)
            assert found[0].line == filler(before).count(b"\n") + 1


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("offset", range(9))
def test_every_encoding_behind_any_bytes(name: str, offset: int) -> None:
    """After binary bytes, however many, and at the very end."""
    content = b"\xfe\x81\x0b\xc3\x99\x07\xff\xee"[:offset] + FORMS[name](PLAIN)
    assert {one.shown for one in seek(content)} == {"400012******1238"}


# UTF-16 and UTF-32 are for texts, not for what is binary itself.
PAIRS = [(inner, outer) for inner in EVERY for outer in EVERY if not (outer.startswith("UTF") and inner in BINARY)]


@pytest.mark.parametrize(("inner", "outer"), PAIRS)
def test_one_disguise_in_another(inner: str, outer: str) -> None:
    """Each disguise and each compression within each other one."""
    content = filler(3000) + b' "' + EVERY[outer](b'{"n":"' + EVERY[inner](PLAIN) + b'"}') + b'" ' + filler(3000)
    found = seek(content)
    assert {one.shown for one in found} == {"400012******1238"}
    assert any(len(one.layers) >= 2 for one in found) or "of URLs where needed" in (inner, outer)


@pytest.mark.parametrize("before", [b"q=a%20", b'"\\u0020', b"'\\x20", b"&#32;", b"a%3D%22"])
def test_escapes_right_before_a_number(before: bytes) -> None:
    """Digits of an escape are not digits beside the number."""
    assert {one.shown for one in seek(before + PLAIN + b"&b=1")} == {"400012******1238"}


@pytest.mark.parametrize("name", AT_THE_BEGINNING)
def test_a_stream_without_a_beginning(name: str) -> None:
    """Bare deflate is found where a file begins with it."""
    assert {one.shown for one in seek(AT_THE_BEGINNING[name](filler(5000) + b" " + PLAIN))} == {"400012******1238"}


@pytest.mark.parametrize("name", PACKED)
def test_a_long_stream_is_read_to_its_end(name: str) -> None:
    """A compressed stream may be longer than any block: the number near its end is found."""
    noise = random.Random(3).randbytes(60_000).hex().encode()
    found = seek(filler(100) + PACKED[name](noise + b" " + PLAIN + b" "), piece_bytes=777, **SMALL)
    assert {one.shown for one in found} == {"400012******1238"}
    assert 100 in {one.offset for one in found}


@pytest.mark.parametrize("piece_bytes", [1, 5, 4095, 4096, 4097, 100_000])
def test_pieces_do_not_matter(piece_bytes: int) -> None:
    """However a stream comes, the same is found at the same places."""
    parts = [filler(900) + b" " + form(PLAIN) + b" " for form in (*TEXTUAL.values(), *PACKED.values())]
    content = b"".join(parts)
    whole = {(one.offset, one.encoding, one.line) for one in seek(content)}
    assert len({offset for offset, _, _ in whole}) == len(parts) + 1
    assert {(one.offset, one.encoding, one.line) for one in seek(content, piece_bytes=piece_bytes, **SMALL)} == whole


def test_what_is_told_of_a_find() -> None:
    """Place, line, encoding, scheme, member; and of the number no more than BIN and last four."""
    packed = PACKED["zip"](b"x" * 100 + b"\n" + PLAIN)
    found = seek(b"one\ntwo " + packed)
    assert [(one.offset, one.line, one.encoding, one.brand, one.member) for one in found] == [
        (8, 2, "zip > digits", "visa", "notes/order.txt"),
        (8, 2, "zip > digits", "visa", "notes/order.txt"),
    ]
    assert found[0].inside == 101
    assert VISA not in repr(found)
    (tarred,) = seek(PACKED["tar and gzip"](PLAIN))
    assert (tarred.member, tarred.encoding) == ("notes/order.txt", "gzip > digits")


def test_known_numbers_codes_and_texts() -> None:
    """What is known is found where rules would let it be: in longer digits, packed, by name, as bytes, in disguise."""
    wanted = Wanted(numbers=(VISA, VARIED), codes=("0739",), texts=(b"CANARY BIRD OF MINE",))
    digits = bytes.fromhex(VARIED)
    contents = {
        b"99" + PLAIN + b"99": Kind.KNOWN_CARD,
        b"\xaa" + digits + b"\xaa": Kind.KNOWN_CARD,
        b64encode(b"xx" + digits * 3): Kind.KNOWN_CARD,
        b'"security_code":"0739"': Kind.KNOWN_CODE,
        b"cvv=0739&x": Kind.KNOWN_CODE,
        b"92040739": Kind.KNOWN_CODE,
        b64encode(b'{"security_code": "0739"}'): Kind.KNOWN_CODE,
        b"by CANARY BIRD OF MINE": Kind.KNOWN_TEXT,
        b"CANARY BIRD OF MINE".hex().encode(): Kind.KNOWN_TEXT,
    }
    for content, kind in contents.items():
        assert {one.kind for one in seek(content, wanted=wanted)} == {kind}, content
        assert seek(content) == []
    for harmless in (b"port 0739", b"code=07391", b"10739", b"0739"):
        assert seek(harmless, wanted=wanted) == []
    assert not re.search(f"{VISA}|0739|CANARY", repr(wanted) + repr(seek(b"cvv=0739 " + PLAIN, wanted=wanted)))


def test_test_numbers_are_told_apart() -> None:
    """A familiar test number is found as what it is, whatever it is in."""
    wanted = Wanted(test_numbers=frozenset({VISA}))
    assert [one.kind for one in seek(PLAIN + b" " + AMEX.encode(), wanted=wanted)] == [Kind.TEST, Kind.CARD]


def test_random_bytes_are_clean() -> None:
    """Megabytes of chance, bare, in base64 and in hexadecimal: nothing is found, in any layer."""
    chance = random.Random(11).randbytes(RANDOM_BYTES)
    for content in (chance, b64encode(chance), chance.hex().encode()):
        assert seek(content) == []


def test_what_is_too_deep_or_closed() -> None:
    """Four layers are one too many; a stream of a kind that is not unpacked is told."""
    content = PLAIN
    for _ in range(4):
        content = b" " + b64encode(content) + b" "
    assert seek(content) == []
    seeker = Seeker(WANTED)
    seeker.feed(b"\x28\xb5\x2f\xfd....")
    assert seeker.finish() == []
    assert seeker.unseen == ["offset 0: zstd"]
