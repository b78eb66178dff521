"""The form and its dialog without a mouse, without eyes, magnified, in few colours: in Chromium, with axe."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.browsers import Windows, barriers_in, is_overflowing
from tests.acceptance.form_states import hold
from tests.acceptance.forms import CARD, CODE, DESKTOP, Form, FormShop, Opened, confirm, forgive, window_of
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import RIGHT_CODE, expire, send_payer
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

SMALL = {"width": 320, "height": 568}
MAGNIFIED = {"width": 640, "height": 450}  # half of a screen of 1280 by 900
MODAL = {"customerInteractionRedirect": {"target": "modal"}}
CHALLENGE = compose(authentication=7)
TABS_MAX = 12
MADE_UP = "Failed to load resource"
OUTLINE = "one => { const style = getComputedStyle(one); return [style.outlineStyle, parseFloat(style.outlineWidth)]; }"


def challenged(shop: Merchant, opened: Opened, **options: Any) -> Form:
    """A form whose payer sees the issuer's page in the dialog."""
    session_id, form = opened(**MODAL, **options)
    form.pay(CHALLENGE)
    confirm(shop, session_id)
    expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=30_000)
    return form


@pytest.mark.parametrize(
    ("language", "window"),
    [
        ("en", {"viewport": DESKTOP}),
        ("en", {"viewport": SMALL, "color_scheme": "dark"}),
        ("ar", {"viewport": SMALL}),
        ("ar", {"viewport": MAGNIFIED, "device_scale_factor": 2}),
    ],
)
def test_dialog_has_no_barriers(language: str, window: dict[str, Any], shop: Merchant, opened: Opened) -> None:
    """With the challenge, with the question, and after leaving: nothing for axe, nothing cut off, one way round."""
    options: dict[str, Any] = {"widget": {"locale": language}, "window": {**window, "locale": language}}
    attributes = ' style="color-scheme: light dark"' if "color_scheme" in window else ""
    form = challenged(shop, opened, **options, page_attributes=attributes)
    page = form.page
    frames = [page.main_frame, form.payers_page, window_of(form.payers_page.get_by_test_id("payer-challenge"))]
    for frame in frames:
        assert barriers_in(frame, is_part=frame != page.main_frame) == [], frame.url
        assert not is_overflowing(frame), frame.url
    dialog = page.locator("dialog")
    assert dialog.get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
    page.get_by_test_id("dialog-close").click()
    expect(page.get_by_test_id("dialog-question")).to_be_in_viewport(ratio=1)
    assert barriers_in(page.main_frame) == []
    page.get_by_test_id("dialog-leave").click()
    expect(form.field("action-open")).to_be_visible()
    assert barriers_in(form.inside, is_part=True) == []


def test_names_for_screen_readers(opened: Opened) -> None:
    """Each field has its label, hint and error by the browser's own account; the frame and the status have theirs."""
    _, form = opened(widget={"show_recurrent_checkbox": True}, texts={"paymentForm": {"cvvLabel": "CVC2"}})
    frame = form.frame
    expect(form.page.get_by_title("Payment by card")).to_be_visible()
    expect(form.inside.locator("html")).to_have_attribute("lang", "en")
    names = {"number": "Card number", "expiry": "Expiry date", "code": "CVC2", "holder": "Name on card (optional)"}
    for field, name in names.items():
        expect(form.field(field)).to_have_role("textbox")
        expect(form.field(field)).to_have_accessible_name(name)
    expect(frame.get_by_role("checkbox")).to_have_accessible_name("Save this card for later payments to this shop")
    expect(frame.get_by_role("button")).to_have_accessible_name("Pay \u2066€25.90\u2069")
    expect(frame.get_by_role("form")).to_have_accessible_name("Payment by card")
    expect(form.field("code")).to_have_accessible_description("3 digits on the back of the card")
    form.field("number").press_sequentially("4242")
    form.field("expiry").click()
    expect(form.field("error-number")).to_have_role("alert")
    expect(form.field("number")).to_have_accessible_description("The card number is incomplete")
    expect(form.field("number")).to_have_attribute("aria-invalid", "true")
    form.submit()
    expect(form.field("summary")).to_have_role("alert")
    expect(form.field("summary")).to_be_focused()
    frame.get_by_role("link", name="Expiry date: Please fill this in").click()
    expect(form.field("expiry")).to_be_focused()
    expect(form.field("status")).to_have_role("status")


