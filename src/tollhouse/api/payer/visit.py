"""One request to the payer's paths, read: who sent it, what it carries, and whether it may be sent at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from tollhouse.api.calls import Receive, Scope, header, read_body
from tollhouse.api.payer.texts import Texts, texts_for
from tollhouse.flows.authenticate import View
from tollhouse.refusal import MediaTypeUnsupported, NotPermitted, RequestInvalid, RequestTooLarge
from tollhouse.threeds.translate import Browser

BODY_BYTES_MAX = 64 * 1024
FIELDS_MAX = 20
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PATH = re.compile(r"/3ds/(?P<link>[A-Za-z0-9_-]{22})(?:/(?P<step>browser|state|method|challenge|again))?")
RESULTS = "/3ds/results"
IN_DIALOG = b"in=dialog"


class Told(msgspec.Struct, frozen=True):
    """What the page's script found out about its browser."""

    completion: Literal["Y", "N", "U"]
    language: Annotated[str, Meta(max_length=64)] = ""
    java: bool = False
    color_depth: Annotated[int, Meta(ge=0, le=1024)] = 24
    screen_height: Annotated[int, Meta(ge=0, le=999_999)] = 0
    screen_width: Annotated[int, Meta(ge=0, le=999_999)] = 0
    timezone_minutes: Annotated[int, Meta(ge=-1440, le=1440)] = 0


_TOLD = msgspec.json.Decoder(Told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request without its body. `step` is what follows the link in the path, empty for the page itself."""

    link: str | None
    step: str
    verb: str
    headers: dict[bytes, bytes]
    ip: str | None
    in_dialog: bool = False  # framed by the page of a merchant who uses our form

    def header(self, name: bytes) -> str:
        """A header's value; empty when it is absent."""
        return header(self.headers, name) or ""

    @property
    def texts(self) -> Texts:
        """In the language that the payer would rather have."""
        return texts_for(self.header(b"accept-language"))

    @property
    def media_type(self) -> str:
        """What the body claims to be, without parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    @property
    def is_by_program(self) -> bool:
        """Whether a program reads the answer: our script, or the directory server."""
        return self.step in ("state", "results") or (self.step in ("browser", "again") and self.media_type == JSON)

    @property
    def is_in_window(self) -> bool:
        """Whether a browser says that it loads this into a window of its own, not into a frame."""
        return self.header(b"sec-fetch-dest") == "document"

    def require_own_page(self) -> None:
        """Refuse what another site's page sends, as far as the browser says so. Raises `NotPermitted`."""
        if self.header(b"sec-fetch-site") not in ("", "same-origin"):
            raise NotPermitted("this is sent by the payment's own page only")


def read_visit(scope: Scope) -> Visit:
    """The request. A path that is none of the payer's has neither link nor step."""
    path = scope["path"]
    found = PATH.fullmatch(path)
    step = "results" if path == RESULTS else (found["step"] or "") if found else ""
    client = scope.get("client")
    return Visit(
        link=found["link"] if found else None,
        step=step,
        verb=scope["method"],
        headers=dict(reversed(scope["headers"])),
        ip=_ip(client[0]) if client else None,
        in_dialog=scope.get("query_string", b"") == IN_DIALOG,
    )


async def read_limited(visit: Visit, receive: Receive, *accepted: str) -> bytes:
    """The body, if it is of an accepted type. Raises `MediaTypeUnsupported`, `RequestTooLarge`, `Disconnected`."""
    if visit.media_type not in ("", *accepted):
        raise MediaTypeUnsupported(f"the body must be {' or '.join(accepted)}")
    length = visit.header(b"content-length")
    too_large = RequestTooLarge(f"the body is larger than {BODY_BYTES_MAX // 1024} KiB")
    if length.isdecimal() and (len(length) > 9 or int(length) > BODY_BYTES_MAX):
        raise too_large
    body = await read_body(visit.headers, receive)
    if len(body) > BODY_BYTES_MAX:
        raise too_large
    return body


def read_form(body: bytes) -> dict[str, str]:
    """Fields of a form; of a field given twice the first. Raises `RequestInvalid`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise RequestInvalid("", f"a form of at most {FIELDS_MAX} fields in UTF-8 expected") from None
    return dict(reversed(pairs))


def read_browser(visit: Visit, body: bytes, view: View) -> tuple[Browser, str]:
    """What the payer's browser says of itself, and how the 3DS method went: Y, N or U. Raises `RequestInvalid`."""
    language = visit.header(b"accept-language").partition(",")[0].partition(";")[0].strip()
    browser = Browser(
        accept_header=visit.header(b"accept"),
        user_agent=visit.header(b"user-agent"),
        language=language,
        ip=visit.ip,
        has_script=False,
    )
    if visit.media_type != JSON:
        return browser, _completion("N", view)
    try:
        told = _TOLD.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestInvalid("", "the browser's data expected: completion (Y, N or U), screen, language") from None
    seen = Browser(
        accept_header=browser.accept_header,
        user_agent=browser.user_agent,
        language=told.language or language,
        ip=visit.ip,
        has_script=True,
        has_java=told.java,
        color_depth=str(told.color_depth),
        screen_height=str(told.screen_height),
        screen_width=str(told.screen_width),
        timezone_minutes=str(told.timezone_minutes),
    )
    return seen, _completion(told.completion, view)


def _completion(told: str, view: View) -> str:
    """U belongs to issuers without a method page, and only to them."""
    if view.method_url is None:
        return "U"
    return told if told != "U" else "N"


def _ip(host: str) -> str | None:
    """The connection's address, if it has one: whatever a header claims is not believed."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
