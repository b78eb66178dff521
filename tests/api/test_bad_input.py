"""Bad input: each kind gets its status, its code and the path of the member, and leaves nothing behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.client import CARD, CVV, PAN, PAYMENT, Shop

NUMBER = "payment_details.card.bank_card.number"
INVALID = "invalid_request"
HUGE = int("9" * 4_000)


def at(path: str, value: Any, base: dict[str, Any] = PAYMENT) -> dict[str, Any]:
    """The base with one member replaced; `...` takes it away."""
    name, _, rest = path.partition(".")
    inner = at(rest, value, base.get(name) or {}) if rest else value
    return {key: one for key, one in {**base, name: inner}.items() if one is not ...}


def nested(depth: int) -> Any:
    """A value so deep."""
    return [nested(depth - 1)] if depth else 1


WRONG_MEMBERS: list[tuple[str, Any]] = [
    ("metadata", {"order": [PAN]}),
    ("metadata", int(PAN)),
    ("customer", {"reference": f"card {PAN}"}),
    ("payment_metadata", {"device": PAN}),
    ("payment_details", ...),
    ("payment_details", None),
    ("payment_details", "card"),
    ("payment_details.type", ...),
    ("payment_details.type", 7),
    ("payment_details.type", "cash"),
    ("payment_details.type", PAN),
    ("payment_details.card", ...),
    ("payment_details.card", "x"),
    ("payment_details.card.type", "plastic"),
    ("payment_details.card.bank_card", ...),
    (NUMBER, ...),
    (NUMBER, int(PAN)),
    (NUMBER, "4242 4242 4242 4242"),
    (NUMBER, "42424242424"),
    (NUMBER, "4" * 20),
    (NUMBER, "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"),
    (NUMBER, PAN + "\n"),
    ("payment_details.card.bank_card.expiration_month", "00"),
    ("payment_details.card.bank_card.expiration_month", "13"),
    ("payment_details.card.bank_card.expiration_month", "8"),
    ("payment_details.card.bank_card.expiration_month", 8),
    ("payment_details.card.bank_card.expiration_year", "1931"),
    ("payment_details.card.bank_card.expiration_year", "031"),
    ("payment_details.card.bank_card.security_code", "41"),
    ("payment_details.card.bank_card.security_code", "41723"),
    ("payment_details.card.bank_card.security_code", 417),
    ("payment_details.card.bank_card.cardholder_name", "x" * 256),
    ("payment_details.card.bank_card.cardholder_name", "a\x1b[31m"),
    ("amount_details", ...),
    ("amount_details.amount", ...),
    ("amount_details.amount", 0),
    ("amount_details.amount", -1),
    ("amount_details.amount", 1_000_000_000_000),
    ("amount_details.amount", HUGE),
    ("amount_details.amount", 49.9),
    ("amount_details.amount", 49.0),
    ("amount_details.amount", "4990"),
    ("amount_details.amount", True),
    ("amount_details.amount", [4990]),
    ("amount_details.currency", ...),
    ("amount_details.currency", "euro"),
    ("amount_details.currency", "xyz"),
    ("amount_details.currency", "ｅｕｒ"),
    ("amount_details.currency", 978),
    ("customer", ...),
    ("customer.reference", ...),
    ("customer.reference", ""),
    ("customer.reference", "x" * 256),
    ("customer.reference", "a\x00b"),
    ("customer.reference", "a\x7f"),
    ("customer.reference", "a\x85"),
    ("customer.contacts", {}),
    ("customer.contacts", [{}] * 11),
    ("customer.contacts[0]", "x"),
    ("customer.contacts[0].email", "x" * 255),
    ("customer.contacts[0].phone", "1234"),
    ("customer.contacts[0].phone", "call me"),
    ("customer.contacts[0].phone", "+" + "1" * 32),
    ("participant_details.sender", "x"),
    ("participant_details.sender.full_name", "x" * 256),
    ("participant_details.sender.full_name", 5),
    ("participant_details.recipient.company_name", "12345"),
    ("participant_details.recipient.company_name", "x" * 101),
    ("participant_details.recipient.address_line", "x" * 257),
    ("participant_details.recipient.registration_number", "x" * 65),
    ("participant_details.recipient.date_of_birth", "2.3.1990"),
    ("participant_details.recipient.date_of_birth", "1990-13-01"),
    ("participant_details.recipient.identity_document.id_type", ...),
    ("payment_options.return_url", "javascript:alert(1)"),
    ("payment_options.return_url", "data:text/html,x"),
    ("payment_options.return_url", "//shop.example/back"),
    ("payment_options.return_url", "/back"),
    ("payment_options.return_url", "https://"),
    ("payment_options.return_url", "https:shop.example"),
    ("payment_options.return_url", "https://shop.example/a b"),
    ("payment_options.return_url", "https://shop.example\\@evil.example/"),
    ("payment_options.return_url", "https://user:word@shop.example/"),
    ("payment_options.return_url", "https://shop.example/\r\nSet-Cookie: a=b"),
    ("payment_options.return_url", "ftp://shop.example/"),
    ("payment_options.return_url", " https://shop.example/"),
    ("payment_options.return_url", "https://shop.example/" + "x" * 2048),
    ("payment_options.return_url", 5),
    ("payment_options.recurrent", "true"),
    ("payment_options.expiration_at", "2020-01-01 00:00:00"),
    ("payment_options.expiration_at", "2031-02-30 00:00:00"),
    ("payment_options.expiration_at", "2031-02-03T00:00:00Z"),
    ("metadata", "x" * 16_384),
    ("metadata", {"a": "\x00"}),
    ("metadata", {"a\x07": 1}),
    ("metadata", [1, {"a": HUGE}]),
    ("payment_metadata", "x"),
    ("payment_metadata", {"a": "x" * 4096}),
    ("custom_routing.tags", {}),
    ("custom_routing.tags", [{"root_tag": "a", "values": []}] * 21),
    ("custom_routing.tags[0].root_tag", ""),
    ("custom_routing.tags[0].values[1]", 5),
    ("custom_routing.tags[0].values[1]", "\x01"),
]


def with_lists(path: str, value: Any) -> dict[str, Any]:
    """`at`, where the path may lead through the first or second item of a list."""
    if "[" not in path:
        return at(path, value)
    if path.startswith("customer"):
        _, _, last = path.partition("].")
        return at("customer.contacts", [{last: value} if last else value])
    tag: dict[str, Any] = {"root_tag": "a", "values": ["b", "c"]}
    tag |= {"root_tag": value} if path.endswith("root_tag") else {"values": ["b", value]}
    return at("custom_routing.tags", [tag])


@pytest.mark.parametrize(("path", "value"), WRONG_MEMBERS, ids=lambda one: str(one)[:40])
async def test_a_wrong_member_is_named_by_its_path(shop: Shop, path: str, value: Any) -> None:
    """400 invalid_request, the path first, and nothing of what was given."""
    answered = await shop.call("session/init/payment", with_lists(path, value), version=1)
    assert (answered.status, answered.code) == (400, INVALID), answered.body
    assert answered.description.startswith(f"{path}: "), answered.description
    assert len(answered.description) < 200
    assert not shop.world.books.sessions
    assert not shop.world.vault.cards


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (NUMBER, "4242424242424241", "card_number_does_not_exist"),
        ("payment_details.card.bank_card.expiration_year", "25", "bank_card_expired"),
        ("payment_details.card.bank_card.expiration_year", "2025", "bank_card_expired"),
    ],
)
async def test_a_card_that_cannot_pay_has_a_code_of_its_own(shop: Shop, path: str, value: str, code: str) -> None:
    """The Luhn check and the expiry, at every method that takes a card; nothing is kept."""
    body = at(path, value)
    created = await shop.call("session/create", at(path, value))
    started = await shop.call("session/start/payment", {**body, "session_id": "ps_404"})
    for answered in (created, started, await shop.call("session/init/payment", body)):
        assert (answered.status, answered.code) == (400, code)
        assert answered.description.startswith(f"{path}: ")
    assert not shop.world.books.sessions
    assert not shop.world.vault.cards


FINE: list[tuple[str, Any]] = [
    ("payment_details.card.bank_card.expiration_year", "2031"),
    ("payment_details.card.bank_card.security_code", None),
    ("payment_details.card.bank_card.cardholder_name", "Zoë Đorđević"),
    ("payment_details.card.bank_card.nickname", {"unknown": 1}),
    ("amount_details.currency", "EuR"),
    ("amount_details.amount", 999_999_999_999),
    ("customer.contacts", []),
    ("customer.contacts", [{"phone": "+4915112345607", "email": "kai@example.org"}]),
    ("participant_details", []),
    ("participant_details.sender", {"company_name": "4 Seasons"}),
    ("payment_options", []),
    ("payment_options.return_url", "http://127.0.0.1:8000/?a=b#c"),
    ("payment_options.return_url", "HTTPS://[::1]:8443/back"),
    ("payment_options.platform_details", {"app": "x"}),
    ("payment_options.recurrent", False),
    ("payment_options.expiration_at", "2031-01-01 00:00:00"),
    ("metadata", "two\nlines\tand more"),
    ("metadata", nested(28)),
    ("metadata", "x" * 16_382),
    ("payment_metadata", []),
    ("payment_metadata", {"device_session_id": "d"}),
    ("custom_routing", {"tags": [{"root_tag": "a", "values": ["b"]}]}),
    ("revenue_split_info", []),
    ("unknown", HUGE),
]


@pytest.mark.parametrize(("path", "value"), FINE, ids=lambda one: str(one)[:40])
async def test_what_is_fine_is_accepted(shop: Shop, path: str, value: Any) -> None:
    """The other side of each limit."""
    answered = await shop.call("session/init/payment", at(path, value))
    assert answered.status == 200, answered.body


WRONG_BODIES: list[tuple[bytes, str]] = [
    (b"{", "not JSON"),
    (b"{}{}", "not JSON"),
    (b"\x00", "not JSON"),
    (b" ", "not JSON"),
    (b"{'a':1}", "not JSON"),
    (b'{"a":01}', "not JSON"),
    (b'{"a":"\x01"}', "not JSON"),
    (b'{"a":NaN}', "not JSON"),
    (b'{"a":-Infinity}', "not JSON"),
    (b'{"a":1,}', "not JSON"),
    (b"null", "object"),
    (b"[1]", "object"),
    (b'"ps_1"', "object"),
    (b"7", "object"),
    (b"\xef\xbb\xbf{}", "byte order mark"),
    (b'{"a":"\xff"}', "not UTF-8"),
    (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
    ("{}".encode("utf-16"), "not UTF-8"),
    (b'{"a":"\\ud800"}', "surrogate"),
    (b'{"\\udfff":1}', "surrogate"),
    (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "deeper"),
    (b"[" * 100_000, "deeper"),
    (b'{"a":' * 50_000, "deeper"),
    (b'{"amount_details":{"amount":1,"amount":2}}', "amount_details.amount: "),
    (b'{"a":{"b":[{"c":{"d":1,"d":1}}]}}', "a.b.c.d: "),
    (b'{"4242424242424242":1,"4242424242424242":2}', "twice"),
]


@pytest.mark.parametrize(("body", "said"), WRONG_BODIES, ids=[repr(body[:20]) for body, _ in WRONG_BODIES])
async def test_a_wrong_body_is_refused(shop: Shop, body: bytes, said: str) -> None:
    """400 invalid_request with what is wrong, and not a piece of the body."""
    answered = await shop.call("session/create", raw=body)
    assert (answered.status, answered.code) == (400, INVALID)
    assert said in answered.description
    assert PAN not in answered.description
    assert not shop.world.books.sessions


async def test_a_number_of_ten_thousand_digits_is_refused_at_its_member(shop: Shop) -> None:
    """Whatever its length, and also behind a decimal point or an exponent."""
    for digits in (b"9" * 10_000, b"-" + b"9" * 10_000, b"1e999", b"1E+308", b"0." + b"1" * 10_000):
        answered = await shop.call("session/create", raw=b'{"amount_details":{"amount":' + digits + b"}}")
        assert answered.description.startswith("amount_details.amount: "), digits[:20]
    answered = await shop.call("session/create", raw=b'{"metadata":[1e999]}')
    assert answered.description.startswith("metadata: ")


async def test_brackets_inside_strings_are_no_depth(shop: Shop) -> None:
    """Forty brackets in a text are a text."""
    answered = await shop.call("session/create", {"metadata": '"[{' * 40})
    assert answered.status == 200


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}"])
async def test_nothing_is_an_empty_object(shop: Shop, raw: bytes) -> None:
    """As the sibling's SDK sends it; the signature covers exactly these bytes."""
    answered = await shop.call("session/create", raw=raw)
    assert answered.status == 200
    assert set(answered.session) == {"id", "status", "created_at", "updated_at"}


