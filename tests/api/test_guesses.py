"""Guessing at the doors: who is wrong too often waits, whoever is right does not, and the operator hears of it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.client import Answered, Shop
from tests.api.test_card_tokens import by_token, card_token, new_session
from tests.worlds import TWO_STAGE
from tollhouse.api.guessing import ALARM, ALLOWANCES, Secret
from tollhouse.flows.issue_token import issue_token
from tollhouse.guessing import LOCK_SECONDS
from tollhouse.public_token import FormOptions
from tollhouse.source import Trusted

HOME, ATTACKER = "192.0.2.10", "198.51.100.66"
BURST = ALLOWANCES[Secret.SIGNATURE].burst


async def wrong(shop: Shop, source: str, *, project: str = "shop", **headers: str) -> Answered:
    """A call with a wrong signature."""
    return await shop.call(
        "session/create", {}, project=project, source=source, headers={"x-partner-sign": "AAAA", **headers}
    )


async def flood(shop: Shop, source: str, count: int = BURST, **arguments: str) -> None:
    """As many wrong signatures as are looked at."""
    for _ in range(count):
        assert (await wrong(shop, source, **arguments)).status == 401


async def test_wrong_signatures_end(shop: Shop) -> None:
    """After the burst: 429 with Retry-After, for a right signature as well, since none is computed any more."""
    await flood(shop, ATTACKER)
    answered = await wrong(shop, ATTACKER)
    assert (answered.status, answered.code) == (429, "too_many_requests")
    assert answered.headers["retry-after"] == str(int(LOCK_SECONDS))
    assert (await shop.call("session/create", {}, source=ATTACKER)).status == 429


async def test_unknown_projects_end_too(shop: Shop) -> None:
    """Guesses at names of projects are guesses like any other."""
    await flood(shop, ATTACKER, project="nobody")
    assert (await wrong(shop, ATTACKER, project="somebody")).status == 429


async def test_the_right_caller_elsewhere_is_not_refused(shop: Shop) -> None:
    """A flood for a project from many places shuts its own places out, and not the project."""
    for number in range(30):
        await flood(shop, f"198.51.100.{number}")
    assert (await shop.call("session/create", {}, source=HOME)).status == 200
    assert [act.origin for act in shop.denied if act.origin.startswith("project")] == ["project shop"]
    assert ALARM.burst < 30 * BURST


async def test_the_right_caller_beside_a_guesser_is_not_refused(shop: Shop) -> None:
    """Who was right before is listened to, although somebody at the same address is shut out; guesses are not."""
    assert (await shop.call("session/create", {}, source=HOME)).status == 200
    await flood(shop, HOME)
    for _ in range(3):
        assert (await wrong(shop, HOME)).status == 429
        assert (await shop.call("session/create", {}, source=HOME)).status == 200


async def test_a_lock_out_is_over_after_a_minute(shop: Shop) -> None:
    """Then guesses are looked at again."""
    await flood(shop, ATTACKER)
    assert (await wrong(shop, ATTACKER)).status == 429
    shop.world.clock.move(LOCK_SECONDS)
    assert (await wrong(shop, ATTACKER)).status == 401


async def test_a_lock_out_is_written_down_once(shop: Shop) -> None:
    """The audit log has one entry for the lock-out, however often the source comes back meanwhile."""
    await flood(shop, ATTACKER)
    for _ in range(10):
        await wrong(shop, ATTACKER)
    (act,) = [act for act in shop.denied if act.what == "guess.limit"]
    assert (act.outcome, act.subject, act.origin) == ("refused", "signature", ATTACKER)


async def test_the_caller_behind_a_proxy(open_shop: Callable[..., Shop]) -> None:
    """Whom a trusted proxy names is counted; a name that the caller wrote itself changes nothing."""
    shop = open_shop(trusted=Trusted.parse("10.0.0.5"))
    proxy = "10.0.0.5"
    for number in range(BURST):
        answered = await wrong(shop, proxy, **{"x-forwarded-for": f"203.0.113.{number}, {ATTACKER}"})
        assert answered.status == 401
    assert (await wrong(shop, proxy, **{"x-forwarded-for": ATTACKER})).status == 429
    through = {"x-forwarded-for": HOME}
    assert (await shop.call("session/create", {}, source=proxy, headers=through)).status == 200
    assert {act.origin for act in shop.denied} == {ATTACKER}


PATHS: list[tuple[Secret, str, str, dict[str, str]]] = [
    (Secret.PUBLIC_TOKEN, "POST", "/widget/v1/form", {"x-public-token": "a" * 64}),
    (Secret.PUBLIC_TOKEN, "POST", "/widget/v1/status", {"x-public-token": "nonsense"}),
    (Secret.PUBLIC_TOKEN, "POST", "/cds/v1/tokenize/card", {"x-public-token": "b" * 64}),
    (Secret.LINK, "GET", "/3ds/abcdefghijklmnopqrstuv", {}),
    (Secret.LINK, "GET", "/3ds/abcdefghijklmnopqrstuv/state", {}),
    (Secret.LINK, "GET", "/3ds/nonsense", {}),
]


@pytest.mark.parametrize(("secret", "verb", "path", "headers"), PATHS)
async def test_secrets_of_browsers(shop: Shop, secret: Secret, verb: str, path: str, headers: dict[str, str]) -> None:
    """Guesses at public tokens and payers' links end; another source and another kind of secret go on."""
    given: dict[str, Any] = {"content-type": "application/json", **headers}
    for _ in range(ALLOWANCES[secret].burst):
        assert (await shop.request(path, given, b"{}", verb=verb, source=ATTACKER)).status in (401, 404)
    refused = await shop.request(path, given, b"{}", verb=verb, source=ATTACKER)
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await shop.request(path, given, b"{}", verb=verb, source=HOME)).status in (401, 404)
    assert (await shop.call("session/create", {}, source=ATTACKER)).status == 200


