"""A form in each of its states, held there: what its calls are answered with is made up in the browser."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, Route

from tests.acceptance.forms import Form

CALLS = "**/widget/v1/"
INFO = {
    "merchant": "Corner shop",
    "amount": 259000,
    "currency": "eur",
    "exponent": 2,
    "is_test": True,
    "recurrent_checkbox": True,
    "redirect_target": "modal",
    "seconds_left": 86000,
}
READY: dict[str, Any] = {"stage": "ready"}
TOLD: dict[str, dict[str, Any]] = {
    "waiting": {"stage": "confirming"},
    "processing": {"stage": "processing"},
    "action": {"stage": "action", "action": {"url": "http://127.0.0.1:9/3ds/x", "seconds_left": 3540}},
    "succeeded": {"stage": "succeeded"},
}
DECLINES = (
    "insufficient_funds",
    "bank_card_expired",
    "3DS_error",
    "session_cancelled_by_partner",
    "confirm_timeout",
    "payment_declined",
)
STATES = ("loading", "ready", "wrong", "paying", "not sent", *TOLD, "declined", "expired", "offline", "unexpected")
STAGES = {"wrong": "ready", "not sent": "ready"}


def hold(form: Form, state: str, *, code: str = DECLINES[0]) -> None:
    """Take the form to a state, from the beginning; it stays there."""
    page = form.page
    page.unroute_all()
    told = {"stage": "failed", "error": {"code": code, "description": "x"}} if state == "declined" else TOLD.get(state)
    match state:
        case "loading":
            page.route(f"{CALLS}form", _never)
        case "expired":
            _answer(page, "form", 401, error={"code": "public_token_invalid", "description": "X-PUBLIC-TOKEN: over"})
        case "unexpected":
            _answer(page, "form", 500, error={"code": "internal_error", "description": "x"})
        case "offline":
            page.route(f"{CALLS}form", lambda route: route.abort("internetdisconnected"))
        case _:
            _answer(page, "form", 200, form={**INFO, "state": told or READY})
            _answer(page, "status", 200, state=told or READY)
    page.reload()
    if state in ("wrong", "paying", "not sent"):
        form.expect_stage("ready")
        _submit(form, state)
    form.expect_stage(STAGES.get(state, state))


def _submit(form: Form, state: str) -> None:
    if state == "wrong":
        form.field("submit").click()
        form.field("summary").wait_for()
        return
    if state == "paying":
        form.page.route(f"{CALLS}pay", _never)
    else:
        _answer(form.page, "pay", 503, error={"code": "service_unavailable", "description": "x"})
    form.fill()
    form.submit()
    if state == "not sent":
        form.frame.locator(".status .text").wait_for()


def _never(route: Route) -> None:
    """No answer, until the page goes."""


def _answer(page: Page, call: str, status: int, **members: Any) -> None:
    body = json.dumps({"status": "ok" if status == 200 else "error", **members})
    page.route(f"{CALLS}{call}", lambda route: route.fulfill(status=status, body=body, content_type="application/json"))