@pytest.mark.parametrize("method", ["confirm", "cancel", "capture", "refund", "status", "start/payment"])
async def test_a_session_is_required_and_a_strange_one_is_not_found(shop: Shop, method: str) -> None:
    """Missing or no text: 400. Short and malformed: 404, as the session of another project is."""
    foreign = await shop.prepared(project="inn")
    for body in ({}, {"session_id": None}, {"session_id": 5}, {"session_id": "ps_" + "1" * 62}):
        answered = await shop.call(f"session/{method}", body)
        assert (answered.status, answered.code) == (400, INVALID)
        assert answered.description.startswith("session_id: ")
    for session_id in ("", "x", "ps_1\x00", "ps_999999", "ps_١", "ps_" + "1" * 61, foreign):
        answered = await shop.call(f"session/{method}", {"session_id": session_id, "payment_details": CARD})
        assert (answered.status, answered.code) == (404, "session_not_found")


async def test_what_is_missing_after_create_and_start_is_named(shop: Shop) -> None:
    """Each of the three, in the refusal of the start."""
    for name in ("payment_details", "amount_details", "customer"):
        given = {key: value for key, value in PAYMENT.items() if key != name}
        session_id = (await shop.call("session/create", given)).session["id"]
        answered = await shop.call("session/start/payment", {"session_id": session_id})
        assert (answered.status, answered.code) == (400, INVALID)
        assert answered.description.startswith(f"{name}: ")