@pytest.mark.parametrize("is_other_site", [False, True])
def test_keys_alone(shop: Merchant, form_shop: FormShop, windows: Windows, is_other_site: bool) -> None:
    """Tab goes through the fields as they are read, the focus is seen, Enter pays; the dialog takes it and gives it."""
    session_id, token = shop.open_form(show_recurrent_checkbox=True)
    address = form_shop.set_up(token, **MODAL)
    form = Form(windows.open(form_shop.elsewhere(address) if is_other_site else address, viewport=DESKTOP))
    form.expect_stage("ready")
    keyboard = form.page.keyboard
    for name, text in (
        ("number", CHALLENGE),
        ("expiry", "0831"),
        ("code", CODE),
        ("holder", "Kai"),
        ("recurrent", " "),
    ):
        keyboard.press("Tab")
        expect(form.field(name)).to_be_focused()
        style, width = form.field(name).evaluate(OUTLINE)
        assert (style, width >= 2) == ("solid", True)
        keyboard.type(text)
    expect(form.field("recurrent")).to_be_checked()
    keyboard.press("Tab")
    expect(form.field("submit")).to_be_focused()
    assert form.field("submit").evaluate(OUTLINE)[1] >= 2
    keyboard.press("Enter")
    form.expect_stage("waiting")
    expect(form.field("status")).to_be_focused()
    confirm(shop, session_id)
    code = form.bank.get_by_test_id("challenge-code")
    expect(code).to_be_visible(timeout=30_000)
    assert form.page.evaluate("() => document.activeElement.shadowRoot !== null"), "the dialog has the focus"
    assert go_to(form.page, code)
    keyboard.type(RIGHT_CODE)
    keyboard.press("Enter")
    form.expect_stage("succeeded")
    expect(form.page.locator("#smgl-payment-form iframe")).to_be_focused()


def go_to(page: Page, wanted: Any) -> bool:
    """Press Tab until the wanted element has the focus."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one.ownerDocument.hasFocus() && one.ownerDocument.activeElement === one"):
            return True
    return False


def test_focus_stays_in_the_dialog(shop: Merchant, opened: Opened) -> None:
    """Tab and Shift+Tab go round in it and never reach the page or the form behind it."""
    form = challenged(shop, opened, more='<a id="behind" href="/">behind</a>')
    where = "() => [document.activeElement.shadowRoot !== null || document.activeElement === document.body]"
    for key in ["Tab"] * TABS_MAX + ["Shift+Tab"] * TABS_MAX:
        form.page.keyboard.press(key)
        assert form.page.evaluate(where) == [True], key
        assert form.inside.evaluate("() => document.hasFocus()") is False, key


def test_status_is_announced(shop: Merchant, opened: Opened) -> None:
    """What happens is said by one live region that was there before, and the time left by the payer's page."""
    session_id, form = opened(**MODAL)
    handle = form.field("status").element_handle()
    form.pay(CHALLENGE)
    form.expect_stage("waiting")
    expect(form.field("status")).to_contain_text("The shop is confirming your order")
    assert handle.evaluate("one => [one.isConnected, one.getAttribute('role')]") == [True, "status"]
    confirm(shop, session_id)
    expect(form.payers_page.get_by_test_id("payer-status")).to_have_role("status")
    form.enter(RIGHT_CODE)
    form.expect_stage("succeeded")
    assert handle.evaluate("one => one.isConnected && one.innerText.includes('Paid')")


def test_magnified(opened: Opened, windows: Windows) -> None:
    """At 200 per cent, and at 400 in a window of 1280 pixels, nothing is cut off or has to be scrolled sideways."""
    for viewport, scale in ((MAGNIFIED, 2), (SMALL, 4)):
        _, form = opened(window={"viewport": viewport, "device_scale_factor": scale})
        for state in ("ready", "wrong", "action", "declined"):
            hold(form, state)
            assert not is_overflowing(form.inside)
            assert not is_overflowing(form.page.main_frame)
            height = form.page.locator("#smgl-payment-form iframe").evaluate("one => one.offsetHeight")
            assert height >= form.inside.evaluate("() => document.documentElement.scrollHeight"), state
    forgive(windows, MADE_UP)


