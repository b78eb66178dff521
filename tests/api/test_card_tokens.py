"""The tokens of cards on the wire: what is told of them, and payments with them (wire-api 9.14, 10.5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import EUROS, PAN, PAYMENT, Answered, Shop
from tests.builders import card
from tollhouse.flows.form import find_token
from tollhouse.flows.issue_token import issue_token
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.payment import Phase
from tollhouse.public_token import FormOptions

INVALID = "invalid_request"
DAY_SECONDS = 24 * 3600


async def new_session(shop: Shop, members: Any = None, *, project: str = "shop", version: int = 2) -> str:
    """The id of a session that waits, with an amount."""
    given = {"amount_details": EUROS} if members is None else members
    return str((await shop.call("session/create", given, project=project, version=version)).session["id"])


async def card_token(shop: Shop, project: str = "shop", pan: str = PAN) -> str:
    """A card turned into a token, as a browser does."""
    owner = shop.projects.known[project].project
    text = await issue_token(shop.world, owner, session_id=None, options=FormOptions(), may_tokenize=True)
    made = await tokenize_card(shop.world, owner, await find_token(shop.world, text), card(pan=pan))
    return made.token


def by_token(type: str, **members: str) -> dict[str, Any]:
    """The means of payment."""
    return {**PAYMENT, "payment_details": {"type": "card", "card": {"type": type, type: members}}}


async def info(shop: Shop, type: str, members: Any) -> Answered:
    """Ask about a token."""
    return await shop.call("token/info", {"type": type, type: members})


@pytest.mark.parametrize(("type", "member"), [("tokenized_card", "token"), ("encrypted_card", "number_hash")])
async def test_what_is_told_of_a_card(shop: Shop, type: str, member: str) -> None:
    """Brand and last digits, and the token under the name it was asked by."""
    token = await card_token(shop)
    answered = await info(shop, "card", {"type": type, type: {member: token}})
    assert answered.json == {
        "status": "ok",
        "info": {"type": "card", member: token, "brand": "visa", "last4": "4242"},
    }


async def test_a_card_without_a_brand(shop: Shop) -> None:
    """Clients need one, so it is said to be unknown."""
    token = await card_token(shop, pan="9000000000000001")
    answered = await info(shop, "card", {"type": "tokenized_card", "tokenized_card": {"token": token}})
    assert answered.json["info"]["brand"] == "unknown"


# --- paying with a card's token ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("type", "member"), [("tokenized_card", "token"), ("encrypted_card", "number_hash")])
async def test_a_cards_token_pays(shop: Shop, type: str, member: str, version: int) -> None:
    """Under either name; the answer shows the card and no token."""
    token = await card_token(shop)
    members = {member: token, "security_code_hash": "x"} if type == "encrypted_card" else {member: token}
    answered = await shop.call("session/init/payment", by_token(type, **members), version=version)
    assert answered.status == 200, answered.body
    paid = answered.session["acquiring_payments" if version == 1 else "payment_list"][0]
    assert paid["payment_details"] == {"type": "card", "card": {"brand": "visa", "last4": "4242", "bin": "424242"}}
    assert token.encode() not in answered.body
    await shop.call("session/confirm", {"session_id": answered.session["id"]}, version=version)
    await shop.carry_on()
    assert shop.stored(answered.session["id"]).payments[0].phase is Phase.SUCCEEDED
    assert shop.world.link.had_cvv == [True]


async def test_a_cards_token_at_create_and_at_start(shop: Shop) -> None:
    """Both calls take it."""
    created = await shop.call("session/create", by_token("tokenized_card", token=await card_token(shop)))
    started = await shop.call("session/start/payment", {"session_id": created.session["id"]})
    assert started.status == 200
    session_id = await new_session(shop, {"amount_details": EUROS, "customer": {"reference": "u"}})
    means = by_token("encrypted_card", number_hash=await card_token(shop))["payment_details"]
    started = await shop.call("session/start/payment", {"session_id": session_id, "payment_details": means})
    assert started.status == 200


@pytest.mark.parametrize(("type", "member"), [("tokenized_card", "token"), ("encrypted_card", "number_hash")])
async def test_cards_tokens_that_are_not_there(shop: Shop, type: str, member: str) -> None:
    """404 for unknown ones, for another project's, and for those whose day is over; no session is made."""
    old, foreign = await card_token(shop), await card_token(shop, "inn")
    shop.world.clock.move(DAY_SECONDS)
    for token in ("x", old, foreign, "card_4242_1"):
        answered = await shop.call("session/init/payment", by_token(type, **{member: token}))
        assert (answered.status, answered.code) == (404, "token_not_found")
    assert shop.world.books.sessions == {}


@pytest.mark.parametrize(
    ("means", "path"),
    [
        ({"type": "tokenized_card"}, "payment_details.card.tokenized_card"),
        ({"type": "encrypted_card", "tokenized_card": {"token": "x"}}, "payment_details.card.encrypted_card"),
        ({"type": "tokenized_card", "tokenized_card": {}}, "payment_details.card.tokenized_card.token"),
        ({"type": "tokenized_card", "tokenized_card": {"token": ""}}, "payment_details.card.tokenized_card.token"),
        ({"type": "encrypted_card", "encrypted_card": {}}, "payment_details.card.encrypted_card.number_hash"),
        (
            {"type": "encrypted_card", "encrypted_card": {"number_hash": "a" * 256}},
            "payment_details.card.encrypted_card.number_hash",
        ),
        ({"type": "unknown_card"}, "payment_details.card.type"),
    ],
)
async def test_tokens_in_the_wrong_place(shop: Shop, means: Any, path: str) -> None:
    """400 with the path."""
    body = {**PAYMENT, "payment_details": {"type": "card", "card": means}}
    answered = await shop.call("session/init/payment", body)
    assert (answered.status, answered.code) == (400, INVALID)
    assert answered.description.startswith(f"{path}: ")
