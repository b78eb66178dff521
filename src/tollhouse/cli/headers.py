"""Security headers of pages compared with those they must have, directive by directive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tollhouse.api.payer import policy as payer
from tollhouse.cli.inventory import digest
from tollhouse.cli.recording import Received

POLICY, PERMISSIONS = "Content-Security-Policy", "Permissions-Policy"
ABSENT = "absent"
# What every answer of ours has; see api/app.py.
EVERY_PAGE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

Directives = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A header or a directive that is not as it must be."""

    what: str
    expected: str
    found: str


def compare_headers(page: Received, needed: Mapping[str, str]) -> list[Gap]:
    """Where a page's headers differ from those it must have; an empty one must not be there. Others do no harm."""
    gaps: list[Gap] = []
    for name, expected in {**EVERY_PAGE, **needed}.items():
        found = page.header(name)
        if name in _PARTS:
            gaps += _compare_parts(name, _PARTS[name](expected), _PARTS[name](found or ""), is_there=found is not None)
        elif (found or "").replace(" ", "").lower() != expected.replace(" ", "").lower():
            gaps.append(Gap(what=f"header {name}", expected=expected or ABSENT, found=found or ABSENT))
    return gaps


def payer_headers(page: Received) -> dict[str, str]:
    """What a page of 3-D Secure must have at least. Whom it may frame depends on its issuer, so that is as it says."""
    found = read_policy(page.header(POLICY) or "")
    style = _quoted(payer.STYLE)
    allowed = {_quoted(payer.SCRIPT), _quoted(payer.SIGNAL_SCRIPT)}
    policy = {"default-src": "'none'", "style-src": style, "img-src": "data:", "base-uri": "'none'"}
    for name, sources in found.items():
        if name in ("frame-src", "form-action", "frame-ancestors"):
            policy[name] = " ".join(sorted(sources))
        elif (name == "script-src" and len(sources) == 1 and sources <= allowed) or name == "connect-src":
            policy[name] = "'self'" if name == "connect-src" else " ".join(sources)
    policy.setdefault("frame-ancestors", "'none'")
    needed = {POLICY: "; ".join(f"{name} {sources}" for name, sources in policy.items())}
    if (frame := page.header("X-Frame-Options")) is None:
        needed["X-Frame-Options"] = frame or ""
    return needed


def read_policy(text: str) -> Directives:
    """The directives of a content security policy. Of one that is named twice a browser heeds the first."""
    found: dict[str, frozenset[str]] = {}
    for part in text.split(";"):
        name, *sources = part.split() or [""]
        if name:
            found.setdefault(name.lower(), frozenset(sources))
    return found


def read_permissions(text: str) -> Directives:
    """The features of a permissions policy."""
    parts = (part.strip().partition("=") for part in text.split(","))
    return {name.strip(): frozenset({value.strip()}) for name, _, value in parts if name.strip()}


def sources_of(page: Received, directive: str) -> frozenset[str]:
    """What a page's policy allows by one directive."""
    return read_policy(page.header(POLICY) or "").get(directive, frozenset())


_PARTS: Mapping[str, Callable[[str], Directives]] = {POLICY: read_policy, PERMISSIONS: read_permissions}


def _compare_parts(header: str, expected: Directives, found: Directives, *, is_there: bool) -> list[Gap]:
    if not is_there:
        return [Gap(what=f"header {header}", expected=_said(expected), found=ABSENT)]
    gaps = []
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) == found.get(name):
            continue
        wanted, got = expected.get(name), found.get(name)
        what = "missing" if got is None else "added" if wanted is None else "changed"
        gaps.append(
            Gap(
                what=f"{header}: {name} {what}",
                expected=ABSENT if wanted is None else " ".join(sorted(wanted)),
                found=ABSENT if got is None else " ".join(sorted(got)),
            )
        )
    return gaps


def _said(directives: Directives) -> str:
    return "; ".join(f"{name} {' '.join(sorted(sources))}" for name, sources in directives.items())


def _quoted(text: str) -> str:
    return f"'{digest('sha256', text.encode())}'"
