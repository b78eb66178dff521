"""What merchants' pages do with the form: callbacks, words, looks, the custom element, the module, its end."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import expect

from tests.acceptance.browsers import Windows
from tests.acceptance.forms import Form, FormShop, Opened, confirm, forgive
from tests.acceptance.merchant import Merchant, payment_of
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

DECLINED = compose(answer="51")
ELEMENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout</title><link rel="icon" href="data:,">
<script type="module" src="{gateway}/tollhouse.mjs"></script><main id="smgl-payment-form"></main><script>
window.told = [];
for (const kind of ["ready", "paymentstart", "paymentsuccess", "paymentfail"])
  document.addEventListener(kind, (event) => told.push([kind, event.detail?.code ?? ""]));
document.querySelector("main").innerHTML =
  '<tollhouse-payment-form token="{token}" theme="dark" target="modal" cvc-masked>';
</script>"""
MODULE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout</title><link rel="icon" href="data:,">
<main id="smgl-payment-form"></main><script type="module">
import {{ PaymentForm }} from "{gateway}/tollhouse.mjs";
window.told = [];
const form = new PaymentForm("{token}", {{ container: "#smgl-payment-form" }});
form.onReady = () => told.push(["ready"]);
form.onPaymentStart = () => told.push(["start"]);
form.onPaymentSuccess = () => told.push(["success"]);
form.render();
</script>"""
COLOUR = "one => getComputedStyle(one).backgroundColor"


def test_callbacks(shop: Merchant, opened: Opened) -> None:
    """Each comes once and in order; the last of a refusal has a code, English words and the payer's."""
    session_id, form = opened(widget={"locale": "de"})
    form.pay(DECLINED)
    confirm(shop, session_id)
    form.expect_stage("declined")
    told = form.told()
    assert [one[0] for one in told] == ["ready", "start", "fail"]
    assert "Guthaben" in told[-1][1]["message"]
    assert set(told[-1][1]) == {"code", "description", "message"}


