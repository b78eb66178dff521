"""What a browser received: answers read from a HAR, the file that any browser's network view exports.

Only answers are kept. Requests hold what a payer typed; of them nothing is read but address, verb and who asked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tollhouse.cli.failure import Failure

USAGE_EXIT_CODE = 2
_SCRIPT_TYPES, _STYLE_TYPES = ("javascript", "ecmascript"), ("text/css",)
_PAGE_TYPES = ("text/html", "application/xhtml+xml", "image/svg+xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One answer as the browser got it. `where` says in which recording; `kind` is the browser's word for its use."""

    where: str
    url: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None  # None: not in the recording
    verb: str = "GET"
    kind: str = ""
    tab: str = ""
    frame: str = ""
    asked_by: tuple[str, ...] = ()  # addresses of the pages and scripts that asked for it

    def header(self, name: str) -> str | None:
        """A header's value; None when it is absent."""
        values = [value for known, value in self.headers if known.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def media_type(self) -> str:
        """Without its parameters."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def is_script(self) -> bool:
        """Whether it ran, or would run where a script is wanted."""
        return self.kind == "script" or any(word in self.media_type for word in _SCRIPT_TYPES)

    @property
    def is_style(self) -> bool:
        """Whether it changes how a page looks."""
        return self.kind == "stylesheet" or self.media_type in _STYLE_TYPES

    @property
    def is_page(self) -> bool:
        """Whether it is a document."""
        return self.media_type in _PAGE_TYPES if self.media_type else self.kind == "document"


class _Named(msgspec.Struct):
    name: str
    value: str = ""


class _Content(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    text: str | None = None
    encoding: str | None = None


class _Response(msgspec.Struct):
    status: int
    headers: list[_Named] = []
    content: _Content = msgspec.field(default_factory=_Content)


class _Request(msgspec.Struct):
    method: str
    url: str
    headers: list[_Named] = []


class _Recorded(msgspec.Struct, rename="camel"):
    request: _Request
    response: _Response
    started_date_time: str = ""
    pageref: str = ""
    kind: str | None = msgspec.field(name="_resourceType", default=None)
    initiator: Any = msgspec.field(name="_initiator", default=None)
    frame: str = msgspec.field(name="_frameref", default="")


class _Log(msgspec.Struct):
    entries: list[_Recorded]


class _Har(msgspec.Struct):
    log: _Log


def read_recording(path: Path) -> list[Received]:
    """The answers of a recording in the order of their requests. Raises `Failure`."""
    try:
        har = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_Har)
    except OSError as problem:
        raise Failure(f"{path} cannot be read: {problem.strerror}", USAGE_EXIT_CODE) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        # The text of a recording may hold what a payer typed: only what was expected is repeated.
        why = str(problem) if isinstance(problem, msgspec.ValidationError) else "it is no JSON"
        raise Failure(f"{path} is no HAR: {why}; export one from the browser's network view", USAGE_EXIT_CODE) from None
    found = sorted(enumerate(har.log.entries, start=1), key=lambda one: one[1].started_date_time)
    return [_received(f"{path.name} #{number}", one) for number, one in found]


def _received(where: str, one: _Recorded) -> Received:
    if not _is_address(one.request.url):
        raise Failure(f"{where}: its request has no address; export the recording again", USAGE_EXIT_CODE)
    headers = tuple((header.name, header.value) for header in one.response.headers)
    if one.response.content.mime_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, ("Content-Type", one.response.content.mime_type))
    origins = [header.value for header in one.request.headers if header.name.lower() in ("origin", "referer")]
    return Received(
        where=where,
        url=one.request.url,
        status=one.response.status,
        headers=headers,
        body=_body(where, one.response.content),
        verb=one.request.method.upper(),
        kind=one.kind or "",
        tab=one.pageref,
        frame=one.frame,
        asked_by=tuple(filter(_is_address, dict.fromkeys((*origins, *_asker(one.initiator))))),
    )


def _is_address(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False


def _body(where: str, content: _Content) -> bytes | None:
    if not content.text:
        return None
    if content.encoding != "base64":
        return content.text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(content.text, validate=True)
    except (ValueError, binascii.Error):
        raise Failure(f"{where}: its content is no base64; export the recording again", USAGE_EXIT_CODE) from None


def _asker(initiator: Any) -> Iterator[str]:
    """The page or the script that asked, as Chromium tells it. Not who called that script: a shop's own code is called
    by our loader too.
    """
    if not isinstance(initiator, dict):
        return
    if isinstance(url := initiator.get("url"), str) and url:
        yield url
    stack = initiator.get("stack")
    frames = stack.get("callFrames") if isinstance(stack, dict) else None
    if isinstance(frames, list) and frames and isinstance(frames[0], dict) and frames[0].get("url"):
        yield str(frames[0]["url"])
