"""3-D Secure from the form: in the dialog over the shop's page, in the whole window, and in a window of its own."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.browsers import Windows, bank, enter
from tests.acceptance.forms import Form, FormShop, Opened, confirm
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import FAILING_CODE, RIGHT_CODE, WRONG_CODE, end_of, expire
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

CHALLENGE = compose(authentication=7)
MODAL = {"customerInteractionRedirect": {"target": "modal"}}
PAID, REFUSED, LATE = "accepted", "3DS_error", "action_timeout"
APPEARS = 30_000
# What becomes of each kind of challenge when its payer enters the right code, where there is one to enter.
ENDS = {0: PAID, 1: PAID, 2: REFUSED, 3: REFUSED, 4: LATE, 5: PAID, 6: PAID, 7: PAID, 8: REFUSED, 9: PAID}
SOON = ((2, "modal"), (5, "modal"), (7, "modal"), (8, "_top"))
KINDS = [
    pytest.param(digit, target, marks=[] if (digit, target) in SOON else pytest.mark.full)
    for target in ("modal", "_top")
    for digit in ENDS
]


def challenged(shop: Merchant, opened: Opened, number: str = CHALLENGE, **options: Any) -> tuple[str, Form]:
    """A confirmed payment by a card that is challenged, in the dialog unless something else is said."""
    session_id, form = opened(**{**MODAL, **options})
    form.pay(number)
    confirm(shop, session_id)
    return session_id, form


@pytest.mark.parametrize(("digit", "target"), KINDS)
def test_each_kind(system: System, shop: Merchant, opened: Opened, digit: int, target: str) -> None:
    """Whatever becomes of a challenge, the merchant and the payer learn the same."""
    redirect = {"customerInteractionRedirect": {"target": target}}
    session_id, form = challenged(shop, opened, compose(authentication=7, challenge=digit), **redirect)
    inside = form.bank if target == "modal" else bank(form.page)
    if digit in (0, 6, 7, 8, 9):
        code = inside.get_by_test_id("challenge-code")
        code.click(timeout=APPEARS)
        code.press_sequentially(RIGHT_CODE)
        inside.get_by_test_id("challenge-submit").click()
    elif digit == 5:
        inside.get_by_test_id("oob-approve").click(timeout=APPEARS)
    elif digit == 4:
        expect(inside.get_by_role("heading")).to_be_visible(timeout=APPEARS)
        expire(system, session_id)
    assert end_of(shop, session_id) == ENDS[digit]
    if target == "modal":
        form.expect_stage("succeeded" if ENDS[digit] == PAID else "declined")
        expect(form.page.locator("dialog")).to_have_count(0)
    else:
        expect(form.page.get_by_test_id("payer-end")).to_be_visible(timeout=APPEARS)


@pytest.mark.parametrize(
    ("codes", "wanted"), [((FAILING_CODE,), REFUSED), ((WRONG_CODE, RIGHT_CODE), PAID), ((WRONG_CODE,) * 3, REFUSED)]
)
def test_codes(shop: Merchant, opened: Opened, codes: tuple[str, ...], wanted: str) -> None:
    """In the dialog the code decides; wrong ones may be tried again."""
    session_id, form = challenged(shop, opened)
    for number, code in enumerate(codes, start=1):
        form.enter(code)
        if number < len(codes):
            expect(form.bank.get_by_test_id("challenge-error")).not_to_be_empty()
    form.expect_stage("succeeded" if wanted == PAID else "declined")
    assert end_of(shop, session_id) == wanted
    if wanted == REFUSED:
        expect(form.field("status")).to_contain_text("could not make sure that it is you")
        assert form.told()[-1][1]["code"] == REFUSED


def test_cancelled_at_the_bank(shop: Merchant, opened: Opened) -> None:
    """The payer's no on the bank's page is a refusal, in the dialog too."""
    session_id, form = challenged(shop, opened)
    form.bank.get_by_test_id("challenge-cancel").click(timeout=APPEARS)
    form.expect_stage("declined")
    assert end_of(shop, session_id) == REFUSED


def test_escape_asks_before_leaving(shop: Merchant, opened: Opened) -> None:
    """Escape, from the dialog or from our page in it, and the cross ask; whoever stays finds the code as typed."""
    session_id, form = challenged(shop, opened)
    page, code = form.page, form.bank.get_by_test_id("challenge-code")
    question, stay = page.get_by_test_id("dialog-question"), page.get_by_test_id("dialog-stay")
    code.click(timeout=APPEARS)
    code.press_sequentially("12")
    page.get_by_test_id("dialog-close").click()
    expect(question).to_be_visible()
    expect(stay).to_be_focused()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    page.get_by_test_id("dialog-close").focus()
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(question).to_be_visible()
        stay.click()
        expect(question).to_be_hidden()
        page.get_by_test_id("dialog-close").focus()
    form.payers_page.get_by_test_id("payer-status").focus()
    page.keyboard.press("Escape")
    expect(question).to_be_visible()
    stay.click()
    expect(code).to_have_value("12")
    code.press("End")
    code.press_sequentially("34")
    form.bank.get_by_test_id("challenge-submit").click()
    form.expect_stage("succeeded")
    assert end_of(shop, session_id) == PAID


def test_left_and_opened_again(shop: Merchant, opened: Opened) -> None:
    """Leaving cancels nothing: the form says that the payment waits and for how long, and a button leads back."""
    session_id, form = challenged(shop, opened)
    expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    form.page.get_by_test_id("dialog-close").click()
    form.page.get_by_test_id("dialog-leave").click()
    expect(form.page.locator("dialog")).to_have_count(0)
    expect(form.page.locator("#smgl-payment-form iframe")).to_be_focused()
    expect(form.field("status")).to_contain_text("You left the check by your bank")
    expect(form.field("status")).to_contain_text("Minutes left: 60")
    assert shop.status(session_id)["status"] not in ("accepted", "cancelled")
    form.field("action-open").click()
    form.enter(RIGHT_CODE)
    form.expect_stage("succeeded")
    assert end_of(shop, session_id) == PAID
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]


def test_time_runs_out_in_the_dialog(system: System, shop: Merchant, opened: Opened) -> None:
    """The dialog closes by itself when the time is over, open or left, and the form says why."""
    session_id, form = challenged(shop, opened)
    expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    expire(system, session_id)
    form.expect_stage("declined")
    expect(form.page.locator("dialog")).to_have_count(0)
    expect(form.field("status")).to_contain_text("The time for this payment is over")
    assert end_of(shop, session_id) == LATE


def test_reload_under_the_dialog(shop: Merchant, opened: Opened) -> None:
    """After a reload the form offers the way back to the bank, and does not take it unasked."""
    session_id, form = challenged(shop, opened)
    expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    form.page.reload()
    form.expect_stage("action")
    expect(form.field("status")).to_contain_text("started in another window")
    expect(form.page.locator("dialog")).to_have_count(0)
    form.field("action-open").click()
    form.enter(RIGHT_CODE)
    form.expect_stage("succeeded")
    assert end_of(shop, session_id) == PAID


@pytest.mark.parametrize(("code", "path"), [(FAILING_CODE, "/no"), (RIGHT_CODE, None)])
def test_whole_window(shop: Merchant, form_shop: FormShop, opened: Opened, code: str, path: str | None) -> None:
    """From the bank the payer comes to the address for a failure, or where none is named to a page that says so."""
    urls = (
        {}
        if path is None
        else {"success_return_url": f"{form_shop.url}/ok", "failure_return_url": form_shop.url + path}
    )
    session_id, form = challenged(shop, opened, widget=urls, customerInteractionRedirect={"target": "_top"})
    expect(bank(form.page).get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    enter(form.page, code)
    if path is None:
        expect(form.page.get_by_test_id("payer-end")).to_be_visible(timeout=APPEARS)
    else:
        expect(form.page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=APPEARS)
        assert form.page.url == f"{form_shop.url}{path}?session_id={session_id}"
    assert end_of(shop, session_id) == (PAID if path is None else REFUSED)


def test_back_from_the_bank(shop: Merchant, opened: Opened) -> None:
    """The back button leads from the bank to the form, which waits for a click before it leads there again."""
    session_id, form = challenged(shop, opened, customerInteractionRedirect={"target": "_top"})
    expect(bank(form.page).get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    form.page.go_back()
    if "/3ds/" in form.page.url:  # the pages of the issuer's frame may be a step of their own
        form.page.go_back()
    form.expect_stage("action")
    form.page.wait_for_timeout(1500)
    form.expect_stage("action")
    form.field("action-open").click()
    expect(bank(form.page).get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    enter(form.page, RIGHT_CODE)
    assert end_of(shop, session_id) == PAID


@pytest.mark.parametrize("is_blocked", [False, True])
def test_window_of_its_own(shop: Merchant, form_shop: FormShop, windows: Windows, is_blocked: bool) -> None:
    """With `_blank` the bank opens beside the shop; a browser that blocks it gets a button for another go."""
    session_id, token = shop.open_form(redirect_target="_blank")
    head = "<script>window.really = window.open; window.open = () => null;</script>" if is_blocked else ""
    form = Form(windows.open(form_shop.set_up(token, head=head)))
    form.expect_stage("ready")
    form.pay(CHALLENGE)
    with form.page.context.expect_page(timeout=APPEARS) as opening:
        confirm(shop, session_id)
        if is_blocked:
            expect(form.field("status")).to_contain_text("did not open the window", timeout=APPEARS)
            form.page.evaluate("() => { window.open = window.really; }")
            form.field("action-open").click()
    other = opening.value
    assert other.evaluate("() => window.opener") is None
    expect(bank(other).get_by_test_id("challenge-code")).to_be_visible(timeout=APPEARS)
    enter(other, RIGHT_CODE)
    form.expect_stage("succeeded")
    assert end_of(shop, session_id) == PAID
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
