"""Bad input over HTTP: the specified status and code, the member's path, never a value, and nothing left behind."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.acceptance.merchant import Merchant, by_card, euros, new_key, sign
from tests.acceptance.system import System, until_none

BODY_BYTES_MAX = 256 * 1024
INVALID, CARD, EXPIRED = (400, "invalid_request"), (400, "card_number_does_not_exist"), (400, "bank_card_expired")
NUMBER = "payment_details.card.bank_card.number"
NO_PATH = ""


@pytest.fixture(scope="module")
def shop(system: System) -> Merchant:
    """A merchant of these tests' own, so that what is left behind can be counted."""
    return Merchant(system)


def left(shop: Merchant) -> dict[str, int]:
    """How many rows of the merchant's each table has."""
    tables = shop.system.rows(
        "select format('%I.%I', table_schema, table_name) from information_schema.columns"
        " where column_name = 'project' and table_schema in ('public', 'vault') order by 1"
    )
    assert len(tables) >= 12
    counts = " union all ".join(
        f"select '{table}', count(*) from {table} where project = '{shop.project}'" for (table,) in tables
    )
    return {str(table): int(count) for table, count in shop.system.rows(counts)}


@pytest.fixture
def nothing_left(shop: Merchant) -> Any:
    """After the test the merchant has as many rows in every table as before."""
    before = left(shop)
    yield
    assert left(shop) == before


def init(shop: Merchant, **members: Any) -> bytes:
    """The body of a payment with these members replaced."""
    return json.dumps(shop.body(**members)).encode()


def nested(depth: int) -> bytes:
    """An object in an object, so many deep."""
    return b'{"metadata":' + b'{"a":' * (depth - 1) + b"1" + b"}" * depth


BODIES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", NO_PATH),
    "a word": (b"hello", NO_PATH),
    "a number": (b"1", NO_PATH),
    "an array with something": (b'["a"]', NO_PATH),
    "null": (b"null", NO_PATH),
    "two objects": (b"{}{}", NO_PATH),
    "a comma too many": (b'{"session_id":"ps_1",}', NO_PATH),
    "single quotes": (b"{'session_id':'ps_1'}", NO_PATH),
    "NaN": (b'{"metadata":NaN}', NO_PATH),
    "byte order mark": (b"\xef\xbb\xbf{}", NO_PATH),
    "Latin-1": ('{"metadata":"é"}'.encode("latin-1"), NO_PATH),
    "UTF-16": ('{"metadata":1}'.encode("utf-16"), NO_PATH),
    "overlong UTF-8": (b'{"metadata":"\xc0\xaf"}', NO_PATH),
    "half a surrogate pair": (b'{"metadata":"\\ud800"}', NO_PATH),
    "a control character": (b'{"metadata":"\x00"}', NO_PATH),
    "too deep": (nested(33), NO_PATH),
    "100,000 deep": (b"[" * 100_000, NO_PATH),
    "a member twice": (b'{"amount_details":{"amount":1,"amount":2,"currency":"eur"}}', "amount_details.amount"),
    "ten thousand digits": (
        b'{"amount_details":{"amount":' + b"9" * 10_000 + b',"currency":"eur"}}',
        "amount_details.amount",
    ),
    "a huge exponent": (b'{"amount_details":{"amount":1e999999,"currency":"eur"}}', "amount_details.amount"),
}

