"""What the form's own calls refuse: strangers, other sites' pages, and what no form would send."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import PAN, Shop
from tests.api.widget_site import NOBODY, SENT_CARD, TYPED, form_call, form_token, session_of, tokenize_token
from tollhouse.api.payer.pace import REQUESTS_PER_MINUTE_MAX
from tollhouse.api.widget.form_calls import PAYS_PER_MINUTE_MAX
from tollhouse.ports import StoreUnreachable
from tollhouse.public_token import PUBLIC_TOKEN_SECONDS_MAX, token_id

STEPS = ("form", "pay", "status")
LARGE = b'{"a":"' + b"a" * 16 * 1024 + b'"}'


@pytest.fixture
async def token(shop: Shop) -> str:
    """A token whose session waits to be paid."""
    return await form_token(shop)


async def require_untouched(shop: Shop, token: str) -> None:
    """Nothing was kept, and the token still pays."""
    assert shop.world.vault.cards == {}
    assert shop.stored(session_of(shop)).payments == ()
    assert (await form_call(shop, "pay", token, TYPED)).status == 200


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
async def test_no_token_of_ours(shop: Shop, token: str, step: str) -> None:
    """Absent, malformed, unknown, somebody's hash, over: one answer, so that nothing can be learned from it."""
    over = token
    shop.world.clock.move(PUBLIC_TOKEN_SECONDS_MAX)
    answers = set()
    for strange in (None, "", "x", NOBODY, token_id(over), over, over.upper(), f"{over}0", "é" * 64, "a" * 5000):
        refused = await form_call(shop, step, strange, TYPED)
        assert (refused.status, refused.code) == (401, "public_token_invalid")
        assert refused.headers["www-authenticate"] == "PublicToken"
        answers.add(refused.body)
    assert len(answers) == 1
    assert shop.world.vault.cards == {}


@pytest.mark.parametrize("step", STEPS)
async def test_a_token_for_tokenising_only(shop: Shop, step: str) -> None:
    """It opens no form."""
    refused = await form_call(shop, step, await tokenize_token(shop), TYPED)
    assert (refused.status, refused.code) == (401, "public_token_invalid")
    assert shop.world.vault.cards == {}


@pytest.mark.parametrize("step", STEPS)
async def test_a_token_of_a_project_that_is_gone(shop: Shop, token: str, step: str) -> None:
    """As if it were unknown."""
    shop.projects.known.clear()
    assert (await form_call(shop, step, token, TYPED)).code == "public_token_invalid"


# --- other sites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "said",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "https://pay.test.evil.example"},
        {"origin": "https://pay.test:444"},
        {"origin": "null"},
        {"origin": "https://", "host": ""},
        {"origin": "http://[", "host": "http://["},
        {"origin": "https://pay.test", "sec_fetch_site": "cross-site"},
    ],
)
async def test_other_sites_send_nothing(shop: Shop, token: str, step: str, said: dict[str, str]) -> None:
    """What is not sent by the form is refused, where the browser says who sends it; no CORS opens the way."""
    refused = await form_call(shop, step, token, TYPED, **said)
    assert (refused.status, refused.code) == (403, "authorization_error")
    assert "access-control-allow-origin" not in refused.headers
    await require_untouched(shop, token)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"sec_fetch_site": "same-origin"},
        {"origin": "https://pay.test", "sec_fetch_site": "same-origin"},
        {"origin": "https://pay.test", "host": "10.0.0.7:8400"},
        {"origin": "http://localhost:8400", "host": "localhost:8400"},
    ],
)
async def test_the_form_sends(shop: Shop, token: str, said: dict[str, str]) -> None:
    """From our public address, or from the name that the browser calls us by."""
    answered = await form_call(shop, "form", token, **said)
    assert answered.status == 200
    assert "access-control-allow-origin" not in answered.headers
    assert answered.headers["cross-origin-resource-policy"] == "same-origin"
    assert answered.headers["cache-control"] == "no-store"
    assert answered.headers["content-type"] == "application/json"


