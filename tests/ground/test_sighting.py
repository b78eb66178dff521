"""Card numbers as they lie in bytes: which digits count, in which shapes, and what is something else."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.card import BRAND_RANGES, luhn_digit
from tollhouse.sighting import LENGTHS, is_card, numbers_in, packed_forms

VISA, AMEX, DINERS, LONG = "4000120000001238", "371449000001230", "36700102000000", "6212345678901234569"
CARDS = (VISA, AMEX, DINERS, LONG)
GROUPS = {VISA: (4, 4, 4, 4), AMEX: (4, 6, 5), DINERS: (4, 6, 4), LONG: (4, 4, 4, 4, 3)}
RANDOM_BYTES = 4_000_000


def numbers(content: bytes, *known: str) -> list[str]:
    """The numbers found."""
    return [one.digits for one in numbers_in(content, known)]


def grouped(digits: str, groups: tuple[int, ...], separator: str) -> str:
    """Digits as they are printed on a card."""
    parts, at = [], 0
    for length in groups:
        parts.append(digits[at : at + length])
        at += length
    return separator.join(parts)


def test_each_scheme_has_lengths() -> None:
    """Every brand of the range table says how long its numbers are."""
    assert {brand for _, _, brand in BRAND_RANGES} == set(LENGTHS)


@pytest.mark.parametrize(("low", "high", "brand"), BRAND_RANGES)
def test_each_range_and_length_counts(low: int, high: int, brand: str) -> None:
    """A number of each range counts in the lengths that its scheme issues and in no other, with its check digit."""
    for prefix in {low, high}:
        for length in range(10, 22):
            digits = str(prefix).ljust(length - 1, "1")
            right = luhn_digit(digits)
            assert is_card(digits + right) is (length in LENGTHS[brand]), (prefix, length)
            assert not is_card(digits + str((int(right) + 1) % 10))


@pytest.mark.parametrize("digits", CARDS)
@pytest.mark.parametrize("separator", [" ", "-", "+", "_"])
def test_grouped_numbers_are_found(digits: str, separator: str) -> None:
    """In the groups of its card, and digit by digit, with anything beside it that a form has."""
    for written in (grouped(digits, GROUPS[digits], separator), separator.join(digits)):
        for before, after in (("", ""), ("pan: ", ","), ("[", "]"), ("2026 ", " x")):
            assert numbers(f"{before}{written}{after}".encode()) == [digits], (before, written)


@pytest.mark.parametrize("digits", CARDS)
def test_numbers_in_one_piece_are_found(digits: str) -> None:
    """Between quotes, letters, dashes, in tracks of a stripe, and in a message of ISO 8583 among other digits."""
    surroundings = (b"%b", b'{"n":"%b"}', b"x%bx", b"card-%b-1", b";%b=31082011", b"id_%b.", b"\xff%b\x00")
    surroundings += (b"7,%b", b"0,%b,12/28", b"[1,%b]", b"1;%b;x", b"1\t%b\t12", b"a|%b|1", b"n=%b&m=1", b"7,%b.0,1")
    for around in surroundings:
        assert numbers(around % digits.encode()) == [digits], around
    message = f"0200{len(digits)}{digits}000000000000002590112223".encode()
    assert numbers(message) == [digits]


@pytest.mark.parametrize("digits", CARDS)
def test_packed_numbers_are_found(digits: str) -> None:
    """Two digits to a byte, with the length, a processing code and an amount, or with the tags that chips use."""
    even = digits if len(digits) % 2 == 0 else f"0{digits}"
    in_message = bytes.fromhex(f"{len(digits):02d}{even}000000000000002590")
    closed = bytes.fromhex(digits if len(digits) % 2 == 0 else f"{digits}f")
    read = f"{digits}d31082011000"
    track = bytes.fromhex(read + "f" * (len(read) % 2))
    for packed in (in_message, b"\x5a%c%b" % (len(closed), closed), b"\x57%c%b" % (len(track), track)):
        assert numbers(b"\xaa\xbb%b\xff\xee" % packed) == [digits]


@pytest.mark.parametrize(
    "content",
    [
        b"0.4000120000001238",  # a fraction
        b"4000120000001238.5",
        b"+36700102000000",  # a phone number
        b"ps_44000120000001238000",  # an id of ours has 20 digits
        b"14000120000001238",  # digits beside
        b"4000-1200-0000-12385",
        b"deadbeef4000120000001238cafe1234",  # a hash
        b"ab4000120000001238cd",
        b"4000 1200-0000 1238",  # two separators
        b"1 2 3 4000 1200 0000 1238 5 6 7 8",  # a table
        b"4000120000001239",  # another check digit
        b"1234567890123452",  # no scheme's
        b"5555000000000",  # thirteen digits
        b"5454540000000000",  # bounds of a range
        b"6011009999999999",
        b"2026-11-22 23:29:17.4000120000001238",  # a very exact time
        b"\x40\x00\x12\x00\x00\x00\x12\x38",  # packed, with nothing that says so
    ],
)
def test_something_else_is_not_found(content: bytes) -> None:
    """Fractions, phones, hashes, tables and longer numbers are let be."""
    assert numbers(content) == []


@pytest.mark.parametrize("digits", [*CARDS, "4222222222222", "9999999999999995"])
def test_what_is_known_is_found_anywhere(digits: str) -> None:
    """A known number counts in whatever it stands, of whatever length and range, also packed at half a byte."""
    for content in (f"0.{digits}77", f"77{digits}", grouped(digits, (3,) * 4 + (len(digits) - 12,), "-")):
        assert digits in numbers(content.encode(), digits)
    for form in packed_forms(digits):
        assert digits in numbers(b"\xaa" + form + b"\xaa", digits)


def test_our_own_ids_are_never_found() -> None:
    """Ids of 20 digits, UUIDs, hashes, RRNs, times, fractions, as they stand in texts: not one in many thousands."""
    chance = random.Random(5)
    lines = []
    for _ in range(20_000):
        number = chance.randrange(1_700_000_000_000, 1_900_000_000_000)
        lines.append(f"ps_{number}{chance.randrange(10**7):07d} {uuid.UUID(int=chance.getrandbits(128))}")
        lines.append(f'{{"rrn":"{chance.randrange(10**12):012d}","sha256":"{chance.getrandbits(256):064x}"}}')
        lines.append(f"at={number} ns={number}{chance.randrange(10**6):06d} us={number}{chance.randrange(1000):03d}")
        lines.append(f"{chance.random()} {chance.random() * 1000} {chance.getrandbits(128):032x}")
        stan, moment = chance.randrange(10**6), chance.randrange(10**10)
        lines.append(f'{{"90":"0200{stan:06d}{moment:010d}{0:022d}"}}')  # names the original of a reversal
    assert numbers("\n".join(lines).encode()) == []


def test_random_bytes_hold_no_cards() -> None:
    """Megabytes of chance, as they are and in hexadecimal: nothing is found."""
    chance = random.Random(7).randbytes(RANDOM_BYTES)
    assert numbers(chance) == []
    assert numbers(chance.hex().encode()) == []


def test_random_numbers_are_found_as_often_as_chance_has_it() -> None:
    """Of decimal numbers of 16 digits that stand alone about three in a hundred pass: no rule can tell them apart."""
    chance = random.Random(9)
    content = "\n".join(f"{chance.randrange(10**16):016d}" for _ in range(100_000)).encode()
    assert 0.02 < len(numbers(content)) / 100_000 < 0.04


NO_HEX = [bytes([byte]) for byte in range(256) if byte not in b"0123456789abcdefABCDEF"]


@given(
    digits=st.sampled_from(CARDS),
    before=st.sampled_from(NO_HEX),
    after=st.sampled_from(NO_HEX),
    first=st.sampled_from([b"", b"7", b"x", b"\xc3"]),
    last=st.sampled_from([b"", b"7", b"x", b"\n"]),
)
def test_no_byte_beside_it_hides_a_number(first: bytes, before: bytes, digits: str, after: bytes, last: bytes) -> None:
    """Whatever stands before and after, but for fractions, phone numbers and hashes."""
    content = first + before + digits.encode() + after + last
    is_fraction = (before == b"." and first == b"7") or (after == b"." and last == b"7")
    is_phone = before == b"+" and len(digits) == 15
    assert (digits in numbers(content)) is not (is_fraction or is_phone)


def test_a_table_of_numbers_is_read_whole() -> None:
    """A thousand cards, one in a line behind its number, and the same in an array of JSON without blanks."""
    cards = [body + luhn_digit(body) for body in (f"40001200{number:07d}" for number in range(1, 1001))]
    cards = [digits for digits in cards if is_card(digits)]
    assert len(cards) > 900
    lines = "".join(f"{number},{digits},12/28\n" for number, digits in enumerate(cards))
    assert numbers(lines.encode()) == cards
    assert numbers(f"[{','.join(cards)}]".encode()) == cards
