"""`POST /cds/v1/tokenize/card`: from any page, with a token for it, once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.client import CVV, PAN, Answered, Shop
from tests.api.widget_site import NOBODY, SENT_CARD, admit, form_token, session_of, token_for, tokenize_token
from tollhouse.api.widget.form_calls import PAYS_PER_MINUTE_MAX
from tollhouse.public_token import PUBLIC_TOKEN_SECONDS_MAX

PATH = "/cds/v1/tokenize/card"
ANYWHERE = {"origin": "https://bot.example", "sec-fetch-site": "cross-site"}


async def tokenize(
    shop: Shop,
    token: str,
    card: Any = None,
    *,
    raw: bytes | None = None,
    verb: str = "POST",
    path: str = PATH,
    **headers: str,
) -> Answered:
    """A call from another site's page. Every answer can be read there."""
    body = raw if raw is not None else json.dumps({"card": SENT_CARD if card is None else card}).encode()
    given = {**ANYWHERE, "content-type": "application/json", "x-public-token": token, **headers}
    answered = await shop.request(path, given, body, verb=verb)
    assert answered.headers["access-control-allow-origin"] == "*"
    assert answered.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in answered.headers
    if answered.status >= 400:
        assert answered.json["status"] == "error"
        assert answered.code
        assert answered.description
    return answered


async def test_a_card_becomes_a_token(shop: Shop) -> None:
    """With what may be shown of it; none of it is empty."""
    answered = await tokenize(shop, await tokenize_token(shop))
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.headers["cache-control"] == "no-store"
    assert set(answered.json) == {"status", "data"}
    data = answered.json["data"]
    assert data["token"].startswith("tc_")
    assert data["info"] == {
        "card_type": "visa",
        "card_network": "visa",
        "masked_card_number": "424242******4242",
    }
    kept = await shop.world.tokens.find_card("shop", data["token"])
    assert kept is not None
    assert shop.world.vault.cards[kept.card.token].pan.last4 == PAN[-4:]
    assert kept.sealed_cvv in shop.world.vault.cvvs


async def test_a_card_of_no_known_network(shop: Shop) -> None:
    """It is called unknown: clients need a word."""
    info = (await tokenize(shop, await tokenize_token(shop), {**SENT_CARD, "number": "9999999999999995"})).json["data"]
    assert info["info"]["card_network"] == info["info"]["card_type"] == "unknown"


async def test_without_a_security_code(shop: Shop) -> None:
    """The code may be left out."""
    card = {name: value for name, value in SENT_CARD.items() if name != "security_code"}
    answered = await tokenize(shop, await tokenize_token(shop), card)
    kept = await shop.world.tokens.find_card("shop", answered.json["data"]["token"])
    assert kept is not None
    assert kept.sealed_cvv is None


async def test_the_token_pays(shop: Shop) -> None:
    """The merchant pays with it, in the project that it belongs to."""
    token = (await tokenize(shop, await tokenize_token(shop))).json["data"]["token"]
    method = {"type": "card", "card": {"type": "tokenized_card", "tokenized_card": {"token": token}}}
    members = {
        "payment_details": method,
        "amount_details": {"amount": 4990, "currency": "eur"},
        "customer": {"reference": "u-1"},
    }
    answered = await shop.call("session/init/payment", members)
    assert answered.status == 200
    await shop.call("session/confirm", {"session_id": answered.session["id"]})
    await shop.carry_on()
    assert (await shop.call("session/status", {"session_id": answered.session["id"]})).session["status"] == "accepted"
    assert (await shop.call("session/init/payment", members, project="inn")).status >= 400


async def test_one_card_for_each_token(shop: Shop) -> None:
    """A second one is refused, and nothing of it stays behind; a wrong card does not use the token up."""
    token = await tokenize_token(shop)
    wrong = await tokenize(shop, token, {**SENT_CARD, "number": PAN[:-1] + "1"})
    assert (wrong.status, wrong.code) == (400, "card_number_does_not_exist")
    assert (await tokenize(shop, token)).status == 200
    again = await tokenize(shop, token)
    assert (again.status, again.code) == (401, "public_token_invalid")
    assert len(shop.world.vault.cvvs) == 1


