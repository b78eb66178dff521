"""How long things may take, and how long the faults of time last. Tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """All durations of the directory server and the issuer."""

    unanswered_seconds: float = 60  # a request that is not answered is held so long
    first_request_seconds: float = 30  # from the ARes to the first CReq
    payer_seconds: float = 600  # from one word of the payer to the next
    decoupled_seconds: float = 3  # until the issuer has found out without a browser
    browser_first_seconds: float = 3  # between the browser's return and the result that should have come before
    result_seconds: float = 5  # for the 3DS server to answer a result
    repeat_seconds: float = 1  # before a result that nobody took is sent again
    kept_seconds: float = 24 * 60 * 60  # an authentication is remembered
