"""Every refusal as an HTTP answer: status, headers, envelope (wire-api 5 and 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tollhouse import refusal as r
from tollhouse.api.wire.answers import refused_body

STATUS: dict[type[r.Refusal], int] = {
    r.ProjectUnknown: 401,
    r.SignatureWrong: 401,
    r.PublicTokenInvalid: 401,
    r.NotPermitted: 403,
    r.TooManyRequests: 429,
    r.GuessedTooOften: 429,
    r.MethodUnknown: 404,
    r.MethodNotAllowed: 405,
    r.RequestTooLarge: 413,
    r.MediaTypeUnsupported: 415,
    r.RequestInvalid: 400,
    r.PANWrong: 400,
    r.CardHasExpired: 400,
    r.KeyUsed: 400,
    r.KeyUsedDifferently: 400,
    r.KeyInFlight: 409,
    r.SessionUnknown: 404,
    r.TokenUnknown: 404,
    r.StateForbids: 409,
    r.RefundExceedsCaptured: 400,
    r.CaptureExceedsHold: 400,
    r.InternalFailure: 500,
    r.Unavailable: 503,
}

RETRY_AFTER_SECONDS = 1
REPEATED_SESSION = "X-Tollhouse-Idempotent-Session"
REPEATED = "X-Tollhouse-Idempotent-Replay"

_WAIT = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_HEADERS: dict[type[r.Refusal], dict[str, str]] = {
    r.ProjectUnknown: {"WWW-Authenticate": "Signature"},
    r.SignatureWrong: {"WWW-Authenticate": "Signature"},
    r.PublicTokenInvalid: {"WWW-Authenticate": "PublicToken"},
    r.TooManyRequests: _WAIT,
    r.KeyInFlight: _WAIT,
    r.Unavailable: _WAIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back over HTTP, before the headers that every answer has."""

    status: int
    body: bytes
    headers: dict[str, str]


def reply_to(refusal: r.Refusal, *, allow: str = "POST") -> Reply:
    """The answer to a refused call. `allow` names the verbs of a path that was called by another one."""
    headers = _HEADERS.get(type(refusal), {})
    if isinstance(refusal, r.MethodNotAllowed):
        headers = {"Allow": allow}
    elif isinstance(refusal, r.KeyUsed):
        headers = {REPEATED_SESSION: refusal.session_id}
    elif isinstance(refusal, r.GuessedTooOften):
        headers = {"Retry-After": str(math.ceil(refusal.wait_seconds))}
    body = refused_body(refusal.code, refusal.description)
    return Reply(status=STATUS[type(refusal)], body=body, headers=headers)
