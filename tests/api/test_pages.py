"""What can be read without a signature: health, the reference, webhook keys."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.api.client import Shop
from tollhouse.api.openapi import REQUEST_SHAPES, document
from tollhouse.api.problems import STATUS
from tollhouse.api.sessions import METHODS


async def test_health(shop: Shop) -> None:
    """Alive is one thing, ready another; who does not answer is named."""
    assert (await shop.request("/healthz", verb="GET")).json == {"status": "ok"}
    assert (await shop.request("/readyz", verb="GET")).status == 200
    for away in ("the database", "the vault"):
        shop.away = away
        answered = await shop.request("/readyz", verb="GET")
        assert (answered.status, answered.code) == (503, "service_unavailable")
        assert answered.description == f"not ready: {away} does not answer"
        assert (await shop.request("/healthz", verb="GET")).status == 200


async def test_the_webhook_key_of_a_project_can_be_read(shop: Shop) -> None:
    """As PEM; nothing but existing projects has one."""
    answered = await shop.request("/.well-known/tollhouse/shop/webhook-key.pem", verb="GET")
    assert answered.headers["content-type"] == "application/x-pem-file"
    assert load_pem_public_key(answered.body) is not None
    for name in ("nobody", "..", "a b", "x" * 65, ""):
        missing = await shop.request(f"/.well-known/tollhouse/{name}/webhook-key.pem", verb="GET")
        assert (missing.status, missing.code) == (404, "method_not_found")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
async def test_pages_are_read_and_nothing_else(shop: Shop, path: str) -> None:
    """HEAD is GET without the body; POST is refused."""
    read, head = await shop.request(path, verb="GET"), await shop.request(path, verb="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", read.headers["content-length"])
    refused = await shop.request(path, verb="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_the_reference_loads_nothing_and_runs_nothing(shop: Shop) -> None:
    """No script, nothing from outside, and a policy that would not let it."""
    answered = await shop.request("/docs", verb="GET")
    policy = answered.headers["content-security-policy"]
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    page = answered.body.decode()
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=['\"]?(?:https?:)?//", page)
    assert "width=device-width" in page
    assert "light dark" in page


async def test_the_reference_tells_everything(shop: Shop) -> None:
    """Each method, each code, each object; and every link leads somewhere."""
    page = (await shop.request("/docs", verb="GET")).body.decode()
    for name in [method.name for method in METHODS] + [kind.code for kind in STATUS]:
        assert f">{name}<" in page
    targets = set(re.findall(r"href='#([^']+)'", page))
    assert targets <= set(re.findall(r"id='([^']+)'", page))


def test_the_document_describes_every_method_in_both_versions() -> None:
    """With the headers it needs, an example, and every status it may be answered with."""
    described = document("0.1.0")
    assert described["openapi"] == "3.1.1"
    assert set(described["paths"]) == {f"/api/v{v}/{method.name}" for v in (1, 2) for method in METHODS}
    for path, item in described["paths"].items():
        call = item["post"]
        assert set(call["responses"]) == {"200", *(str(status) for status in STATUS.values())}
        content = call["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"].endswith(REQUEST_SHAPES[path[8:]].__name__)
        assert content["example"] is not None
    assert set(described["webhooks"]) == {
        "ready_to_confirm",
        "ready_to_capture",
        "action_required",
        "payment_finished",
        "payment_refunded",
    }


def test_every_reference_in_the_document_resolves() -> None:
    """No dangling `$ref`, no operation id twice."""
    described = document("0.1.0")
    for reference in re.findall(r"'\$ref': '#/([^']+)'", repr(described)):
        target = described
        for step in reference.split("/"):
            target = target[step]
        assert target
    names = re.findall(r"'operationId': '([^']+)'", repr(described))
    assert len(names) == len(set(names)) == 2 * len(METHODS)


def test_limits_in_the_document_are_those_that_are_checked() -> None:
    """One shape for both: the examples of a few limits."""
    schemas = document("0.1.0")["components"]["schemas"]
    assert schemas["AmountDetails"]["properties"]["amount"]["maximum"] == 999_999_999_999
    assert schemas["Customer"]["properties"]["contacts"]["maxItems"] == 10
    assert set(schemas["InitRequest"]["required"]) == {"payment_details", "amount_details", "customer"}
