"""What goes wrong around a payment by the form: impatience, reloads, other windows, lost connections, crashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.acceptance import books
from tests.acceptance.browsers import Windows
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.forms import CARD, CODE, EXPIRY, Form, FormShop, Opened, confirm, forgive, wait_in
from tests.acceptance.merchant import Merchant, by_card, payment_of
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

PAY, STATUS = "**/widget/v1/pay", "**/widget/v1/status"
NO_NETWORK = ("Failed to load resource", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION", "ERR_FAILED", "ERR_INCOMPLETE")
SLOW = compose(fault=6)
DECLINED = compose(answer="51")


def calls_of(page: Page, step: str = "pay") -> list[str]:
    """Collects the form's own calls of this kind."""
    calls: list[str] = []
    page.on("request", lambda asked: calls.append(asked.url) if asked.url.endswith(f"/widget/v1/{step}") else None)
    return calls


def expect_paid_once(merchant: Merchant, session_id: str) -> None:
    """One payment, once charged."""
    merchant.finished(session_id)
    payment = payment_of(merchant.status(session_id))
    assert (payment["status"], payment["amount_details"]["amount"]) == ("succeeded", 2590)
    sales = [one for one in books.of_session(merchant.system, session_id) if one["kind"] == "sale"]
    assert len(sales) == 1


@pytest.mark.parametrize("way", ["clicks", "keys", "script"])
def test_submitted_twice(shop: Merchant, opened: Opened, way: str) -> None:
    """Two clicks, Enter pressed over and over, a script that submits: one call, one payment."""
    session_id, form = opened()
    calls = calls_of(form.page)
    form.fill()
    if way == "clicks":
        form.field("submit").dblclick()
    elif way == "keys":
        for _ in range(4):
            form.page.keyboard.press("Enter")
    else:
        form.inside.evaluate("() => { for (const n of [1, 2, 3]) document.forms[0].requestSubmit(); }")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert len(calls) == 1
    expect_paid_once(shop, session_id)


def test_reloads(shop: Merchant, opened: Opened) -> None:
    """Before, while the bank is asked, and after the end a reload shows how it stands; nothing typed comes back."""
    session_id, form = opened()
    form.fill()
    form.page.reload()
    form.expect_stage("ready")
    for name in ("number", "expiry", "code", "holder"):
        expect(form.field(name)).to_have_value("")
    form.pay(SLOW)
    form.expect_stage("waiting")
    confirm(shop, session_id)
    form.expect_stage("processing")
    form.page.reload()
    form.expect_stage("processing")
    expect(form.field("status")).to_contain_text("started in another window")
    form.expect_stage("succeeded")
    form.page.reload()
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "success"]
    expect_paid_once(shop, session_id)


def test_reload_after_a_decline(shop: Merchant, opened: Opened) -> None:
    """A declined payment stays declined, with its reason."""
    session_id, form = opened()
    form.pay(DECLINED)
    confirm(shop, session_id)
    for _ in range(2):
        form.expect_stage("declined")
        expect(form.field("status")).to_contain_text("not enough money")
        form.page.reload()


def test_away_and_back(shop: Merchant, form_shop: FormShop, opened: Opened) -> None:
    """The back button brings the form again: before the payment ready to be filled in, afterwards with its end."""
    session_id, form = opened()
    form.page.goto(f"{form_shop.url}/elsewhere")
    form.page.go_back()
    form.expect_stage("ready")
    form.pay()
    form.expect_stage("waiting")
    form.page.goto(f"{form_shop.url}/elsewhere")
    confirm(shop, session_id)
    shop.finished(session_id)
    form.page.go_back()
    form.expect_stage("succeeded")
    expect_paid_once(shop, session_id)


