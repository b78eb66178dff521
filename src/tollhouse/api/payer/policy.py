"""What browsers may do with each of the payer's pages: the headers, and which addresses of the issuer may be opened."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from tollhouse.flows.authenticate import View
from tollhouse.merchant import ANYBODY


def _load(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


STYLE, SCRIPT, SIGNAL_SCRIPT = _load("page.css"), _load("page.js"), _load("signal.js")

_COMMON = f"default-src 'none'; style-src {_hash(STYLE)}; img-src data:; base-uri 'none'"
# A frame may ask for a passkey, as an issuer's page may wish; nothing else is open to anybody.
_SHUT = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "usb")
_PERMISSIONS = ", ".join(("publickey-credentials-get=*", *(f"{name}=()" for name in _SHUT)))
_CLOSED = {"Permissions-Policy": _PERMISSIONS, "Cross-Origin-Resource-Policy": "same-origin"}
NOBODY = "'none'"
# Older than frame-ancestors, X-Frame-Options cannot name anybody: it is left out, as is what keeps pages apart.
_FRAMED = {"X-Frame-Options": "", "Cross-Origin-Resource-Policy": "cross-origin"}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Cross-Origin-Resource-Policy": "same-origin"}


def page_headers(view: View, *, in_dialog: bool = False) -> dict[str, str]:
    """Of the page with the issuer's frames, whose pages hop from host to host: any https, and the sandbox's address.

    It does not isolate itself from a window that opened it: to a shop that opens a window for the payer, the window
    would seem closed at once.
    """
    issuer = " ".join(("'self'", "https:", *loopback_origins(view)))
    policy = (
        f"{_COMMON}; script-src {_hash(SCRIPT)}; connect-src 'self'; frame-src {issuer}; form-action {issuer}; "
        f"frame-ancestors {_above(view) if in_dialog else NOBODY}"
    )
    return _document(policy) | (_FRAMED if in_dialog else {})


def signal_headers(view: View) -> dict[str, str]:
    """Of the page that issuers' pages come back to. It lives in their frames, which an issuer may have nested."""
    above = f"{_above(view)} https:"
    policy = f"{_COMMON}; script-src {_hash(SIGNAL_SCRIPT)}; form-action 'none'; frame-ancestors {above}"
    return _document(policy) | _FRAMED


def notice_headers(view: View | None = None, *, in_dialog: bool = False) -> dict[str, str]:
    """Of pages that only say something; with a view in the dialog of its payment's merchant, without one in any's."""
    above = _above(view) if view is not None else ANYBODY if in_dialog else NOBODY
    policy = f"{_COMMON}; form-action 'none'; frame-ancestors {above}"
    return _document(policy) | ({} if above == NOBODY else _FRAMED)


def _above(view: View) -> str:
    """Whose pages may stand around ours: our own, and those of the merchant whose form it came from."""
    return " ".join(("'self'", *view.origins))


def _document(policy: str) -> dict[str, str]:
    return {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, **_CLOSED}


def loopback_origins(view: View) -> list[str]:
    """Origins of the issuer's pages on this very machine, which need no https: the sandbox's."""
    found = [_loopback_origin(url) for url in (view.method_url, view.acs_url) if url is not None]
    return sorted({origin for origin in found if origin is not None})


def may_open(url: str | None) -> bool:
    """Whether a browser that obeys our policy opens this page of an issuer."""
    if url is None:
        return False
    try:
        parts = urlsplit(url)
        return (parts.scheme == "https" and bool(parts.hostname)) or _loopback_origin(url) is not None
    except ValueError:
        return False


def _loopback_origin(url: str) -> str | None:
    """The origin of an http address on this machine by name or IPv4; policies have no way to write IPv6."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or not (host == "localhost" or _is_loopback(host)):
        return None
    return f"http://{host}" if port in (None, 80) else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.version == 4 and address.is_loopback


def in_header(url: str) -> str:
    """An address as a header can carry it: what is not printable ASCII is percent-encoded."""
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")
