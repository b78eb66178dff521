"""The demo shop as a merchant: calls, webhooks, decisions, refunds, and what it does when answers are lost."""

from __future__ import annotations

import ast
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.sandbox.shop_gateway import LINK, TOKEN, Visit, make_key, session_of, until, visiting, webhook_body
from tollhouse.sandbox.shop import shop as shop_file
from tollhouse.sandbox.shop.display import status_of

CARD = {
    "number": "4000120000000008",
    "expiration_month": "08",
    "expiration_year": "31",
    "security_code": "417",
}
COFFEE = {"amount": 490, "currency": "eur"}


@pytest_asyncio.fixture
async def visit() -> AsyncIterator[Visit]:
    """A shop with an empty shelf of orders."""
    async with visiting() as running:
        yield running


def test_merchant_is_short_and_stands_alone() -> None:
    """The example merchant has under 300 lines and imports nothing but the standard library and two packages."""
    text = Path(shop_file.__file__).read_text()
    assert len(text.splitlines()) < 300
    named = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name or "") for node in named}
    assert all(isinstance(node, ast.Import) or node.level == 0 for node in named)
    assert {str(root).partition(".")[0] for root in roots} <= {*sys.stdlib_module_names, "aiohttp", "cryptography"}


async def test_widget_order_has_a_session_and_a_token(visit: Visit) -> None:
    """An order by the widget creates a session under a key of its own, then a token with the shop's return URLs."""
    order = await visit.buy(language="de", target="modal")
    await until(lambda: visit.shop.orders[order].token == TOKEN)
    created, token = visit.gateway.heard
    assert (created.method, created.key) == ("session/create", f"{order}-create")
    assert created.members["amount_details"] == COFFEE
    assert created.members["metadata"] == order
    wanted = token.members["acquiring_widget"]
    back = f"{visit.url}/back?order={order}"
    assert (wanted["session_id"], wanted["locale"], wanted["redirect_target"]) == ("ps_1", "de", "modal")
    assert (wanted["success_return_url"], wanted["failure_return_url"]) == (back, back)


async def test_own_form_pays_with_open_parameters(visit: Visit) -> None:
    """An order by the own form is one `session/init/payment` with the card, a key and a return URL."""
    order = await visit.buy(scenario="own", card=CARD)
    await until(lambda: visit.shop.orders[order].session_id)
    (paid,) = visit.gateway.heard
    assert (paid.method, paid.key) == ("session/init/payment", f"{order}-pay")
    assert paid.members["payment_details"]["card"]["bank_card"] == CARD
    assert paid.members["payment_options"]["return_url"] == f"{visit.url}/back?order={order}"


async def test_an_order_that_is_sent_again(visit: Visit) -> None:
    """A double click, or a repeat after a lost answer: the same key is the same order, and one payment."""
    first = await visit.buy(scenario="own", card=CARD, key="k-1")
    assert await visit.buy(scenario="own", card=CARD, key="k-1") == first
    await until(lambda: visit.shop.orders[first].session_id)
    assert visit.gateway.methods() == ["session/init/payment"]
    others = {await visit.buy(scenario="own", card=CARD, **more) for more in ({"key": "k-2"}, {}, {})}
    assert len({first, *others}) == 4


@pytest.mark.parametrize(("confirms", "call"), [(True, "session/confirm"), (False, "session/cancel")])
async def test_switch_decides(visit: Visit, confirms: bool, call: str) -> None:
    """The webhook that asks for a decision is answered 200, and the order's switch decides in a call of its own."""
    order = await visit.buy(confirms=confirms)
    assert await visit.ask_to_confirm(order) == 200
    await until(lambda: call in visit.gateway.methods())
    assert [one.members for one in visit.gateway.heard if one.method == call] == [{"session_id": "ps_1"}]


async def test_wrong_amount_is_cancelled(visit: Visit) -> None:
    """A payment of another amount than the order's is not confirmed."""
    order = await visit.buy()
    session = session_of(order, "pending", {"amount": 1, "currency": "eur"}, next_action="confirm")
    await visit.tell("ready_to_confirm", session, 1)
    await until(lambda: "session/cancel" in visit.gateway.methods())


async def test_webhook_that_is_faster_than_the_answer(visit: Visit) -> None:
    """A webhook before the answer that names its session finds its order, and is decided as the switch says."""

    async def ask(method: str) -> None:
        if method == "session/init/payment":
            (order,) = visit.shop.orders
            await visit.ask_to_confirm(order)

    visit.gateway.before_answer = ask
    await visit.buy(scenario="own", card=CARD)
    await until(lambda: "session/confirm" in visit.gateway.methods())