def test_token_used_elsewhere(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """The merchant starts the payment with another card meanwhile: the form sends nothing, and shows that one."""
    session_id, form = opened()
    form.fill()
    own = {"payment_details": by_card("5555555555554444"), "customer": {"reference": "u-3108"}}
    assert shop.call("start/payment", {"session_id": session_id, **own}).status == 200
    form.submit()
    form.expect_stage("waiting")
    expect(form.field("status")).to_contain_text("started in another window")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert "4444" in str(payment_of(shop.status(session_id))["payment_details"])
    forgive(windows, "409 (Conflict)")


def test_cancelled_before_the_payment(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """The merchant cancels while the payer types: nothing is charged, and the payer is told so."""
    session_id, form = opened()
    form.fill()
    assert shop.call("cancel", {"session_id": session_id}).status == 200
    form.submit()
    form.expect_stage("declined")
    expect(form.field("status")).to_contain_text("The shop cancelled the payment")
    forgive(windows, "409 (Conflict)")


def test_answer_lost(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """The payment reached us, our answer got lost: the card is not sent again, and the form finds out how it stands."""
    session_id, form = opened()
    calls = calls_of(form.page)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    form.page.route(PAY, lose)
    form.pay()
    form.expect_stage("waiting")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert len(calls) == 1
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
    expect_paid_once(shop, session_id)
    forgive(windows, *NO_NETWORK)


def test_request_lost(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """The payment never reached us: after a while the form is back with what was typed, and the payer may try again."""
    session_id, form = opened()
    form.page.route(PAY, lambda route: route.abort("connectionreset"), times=1)
    form.pay()
    form.expect_stage("ready")
    expect(form.field("number")).to_have_value("4242 4242 4242 4242")
    expect(form.field("code")).to_have_value(CODE)
    expect(form.field("status")).to_contain_text("you will not be charged twice")
    form.submit()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    expect_paid_once(shop, session_id)
    forgive(windows, *NO_NETWORK)


def test_offline_before_the_payment(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """Without a connection the form says so and keeps the card; with it back the payer pays."""
    session_id, form = opened()
    form.fill()
    form.page.context.set_offline(True)
    form.submit()
    form.expect_stage("offline")
    form.page.context.set_offline(False)
    form.expect_stage("ready")
    expect(form.field("expiry")).to_have_value(EXPIRY)
    form.submit()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    expect_paid_once(shop, session_id)
    forgive(windows, *NO_NETWORK)


def test_offline_in_mid_payment(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """What happens while the payer is without a connection is shown as soon as it is back."""
    session_id, form = opened()
    # Chromium breaks off nothing that is open already: without streams each question comes anew.
    form.page.route(STATUS, ask_once)
    form.pay()
    form.expect_stage("waiting")
    form.page.route(STATUS, lambda route: route.continue_())
    form.page.context.set_offline(True)
    form.expect_stage("offline")
    confirm(shop, session_id)
    shop.finished(session_id)
    form.page.context.set_offline(False)
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
    expect_paid_once(shop, session_id)
    forgive(windows, *NO_NETWORK)


def ask_once(route: Route) -> None:
    """As behind a server that streams nothing: one answer, and the end."""
    route.fulfill(response=route.fetch(headers={**route.request.headers, "accept": "application/json"}))


def test_without_streams(shop: Merchant, opened: Opened) -> None:
    """Where nothing can be streamed the form asks again and again, and learns the same."""
    session_id, form = opened()
    calls = calls_of(form.page, "status")
    form.page.route(STATUS, ask_once)
    form.pay()
    form.expect_stage("waiting")
    wait_in(form.page, lambda: len(calls) > 2, "it asks again")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    expect_paid_once(shop, session_id)


def test_server_fails(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """Our failure is called ours, and asked about until it is over; the button asks at once."""
    session_id, form = opened()
    form.page.route(STATUS, lambda route: route.fulfill(status=500, body="{}"))
    form.page.route(PAY, lambda route: (route.fetch(), route.fulfill(status=502, body="<h1>Bad Gateway</h1>")))
    form.pay()
    form.expect_stage("unexpected")
    expect(form.field("status")).to_contain_text("You will not be charged twice")
    form.page.unroute_all()
    form.field("retry").click()
    form.expect_stage("waiting")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    expect_paid_once(shop, session_id)
    forgive(windows, "Failed to load resource")


@pytest.mark.parametrize("shows_hold", [True, False])
def test_two_stages(inn: Merchant, opened: Opened, shows_hold: bool) -> None:
    """With `success_on_hold` money that is held counts as paid; without it only what is captured does."""
    session_id, form = opened(inn, widget={"success_on_hold": shows_hold})
    form.pay()
    confirm(inn, session_id)
    inn.receiver.wait_for(session_id, "ready_to_capture")
    form.expect_stage("succeeded" if shows_hold else "processing")
    assert inn.call("capture", {"session_id": session_id}).status == 200
    form.expect_stage("succeeded")
    inn.finished(session_id)
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]


@pytest.fixture
def own_windows(browser: Browser, own: System) -> Iterator[tuple[FormShop, Windows]]:
    """A payer at a shop of the test's own system."""
    shop = FormShop(own)
    windows = Windows(browser, own, shop)
    yield shop, windows
    forgive(windows, *NO_NETWORK)
    windows.close()
    shop.close()


@pytest.mark.full
def test_gateway_dies_in_mid_payment(
    own: System, own_windows: tuple[FormShop, Windows], new_merchant: NewMerchant
) -> None:
    """Killed while it is paid, the gateway is back soon: the form waits for it and tells the truth."""
    (form_shop, windows), merchant = own_windows, new_merchant(own)
    session_id, token = merchant.open_form()
    form = Form(windows.open(form_shop.set_up(token)))
    form.expect_stage("ready")
    form.pay()
    form.expect_stage("waiting")
    killed = own.kill_part("gateway")
    form.expect_stage("offline")
    own.wait_until_back("gateway", killed)
    form.expect_stage("waiting")
    confirm(merchant, session_id)
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
    expect_paid_once(merchant, session_id)
    books.assert_sound(own)


def test_gateway_dies_as_the_card_arrives(
    own: System, own_windows: tuple[FormShop, Windows], new_merchant: NewMerchant
) -> None:
    """Killed while it takes the card: either the payment began, or the form is back; in the end it is paid once."""
    (form_shop, windows), merchant = own_windows, new_merchant(own)
    session_id, token = merchant.open_form()
    form = Form(windows.open(form_shop.set_up(token)))
    form.expect_stage("ready")
    form.fill(CARD)
    pid = own.pid("gateway")
    form.page.route(PAY, lambda route: (own.kill_part("gateway"), route.continue_()), times=1)
    form.submit()
    own.wait_until_back("gateway", pid)
    form.expect_stage("ready")
    form.submit()
    confirm(merchant, session_id)
    form.expect_stage("succeeded")
    expect_paid_once(merchant, session_id)
    books.assert_sound(own)
