"""`tokenize/elements`: a merchant's server turns card numbers into tokens (wire-api 9.17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.client import CVV, EUROS, PAN, PAYMENT, Answered, Shop
from tests.worlds import memory_world
from tollhouse.api.wire import JsonWire
from tollhouse.public_token import CardToken, PublicToken, token_id
from tollhouse.store.memory_tokens import MemoryTokens

METHOD = "tokenize/elements"
MASTERCARD = "5555555555554444"
INVALID = "invalid_request"
DAY_SECONDS = 24 * 3600
BY_NAME = [("tokenized_card", "token"), ("encrypted_card", "number_hash")]


def number(ref: str = "number", digits: str = PAN, **more: Any) -> dict[str, Any]:
    """One element."""
    return {"ref": ref, "type": "card_number", "card_number": digits, **more}


async def tokenize(shop: Shop, *elements: Any, version: int = 2, **arguments: Any) -> Answered:
    """The call."""
    return await shop.call(METHOD, {"elements": list(elements)}, version=version, **arguments)


async def number_token(shop: Shop) -> str:
    """The token of a number."""
    return str((await tokenize(shop, number())).json["data"]["number"]["token"])


@pytest.mark.parametrize("version", [1, 2])
async def test_each_element_by_its_reference(shop: Shop, version: int) -> None:
    """In the order given, with what may be shown of it; nothing is empty, nothing is the number."""
    answered = await tokenize(shop, number("b"), number("a", MASTERCARD), version=version)
    assert answered.status == 200, answered.body
    data = answered.json["data"]
    assert list(data) == ["b", "a"]
    assert data["a"]["info"] == {
        "masked_card_number": "555555******4444",
        "card_network": "mastercard",
        "card_type": "mastercard",
    }
    tokens = [one["token"] for one in data.values()]
    assert all(token.startswith("tc_") and len(token) <= 64 for token in tokens)
    assert len(set(tokens)) == 2
    assert PAN.encode() not in answered.body
    assert answered.headers["cache-control"] == "no-store"


async def test_a_number_of_no_known_network(shop: Shop) -> None:
    """Clients need the members, so it is said to be unknown."""
    data = (await tokenize(shop, number(digits="9000000000000001"))).json["data"]
    assert (data["number"]["info"]["card_network"], data["number"]["info"]["card_type"]) == ("unknown", "unknown")


async def test_twenty_at_once(shop: Shop) -> None:
    """And not one more."""
    elements = [number(f"n{at}") for at in range(21)]
    assert len((await tokenize(shop, *elements[:20])).json["data"]) == 20
    kept = len(shop.world.vault.cards)
    refused = await tokenize(shop, *elements)
    assert (refused.status, refused.code) == (400, INVALID)
    assert refused.description == "elements: an array of 1 to 20 objects expected"
    assert len(shop.world.vault.cards) == kept


@pytest.mark.parametrize(
    ("elements", "code", "path"),
    [
        (None, INVALID, "elements"),
        ([], INVALID, "elements"),
        ({"number": number()}, INVALID, "elements"),
        ("x", INVALID, "elements"),
        ([number(), "x"], INVALID, "elements[1]"),
        ([number(), []], INVALID, "elements[1].ref"),
        ([{"ref": "a", "type": "card_number"}], INVALID, "elements[0].card_number"),
        ([{"type": "card_number", "card_number": PAN}], INVALID, "elements[0].ref"),
        ([{"ref": "a", "card_number": PAN}], INVALID, "elements[0].type"),
        ([number(ref="")], INVALID, "elements[0].ref"),
        ([number(ref="a" * 256)], INVALID, "elements[0].ref"),
        ([number(ref="a\x00")], INVALID, "elements[0].ref"),
        ([number(ref=7)], INVALID, "elements[0].ref"),
        ([number(ref=PAN)], INVALID, "elements[0].ref"),
        ([number("a"), number("b"), number("a", MASTERCARD)], INVALID, "elements[2].ref"),
        ([number(), number("b", type="security_code")], INVALID, "elements[1].type"),
        ([number(type="card_numbers")], INVALID, "elements[0].type"),
        ([number(digits="4242 4242 4242 4242")], INVALID, "elements[0].card_number"),
        ([number(digits=int(PAN))], INVALID, "elements[0].card_number"),
        ([number(digits="4" * 20)], INVALID, "elements[0].card_number"),
        ([number(), number("b", "4242424242424241")], "card_number_does_not_exist", "elements[1].card_number"),
    ],
)
async def test_an_element_that_is_wrong(shop: Shop, elements: Any, code: str, path: str) -> None:
    """400 that names it, never what was given; of the others nothing is kept."""
    answered = await shop.call(METHOD, {"elements": elements} if elements is not None else {})
    assert (answered.status, answered.code) == (400, code), answered.body
    assert answered.description.startswith(f"{path}: ")
    assert PAN not in answered.description
    assert shop.world.vault.cards == {}


async def test_what_an_element_says_besides(shop: Shop) -> None:
    """Is not looked at: a security code given along is kept nowhere."""
    answered = await tokenize(shop, number(security_code=CVV, expiration_month="08"))
    assert answered.status == 200
    assert shop.world.vault.cvvs == set()


async def test_idempotency_keys_mean_nothing_here(shop: Shop) -> None:
    """They guard sessions: the same key again makes other tokens, and stays free for a payment."""
    answers = [await tokenize(shop, number(), key="k") for _ in range(2)]
    assert len({answered.json["data"]["number"]["token"] for answered in answers}) == 2
    assert (await shop.call("session/init/payment", PAYMENT, key="k")).status == 200


async def test_nothing_of_a_number_is_logged(shop: Shop) -> None:
    """Neither the number nor the token."""
    token = await number_token(shop)
    logged = repr(shop.world.log.lines)
    assert PAN not in logged
    assert token not in logged


# --- what such a token is good for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type", "member"), BY_NAME)
async def test_what_is_told_of_it(shop: Shop, type: str, member: str) -> None:
    """As of any card's token, under either name."""
    token = await number_token(shop)
    asked = {"type": "card", "card": {"type": type, type: {member: token}}}
    answered = await shop.call("token/info", asked)
    assert answered.json["info"] == {"type": "card", member: token, "brand": "visa", "last4": "4242"}


