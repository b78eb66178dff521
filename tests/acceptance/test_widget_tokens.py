"""The form's private calls by others than the form: guessed, used and foreign tokens, other sites, many at once."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.acceptance.browsers import Windows
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.forms import CARD, CODE, FormShop, Opened, confirm, forgive
from tests.acceptance.merchant import Answer, Merchant, by_card, payment_of
from tests.acceptance.payer import all_at_once
from tests.acceptance.system import System

JSON = {"Content-Type": "application/json"}
CARD_MEMBERS = {"number": CARD, "expiration_month": "08", "expiration_year": "31", "security_code": CODE}
STEPS = ("form", "pay", "status")
AT_ONCE = 8


def ask(merchant: Merchant, step: str, token: str | None, **headers: str) -> Answer:
    """One of the form's own calls, by a program."""
    body = json.dumps({"card": CARD_MEMBERS} if step == "pay" else {}).encode()
    told = {**JSON, **({} if token is None else {"X-PUBLIC-TOKEN": token}), **headers}
    return merchant.send(f"/widget/v1/{step}", body, told)


def state_of(answer: Answer) -> dict[str, Any]:
    """How the payment stands."""
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.content.get("form", answer.content)["state"]
    return found


def make_older(system: System, token: str, hours: int) -> None:
    """As if so much time had gone by since it was given out."""
    id = hashlib.sha256(token.encode()).hexdigest()
    change = f"set created_at = created_at - interval '{hours} hours'"
    assert system.rows(f"update public_token {change} where id = '{id}' returning id")


def test_guessed_tokens(system: System, shop: Merchant) -> None:
    """Unknown, malformed, almost right and expired ones are answered alike, to the letter."""
    _, known = shop.open_form()
    _, old = shop.open_form()
    make_older(system, old, 24)
    hashed = hashlib.sha256(known.encode()).hexdigest()
    guesses = [
        None,
        "",
        "0" * 64,
        "f" * 64,
        known.upper(),
        known[:-1],
        f"{known}0",
        f" {known[1:]}",
        hashed,
        old,
        "x" * 300,
    ]
    guesses += [known[:-1] + ("0" if known[-1] != "0" else "1"), "../" + known, "' or 1=1 --", "\u00e9" * 64]
    for step in STEPS:
        answers = [ask(shop, step, guess) for guess in guesses]
        assert {answer.status for answer in answers} == {401}, step
        assert len({answer.raw for answer in answers}) == 1, {answer.raw for answer in answers}
        assert answers[0].error[1] == "public_token_invalid"
    assert state_of(ask(shop, "status", known))["stage"] == "ready"


def test_tokens_are_no_addresses(shop: Merchant) -> None:
    """The frame is found by the token's hash alone, the hosted page by the token alone; both wrong ways say nothing."""
    _, token = shop.open_form()
    hashed = hashlib.sha256(token.encode()).hexdigest()
    assert shop.send(f"/widget/v1/frame/{hashed}", verb="GET").status == 200
    wrong = [f"/widget/v1/frame/{token}", f"/pay/{hashed}", f"/widget/v1/frame/{'0' * 64}", f"/pay/{'0' * 64}"]
    for path in wrong:
        answer = shop.send(path, verb="GET")
        assert answer.status == 404
        assert token.encode() not in answer.raw
        assert b"2590" not in answer.raw.replace(b".", b"")


def test_paid_many_times_at_once(shop: Merchant) -> None:
    """Two tokens of one session, all used at the same moment, and the merchant's own start: one payment."""
    session_id, first = shop.open_form()
    asked = {"acquiring_widget": {"session_id": session_id}}
    second = str(shop.call("token", asked).content["public_token"])

    def pay(number: int) -> Answer:
        if number == 0:
            own = {"payment_details": by_card(), "customer": {"reference": "u-3108"}}
            return shop.call("start/payment", {"session_id": session_id, **own})
        return ask(shop, "pay", (first, second)[number % 2])

    answers = all_at_once(pay, range(AT_ONCE), places=AT_ONCE)
    assert sorted(answer.status for answer in answers) == [200] + [409] * (AT_ONCE - 1)
    assert {answer.error[1] for answer in answers if answer.status != 200} == {"session_wrong_state"}
    confirm(shop, session_id)
    assert payment_of(shop.finished(session_id))["status"] == "succeeded"
    assert ask(shop, "pay", first).error == (409, "session_wrong_state")
    assert state_of(ask(shop, "status", second))["stage"] == "succeeded"