@pytest.mark.parametrize("header", ["X-PARTNER-SIGN", "webhook-signature", "webhook-timestamp", "webhook-id"])
@pytest.mark.parametrize("value", ["", "AAAA", "v1,AAAA", "9" * 5000, None])
async def test_forged_webhook(visit: Visit, header: str, value: str | None) -> None:
    """A webhook with one header changed or missing gets 401 and changes nothing."""
    order = await visit.buy()
    body = webhook_body("payment_finished", session_of(order, "succeeded", COFFEE), 1)
    headers = visit.gateway.signed(body) | {header: value or ""}
    if value is None:
        del headers[header]
    async with aiohttp.request("POST", f"{visit.url}/webhooks", data=body, headers=headers) as answer:
        assert answer.status == 401
    assert visit.shop.orders[order].session == {}


async def test_changed_old_and_foreign_webhooks(visit: Visit) -> None:
    """Neither a blank more, nor a webhook of ten minutes ago, nor one of another key is taken."""
    order = await visit.buy()
    body = webhook_body("payment_finished", session_of(order, "succeeded", COFFEE), 1)
    right, old = visit.gateway.signed(body), visit.gateway.signed(body, age_seconds=600)
    visit.gateway.webhook_key = make_key()
    foreign = visit.gateway.signed(body)
    for sent, headers in ((body + b" ", right), (body, old), (body, foreign)):
        async with aiohttp.request("POST", f"{visit.url}/webhooks", data=sent, headers=headers) as answer:
            assert answer.status == 401
    assert not visit.shop.heard


async def test_repeated_webhook_is_acted_on_once(visit: Visit) -> None:
    """The same webhook again is answered 200, and the decision is not said again."""
    order = await visit.buy()
    await visit.ask_to_confirm(order)
    await until(lambda: "session/confirm" in visit.gateway.methods())
    assert await visit.ask_to_confirm(order) == 200
    assert await visit.finish(order) == 200
    await until(lambda: status_of(visit.shop.orders[order]) == "succeeded")
    assert visit.gateway.methods().count("session/confirm") == 1


async def test_late_webhook_changes_nothing(visit: Visit) -> None:
    """An earlier event that arrives after the end neither opens the order again nor asks for a decision."""
    order = await visit.buy()
    await visit.finish(order, sequence=2)
    await until(lambda: status_of(visit.shop.orders[order]) == "succeeded")
    assert await visit.ask_to_confirm(order, sequence=1) == 200
    await until(lambda: len([row for row in visit.display.rows[order] if row["kind"] == "webhook"]) == 2)
    assert status_of(visit.shop.orders[order]) == "succeeded"
    assert "session/confirm" not in visit.gateway.methods()


async def test_unknown_order_is_cancelled(visit: Visit) -> None:
    """A webhook about an order of before a restart is answered 200, and what waits for a decision is cancelled."""
    assert await visit.ask_to_confirm("forgotten") == 200
    await until(lambda: visit.gateway.methods() == ["session/cancel"])
    assert await visit.finish("forgotten") == 200


@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_payer_comes_back_first(visit: Visit, verb: str) -> None:
    """The payer's return proves nothing: the shop asks `session/status`, and then knows."""
    order = await visit.buy(scenario="own", card=CARD)
    await until(lambda: visit.shop.orders[order].session_id)
    visit.gateway.status = session_of(order, "succeeded", COFFEE)
    async with visit.browser.request(verb, f"{visit.url}/back?order={order}&session_id=ps_1") as answer:
        assert (answer.status, str(answer.url)) == (200, f"{visit.url}/")
    await until(lambda: status_of(visit.shop.orders[order]) == "succeeded")
    assert visit.gateway.methods()[-1] == "session/status"


async def test_return_alone_pays_nothing(visit: Visit) -> None:
    """Whoever opens the return URL of an unpaid order, or of none, has not paid."""
    order = await visit.buy(scenario="own", card=CARD)
    await until(lambda: visit.shop.orders[order].session_id)
    visit.gateway.status = session_of(order, "in_progress", COFFEE)
    for name in (order, "none"):
        async with visit.browser.get(f"{visit.url}/back?order={name}") as answer:
            assert answer.status == 200
    await until(lambda: "session/status" in visit.gateway.methods())
    await until(lambda: status_of(visit.shop.orders[order]) == "in_progress")