def test_callback_that_throws(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """A mistake of the merchant's page stops nothing: the browser names it, and the payment goes on."""
    session_id, form = opened()
    form.page.evaluate("() => { form.onPaymentStart = () => { told.push(['start']); throw new Error('mistake'); }; }")
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
    assert any("mistake" in one for one in windows.problems)
    forgive(windows, "mistake")


def test_custom_element(system: System, shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """A page that is written in HTML alone hears of it all by events."""
    session_id, token = shop.open_form()
    form = Form(windows.open(form_shop.add(ELEMENT.format(gateway=system.url, token=token))))
    form.expect_stage("ready")
    assert form.field("code").evaluate("one => getComputedStyle(one).webkitTextSecurity") == "disc"
    dark = form.inside.locator("body").evaluate(COLOUR)
    form.page.evaluate("() => document.querySelector('tollhouse-payment-form').setAttribute('theme', 'light')")
    expect(form.inside.locator("body")).not_to_have_css("background-color", dark)
    form.pay(compose(authentication=1))
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "paymentstart", "paymentsuccess"]
    form.page.evaluate("() => document.querySelector('tollhouse-payment-form').remove()")
    expect(form.page.locator("iframe")).to_have_count(0)


def test_module(system: System, shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """The same form as an ES module, under our own name."""
    session_id, token = shop.open_form()
    form = Form(windows.open(form_shop.add(MODULE.format(gateway=system.url, token=token))))
    form.expect_stage("ready")
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]


def test_words_of_the_merchant(opened: Opened) -> None:
    """Labels, the button and the terms are the merchant's where they are given; everything else is in our words."""
    words = {
        "cardNumberLabel": "Your card",
        "buttonPayLabel": "Order now",
        "termsAgreement": "I accept the {{#link}}terms of sale{{/link}}.",
        "termsUrl": "https://shop.example/terms",
    }
    _, form = opened(texts={"paymentForm": words})
    expect(form.field("number")).to_have_accessible_name("Your card")
    expect(form.field("submit")).to_have_text("Order now")
    expect(form.field("terms")).to_have_text("I accept the terms of sale (https://shop.example/terms).")
    expect(form.field("expiry")).to_have_accessible_name("Expiry date")


def test_card_kept_for_later(shop: Merchant, opened: Opened) -> None:
    """The box is not ticked for the payer; ticked, the merchant is told. Without the merchant's wish there is none."""
    session_id, form = opened(widget={"show_recurrent_checkbox": "true"})
    expect(form.field("recurrent")).not_to_be_checked()
    form.field("recurrent").check()
    form.pay()
    form.expect_stage("waiting")
    assert payment_of(shop.status(session_id))["payment_options"]["recurrent"] is True
    _, other = opened()
    expect(other.field("recurrent")).to_have_count(0)


def test_looks_change_live(opened: Opened) -> None:
    """Colours and themes change under the payer's hands; what was typed and the focus stay."""
    _, form = opened(appearance={"theme": "light"})
    form.fill()
    look: dict[str, Any] = {"variables": {"colorPrimary": "#7a1fa2", "borderRadius": "20px"}}
    look["rules"] = {".Label": {"font-weight": "700"}, ".Input:focus": {"border-color": "#7a1fa2"}}
    form.page.evaluate("appearance => form.update({ appearance })", look)
    expect(form.field("submit")).to_have_css("background-color", "rgb(122, 31, 162)")
    expect(form.field("number")).to_have_css("border-top-left-radius", "20px")
    expect(form.frame.locator("label").first).to_have_css("font-weight", "700")
    form.page.evaluate("() => form.update({ appearance: { theme: 'dark' } })")
    expect(form.inside.locator("body")).to_have_css("background-color", "rgb(20, 26, 36)")
    expect(form.field("number")).to_have_value("4242 4242 4242 4242")
    expect(form.field("holder")).to_be_focused()


def test_follows_the_page(opened: Opened) -> None:
    """Without a theme the form is as dark as the page around it, and changes with it."""
    _, form = opened(page_attributes=' style="color-scheme: light dark"', window={"color_scheme": "dark"})
    body = form.inside.locator("body")
    expect(body).to_have_css("background-color", "rgb(20, 26, 36)")
    form.page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    form.page.evaluate("() => { document.documentElement.style.colorScheme = 'dark'; }")
    expect(body).to_have_css("background-color", "rgb(20, 26, 36)")


def test_destroyed(shop: Merchant, opened: Opened) -> None:
    """Nothing of it stays in the page, no callback comes any more, and the payment that runs goes on."""
    session_id, form = opened(customerInteractionRedirect={"target": "modal"})
    form.pay(compose(authentication=7))
    confirm(shop, session_id)
    expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=30_000)
    before = form.page.evaluate("() => document.body.innerHTML.length")
    told = form.told()
    form.page.evaluate("() => form.destroy()")
    expect(form.page.locator("iframe, dialog")).to_have_count(0)
    assert form.page.evaluate("() => document.body.innerHTML.length") < before
    assert shop.status(session_id)["status"] not in ("accepted", "cancelled")
    assert form.told() == told


def test_mistakes_of_a_page(opened: Opened) -> None:
    """What is wrong in a merchant's call is said at once, and named."""
    _, form = opened()
    attempts = {
        "container": ["0" * 64, {}],
        "#nowhere": ["0" * 64, {"container": "#nowhere"}],
        "publicToken": ["secret", {"container": "main"}],
        "target": ["0" * 64, {"container": "main", "customerInteractionRedirect": {"target": "here"}}],
        "isCvcMasked": ["0" * 64, {"container": "main", "isCvcMasked": "yes"}],
    }
    script = """([token, options]) => {
      try { new SmglPaymentForm(token, options).render(); return ""; } catch (error) { return String(error); }
    }"""
    for named, given in attempts.items():
        said = form.page.evaluate(script, json.loads(json.dumps(given)))
        assert said.startswith("TypeError: Payment form:"), named
        assert named in said
        assert "secret" not in said
