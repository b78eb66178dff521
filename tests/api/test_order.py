"""The order of checks (wire-api 2): of two faults at once, the earlier one is told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.api.client import BODY_LIMIT, CARD, EUROS, PAYMENT, Shop
from tests.worlds import PROJECT
from tollhouse.merchant import Settings
from tollhouse.signing import sign_rsa


@dataclass
class Draft:
    """A call being spoiled."""

    path: str = "/api/v2/session/start/payment"
    verb: str = "POST"
    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    project: str = "shop"
    tail: bytes = b""
    is_signed: bool = True
    settings: Settings = field(default_factory=Settings)


def path(draft: Draft) -> None:
    """No such method."""
    draft.path = "/api/v2/session/begin"


def verb(draft: Draft) -> None:
    """A method that is read like a page."""
    draft.verb = "GET"


def size(draft: Draft) -> None:
    """A body above the limit, otherwise in order."""
    draft.tail += b" " * (BODY_LIMIT + 1)


def content_type(draft: Draft) -> None:
    """A form."""
    draft.headers["content-type"] = "application/x-www-form-urlencoded"


def project(draft: Draft) -> None:
    """Nobody's name."""
    draft.project = "nobody"


def signature(draft: Draft) -> None:
    """A signature of something else."""
    draft.is_signed = False


def rate(draft: Draft) -> None:
    """The bucket is empty."""
    draft.settings = replace(draft.settings, rate_limit=1)


def document(draft: Draft) -> None:
    """A brace too many."""
    draft.tail = b"}" + draft.tail


def key(draft: Draft) -> None:
    """An idempotency key that is none."""
    draft.headers["x-partner-idempotency-key"] = ""


def fields(draft: Draft) -> None:
    """An amount as text."""
    draft.members["amount_details"] = {**EUROS, "amount": "4990"}


def rights(draft: Draft) -> None:
    """An option of a later product."""
    draft.members["payment_options"] = {"recurrent": True}


def lookup(draft: Draft) -> None:
    """A session that does not exist."""
    draft.members["session_id"] = "ps_404"


def state(draft: Draft) -> None:
    """Nothing to spoil: the session is started already."""


FAULTS: list[tuple[Callable[[Draft], None], int, str, str]] = [
    (path, 404, "method_not_found", ""),
    (verb, 405, "method_not_allowed", ""),
    (size, 413, "request_too_large", ""),
    (content_type, 415, "unsupported_media_type", ""),
    (project, 401, "identification_error", ""),
    (signature, 401, "authentication_error", ""),
    (rate, 429, "too_many_requests", ""),
    (document, 400, "invalid_request", "the body"),
    (key, 400, "invalid_request", "X-PARTNER-IDEMPOTENCY-KEY: "),
    (fields, 400, "invalid_request", "amount_details.amount: "),
    (rights, 403, "authorization_error", "payment_options.recurrent: "),
    (lookup, 404, "session_not_found", ""),
    (state, 409, "session_wrong_state", ""),
]
PAIRS = [
    pytest.param(earlier, later, id=f"{earlier[0].__name__}-{later[0].__name__}")
    for earlier, later in itertools.combinations_with_replacement(FAULTS, 2)
]


@pytest.mark.parametrize(("earlier", "later"), PAIRS)
async def test_the_earlier_fault_is_told(shop: Shop, merchant_key: RSAPrivateKey, earlier: Any, later: Any) -> None:
    """Every pair of faults, and each alone."""
    session_id = await shop.prepared()
    draft = Draft(members={"session_id": session_id, "payment_details": CARD})
    for spoil, *_ in (later, earlier):
        spoil(draft)
    shop.admit(replace(PROJECT, settings=draft.settings))
    if draft.settings.rate_limit == 1:
        for _ in range(2):
            await shop.call("session/status", {"session_id": session_id})
    body = json.dumps(draft.members).encode() + draft.tail
    headers = {
        **draft.headers,
        "x-partner-project": draft.project,
        "x-partner-sign": sign_rsa(merchant_key, body if draft.is_signed else b"something else"),
    }
    answered = await shop.request(draft.path, headers, body, verb=draft.verb)
    _, status, code, said = earlier
    assert (answered.status, answered.code) == (status, code)
    assert answered.description.startswith(said)