MEMBERS: dict[str, tuple[dict[str, Any], tuple[int, str], str]] = {
    "amount as text": ({"amount_details": euros("1")}, INVALID, "amount_details.amount"),  # type: ignore[arg-type]
    "amount with fraction": ({"amount_details": euros(1.5)}, INVALID, "amount_details.amount"),  # type: ignore[arg-type]
    "amount of nothing": ({"amount_details": euros(0)}, INVALID, "amount_details.amount"),
    "negative amount": ({"amount_details": euros(-1)}, INVALID, "amount_details.amount"),
    "amount beyond the limit": ({"amount_details": euros(10**12)}, INVALID, "amount_details.amount"),
    "amount beyond 64 bits": ({"amount_details": euros(2**64)}, INVALID, "amount_details.amount"),
    "amount is true": ({"amount_details": euros(True)}, INVALID, "amount_details.amount"),
    "unknown currency": ({"amount_details": euros(1, "xxq")}, INVALID, "amount_details.currency"),
    "long currency": ({"amount_details": euros(1, "euro")}, INVALID, "amount_details.currency"),
    "no amount": ({"amount_details": {"currency": "eur"}}, INVALID, "amount_details.amount"),
    "amount_details is a list": ({"amount_details": [1]}, INVALID, "amount_details"),
    "no customer": ({"customer": None}, INVALID, "customer"),
    "empty reference": ({"customer": {"reference": ""}}, INVALID, "customer.reference"),
    "long reference": ({"customer": {"reference": "x" * 256}}, INVALID, "customer.reference"),
    "reference with control character": ({"customer": {"reference": "a\x07b"}}, INVALID, "customer.reference"),
    "wrong phone": (
        {"customer": {"reference": "u", "contacts": [{}, {"phone": "<script>"}]}},
        INVALID,
        "customer.contacts[1].phone",
    ),
    "script as return address": (
        {"payment_options": {"return_url": "javascript:alert(1)"}},
        INVALID,
        "payment_options.return_url",
    ),
    "data as return address": (
        {"payment_options": {"return_url": "data:text/html,<script>alert(1)</script>"}},
        INVALID,
        "payment_options.return_url",
    ),
    "return address with a line break": (
        {"payment_options": {"return_url": "https://shop.example/\r\nSet-Cookie: a=b"}},
        INVALID,
        "payment_options.return_url",
    ),
    "relative return address": ({"payment_options": {"return_url": "/back"}}, INVALID, "payment_options.return_url"),
    "long return address": (
        {"payment_options": {"return_url": "https://shop.example/" + "x" * 2048}},
        INVALID,
        "payment_options.return_url",
    ),
    "large metadata": ({"metadata": "x" * (16 * 1024)}, INVALID, "metadata"),
    "wrong check digit": ({"payment_details": by_card("4242424242424241")}, CARD, NUMBER),
    "short number": ({"payment_details": by_card("42424242424")}, INVALID, NUMBER),
    "number with letters": ({"payment_details": by_card("4242x24242424242")}, INVALID, NUMBER),
    "number in other digits": ({"payment_details": by_card("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢")}, INVALID, NUMBER),
    "number as a number": ({"payment_details": by_card(4242424242424242)}, INVALID, NUMBER),  # type: ignore[arg-type]
    "expired": (
        {"payment_details": by_card(expiration_year="20")},
        EXPIRED,
        "payment_details.card.bank_card.expiration_year",
    ),
    "month thirteen": (
        {"payment_details": by_card(expiration_month="13")},
        INVALID,
        "payment_details.card.bank_card.expiration_month",
    ),
    "long security code": (
        {"payment_details": by_card(security_code="12345")},
        INVALID,
        "payment_details.card.bank_card.security_code",
    ),
    "unknown type": ({"payment_details": {"type": "cash"}}, INVALID, "payment_details.type"),
    "type without its object": ({"payment_details": {"type": "card"}}, INVALID, "payment_details.card"),
    "a product that comes later": (
        {"payment_details": {"type": "crypto_wallet"}},
        (403, "authorization_error"),
        "payment_details.type",
    ),
    "recurring": (
        {"payment_options": {"recurrent": True}},
        (403, "authorization_error"),
        "payment_options.recurrent",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_body_that_is_no_request(shop: Merchant, nothing_left: None, name: str) -> None:
    """What is not one JSON object of ours is refused as a whole, whoever signs it."""
    body, path = BODIES[name]
    answer = shop.call("create", body)
    assert answer.error == INVALID
    assert answer.description.startswith(path)
    assert len(answer.raw) < 500


@pytest.mark.parametrize("name", MEMBERS)
def test_member_that_cannot_be(shop: Merchant, nothing_left: None, name: str) -> None:
    """A wrong member is named by its path; what was given is not repeated."""
    members, error, path = MEMBERS[name]
    given = {key: value for key, value in shop.body(**members).items() if value is not None}
    answer = shop.call("init/payment", given)
    assert answer.error == error
    assert answer.description.startswith(f"{path}: ")
    for value in ("4242", "script", "12345", "euro", "xxq"):
        assert value not in answer.description
    assert "Traceback" not in answer.raw.decode()


def test_envelope_is_the_same_for_every_refusal(shop: Merchant, nothing_left: None) -> None:
    """An error has two members and nothing else, the headers of every answer, and a request id of its own."""
    answer = shop.call("create", b"{")
    assert set(answer.content) == {"status", "error"}
    assert set(answer.content["error"]) == {"code", "description"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-tollhouse-request-id"] != shop.call("create", b"{").headers["x-tollhouse-request-id"]


def test_size_counts_before_everything_but_the_path(shop: Merchant, nothing_left: None) -> None:
    """One byte above the limit is refused unseen, also unsigned and when it comes in chunks; at the limit it is not."""
    large = b'{"metadata":"' + b"x" * BODY_BYTES_MAX + b'"}'
    assert shop.call("create", large).error == (413, "request_too_large")
    assert shop.send("/api/v2/session/create", large).error == (413, "request_too_large")
    fits = b'{"unknown":"' + b"x" * (BODY_BYTES_MAX - 14) + b'"}'
    assert len(fits) == BODY_BYTES_MAX
    assert shop.call("status", fits).error == INVALID
    assert _chunked(shop, large) == 413


def _chunked(shop: Merchant, body: bytes) -> int:
    """The status of a call whose length nobody was told."""
    with socket.create_connection(("127.0.0.1", shop.port), 30) as wire:
        wire.sendall(
            b"POST /api/v2/session/create HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
        return int(wire.recv(1000).split(b" ")[1])


def test_checks_come_in_the_order_of_the_specification(shop: Merchant, nothing_left: None) -> None:
    """Path, verb, size, content type, project, signature, JSON, key, fields, rights: the first that fails is told."""
    wrong = {"Content-Type": "text/plain", "X-PARTNER-PROJECT": "nobody", "X-PARTNER-SIGN": "x"}
    nowhere = shop.send("/api/v2/session/nothing", b"{", wrong)
    assert nowhere.error == (404, "method_not_found")
    read = shop.send("/api/v2/session/create", b"", wrong, verb="GET")
    assert read.error == (405, "method_not_allowed")
    assert read.headers["allow"] == "POST"
    assert shop.call("create", b"{", headers=wrong).error == (415, "unsupported_media_type")
    del wrong["Content-Type"]
    unknown = shop.call("create", b"{", headers=wrong)
    assert unknown.error == (401, "identification_error")
    assert unknown.headers["www-authenticate"] == "Signature"
    del wrong["X-PARTNER-PROJECT"]
    assert shop.call("create", b"{", headers=wrong).error == (401, "authentication_error")
    assert shop.call("create", b"{", key="k" * 300).description.startswith("the body is not JSON")
    assert shop.call("confirm", {"session_id": 1}, key="k" * 300).description.startswith("X-PARTNER-IDEMPOTENCY-KEY")
    assert shop.call("confirm", {"session_id": 1}).error == INVALID
    assert shop.call("chargeback", {"session_id": "ps_1"}).error == (403, "authorization_error")
    assert shop.call("confirm", {"session_id": "ps_1"}).error == (404, "session_not_found")


@pytest.mark.parametrize(
    "signature",
    ["", "!", "QUJD", "0" * 512, "-" * 344, "A" * 1500, "ü"],
    ids=["empty", "no Base64", "short", "hex", "URL-safe", "long", "Latin"],
)
def test_signature_that_cannot_be(shop: Merchant, nothing_left: None, signature: str) -> None:
    """Whatever stands in its place, a signature that does not fit is one refusal."""
    answer = shop.call("create", [], headers={"X-PARTNER-SIGN": signature})
    assert answer.error == (401, "authentication_error")


def test_signed_bytes_are_the_sent_bytes(shop: Merchant, nothing_left: None) -> None:
    """One bit, one blank or one line break more, and another merchant's key: the signature does not fit."""
    body = b'{"session_id":"ps_410027"}'
    signature = sign(shop.key, body)
    assert shop.call("status", body, headers={"X-PARTNER-SIGN": signature}).status == 404
    assert shop.call("status", body, headers={"X-PARTNER-SIGN": f" {signature[:100]} {signature[100:]} "}).status == 404
    for other in (b'{"session_id": "ps_410027"}', body + b"\n", body.replace(b"7", b"6"), b""):
        assert shop.call("status", other, headers={"X-PARTNER-SIGN": signature}).status == 401
    assert shop.call("status", body, headers={"X-PARTNER-SIGN": sign(new_key(), body)}).status == 401


@pytest.mark.parametrize(
    ("session_id", "error"),
    [
        ("ps_99999999999999999999", (404, "session_not_found")),
        ("", (404, "session_not_found")),
        ("../../etc/passwd", (404, "session_not_found")),
        ("ps_1' or '1'='1", (404, "session_not_found")),
        ("ps_\x001", (404, "session_not_found")),
        ("ü" * 64, (404, "session_not_found")),
        ("p" * 65, INVALID),
        (1, INVALID),
        (None, INVALID),
        ({"$ne": ""}, INVALID),
    ],
)
def test_session_that_cannot_be(shop: Merchant, nothing_left: None, session_id: object, error: tuple[int, str]) -> None:
    """A strange session id is simply not found; only a long one or one of another type is malformed."""
    for method in ("status", "confirm", "cancel", "capture", "refund"):
        assert shop.call(method, {"session_id": session_id}).error == error


def test_refused_refund_changes_nothing(shop: Merchant) -> None:
    """A wrong refund of a paid session is refused; all that stays is a note of it in the session's life."""
    session_id = shop.pay()
    delivered = f"select 1 from event where session_id = '{session_id}' and state <> 'delivered'"
    until_none(lambda: shop.system.rows(delivered), "deliveries that are not written down yet")
    before, session = left(shop), shop.status(session_id)
    for members in (
        {"amount_details": euros(2591)},
        {"amount_details": euros(0)},
        {"amount_details": euros(1, "usd")},
        {"payment_id": "pm_1"},
        {"metadata": "4242424242424242"},
        {"metadata": "x" * (16 * 1024)},
    ):
        assert shop.call("refund", {"session_id": session_id, **members}).status == 400
    after = left(shop)
    assert {**after, "public.note": 0} == {**before, "public.note": 0}
    assert after["public.note"] - before["public.note"] <= 6
    assert shop.status(session_id) == session


def test_path_is_never_redirected(shop: Merchant, nothing_left: None) -> None:
    """One trailing slash is the same path; two, other cases and prefixes are unknown; nothing answers 3xx."""
    body = b'{"session_id":"ps_1"}'
    signed = {"X-PARTNER-PROJECT": shop.project, "X-PARTNER-SIGN": sign(shop.key, body)}
    assert shop.send("/api/v2/session/status/", body, signed).error == (404, "session_not_found")
    for path in ("status//", "Status", "status/../status", "../../v3/session/status"):
        assert shop.send(f"/api/v2/session/{path}", body, signed).error == (404, "method_not_found")
    assert shop.send("//api/v2/session/status", body, signed).error == (404, "method_not_found")


def test_what_is_allowed_is_taken(shop: Merchant) -> None:
    """At the limits: 32 levels, 255 characters, the largest amount, PHP's slashes and empty objects, raw Unicode."""
    deep: Any = 1
    for _ in range(30):
        deep = [deep]
    body = shop.body(
        metadata=deep,
        customer={"reference": "ß" * 255, "contacts": []},
        amount_details=euros(999_999_999_999, "KWD"),
        payment_options=[],
        participant_details=[],
    )
    raw = json.dumps(body, ensure_ascii=False, indent=1).replace("/", "\\/").encode()
    session = shop.call("init/payment", raw, headers={"Content-Type": "application/json; charset=utf-8"}).session
    (payment,) = session["payment_list"]
    assert payment["amount_details"] == euros(999_999_999_999, "kwd")
    assert payment["metadata"] == deep
    assert payment["customer"]["reference"] == "ß" * 255
    shop.receiver.wait_for(session["id"], "ready_to_confirm")