@pytest.mark.parametrize("step", STEPS)
async def test_no_preflight_is_answered(shop: Shop, token: str, step: str) -> None:
    """A page of another site may not even ask; other verbs are refused too."""
    for verb in ("OPTIONS", "GET", "HEAD", "PUT", "DELETE"):
        refused = await form_call(shop, step, token, verb=verb, origin="https://evil.example")
        assert (refused.status, refused.headers["allow"]) == (405, "POST")
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("path", ["", "forms", "pay/", "pay/again", "../v1/pay", "frames/x", "PAY"])
async def test_no_other_call(shop: Shop, token: str, path: str) -> None:
    """404 with the envelope."""
    refused = await form_call(shop, path, token, TYPED)
    assert (refused.status, refused.code) == (404, "method_not_found")


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
async def test_a_body_that_is_too_large(shop: Shop, token: str, step: str) -> None:
    """413 by what it announces, and by what it is."""
    announced = await form_call(shop, step, token, raw=b"", content_length=str(len(LARGE)))
    absurd = await form_call(shop, step, token, raw=b"", content_length="9" * 40)
    given = await form_call(shop, step, token, raw=LARGE)
    assert {(one.status, one.code) for one in (announced, absurd, given)} == {(413, "request_too_large")}
    await require_untouched(shop, token)


@pytest.mark.parametrize("said", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"])
async def test_a_body_of_another_type(shop: Shop, token: str, said: str) -> None:
    """Nothing that a form of another site could post."""
    for step in STEPS:
        refused = await form_call(shop, step, token, TYPED, content_type=said)
        assert (refused.status, refused.code) == (415, "unsupported_media_type")
    await require_untouched(shop, token)


@pytest.mark.parametrize("raw", [b"{", b"7", b'"a"', b"[1]", b'{"a":1,"a":2}', b"\xff", b"NaN"])
async def test_a_body_that_is_no_object(shop: Shop, token: str, raw: bytes) -> None:
    """400 for each call."""
    for step in STEPS:
        refused = await form_call(shop, step, token, raw=raw)
        assert (refused.status, refused.code) == (400, "invalid_request")
    await require_untouched(shop, token)


def _with(**card: Any) -> dict[str, Any]:
    return {**TYPED, "card": {**SENT_CARD, **card}}


@pytest.mark.parametrize(
    ("members", "code", "description"),
    [
        ({}, "invalid_request", "card: required"),
        ({"card": []}, "invalid_request", "card.number: required"),
        ({"card": "x"}, "invalid_request", "card: an object expected"),
        (_with(number=None), "invalid_request", "card.number: required"),
        (_with(number=4242424242424242), "invalid_request", "card.number: a string of 12 to 19 digits expected"),
        (_with(number="4242 4242 4242 4242"), "invalid_request", "card.number: a string of 12 to 19 digits expected"),
        (_with(number="4242"), "invalid_request", "card.number: a string of 12 to 19 digits expected"),
        (_with(number=PAN[:-1] + "1"), "card_number_does_not_exist", "card.number: the number fails the Luhn check"),
        (_with(expiration_month="13"), "invalid_request", "card.expiration_month: a string from 01 to 12 expected"),
        (_with(expiration_month="8"), "invalid_request", "card.expiration_month: a string from 01 to 12 expected"),
        (_with(expiration_month=None), "invalid_request", "card.expiration_month: required"),
        (_with(expiration_year="x"), "invalid_request", "card.expiration_year: a string of 2 digits expected"),
        (_with(expiration_year=None), "invalid_request", "card.expiration_year: required"),
        (_with(expiration_year="26", expiration_month="02"), "bank_card_expired", "card.expiration_year: the card"),
        (_with(security_code=None), "invalid_request", "card.security_code: required"),
        (_with(security_code=""), "invalid_request", "card.security_code: a string of 3 or 4 digits expected"),
        (_with(security_code="12"), "invalid_request", "card.security_code: a string of 3 or 4 digits expected"),
        (_with(security_code="12345"), "invalid_request", "card.security_code: a string of 3 or 4 digits expected"),
        ({**TYPED, "cardholder_name": "x" * 256}, "invalid_request", "cardholder_name: at most 255 characters"),
        ({**TYPED, "cardholder_name": 7}, "invalid_request", "cardholder_name: at most 255 characters"),
        ({**TYPED, "cardholder_name": "a\nb"}, "invalid_request", "cardholder_name: text without control"),
        ({**TYPED, "cardholder_name": f"KAI {PAN}"}, "invalid_request", "cardholder_name: a name expected, no card"),
        ({**TYPED, "cardholder_name": "4242 4242 4242 4242"}, "invalid_request", "cardholder_name: a name expected"),
        ({**TYPED, "recurrent": "true"}, "invalid_request", "recurrent: true or false expected"),
        ({**TYPED, "recurrent": 1}, "invalid_request", "recurrent: true or false expected"),
    ],
)
async def test_what_was_typed_wrong(shop: Shop, token: str, members: Any, code: str, description: str) -> None:
    """400 with the field by its name here; the token is not used up."""
    refused = await form_call(shop, "pay", token, members)
    assert (refused.status, refused.code) == (400, code)
    assert refused.description.startswith(description)
    assert "payment_details" not in refused.description
    await require_untouched(shop, token)


async def test_a_card_that_expires_while_it_is_paid_with(shop: Shop, token: str) -> None:
    """In its last month a card is good."""
    assert (await form_call(shop, "pay", token, _with(expiration_year="26", expiration_month="03"))).status == 200


# --- order and pace ---------------------------------------------------------------------------------------------------


async def test_the_order_of_checks(shop: Shop, token: str) -> None:
    """Path, verb, own page, size, type, token, JSON, fields, state: the first that fails is told."""
    good: dict[str, Any] = {"step": "pay", "token": token, "raw": b"{"}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"step": "nowhere"}, 404),
        ({"verb": "PUT"}, 405),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_length": "99999"}, 413),
        ({"content_type": "text/plain"}, 415),
        ({"token": NOBODY}, 401),
    ]
    for at in range(len(wrong)):
        given = dict(good)
        for change, _ in wrong[at:]:
            given |= change
        step, spoken = given.pop("step"), given.pop("token")
        assert (await form_call(shop, step, spoken, **given)).status == wrong[at][1]
    assert (await form_call(shop, "pay", token, raw=b"{")).status == 400
    assert (await form_call(shop, "pay", token, TYPED)).status == 200
    assert (await form_call(shop, "pay", token, {})).status == 400
    assert (await form_call(shop, "pay", token, TYPED)).status == 409