@pytest.mark.parametrize("member", ["revenue_split_info", "fiscalization_details", "payment_method", "payout_details"])
@pytest.mark.parametrize("method", ["session/create", "session/init/payment"])
async def test_members_of_later_products_are_refused(shop: Shop, method: str, member: str) -> None:
    """403 with the member's path, never silently ignored; absent and null are fine."""
    answered = await shop.call(method, {**PAYMENT, member: {"type": "card"}}, version=1)
    assert (answered.status, answered.code) == (403, "authorization_error")
    assert answered.description.startswith(f"{member}: ")
    assert (await shop.call(method, {**PAYMENT, member: None})).status == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("payment_details.type", "faster_payment_system"),
        ("payment_details.type", "internet_banking"),
        ("payment_details.type", "crypto_wallet"),
        ("payment_details.type", "secured_card"),
        ("payment_details.card.type", "secured_card"),
        ("payment_options.recurrent", True),
        ("payment_options.subscription", {"period": 1}),
        ("payment_options.subscription", []),
    ],
)
async def test_options_of_later_products_are_refused(shop: Shop, path: str, value: Any) -> None:
    """403 with the path of the option."""
    answered = await shop.call("session/init/payment", at(path, value))
    assert (answered.status, answered.code) == (403, "authorization_error")
    assert answered.description.startswith(f"{path}: ")