async def test_tokens_of_cards(shop: Shop) -> None:
    """A project that asks for too many tokens that do not exist waits with such questions, and pays on."""
    token = {"type": "tokenized_card", "tokenized_card": {"token": "00000000-0000-4000-8000-000000000000"}}
    asked = {"type": "card", "card": token}
    for _ in range(ALLOWANCES[Secret.CARD_TOKEN].burst):
        assert (await shop.call("token/info", asked, source=HOME)).code == "token_not_found"
    assert (await shop.call("token/info", asked, source=ATTACKER)).status == 429
    assert (await shop.call("token/info", asked, source=HOME, project=TWO_STAGE.name)).code == "token_not_found"
    assert (await shop.call("session/create", {}, source=HOME)).status == 200


async def test_payments_with_tokens_of_cards_count_too(shop: Shop) -> None:
    """Wrong ones are counted whatever call shows them; strangers who type nonsense stop no payment with a right one."""
    right = by_token("tokenized_card", token=await card_token(shop))
    wrong = by_token("tokenized_card", token="tc_" + "a" * 43)
    calls = ("session/init/payment", "session/create")
    for number in range(ALLOWANCES[Secret.CARD_TOKEN].burst):
        assert (await shop.call(calls[number % 2], wrong)).code == "token_not_found"
    for call in calls:
        assert (await shop.call(call, wrong)).status == 429
        assert (await shop.call(call, right)).status == 200
    assert [act.subject for act in shop.denied if act.what == "guess.limit"] == ["card token"]


async def test_payers_beside_a_guesser_are_not_refused(shop: Shop) -> None:
    """Behind one address may be many: a form that is right opens, whatever wrong tokens come from there."""
    session = await new_session(shop)
    owner = shop.projects.known["shop"].project
    token = await issue_token(shop.world, owner, session_id=session, options=FormOptions(), may_tokenize=False)
    given = {"content-type": "application/json", "x-public-token": "a" * 64}
    for _ in range(ALLOWANCES[Secret.PUBLIC_TOKEN].burst + 5):
        await shop.request("/widget/v1/form", given, b"{}", source=ATTACKER)
    assert (await shop.request("/widget/v1/form", given, b"{}", source=ATTACKER)).status == 429
    right = {**given, "x-public-token": token}
    assert (await shop.request("/widget/v1/form", right, b"{}", source=ATTACKER)).status == 200


async def test_one_project_is_not_locked_for_another(shop: Shop) -> None:
    """Guesses for one project from an address, or at names, keep no other project at that address waiting."""
    await flood(shop, ATTACKER)
    await flood(shop, ATTACKER, project="nobody")
    assert (await wrong(shop, ATTACKER, project="nobody")).status == 429
    assert (await shop.call("session/create", {}, source=ATTACKER, project=TWO_STAGE.name)).status == 200


@pytest.mark.parametrize("name", ["x-partner-project", "x-partner-sign", "x-public-token"])
async def test_who_says_twice_who_they_are_is_refused(shop: Shop, name: str) -> None:
    """Whichever of the two somebody between has looked at."""
    path = "/widget/v1/form" if name == "x-public-token" else "/api/v2/session/create"
    doubled = [("content-type", "application/json"), (name, "a" * 64), (name, "b" * 64)]
    refused = await shop.request(path, doubled, b"{}", source=HOME)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert not shop.denied
