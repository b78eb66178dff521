"""The widget's pages in a real Chromium: what their headers let happen, and what they do not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from playwright.sync_api import Browser, Page, expect

from tests.api.client import Shop
from tests.api.doors import Doors
from tests.api.widget_site import admit, form_token, frame_path, write_build
from tests.chromium import chromium
from tests.worlds import FakeLog, memory_world
from tollhouse.api.widget.assets import Assets

# What a script of ours would never do, each tried once, and what became of it.
FRAME_SCRIPT = """
const found = {};
const attempt = async (name, deed) => {
  try { await deed(); found[name] = "done"; } catch (error) { found[name] = error.name; }
};
addEventListener("DOMContentLoaded", async () => {
  await attempt("markup", () => { document.body.innerHTML = "<b>x</b>"; });
  await attempt("eval", () => (0, eval)("1"));
  await attempt("foreign", () => fetch("http://127.0.0.1:1/", { mode: "no-cors" }));
  await attempt("own", () => fetch("/healthz"));
  await attempt("style", () => {
    const mark = document.createElement("p");
    mark.setAttribute("style", "color: rgb(1, 2, 3)");
    document.body.append(mark);
    if (getComputedStyle(mark).color === "rgb(1, 2, 3)") return;
    throw new DOMException("", "Unstyled");
  });
  await attempt("sheet", () => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("p { color: rgb(4, 5, 6) }");
    document.adoptedStyleSheets = [sheet];
  });
  await attempt("place", () => new Promise((done, fail) => navigator.geolocation.getCurrentPosition(done, (error) =>
    fail(new DOMException("", /policy/i.test(error.message) ? "Shut" : error.message)))));
  const form = document.getElementById("form");
  form.textContent = JSON.parse(document.getElementById("tollhouse-frame").textContent).texts.title;
  document.documentElement.dataset.found = JSON.stringify(found);
});
"""
LOADER = """
window.show = async (container, url) => {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms");
  frame.src = url;
  container.append(frame);
};
"""
HOSTED = """show(document.getElementById("smgl-payment-form"), "/widget/v1/frame/" + "%s");"""


class Merchant:
    """A page of somebody else's, which frames one address."""

    def __init__(self) -> None:
        self.framed = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The page."""
        body = f"<!doctype html><html lang=en><title>Shop</title><iframe src='{self.framed}'></iframe>".encode()
        headers = [(b"content-type", b"text/html"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Street:
    """A gateway and a merchant's page, each on a port of its own."""

    def __init__(self, key: RSAPrivateKey, folder: Path) -> None:
        self._doors = Doors()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.gateway_url = f"http://127.0.0.1:{self.port}"
        bodies = {
            "frame.js": FRAME_SCRIPT,
            "frame.css": "main { color: rgb(7, 8, 9) }",
            "payment-form.js": LOADER,
            "payment-form.css": "#smgl-payment-form { color: rgb(7, 8, 9) }",
        }
        world = memory_world(public_url=self.gateway_url)
        write_build(folder, bodies=bodies)
        self.shop = Shop(key, world=world, assets=Assets.open(folder, None, FakeLog()))
        self.token = self._doors.run(form_token(self.shop, locale="de"))
        self.frame_path = frame_path(self.token)
        # Again, now that the page's script can know which form to show.
        write_build(folder, bodies={**bodies, "hosted.js": HOSTED % self.frame_path.rpartition("/")[2]})
        self.shop = Shop(key, world=world, assets=Assets.open(folder, None, FakeLog()))
        self.merchant = Merchant()
        self._doors.open(self.shop.app, listener)
        self.merchant_url = self._doors.open(self.merchant)

    def close(self) -> None:
        """Stop everything."""
        self._doors.close()


@pytest.fixture(scope="module")
def street(merchant_key: RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Gateway and merchant for all tests here."""
    street = Street(merchant_key, tmp_path_factory.mktemp("built"))
    yield street
    street.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a screen."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_what_the_frame_may_do(street: Street, page: Page, name: str) -> None:
    """Its two files work, under each name that the machine has; markup from text, eval and strangers do not."""
    page.goto(f"http://{name}:{street.port}{street.frame_path}")
    form = page.locator("#form")
    expect(form).to_have_text("Kartenzahlung")
    expect(form).to_have_css("color", "rgb(7, 8, 9)")
    found = page.evaluate("JSON.parse(document.documentElement.dataset.found)")
    assert found == {
        "markup": "TypeError",
        "eval": "EvalError",
        "foreign": "TypeError",
        "own": "done",
        "style": "Unstyled",
        "sheet": "done",
        "place": "Shut",
    }


def test_the_page_of_our_own(street: Street, page: Page) -> None:
    """It frames the form by the loader, and its own style works."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{street.gateway_url}/pay/{street.token}")
    expect(page.locator("h1")).to_have_text("Kartenzahlung")
    expect(page.locator("main")).to_have_css("max-width", "480px")
    expect(page.locator("#smgl-payment-form")).to_have_css("color", "rgb(7, 8, 9)")
    expect(page.frame_locator("iframe").locator("#form")).to_have_text("Kartenzahlung")
    expect(page.get_by_test_id("hosted-problem")).to_be_hidden()
    assert [text for text in problems if "/pay/" in text] == []


def test_who_may_frame_the_form(street: Street, page: Page) -> None:
    """The origins that the project names, and nobody else; of a live one that names none our own page alone.

    Nobody at all may frame that page.
    """
    street.merchant.framed = f"{street.gateway_url}{street.frame_path}"
    form = page.frame_locator("iframe").locator("#form")
    for origins, is_shown in ((("https://shop.example",), False), ((street.merchant_url,), True), ((), True)):
        admit(street.shop, widget_origins=origins)
        page.goto(street.merchant_url)
        expect(form).to_have_count(int(is_shown))
    admit(street.shop, is_live=True)  # and names no origins
    page.goto(street.merchant_url)
    expect(form).to_have_count(0)
    page.goto(f"{street.gateway_url}/pay/{street.token}")
    expect(form).to_have_text("Kartenzahlung")
    admit(street.shop)
    street.merchant.framed = f"{street.gateway_url}/pay/{street.token}"
    page.goto(street.merchant_url)
    expect(page.frame_locator("iframe").locator("h1", has_text="Kartenzahlung")).to_have_count(0)
    street.merchant.framed = f"{street.gateway_url}/widget/v1/frame/{'0' * 64}"
    page.goto(street.merchant_url)
    expect(form).to_have_count(1)


def test_a_narrow_window(street: Street, page: Page) -> None:
    """The page of our own fits into 320 pixels."""
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{street.gateway_url}/pay/{street.token}")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [320, 320]
