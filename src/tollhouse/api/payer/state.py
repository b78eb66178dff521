"""What the page's script is told: how the authentication stands, without anything it does not need."""

from __future__ import annotations

from typing import Any

from tollhouse.api.payer.policy import may_open
from tollhouse.flows.authenticate import Showing, View


def state_of(view: View) -> dict[str, Any]:
    """The answer of `/state`. A page of the issuer that our policy would not open is left out."""
    state: dict[str, Any] = {"showing": view.showing.value}
    if view.showing is Showing.OVER:
        return state
    state |= {
        "authentication_id": view.authentication_id,
        "seconds_left": seconds_left(view),
        "can_retry": view.can_retry,
        "method": None,
        "challenge": None,
    }
    if view.showing is Showing.BEGIN and may_open(view.method_url):
        state["method"] = {"url": view.method_url, "data": view.method_data}
    if view.showing is Showing.CHALLENGE and may_open(view.acs_url):
        state["challenge"] = {"url": view.acs_url, "requests": dict(view.challenge_requests)}
    return state


def seconds_left(view: View) -> int | None:
    """By our clock, not by the payer's; never below zero."""
    if view.deadline_at is None:
        return None
    return max(0, int((view.deadline_at - view.now).total_seconds()))
