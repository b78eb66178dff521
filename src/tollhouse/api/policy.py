"""The headers that stand in every answer, whoever gives it, unless it has a better one of the same name."""

from __future__ import annotations

HSTS_SECONDS = 365 * 24 * 3600
# Whoever came by https shall never come otherwise again.
HSTS = (b"strict-transport-security", b"max-age=%d" % HSTS_SECONDS)

# These are in every answer as they are.
FIXED = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
# An answer may have others in their place; an empty one is left out.
REPLACEABLE = {
    b"cache-control": "no-store",
    b"content-type": "application/json",
    b"content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    b"x-frame-options": "DENY",
    b"cross-origin-resource-policy": "same-origin",
}


def bare_headers() -> list[tuple[bytes, bytes]]:
    """Of an answer that has none of its own."""
    return [*FIXED, *((name, value.encode()) for name, value in REPLACEABLE.items())]
