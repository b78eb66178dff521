"""One request to the widget's host, read: what it carries, and whether another site's page may send it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tollhouse.api.calls import Receive, Scope, header, read_body
from tollhouse.api.payer.texts import texts_for
from tollhouse.refusal import MediaTypeUnsupported, MethodNotAllowed, NotPermitted, RequestTooLarge

BODY_BYTES_MAX = 16 * 1024
JSON = "application/json"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
READING, WRITING = ("GET", "HEAD"), ("POST",)

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request without its body."""

    path: str
    verb: str
    headers: dict[bytes, bytes]

    def header(self, name: bytes) -> str:
        """A header's value; empty when it is absent."""
        return header(self.headers, name) or ""

    @property
    def token(self) -> str:
        """The public token that it comes with."""
        return self.header(b"x-public-token").strip()

    @property
    def language(self) -> str:
        """The one of ours that the browser would rather have."""
        return texts_for(self.header(b"accept-language")).language

    @property
    def host(self) -> str:
        """The name that the browser calls us by; empty when it is none that a policy could hold."""
        host = self.header(b"host").lower()
        return host if _HOST.fullmatch(host) else ""

    @property
    def takes_packed(self) -> bool:
        """Whether the browser unpacks gzip."""
        offered = (part.strip() for part in self.header(b"accept-encoding").lower().split(","))
        return any(part.partition(";")[0].strip() == "gzip" and not part.endswith("q=0") for part in offered)

    @property
    def takes_stream(self) -> bool:
        """Whether it asks for lines of JSON."""
        return "application/x-ndjson" in self.header(b"accept")

    def has_kept(self, tag: str) -> bool:
        """Whether the browser has what bears this tag."""
        kept = [part.strip().removeprefix("W/") for part in self.header(b"if-none-match").split(",")]
        return "*" in kept or tag.removeprefix("W/") in kept

    def require_verb(self, verbs: tuple[str, ...]) -> None:
        """Refuse any other. Raises `MethodNotAllowed`."""
        if self.verb not in verbs:
            raise MethodNotAllowed(f"this is reached by {verbs[0]}")

    def require_own_page(self, public_url: str) -> None:
        """Refuse what another site's page sends, as far as the browser says so. Raises `NotPermitted`."""
        origin = self.header(b"origin")
        is_own = not origin or origin == origin_of(public_url) or origin.partition("://")[2] == (self.host or None)
        if self.header(b"sec-fetch-site") not in ("", "same-origin") or not is_own:
            raise NotPermitted("this is sent by the payment form only")


def read_visit(scope: Scope) -> Visit:
    """The request."""
    return Visit(path=scope["path"], verb=scope["method"], headers=dict(reversed(scope["headers"])))


def origin_of(url: str) -> str:
    """Scheme, host and port of one of our own addresses, as browsers write them: without a port that goes unsaid."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(DEFAULT_PORTS.get(parts.scheme, ''))}"


async def read_json_body(visit: Visit, receive: Receive) -> bytes:
    """A small body of JSON. Raises `RequestTooLarge`, `MediaTypeUnsupported`, `Disconnected`."""
    too_large = RequestTooLarge(f"the body is larger than {BODY_BYTES_MAX // 1024} KiB")
    length = visit.header(b"content-length")
    if length.isdecimal() and (len(length) > 9 or int(length) > BODY_BYTES_MAX):
        raise too_large
    body = await read_body(visit.headers, receive)
    if len(body) > BODY_BYTES_MAX:
        raise too_large
    if visit.header(b"content-type").partition(";")[0].strip().lower() not in ("", JSON):
        raise MediaTypeUnsupported
    return body
