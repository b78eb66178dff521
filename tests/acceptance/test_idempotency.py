"""Idempotency keys over HTTP: one key, one operation, however often and at once it is sent."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System

TAKEN = "idempotency_key_already_exists"
SESSION, REPLAY = "x-tollhouse-idempotent-session", "x-tollhouse-idempotent-replay"
_numbers = itertools.count(1)


def new_key() -> str:
    """A key that was never used."""
    return f"order {next(_numbers)} #~"


@pytest.fixture(scope="module")
def replaying(system: System) -> Merchant:
    """A merchant of the shared system who gets the first answer again."""
    return Merchant(system, settings={"idempotency": "replay"})


def sessions_of(merchant: Merchant) -> int:
    """How many sessions a merchant has."""
    return int(merchant.system.rows(f"select count(*) from session where project = '{merchant.project}'")[0][0])


def test_repeated_call_is_refused_and_names_the_first_session(shop: Merchant) -> None:
    """In the default mode the key's second call makes nothing, and its header leads to what the first one made."""
    key, body = new_key(), shop.body()
    session_id = shop.call("init/payment", body, key=key).session["id"]
    again = shop.call("init/payment", body, key=key)
    assert again.error == (400, TAKEN)
    assert again.headers[SESSION] == session_id
    assert REPLAY not in again.headers
    assert shop.status(again.headers[SESSION])["id"] == session_id


def test_repeated_call_is_answered_again_byte_for_byte(replaying: Merchant) -> None:
    """In replay mode the first answer comes back as it was, even when the session has moved on."""
    key, body = new_key(), replaying.body()
    first = replaying.call("init/payment", body, key=key)
    session_id = first.session["id"]
    replaying.receiver.wait_for(session_id, "ready_to_confirm")
    confirmed = replaying.call("confirm", {"session_id": session_id}, key=f"{key} confirm")
    replaying.finished(session_id)
    for method, before, sent, used in (
        ("init/payment", first, body, key),
        ("confirm", confirmed, {"session_id": session_id}, f"{key} confirm"),
    ):
        again = replaying.call(method, sent, key=used)
        assert (again.status, again.raw) == (before.status, before.raw)
        assert (again.headers[REPLAY], again.headers[SESSION]) == ("true", session_id)
        assert REPLAY not in before.headers


@pytest.mark.parametrize("mode", ["shop", "replaying"])
def test_key_is_bound_to_path_and_body(request: pytest.FixtureRequest, mode: str) -> None:
    """The same key with another body, method or version is refused in both modes and names no session."""
    merchant: Merchant = request.getfixturevalue(mode)
    key, body = new_key(), merchant.body()
    session_id = merchant.call("init/payment", body, key=key).session["id"]
    for other in (
        merchant.call("init/payment", merchant.body(minor=2591), key=key),
        merchant.call("init/payment", body, version=1, key=key),
        merchant.call("create", body, key=key),
        merchant.call("confirm", {"session_id": session_id}, key=key),
    ):
        assert other.error == (400, TAKEN)
        assert SESSION not in other.headers


def test_refused_call_leaves_its_key_free(shop: Merchant) -> None:
    """A call that ends without a write stores nothing: the key may be used again."""
    key = new_key()
    assert shop.call("init/payment", shop.body("4242424242424241"), key=key).status == 400
    assert shop.call("confirm", {"session_id": "ps_1"}, key=key).status == 404
    assert shop.call("init/payment", shop.body(), key=key).status == 200


def test_key_is_ignored_where_nothing_is_written(shop: Merchant) -> None:
    """`session/status` may repeat a key as often as it likes, even a used or an impossible one."""
    key = new_key()
    session_id = shop.call("create", [], key=key).session["id"]
    for one in (key, key, "k" * 300):
        assert shop.call("status", {"session_id": session_id}, key=one).status == 200


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there", "é"], ids=["empty", "long", "tab", "latin"])
def test_malformed_key_is_refused(shop: Merchant, key: str) -> None:
    """Bad length or characters are a wrong request that names the header."""
    before = sessions_of(shop)
    answer = shop.call("create", [], key=key)
    assert answer.error == (400, "invalid_request")
    assert answer.description.startswith("X-PARTNER-IDEMPOTENCY-KEY: ")
    assert sessions_of(shop) == before


def test_keys_of_projects_are_apart(shop: Merchant, inn: Merchant) -> None:
    """Another project may use the same key."""
    key = new_key()
    assert shop.call("create", [], key=key).status == inn.call("create", [], key=key).status == 200


@pytest.mark.parametrize("mode", ["shop", "replaying"])
def test_key_sent_at_once_makes_one_payment(request: pytest.FixtureRequest, mode: str) -> None:
    """Of twelve parallel calls with one key one makes the session; the others hear of it or that it is under way."""
    merchant: Merchant = request.getfixturevalue(mode)
    key, body, before = new_key(), merchant.body(), sessions_of(merchant)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: merchant.call("init/payment", body, key=key), range(12)))
    assert sessions_of(merchant) == before + 1
    fresh = [answer for answer in answers if answer.status == 200 and REPLAY not in answer.headers]
    assert len(fresh) == 1
    for answer in answers:
        assert answer.status in (200, 400, 409)
        if answer.status == 409:
            assert (answer.error[1], answer.headers["retry-after"]) == (TAKEN, "1")
        else:
            assert answer.headers.get(SESSION, fresh[0].session["id"]) == fresh[0].session["id"]


def test_every_refund_with_a_key_is_made_once(system: System, shop: Merchant, new_merchant: NewMerchant) -> None:
    """Three orders to refund, each sent three times with its key, are three refunds."""
    session_id = shop.pay()
    keys = [new_key() for _ in range(3)]
    for key in keys * 3:
        shop.call("refund", {"session_id": session_id, "amount_details": {"amount": 500, "currency": "eur"}}, key=key)
    shop.receiver.wait_for(session_id, "payment_refunded", count=3)
    rows = system.rows(f"select state from operation where session_id = '{session_id}' and kind = 'refund'")
    assert rows == [("approved",)] * 3