async def test_cards_are_not_tried_out(shop: Shop, token: str) -> None:
    """Some attempts a minute, good or bad; then 429, and nothing happened. Other forms and other calls go on."""
    other = await form_token(shop)
    for _ in range(PAYS_PER_MINUTE_MAX):
        assert (await form_call(shop, "pay", token, _with(number=PAN[:-1] + "1"))).status == 400
    refused = await form_call(shop, "pay", token, TYPED)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_requests", "1")
    assert shop.world.vault.cards == {}
    assert (await form_call(shop, "status", token)).status == 200
    assert (await form_call(shop, "pay", other, TYPED)).status == 200
    shop.world.clock.move(60)
    assert (await form_call(shop, "pay", token, TYPED)).status == 200


async def test_a_form_in_a_loop(shop: Shop, token: str) -> None:
    """Looks are limited too, those of one token alone; paying is not hindered by them."""
    other = await form_token(shop)
    for number in range(REQUESTS_PER_MINUTE_MAX):
        assert (await form_call(shop, ("form", "status")[number % 2], token)).status == 200
    for step in ("form", "status"):
        assert (await form_call(shop, step, token)).status == 429
    assert (await form_call(shop, "form", other)).status == 200
    assert (await form_call(shop, "pay", token, TYPED)).status == 200


async def test_guessing_is_not_remembered(shop: Shop) -> None:
    """Tokens that nobody has are not counted: whoever guesses fills no memory and hinders nobody."""
    for number in range(REQUESTS_PER_MINUTE_MAX + 10):
        assert (await form_call(shop, "form", f"{number:064x}")).status == 401


# --- failures of ours -------------------------------------------------------------------------------------------------


async def test_without_the_database(shop: Shop, token: str) -> None:
    """503 and when to come back, in the envelope; a stream that cannot begin is answered in the same way."""

    class Gone:
        """Tokens that cannot be read."""

        async def find_public(self, id: str) -> None:
            """Fail."""
            raise StoreUnreachable("the database does not answer")

    shop.world.tokens.find_public = Gone().find_public  # type: ignore[method-assign,assignment]
    for step in STEPS:
        refused = await form_call(shop, step, token, TYPED, accept="application/x-ndjson")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "service_unavailable", "1")
        assert refused.headers["content-type"] == "application/json"


async def test_tokens_and_cards_are_not_logged(shop: Shop, token: str) -> None:
    """Whoever reads our logs can neither pay nor look."""
    await form_call(shop, "pay", token, _with(number=PAN[:-1] + "1"))
    await form_call(shop, "form", NOBODY)
    await form_call(shop, "pay", token, TYPED, origin="https://evil.example")
    logged = repr(shop.world.log.lines)
    assert len(shop.world.log.lines) == 3
    assert token not in logged
    assert token_id(token) not in logged
    assert PAN[:-1] not in logged
