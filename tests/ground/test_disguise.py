"""Disguises: what is uncovered, and from where in the bytes each of its characters came."""

from __future__ import annotations

import pytest

from tests.disguises import TEXTUAL
from tollhouse.disguise import uncover
from tollhouse.leak import Wanted, search

TEXT = b"pan 4000 1200 0000 1238"
SURROUNDINGS = ((b"", b""), (b" ", b" "), (b'{"a":"', b'"}'), (b"\xff\x00\xfe", b"\xfe\xff"), (b"12, ", b", 34"))


@pytest.mark.parametrize("name", TEXTUAL)
@pytest.mark.parametrize(("before", "after"), SURROUNDINGS)
def test_each_disguise_is_taken_off(name: str, before: bytes, after: bytes) -> None:
    """Whatever is around it; and each character leads back to where it lies, in order."""
    content = before + TEXTUAL[name](TEXT) + after
    found = [one for one in uncover(content) if TEXT in one.content]
    assert found, content
    for one in found:
        begin = one.content.index(TEXT)
        places = [one.origin(at) for at in range(begin, begin + len(TEXT))]
        assert places == sorted(set(places))
        assert len(before) <= places[0] < places[-1] < len(content) - len(after)
        size = len(content) - len(before) - len(after)
        if "base64" not in name and "where needed" not in name:
            assert places[0] - len(before) <= 1
            assert places[-1] >= len(before) + size - size // len(TEXT) - 1


def test_a_place_in_base64_is_exact() -> None:
    """Also behind line ends: what stands there decodes to the character."""
    content = b"--\n" + TEXTUAL["base64 in lines"](TEXT) + b"--"
    (one,) = [one for one in uncover(content) if TEXT in one.content]
    at = one.origin(one.content.index(TEXT))
    assert content[at : at + 4] == b"hwYW", "the last two of xxp, the first two of an "


@pytest.mark.parametrize(
    "content", [b"", b"%", b"%4", b"a" * 1000, b"\0" * 1000, b"%zz%zz%zz", b"\\u00\\u00\\u00", b"&#;"]
)
def test_nothing_is_made_up(content: bytes) -> None:
    """What only looks like a disguise does no harm."""
    assert all(TEXT not in one.content for one in uncover(content))


@pytest.mark.parametrize("gap", ["\u00a0", "\u2009", "\u202f", "\u2011", "\u2013", "  ", "--", "\t", "."])
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("pan ", ", 12/28"), ("(", ")"), ("\n", "  123"), ("7.", "..")]
)
def test_other_gaps_are_taken_for_blanks(gap: str, before: str, after: str) -> None:
    """As typesetters, tables and tired people write a number; each place leads back to where it lies."""
    number = gap.join(("4000", "1200", "0000", "1238"))
    for code in ("utf-8", "utf-16-le") if gap <= "\u00a0" else ("utf-8",):
        content = f"{before}{number}{after}".encode(code)
        (one,) = search(content, Wanted())
        assert (one.offset, one.shown) == (len(before.encode(code)), "400012******1238")


@pytest.mark.parametrize(
    "text", ["40001200.00001238", "4000.1200 0000.1238", "x4000.1200.0000.1238", "4000\t1200.0000\t1238"]
)
def test_figures_are_no_groups(text: str) -> None:
    """Fractions, gaps that differ, and what belongs to a word."""
    assert not search(text.encode(), Wanted())


def test_a_table_of_figures_is_no_card() -> None:
    """Many columns of four digits each, though four neighbours would pass for a number."""
    for gap in ("\t", "  "):
        row = gap.join(["1111", "4000", "1200", "0000", "1238", "2222"])
        assert not search(f"{row}\n{row}\n".encode(), Wanted())