def test_a_token_reaches_its_own_session_only(system: System, shop: Merchant, new_merchant: NewMerchant) -> None:
    """Whatever session, project or amount a call names beside its token: it is the token's that is meant."""
    other = new_merchant(system)
    other_id, _ = other.open_form(777)
    session_id, token = shop.open_form()
    named = {"session_id": other_id, "project": other.project, "amount_details": {"amount": 1, "currency": "eur"}}
    body = json.dumps({"card": CARD_MEMBERS, **named}).encode()
    headers = {**JSON, "X-PUBLIC-TOKEN": token, "X-PARTNER-PROJECT": other.project}
    assert state_of(shop.send("/widget/v1/pay", body, headers))["stage"] == "confirming"
    confirm(shop, session_id)
    assert payment_of(shop.finished(session_id))["amount_details"]["amount"] == 2590
    assert other.status(other_id)["status"] == "created"


def test_other_kinds_of_token(shop: Merchant) -> None:
    """A token for turning cards to tokens opens no form, and a form's turns no card to a token."""
    asked = {"tokenize_widget": {"access": True}}
    tokenizing = str(shop.call("token", asked).content["public_token"])
    session_id, paying = shop.open_form()
    for step in STEPS:
        assert ask(shop, step, tokenizing).error == (401, "public_token_invalid")
    body = json.dumps({"card": CARD_MEMBERS}).encode()
    refused = shop.send("/cds/v1/tokenize/card", body, {**JSON, "X-PUBLIC-TOKEN": paying})
    assert refused.error == (401, "public_token_invalid")
    assert shop.send("/cds/v1/tokenize/card", body, {**JSON, "X-PUBLIC-TOKEN": tokenizing}).status == 200
    again = shop.send("/cds/v1/tokenize/card", body, {**JSON, "X-PUBLIC-TOKEN": tokenizing})
    assert again.error == (401, "public_token_invalid")
    assert shop.status(session_id)["status"] == "created"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_calls_of_other_sites(shop: Merchant, headers: dict[str, str]) -> None:
    """A browser's call from a page that is not the form's is refused, whatever it carries, and shared with nobody."""
    session_id, token = shop.open_form()
    for step in STEPS:
        answer = ask(shop, step, token, **headers)
        assert answer.error[0] == 403, (step, answer)
        assert "access-control-allow-origin" not in answer.headers
    assert shop.status(session_id)["status"] == "created"


REPLAYING = """async ([gateway, token, card]) => {
  const body = JSON.stringify({card}), answers = [];
  const ways = [
    {headers: {"Content-Type": "application/json", "X-PUBLIC-TOKEN": token}},
    {headers: {"Content-Type": "text/plain"}}, {mode: "no-cors"}, {credentials: "include"},
    {mode: "no-cors", headers: {"Content-Type": "text/plain"}},
  ];
  for (const step of ["form", "pay", "status"])
    for (const way of ways) {
      const answer = await fetch(`${gateway}/widget/v1/${step}`, {method: "POST", body, ...way}).catch(() => null);
      answers.push(answer && [answer.type, answer.status, await answer.text()]);
    }
  navigator.sendBeacon(`${gateway}/widget/v1/pay`, body);
  return answers.filter((one) => one !== null && JSON.stringify(one) !== '["opaque",0,""]');
}"""
SENDING = """([gateway, token]) => {
  const form = document.createElement("form");
  const action = `${gateway}/widget/v1/pay?X-PUBLIC-TOKEN=${token}`;
  Object.assign(form, {action, method: "post", enctype: "text/plain"});
  form.append(Object.assign(document.createElement("input"), {name: '{"card":{"number":"', value: '"}}'}));
  document.body.append(form);
  form.submit();
}"""


def test_calls_of_the_merchants_page(
    system: System, shop: Merchant, form_shop: FormShop, opened: Opened, windows: Windows
) -> None:
    """The page with the form knows the token, but its own calls with it are stopped: by Chromium and by the gateway."""
    session_id, form = opened()
    page: Page = form.page
    token = page.evaluate("() => document.scripts[1].text").split('"')[1]
    assert page.evaluate(REPLAYING, [system.url, token, CARD_MEMBERS]) == []
    page.evaluate(SENDING, [system.url, token])
    page.wait_for_url(f"{system.url}/**")
    assert "authorization_error" in page.content()
    assert shop.status(session_id)["status"] == "created"
    assert state_of(ask(shop, "status", token))["stage"] == "ready"
    forgive(windows, "CORS policy", "Failed to load resource")


def test_too_many_attempts(shop: Merchant) -> None:
    """Whoever tries card after card with one token is stopped for a while, and the form says that nothing happened."""
    session_id, token = shop.open_form()
    body = json.dumps({"card": {**CARD_MEMBERS, "number": "4242424242424241"}}).encode()
    headers = {**JSON, "X-PUBLIC-TOKEN": token}
    statuses = [shop.send("/widget/v1/pay", body, headers).status for _ in range(30)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {400, 429}
    assert ask(shop, "pay", token).error == (429, "too_many_requests")
    assert shop.status(session_id)["status"] == "created"
