"""Payments by the form on a shop's page, in Chromium against everything: the payer's states, the merchant's calls."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.browsers import FRAME, Windows
from tests.acceptance.forms import CODE, DESKTOP, Form, FormShop, Opened, confirm, forgive, standing_in
from tests.acceptance.merchant import Merchant, payment_of
from tollhouse.sandbox.cards import compose

CHALLENGE = compose(authentication=7)
FRICTIONLESS = compose(authentication=1)
DECLINED = compose(answer="51")


def test_paid(shop: Merchant, opened: Opened) -> None:
    """The payer pays, the form waits for the merchant, and both learn the end; the page is told in order."""
    session_id, form = opened()
    form.pay()
    form.expect_stage("waiting")
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert shop.finished(session_id)["status"] == "accepted"
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]


def test_cancelled_by_the_merchant(shop: Merchant, opened: Opened) -> None:
    """The merchant says no: the payer is told that nothing was charged, the page why."""
    session_id, form = opened()
    form.pay()
    shop.receiver.wait_for(session_id, "ready_to_confirm")
    shop.call("cancel", {"session_id": session_id})
    form.expect_stage("declined")
    kind, error = form.told()[-1]
    assert (kind, error["code"]) == ("fail", "session_cancelled_by_partner")


def test_declined(shop: Merchant, opened: Opened) -> None:
    """The bank says no: the words fit the reason, the callback has code, description and message."""
    session_id, form = opened()
    form.pay(DECLINED)
    confirm(shop, session_id)
    form.expect_stage("declined")
    kind, error = form.told()[-1]
    assert (kind, error["code"]) == ("fail", "insufficient_funds")
    assert error["description"]
    assert error["message"]


def test_frictionless(shop: Merchant, opened: Opened) -> None:
    """A frictionless card opens the dialog for a moment, and is paid without a word of the payer's."""
    session_id, form = opened(customerInteractionRedirect={"target": "modal"})
    form.pay(FRICTIONLESS)
    confirm(shop, session_id)
    form.expect_stage("succeeded")


def test_challenge_in_the_dialog(shop: Merchant, opened: Opened) -> None:
    """The issuer's page opens in a dialog over the shop's page; its end closes the dialog."""
    session_id, form = opened(customerInteractionRedirect={"target": "modal"})
    form.pay(CHALLENGE)
    confirm(shop, session_id)
    dialog = form.page.frame_locator("[data-testid=dialog-frame]")
    bank = dialog.frame_locator(f"[data-testid={FRAME}]")
    bank.get_by_test_id("challenge-code").click()
    bank.get_by_test_id("challenge-code").press_sequentially("1234")
    bank.get_by_test_id("challenge-submit").click()
    form.expect_stage("succeeded")
    expect(form.page.get_by_test_id("dialog-frame")).to_have_count(0)
    assert shop.finished(session_id)["status"] == "accepted"


def test_challenge_in_the_whole_window(shop: Merchant, form_shop: FormShop, opened: Opened) -> None:
    """By default the payer's window goes to the issuer, and from there to the address for a success."""
    urls = {"success_return_url": f"{form_shop.url}/ok", "failure_return_url": f"{form_shop.url}/no"}
    session_id, form = opened(widget=urls)
    form.pay(CHALLENGE)
    confirm(shop, session_id)
    bank = form.page.frame_locator(f"[data-testid={FRAME}]")
    bank.get_by_test_id("challenge-code").click()
    bank.get_by_test_id("challenge-code").press_sequentially("1234")
    bank.get_by_test_id("challenge-submit").click()
    expect(form.page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=30_000)
    assert form.page.url == f"{form_shop.url}/ok?session_id={session_id}"


def test_return_url_after_a_decline(shop: Merchant, form_shop: FormShop, opened: Opened) -> None:
    """After the callback the page goes to the address for a failure, which names the session."""
    session_id, form = opened(widget={"failure_return_url": f"{form_shop.url}/no?shop=1"})
    form.pay(DECLINED)
    confirm(shop, session_id)
    expect(form.page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=30_000)
    assert form.page.url == f"{form_shop.url}/no?shop=1&session_id={session_id}"


def test_two_windows_one_payment(shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """The same form in two windows: one pays, the other says that it was started elsewhere and shows how it stands."""
    session_id, token = shop.open_form()
    page = form_shop.set_up(token)
    first, second = Form(windows.open(page)), Form(windows.open(page))
    for form in (first, second):
        form.expect_stage("ready")
        form.fill()
    first.submit()
    first.expect_stage("waiting")
    second.submit()
    second.expect_stage("waiting")
    confirm(shop, session_id)
    for form in (first, second):
        form.expect_stage("succeeded")
    assert payment_of(shop.status(session_id))["amount_details"]["amount"] == 2590
    forgive(windows, "409 (Conflict)")


def test_reload_while_the_merchant_decides(shop: Merchant, opened: Opened) -> None:
    """A reload shows how the payment stands and not the empty form."""
    session_id, form = opened()
    form.pay()
    form.expect_stage("waiting")
    form.page.reload()
    form.expect_stage("waiting")
    confirm(shop, session_id)
    form.expect_stage("succeeded")


def test_bad_input_uses_nothing_up(shop: Merchant, opened: Opened) -> None:
    """Wrong digits are told at the field, and the same form pays afterwards."""
    session_id, form = opened()
    form.pay("4242424242424241")
    expect(form.field("error-number")).to_be_visible()
    form.field("number").fill("")
    form.field("number").press_sequentially("4242424242424242")
    form.submit()
    confirm(shop, session_id)
    form.expect_stage("succeeded")


def test_expired_token(shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """A token that opens nothing: the payer is told to start again, the page why."""
    form = Form(windows.open())
    form.page.goto(form_shop.set_up("0" * 64))
    form.expect_stage("expired")
    assert form.told()[-1][1]["code"] == "public_token_invalid"
    forgive(windows, "404 (Not Found)", "401 (Unauthorized)")


def test_hosted_page(shop: Merchant, windows: Windows) -> None:
    """Without a page of their own merchants give out a link: the same form, on our page."""
    session_id, token = shop.open_form()
    form = Form(windows.open(f"{shop.system.url}/pay/{token}", viewport=DESKTOP))
    form.expect_stage("ready")
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert standing_in(form.page.content(), [CODE]) == []
