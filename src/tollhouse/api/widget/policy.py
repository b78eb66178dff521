"""What browsers may do with what the widget's host answers: the headers of its pages, files and calls."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from tollhouse.api.widget.assets import FRAME_SCRIPT, FRAME_STYLE, HOSTED_SCRIPT, LOADER, LOADER_STYLE, Asset, Assets
from tollhouse.api.widget.visit import Visit, origin_of
from tollhouse.merchant import ANYBODY

STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_SHUT = (
    "accelerometer",
    "camera",
    "clipboard-read",
    "display-capture",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "publickey-credentials-get",
    "serial",
    "usb",
)
_PERMISSIONS = ", ".join(f"{name}=()" for name in _SHUT)
_NO_SCRIPT_FROM_TEXT = "require-trusted-types-for 'script'; trusted-types 'none'"
_PAGE = {
    "Content-Type": "text/html; charset=utf-8",
    "Permissions-Policy": _PERMISSIONS,
    "X-Robots-Tag": "noindex, nofollow",
}
# Older than frame-ancestors, X-Frame-Options cannot name anybody: it is left out, as is what keeps pages apart.
_FRAMED = {"X-Frame-Options": "", "Cross-Origin-Resource-Policy": "cross-origin"}
_ALONE = {"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin"}

FILE_HEADERS = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
NEWEST_HEADERS = {**FILE_HEADERS, "Cache-Control": "public, max-age=300"}
VERSION_HEADERS = {**FILE_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}

PRIVATE_HEADERS = {"Content-Type": "application/json", "Cross-Origin-Resource-Policy": "same-origin"}
# Nothing between us and the browser may wait until there is more to pass on.
STREAM_HEADERS = {**PRIVATE_HEADERS, "Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no"}

PREFLIGHT_SECONDS = 24 * 3600
OPEN_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After, X-Tollhouse-Request-Id",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT_HEADERS = {
    **OPEN_HEADERS,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "X-PUBLIC-TOKEN, Content-Type",
    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
}


def frame_headers(visit: Visit, public_url: str, assets: Assets, origins: tuple[str, ...]) -> dict[str, str]:
    """Of the form's frame: two files of ours, calls to ourselves, and the pages of these origins around it."""
    script, style = assets.newest(FRAME_SCRIPT), assets.newest(FRAME_STYLE)
    above = " ".join(("'self'", *origins))
    policy = (
        f"default-src 'none'; script-src {_sources(visit, public_url, script)}; "
        f"style-src {_sources(visit, public_url, style)}; connect-src 'self'; img-src data:; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {above}; {_NO_SCRIPT_FROM_TEXT}"
    )
    return {**_PAGE, **_FRAMED, "Content-Security-Policy": policy}


def hosted_headers(visit: Visit, public_url: str, assets: Assets) -> dict[str, str]:
    """Of the page that shows the form for merchants without a page."""
    scripts = " ".join(_sources(visit, public_url, assets.newest(name)) for name in (LOADER, HOSTED_SCRIPT))
    style = _sources(visit, public_url, assets.newest(LOADER_STYLE))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {style} 'sha256-{_STYLE_DIGEST}'; frame-src 'self'; "
        f"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; {_NO_SCRIPT_FROM_TEXT}"
    )
    return {**_PAGE, **_ALONE, "Content-Security-Policy": policy}


def notice_headers(*, is_framed: bool) -> dict[str, str]:
    """Of pages that only say something, alone or in a frame of whoever asked for it."""
    above = ANYBODY if is_framed else "'none'"
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {above}"
    )
    return {**_PAGE, **(_FRAMED if is_framed else _ALONE), "Content-Security-Policy": policy}


def _sources(visit: Visit, public_url: str, asset: Asset) -> str:
    """One file and nothing else, by its address and by its digest: browsers know the digests of outer scripts only."""
    own = origin_of(public_url)
    addresses = [own + asset.path]
    # Without a scheme it has that of the page: so a browser on this machine may call us by another name.
    if visit.host and not own.endswith(f"//{visit.host}"):
        addresses.append(visit.host + asset.path)
    return " ".join((*addresses, f"'{asset.digest}'"))