async def test_both_spellings_of_a_payout_method_must_agree(shop: Shop) -> None:
    """Different: 400. The same: a payout, which comes later."""
    one, other = {"type": "card"}, {"type": "bank_account"}
    differ = await shop.call("session/create", {"payment_method": one, "payout_details": other})
    assert (differ.status, differ.code) == (400, INVALID)
    same = await shop.call("session/create", {"payment_method": one, "payout_details": one})
    assert same.status == 403


async def test_the_submerchant_has_a_limit(shop: Shop) -> None:
    """1 to 255 characters, where it is kept; elsewhere it is ignored."""
    for value in ("", "x" * 256):
        answered = await shop.call("session/create", {}, headers={"X-PARTNER-SUBMERCHANT": value})
        assert answered.description.startswith("X-PARTNER-SUBMERCHANT: ")
    answered = await shop.call("session/status", {"session_id": "ps_1"}, headers={"X-PARTNER-SUBMERCHANT": ""})
    assert answered.status == 404
    answered = await shop.call("session/init/payment", PAYMENT, headers={"X-PARTNER-SUBMERCHANT": "m-7"})
    payment = shop.stored(answered.session["id"]).payments[0]
    assert payment.details.unechoed == {"submerchant": "m-7"}
    assert b"m-7" not in answered.body


async def test_card_data_is_nowhere(shop: Shop) -> None:
    """Not in answers, not in logs, not in notes, whatever was wrong with the request around it."""
    number, code = "5555555555554444", "7391"
    card = at("card.bank_card.number", number, at("card.bank_card.security_code", code, CARD))
    good = {**PAYMENT, "payment_details": card}
    wrong = [at(path, value, good) for path, value in WRONG_MEMBERS if "[" not in path and "number" not in path]
    wrong += [good, {**good, "session_id": number}, {number: 1}, at("payment_details.type", number, good)]
    bodies = [json.dumps(body).encode() for body in wrong]
    bodies += [body[:-20] for body in bodies[-4:]] + [body.replace(b"{", b"{{") for body in bodies[-4:]]
    for body in bodies:
        for method in ("session/create", "session/init/payment", "session/start/payment", "session/status"):
            answered = await shop.call(method, raw=body)
            assert number.encode() not in answered.body
            assert code.encode() not in answered.body
    await shop.carry_on()
    seen = repr((shop.world.log.lines, shop.world.books))
    assert number not in seen
    assert code not in seen
    assert CVV not in code