@pytest.mark.parametrize("method", ["session/create", "token", "session/confirm", "session/refund"])
async def test_lost_answer_is_asked_for_again(visit: Visit, method: str) -> None:
    """A call whose answer was lost is sent again with the same bytes and key; what was done is done once."""
    visit.gateway.lost = {method}
    visit.gateway.status = {"id": "ps_1", "status": "in_progress"}
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].token)
    await visit.ask_to_confirm(order)
    await until(lambda: "session/confirm" in visit.gateway.methods())
    await visit.finish(order)
    await until(lambda: status_of(visit.shop.orders[order]) == "succeeded")
    await refund(visit, order)
    await until(lambda: "session/refund" in visit.gateway.methods() and visit.shop.orders[order].refund is None)
    await until(lambda: visit.gateway.methods().count(method) == 2)
    first, second = (one for one in visit.gateway.heard if one.method == method)
    assert (first.body, first.key) == (second.body, second.key)
    assert not visit.shop.orders[order].problem


async def refund(visit: Visit, order: str, **members: object) -> int:
    """Ask the shop to give money back. Returns the status of its answer."""
    async with visit.browser.post(f"{visit.url}/orders/{order}/refund", json=members) as answer:
        return answer.status


async def test_refunds_have_keys_of_their_own(visit: Visit) -> None:
    """Each refund is a call with another key; a part names its amount, the whole names none."""
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].session_id)
    await visit.finish(order)
    assert await refund(visit, order, amount=100) == 202
    await until(lambda: visit.shop.orders[order].refund is None)
    assert await refund(visit, order) == 202
    await until(lambda: visit.gateway.methods().count("session/refund") == 2)
    part, whole = (one for one in visit.gateway.heard if one.method == "session/refund")
    assert part.members == {"session_id": "ps_1", "amount_details": {"amount": 100, "currency": "eur"}}
    assert whole.members == {"session_id": "ps_1"}
    assert (part.key, whole.key) == (f"{order}-refund-1", f"{order}-refund-2")


async def test_refund_without_answer_is_repeated_not_doubled(visit: Visit) -> None:
    """As long as nobody knows what became of a refund, pressing the button again repeats it under its key."""
    visit.gateway.refused = {"session/refund": (503, "service_unavailable")}
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].session_id)
    await visit.finish(order)
    assert await refund(visit, order) == 202
    await until(lambda: visit.shop.orders[order].problem)
    visit.gateway.refused = {}
    assert await refund(visit, order) == 202
    await until(lambda: visit.shop.orders[order].refund is None)
    assert {one.key for one in visit.gateway.heard if one.method == "session/refund"} == {f"{order}-refund-1"}


async def test_refused_call_is_told(visit: Visit) -> None:
    """What the gateway refuses is not repeated, and the visitor reads why."""
    visit.gateway.refused = {"session/init/payment": (400, "card_number_does_not_exist")}
    order = await visit.buy(scenario="own", card=CARD)
    await until(lambda: visit.shop.orders[order].problem == "card_number_does_not_exist: no")
    assert visit.gateway.methods() == ["session/init/payment"]
    assert status_of(visit.shop.orders[order]) == "refused"


async def test_bank_asks_the_payer(visit: Visit) -> None:
    """`action_required` changes nothing but what the page is told: where the payer has to go."""
    order = await visit.buy(scenario="own", card=CARD)
    interaction = {"type": "redirect", "redirect": LINK}
    session = session_of(order, "pending", COFFEE, customer_interaction=interaction)
    await visit.tell("action_required", session, 2)
    await until(lambda: status_of(visit.shop.orders[order]) == "action")
    assert visit.gateway.methods() == ["session/init/payment"]


@pytest.mark.parametrize("wish", [{"product": "yacht"}, {"scenario": "cash"}, {"product": ["coffee"]}])
async def test_wrong_wish(visit: Visit, wish: dict[str, object]) -> None:
    """What is not on the shelf cannot be ordered."""
    wanted = {"product": "coffee", "scenario": "widget"} | wish
    async with visit.browser.post(f"{visit.url}/orders", json=wanted) as answer:
        assert answer.status == 400
    assert not visit.shop.orders


async def test_calls_of_other_sites_are_refused(visit: Visit) -> None:
    """A form of another site cannot order: it cannot send JSON, and a stranger has no orders to refund."""
    form = "product=coffee&scenario=widget"
    headers = {"Content-Type": "text/plain"}
    async with visit.browser.post(f"{visit.url}/orders", data=form, headers=headers) as answer:
        assert answer.status == 400
    order = await visit.buy()
    async with aiohttp.request("POST", f"{visit.url}/orders/{order}/refund", json={}) as answer:
        assert answer.status == 403
    headers = {"Cookie": "visitor=somebody-else"}
    async with aiohttp.request("POST", f"{visit.url}/orders/{order}/refund", json={}, headers=headers) as answer:
        assert answer.status == 404