async def test_state_is_looked_at_before_amounts(shop: Shop) -> None:
    """A refund that is too large is 409 while there is nothing to refund, then 400."""
    session_id = await shop.prepared()
    body = {"session_id": session_id, "amount_details": {**EUROS, "amount": 4991}}
    assert (await shop.call("session/refund", body)).code == "session_wrong_state"
    await shop.call("session/confirm", {"session_id": session_id})
    await shop.carry_on()
    answered = await shop.call("session/refund", body)
    assert (answered.status, answered.code) == (400, "refund_amount_too_large")
    capture = {"session_id": await shop.paid(project="inn"), "amount_details": body["amount_details"]}
    answered = await shop.call("session/capture", capture, project="inn")
    assert (answered.status, answered.code) == (400, "capture_amount_too_large")


async def test_another_currency_is_a_wrong_field(shop: Shop) -> None:
    """In refunds and captures alike."""
    dollars = {"amount": 1, "currency": "usd"}
    for method, where in (("session/refund", "shop"), ("session/capture", "inn")):
        body = {"session_id": await shop.paid(project=where), "amount_details": dollars}
        answered = await shop.call(method, body, project=where)
        assert (answered.status, answered.code) == (400, "invalid_request")
        assert answered.description.startswith("amount_details.currency: ")


async def test_a_disabled_project_lacks_every_right(shop: Shop) -> None:
    """Looked at after the fields and before the session."""
    shop.admit(replace(PROJECT, is_disabled=True))
    for method in ("session/create", "session/status"):
        answered = await shop.call(method, {"session_id": "ps_404"})
        assert (answered.status, answered.code) == (403, "authorization_error")
    assert (await shop.call("session/status", {})).status == 400


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "method",
    [
        "session/init/payment/sync",
        "session/init/payout",
        "session/start/payout",
        "session/multi/init",
        "session/chargeback",
        "session/init/payout/fiscalization",
        "session/init/nominal",
        "session/start/payout/nominal",
        "payout/rko",
        "recurrent/status",
        "recurrent/disable",
        "wallet/balance",
        "fps/customer_verification",
        "subscription/cancel",
        "sberpay/push",
    ],
)
async def test_methods_of_later_products_are_known(shop: Shop, method: str, version: int) -> None:
    """403 where rights are looked at: after signature, JSON and fields; a wrong verb is 405."""
    body = {**PAYMENT, "session_id": "ps_404"}
    answered = await shop.call(method, body, version=version)
    assert (answered.status, answered.code) == (403, "authorization_error")
    assert method in answered.description
    assert (await shop.call(method, body, version=version, headers={"X-PARTNER-SIGN": "x"})).status == 401
    assert (await shop.call(method, raw=b"{", version=version)).status == 400
    refused = await shop.call(method, body, version=version, verb="GET")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


async def test_the_one_method_that_is_read_is_read(shop: Shop) -> None:
    """The family's list of banks is a GET with a body."""
    assert (await shop.call("fps/banks", [], verb="GET")).status == 403
    refused = await shop.call("fps/banks", [])
    assert (refused.status, refused.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/session/create//",
        "/api/v2//session/create",
        "/api/v3/session/create",
        "/api/session/create",
        "/API/v2/session/create",
        "/api/v2/Session/create",
        "/api/v2/session/",
        "/api/v2/session/start",
        "/api/v2/session/create/x",
        "/api/",
        "/",
        "/session/create",
    ],
)
async def test_what_is_no_method_is_not_found(shop: Shop, path: str) -> None:
    """404 with the envelope, and never a redirect."""
    answered = await shop.call("", {}, path=path)
    assert (answered.status, answered.code) == (404, "method_not_found")


async def test_one_trailing_slash_makes_no_difference(shop: Shop) -> None:
    """The same path, also for an idempotency key."""
    first = await shop.call("session/create", {}, key="k")
    again = await shop.call("session/create/", {}, key="k")
    assert first.status == 200
    assert again.headers["x-tollhouse-idempotent-session"] == first.session["id"]


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_methods_are_called_by_post(shop: Shop, verb: str) -> None:
    """405 and what is allowed."""
    answered = await shop.call("session/create", {}, verb=verb)
    assert (answered.status, answered.headers["allow"]) == (405, "POST")
    assert (answered.body == b"") is (verb == "HEAD")
