"""A text in every form in which it may lie about, for those who look for it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import quote_from_bytes

Disguise = Callable[[bytes], bytes]


def _raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(text) + packer.flush()


def _zip(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes/order.txt", text + b"\n" + text)
    return made.getvalue()


def _tar(text: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo("notes/order.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return made.getvalue()


TEXTUAL: Mapping[str, Disguise] = MappingProxyType(
    {
        "UTF-16 LE": lambda text: text.decode("latin-1").encode("utf-16-le"),
        "UTF-32": lambda text: text.decode("latin-1").encode("utf-32-le"),
        "UTF-16 BE": lambda text: text.decode("latin-1").encode("utf-16-be"),
        "hex": lambda text: text.hex().encode(),
        "hex in capitals": lambda text: text.hex().upper().encode(),
        "hex with blanks": lambda text: text.hex(" ").encode(),
        "base64": b64encode,
        "base64 one on": lambda text: b64encode(b"x" + text),
        "base64 two on": lambda text: b64encode(b"xy" + text),
        "base64 without end": lambda text: b64encode(text).rstrip(b"="),
        "base64 of URLs": lambda text: urlsafe_b64encode(b"\xfb\xef\xff" + text),
        "base64 in lines": lambda text: encodebytes(b"x" * 50 + text + b"y" * 50),
        "of URLs": lambda text: b"".join(b"%%%02x" % byte for byte in text),
        "of URLs where needed": lambda text: b"a=" + quote_from_bytes(b"{'" + text + b"'}").encode(),
        "JSON": lambda text: b"".join(b"\\u%04x" % byte for byte in text),
        "JSON in JSON": lambda text: b"".join(b"\\\\u%04X" % byte for byte in text),
        "program text": lambda text: b"".join(b"\\x%02x" % byte for byte in text),
        "HTML": lambda text: b"".join(b"&#%d;" % byte for byte in text),
        "HTML in hex": lambda text: b"".join(b"&#x%02X;" % byte for byte in text),
    }
)
PACKED: Mapping[str, Disguise] = MappingProxyType(
    {
        "gzip": lambda text: gzip.compress(text + b"\n" + text),
        "zlib": lambda text: zlib.compress(text + b"\n" + text),
        "zlib, stored": lambda text: zlib.compress(text, 0),
        "bzip2": lambda text: bz2.compress(text),
        "xz": lambda text: lzma.compress(text),
        "zip": _zip,
        "tar and gzip": _tar,
    }
)
EVERY: Mapping[str, Disguise] = MappingProxyType({**TEXTUAL, **PACKED})
AT_THE_BEGINNING: Mapping[str, Disguise] = MappingProxyType({"deflate": _raw_deflate})
