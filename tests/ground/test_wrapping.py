"""Compressed streams: where they begin, what is in them however they come, and what cannot be looked into."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest

from tests.disguises import AT_THE_BEGINNING, PACKED
from tollhouse.wrapping import Opening, Unpacking, openings

TEXT = b"a text that is worth finding " * 3


def unpacked(content: bytes, opening: Opening, piece_bytes: int) -> bytes:
    """What comes out of a stream, fed so many bytes at a time."""
    assert opening.unpacker is not None
    out: list[bytes] = []
    unpacking = Unpacking(opening.unpacker(), out.append)
    for at in range(opening.data, len(content), piece_bytes):
        unpacking.feed(memoryview(content)[at : at + piece_bytes])
    return b"".join(out)


@pytest.mark.parametrize("name", {**PACKED, **AT_THE_BEGINNING})
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_each_stream_is_unpacked(name: str, piece_bytes: int) -> None:
    """Whatever follows it, and however it is cut; streams with a beginning of their own also after other bytes."""
    packed = {**PACKED, **AT_THE_BEGINNING}[name](TEXT)
    before = b"" if name in AT_THE_BEGINNING else b"\x00BZ\x1f\x8bPK"
    content = before + packed + b"and more"
    found = [unpacked(content, one, piece_bytes) for one in openings(content, 0, len(content), is_begin=True)]
    assert any(TEXT in one for one in found)


def test_a_cut_stream_gives_what_there_is() -> None:
    """The first half of a stream is unpacked as far as it goes."""
    content = zlib.compress(bytes(range(256)) * 100, 0)[:5000]
    (one,) = [one for one in openings(content, 0, len(content), is_begin=False) if one.name == "zlib"]
    assert len(unpacked(content, one, 1000)) > 4000


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"\x28\xb5\x2f\xfd rest", "zstd"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\x04\x22\x4d\x18", "lz4")],
)
def test_what_is_closed_is_told(content: bytes, name: str) -> None:
    """A file of a kind that we do not unpack is named; the same bytes within another file are not taken for one."""
    assert [one.name for one in openings(content, 0, 9, is_begin=True) if one.unpacker is None] == [name]
    assert [one.name for one in openings(b"x" + content, 0, 9, is_begin=True) if one.unpacker is None] == []


def test_an_encrypted_member_is_told() -> None:
    """A zip archive's member that needs a password, by its name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("secret.txt", TEXT)
    content = bytearray(made.getvalue())
    content[6] |= 1
    found = [one for one in openings(bytes(content), 0, len(content), is_begin=False) if one.unpacker is None]
    assert [(one.name, one.member) for one in found] == [("encrypted zip member", "secret.txt")]