@pytest.mark.parametrize("hashes", [{}, {"expiration_date_hash": "tc_x", "security_code_hash": "tc_y"}])
@pytest.mark.parametrize(("type", "member"), BY_NAME)
async def test_it_pays_no_session(shop: Shop, type: str, member: str, hashes: dict[str, str]) -> None:
    """400 that names the member, in every call that takes a card: no hash of an expiry is given out by us."""
    given = {member: await number_token(shop), **(hashes if type == "encrypted_card" else {})}
    means = {"type": "card", "card": {"type": type, type: given}}
    waiting = await shop.call("session/create", {"amount_details": EUROS, "customer": {"reference": "u"}})
    whole = {**PAYMENT, "payment_details": means}
    for method, body in (
        ("session/create", whole),
        ("session/init/payment", whole),
        ("session/start/payment", {"session_id": waiting.session["id"], "payment_details": means}),
    ):
        answered = await shop.call(method, body)
        assert (answered.status, answered.code) == (400, INVALID), answered.body
        assert answered.description.startswith(f"payment_details.card.{type}.{member}: ")
        assert "expiry" in answered.description
    assert list(shop.world.books.sessions) == [("shop", waiting.session["id"])]


# --- nothing is learned by guessing -----------------------------------------------------------------------------------


async def guesses(shop: Shop) -> dict[str, str]:
    """Tokens that open nothing, by why."""
    over = await number_token(shop)
    shop.world.clock.move(DAY_SECONDS)
    foreign = str((await tokenize(shop, number(), project="inn")).json["data"]["number"]["token"])
    own = await number_token(shop)
    near = own[:-1] + ("1" if own[-1] == "0" else "0")
    return {"unknown": "tc_404", "foreign": foreign, "over": over, "near": near, "other": "é\u2028"}


@pytest.mark.parametrize(("type", "member"), BY_NAME)
async def test_wrong_tokens_are_told_apart_by_nothing(shop: Shop, type: str, member: str) -> None:
    """Unknown, another project's, over, almost right: byte by byte the same answer, but for the request's name."""
    wrong = await guesses(shop)
    for method, body in (
        ("token/info", lambda card: {"type": "card", "card": card}),
        ("session/init/payment", lambda card: {**PAYMENT, "payment_details": {"type": "card", "card": card}}),
    ):
        answers = set()
        for token in wrong.values():
            answered = await shop.call(method, body({"type": type, type: {member: token}}))
            headers = {name: value for name, value in answered.headers.items() if name != "x-tollhouse-request-id"}
            answers.add((answered.status, answered.body, tuple(sorted(headers.items()))))
        assert len(answers) == 1
        ((status, told, _),) = answers
        assert status == 404
        assert f"{type}.{member}: no such token".encode() in told


class CountedTokens(MemoryTokens):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    async def find_public(self, id: str) -> PublicToken | None:
        """By a hash."""
        self.asked.append(("public", id))
        return await super().find_public(id)

    async def find_card(self, project: str, token: str) -> CardToken | None:
        """Of a project."""
        self.asked.append((project, token))
        return await super().find_card(project, token)


async def test_every_token_is_looked_up_once(open_shop: Callable[..., Shop]) -> None:
    """In the same way, whether it is right, wrong or no token at all: nothing goes faster for a better guess."""
    tokens = CountedTokens()
    shop = open_shop(world=memory_world(wire=JsonWire(), tokens=tokens))
    wrong = await guesses(shop)
    for token in (*wrong.values(), await number_token(shop)):
        means = {"type": "tokenized_card", "tokenized_card": {"token": token}}
        await shop.call("token/info", {"type": "card", "card": means})
        await shop.call("token/info", {"type": "public_token", "public_token": {"token": token}})
        assert tokens.asked == [("shop", token), ("public", token_id(token))]
        tokens.asked.clear()
