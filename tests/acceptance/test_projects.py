"""Projects: apart from each other, with keys that change and settings that are in force at once."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant, by_card, new_key, public_pem, sign
from tests.acceptance.system import System, until


def test_sessions_of_another_project_do_not_exist(shop: Merchant, inn: Merchant) -> None:
    """Every method answers for a foreign session exactly as for one that was never made, and changes nothing."""
    waiting, created = shop.prepare(), str(shop.call("create", []).session["id"])
    for session_id in (waiting, created):
        before = shop.status(session_id)
        for method in ("status", "confirm", "cancel", "capture", "refund", "start/payment"):
            given = shop.body() if method == "start/payment" else {}
            foreign = inn.call(method, {**given, "session_id": session_id})
            unknown = inn.call(method, {**given, "session_id": "ps_99999999999999999999"})
            assert foreign.error == unknown.error == (404, "session_not_found")
            assert foreign.raw == unknown.raw
        assert shop.status(session_id) == before
    assert inn.receiver.of(waiting) == []


def test_signature_of_another_project_is_refused(shop: Merchant, inn: Merchant) -> None:
    """A body signed by one merchant is not another merchant's."""
    body = b'{"session_id":"ps_1"}'
    for headers in ({"X-PARTNER-SIGN": sign(inn.key, body)}, {"X-PARTNER-PROJECT": inn.project}):
        answer = shop.call("status", body, headers=headers)
        assert answer.error == (401, "authentication_error")
        assert answer.headers["www-authenticate"] == "Signature"
    assert shop.call("status", body, headers={"X-PARTNER-PROJECT": "nobody"}).error == (401, "identification_error")


def test_keys_change_without_a_pause(system: System, new_merchant: NewMerchant) -> None:
    """While a second key is added and the first retired, one of the two is always good; then only the second."""
    shop = new_merchant(system)
    old, new = shop.key, new_key()
    file = system.folder / "successor.pub.pem"
    file.write_text(public_pem(new))

    def status_with(key: object) -> int:
        shop.key = key  # type: ignore[assignment]
        return shop.call("create", []).status

    (first,) = shop.made["public_keys"]
    assert status_with(new) == 401
    system.run("key", "add", shop.project, str(file))
    until(lambda: status_with(new) == 200, "the new key is good")
    assert status_with(old) == 200
    system.run("key", "retire", shop.project, first["id"])
    until(lambda: status_with(old) == 401, "the old key is refused")
    assert status_with(new) == 200
    assert [key["id"] for key in system.json("project", "show", shop.project)["public_keys"]] != [first["id"]]


def test_new_project_is_usable_on_the_very_next_call(system: System, new_merchant: NewMerchant) -> None:
    """Also when its name was asked for, and refused, a moment before."""
    shop = new_merchant(system)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: shop.call("create", []).status, range(8))) == {200}
    answer = shop.call("create", [], headers={"X-PARTNER-PROJECT": "not-yet"})
    assert answer.error == (401, "identification_error")


def test_disabled_project_is_refused_until_it_is_enabled(system: System, new_merchant: NewMerchant) -> None:
    """The right to call is taken and given back within a moment; nothing of the project's is lost."""
    shop = new_merchant(system)
    session_id = shop.prepare()
    system.run("project", "set", shop.project, "--disable")
    until(lambda: shop.call("status", {"session_id": session_id}).status == 403, "the project is refused")
    assert shop.confirm(session_id).error == (403, "authorization_error")
    system.run("project", "set", shop.project, "--enable")
    until(lambda: shop.call("status", {"session_id": session_id}).status == 200, "the project is welcome")
    shop.confirm(session_id)
    assert shop.finished(session_id)["status"] == "accepted"


def test_setting_is_in_force_soon(system: System, new_merchant: NewMerchant) -> None:
    """Partial refunds that are switched off are refused, whole ones are not."""
    shop = new_merchant(system)
    paid = [shop.pay() for _ in range(2)]
    assert shop.refund(paid[0], 100).status == 200
    system.run("project", "set", shop.project, "partial_refunds=off")
    until(lambda: shop.refund(paid[0], 1).error == (403, "authorization_error"), "partial refunds are refused")
    assert shop.refund(paid[1]).status == 200


def test_webhook_key_can_be_fetched(system: System, shop: Merchant) -> None:
    """The public half of the signing key stands at its well-known place, for this project only."""
    place = f"{system.url}/.well-known/tollhouse/{shop.project}/webhook-key.pem"
    with urllib.request.urlopen(place, timeout=30) as answer:
        assert answer.read().decode() == shop.made["provider_public_key"]
    assert shop.send("/.well-known/tollhouse/nobody/webhook-key.pem", verb="GET").status == 404


def test_rate_limit_is_the_projects_own(system: System, new_merchant: NewMerchant) -> None:
    """Who sends more than their rate is told when to come again; others are not touched."""
    busy, calm = new_merchant(system, settings={"rate_limit": "1"}), new_merchant(system)
    statuses = [busy.call("create", []).status for _ in range(4)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses
    refused = until(lambda: next((a for a in [busy.call("create", [])] if a.status == 429), None), "a refusal")
    assert refused is not None
    assert refused.error == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert calm.call("create", []).status == 200


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("chargeback", {"session_id": "ps_1"}),
        ("init/payout", {}),
        ("multi/init", {}),
        ("init/payment", {"payment_options": {"recurrent": True}}),
        ("init/payment", {"payment_details": {"type": "recurrent", "recurrent": {"token": "f" * 64}}}),
        ("init/payment", {"revenue_split_info": [{"contractor_alias": "a", "percent": "10"}]}),
    ],
)
def test_products_that_come_later_are_rights_nobody_has(shop: Merchant, method: str, body: dict[str, object]) -> None:
    """A method or option of a product this version does not have is refused as a missing right, and does nothing."""
    given = shop.body() if method == "init/payment" else {}
    assert shop.call(method, {**given, **body}).error == (403, "authorization_error")


def test_card_may_be_given_at_creation(shop: Merchant) -> None:
    """Card details of `session/create` are used when the start brings none."""
    session_id = str(shop.call("create", shop.body()).session["id"])
    shop.call("start/payment", {"session_id": session_id})
    shop.receiver.wait_for(session_id, "ready_to_confirm")
    shop.confirm(session_id)
    assert shop.finished(session_id)["status"] == "accepted"
    assert shop.call("create", {"payment_details": by_card("4242424242424241")}).status == 400