def test_less_motion_and_few_colours(opened: Opened, windows: Windows) -> None:
    """Whoever wants no motion gets hardly any; with forced colours fields and buttons keep their edges."""
    _, form = opened(window={"reduced_motion": "reduce", "forced_colors": "active"})
    hold(form, "waiting")
    turning = "() => document.getAnimations().map((one) => one.effect.getTiming().duration)"
    assert all(duration >= 5_000 for duration in form.inside.evaluate(turning))
    hold(form, "wrong")
    edge = "one => [getComputedStyle(one).borderTopStyle, parseFloat(getComputedStyle(one).borderTopWidth)]"
    assert form.field("submit").evaluate(edge) == ["solid", 1]
    assert form.field("number").evaluate(edge) == ["solid", 2]
    assert form.field("holder").evaluate(edge) == ["solid", 1]
    assert barriers_in(form.inside, is_part=True) == []
    forgive(windows, MADE_UP)


@pytest.mark.parametrize("language", ["en", "he"])
def test_hosted_page(system: System, shop: Merchant, windows: Windows, language: str) -> None:
    """Our own page around the form, and what it says when the link opens nothing: without barriers, down to 320 px."""
    _, token = shop.open_form(locale=language)
    page = windows.open(f"{system.url}/pay/{token}", viewport=SMALL, color_scheme="dark", locale=language)
    form = Form(page)
    form.expect_stage("ready")
    assert page.locator("html").get_attribute("dir") == ("rtl" if language == "he" else "ltr")
    assert barriers_in(page.main_frame) + barriers_in(form.inside, is_part=True) == []
    assert not is_overflowing(page.main_frame)
    gone = windows.open(f"{system.url}/pay/{'0' * 64}", viewport=SMALL, locale=language)
    expect(gone.get_by_test_id("widget-notice")).to_be_visible()
    assert barriers_in(gone.main_frame) == []
    assert not is_overflowing(gone.main_frame)
    forgive(windows, "404 (Not Found)")


def test_payers_page_beside_the_challenge(system: System, shop: Merchant, windows: Windows) -> None:
    """The payer's page before the challenge, while waiting, without script and for a wrong link has no barriers."""
    for number in (compose(authentication=7, method=2), compose(authentication=9)):
        _, payer = send_payer(shop, number)
        page = windows.open(payer.link, viewport=SMALL)
        expect(page.get_by_test_id("payer-status")).to_be_visible()
        assert barriers_in(page.main_frame) == []
        assert not is_overflowing(page.main_frame)
    gone = windows.open(f"{system.url}/3ds/nobody", viewport=SMALL)
    assert barriers_in(gone.main_frame) == []
    session_id, payer = send_payer(shop, CHALLENGE)
    plain = windows.open(payer.link, viewport=SMALL, java_script_enabled=False)
    expect(plain.get_by_test_id("payer-continue")).to_be_visible()
    # axe needs script: the page as it came is looked over in a window that has it, where none of its own runs.
    copy = windows.open(viewport=SMALL)
    copy.set_content(plain.content().replace("<script", "<template").replace("</script", "</template"))
    assert barriers_in(copy.main_frame) == []
    expire(system, session_id)
    forgive(windows, "404 (Not Found)")


def test_autofill_and_phones(opened: Opened) -> None:
    """Browsers know what belongs into each field, phones show digits, and no pattern stands in the way."""
    _, form = opened(isCvcMasked=True)
    wanted = {
        "number": ["cc-number", "numeric", None],
        "expiry": ["cc-exp", "numeric", None],
        "code": ["cc-csc", "numeric", None],
        "holder": ["cc-name", "text", None],
    }
    for name, expected in wanted.items():
        told = [form.field(name).get_attribute(one) for one in ("autocomplete", "inputmode", "pattern")]
        assert told == expected, name
    masked = "one => getComputedStyle(one).webkitTextSecurity"
    assert form.field("code").evaluate(masked) == "disc"
    assert form.field("number").evaluate(masked) == "none"
    # As a browser fills it in: all at once, four digits for the year.
    for name, text in (("number", CARD), ("expiry", "08/2031"), ("code", CODE), ("holder", "Kai Muster")):
        form.field(name).fill(text)
    expect(form.field("number")).to_have_value("4242 4242 4242 4242")
    expect(form.field("expiry")).to_have_value("08/2031")
    form.submit()
    form.expect_stage("waiting")