async def test_tokens_without_the_right(shop: Shop) -> None:
    """One for a form alone, one that is over, one of nobody; one for both does both."""
    form_only = await form_token(shop)
    over = await tokenize_token(shop)
    for token in (form_only, NOBODY, "", "x"):
        refused = await tokenize(shop, token)
        assert (refused.status, refused.code) == (401, "public_token_invalid")
    members = {"acquiring_widget": {"session_id": session_of(shop)}, "tokenize_widget": {"access": True}}
    both = (await shop.call("token", members)).json["public_token"]
    assert (await tokenize(shop, both)).status == 200
    shop.world.clock.move(PUBLIC_TOKEN_SECONDS_MAX)
    assert (await tokenize(shop, over)).status == 401
    assert len(shop.world.vault.cards) == 1


async def test_a_preflight(shop: Shop) -> None:
    """Any page may ask, for this verb and these headers, and need not ask again soon."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-public-token,content-type"}
    answered = await tokenize(shop, "", raw=b"", verb="OPTIONS", **asked)
    assert answered.status == 200
    assert answered.headers["access-control-allow-methods"] == "POST"
    assert answered.headers["access-control-allow-headers"] == "X-PUBLIC-TOKEN, Content-Type"
    assert answered.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize("path", ["/cds/", "/cds/v1/tokenize", "/cds/v2/tokenize/card", f"{PATH}//"])
async def test_no_other_path(shop: Shop, path: str) -> None:
    """404 that a page of another site can read."""
    assert (await tokenize(shop, NOBODY, path=path)).status == 404


async def test_one_slash_more(shop: Shop) -> None:
    """It makes no difference."""
    assert (await tokenize(shop, await tokenize_token(shop), path=f"{PATH}/")).status == 200


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
async def test_the_wrong_verb(shop: Shop, verb: str) -> None:
    """405, and the answer names the right ones."""
    refused = await tokenize(shop, NOBODY, verb=verb)
    assert (refused.status, refused.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize(
    ("card", "description"),
    [
        ("x", "card: an object expected"),
        ({}, "card.number: required"),
        ({**SENT_CARD, "number": "4242"}, "card.number: a string of 12 to 19 digits expected"),
        ({**SENT_CARD, "expiration_month": 8}, "card.expiration_month: a string from 01 to 12 expected"),
        ({**SENT_CARD, "expiration_year": "20"}, "card.expiration_year: the card has expired"),
        ({**SENT_CARD, "security_code": "x"}, "card.security_code: a string of 3 or 4 digits expected"),
    ],
)
async def test_what_is_no_card(shop: Shop, card: Any, description: str) -> None:
    """400 with the field; the token is not used up."""
    token = await tokenize_token(shop)
    refused = await tokenize(shop, token, card)
    assert (refused.status, refused.description) == (400, description)
    assert (await tokenize(shop, token)).status == 200


async def test_bodies_of_another_kind(shop: Shop) -> None:
    """Too large, no JSON, another type: each refused, readable everywhere."""
    token = await tokenize_token(shop)
    assert (await tokenize(shop, token, raw=b" " * (16 * 1024 + 1))).status == 413
    assert (await tokenize(shop, token, raw=b"{")).status == 400
    assert (await tokenize(shop, token, **{"content-type": "text/plain"})).status == 415


async def test_a_disabled_project(shop: Shop) -> None:
    """It keeps no card."""
    token = await tokenize_token(shop)
    admit(shop, is_disabled=True)
    refused = await tokenize(shop, token)
    assert (refused.status, refused.code) == (403, "authorization_error")
    assert shop.world.vault.cards == {}


async def test_cards_are_not_tried_out(shop: Shop) -> None:
    """Some attempts a minute for each token."""
    token = await tokenize_token(shop)
    for _ in range(PAYS_PER_MINUTE_MAX):
        assert (await tokenize(shop, token, {**SENT_CARD, "number": PAN[:-1] + "1"})).status == 400
    refused = await tokenize(shop, token)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_requests", "1")
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    shop.world.clock.move(60)
    assert (await tokenize(shop, token)).status == 200


async def test_nothing_of_the_card_is_told(shop: Shop) -> None:
    """Neither answers nor logs nor books have number or code."""
    token = await tokenize_token(shop)
    said: list[Any] = [
        await tokenize(shop, token, {**SENT_CARD, "security_code": PAN}),
        await tokenize(shop, token, raw=b'{"card":{"number":"' + PAN.encode()),
        await tokenize(shop, token),
        await tokenize(shop, token),
    ]
    told = repr((said, shop.world.log.lines, shop.world.books))
    assert PAN not in told
    assert f"'{CVV}'" not in told
    assert f'"{CVV}"' not in told
    assert token not in told


async def test_a_second_token_of_a_session(shop: Shop) -> None:
    """A form's token stays what it is, however many there are."""
    await form_token(shop)
    assert (await tokenize(shop, await token_for(shop, session_of(shop)))).status == 401
