"""The payment form as payers meet it: a shop's page on an origin of its own, in Chromium, with the form in it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Frame, FrameLocator, Locator, Page, expect

from tests.acceptance.browsers import FRAME, Windows
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System

CARD, EXPIRY, CODE, HOLDER = "4242424242424242", "08/31", "417", "Kai Muster"
STAGE_SECONDS_MAX = 30.0
DESKTOP = {"width": 1100, "height": 900}
PAGE = """\
<!doctype html><html lang="en"{page_attributes}><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Checkout</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{gateway}/payment-form.css">
{head}<script src="{gateway}/payment-form.js"></script></head>
<body><main><h1>Checkout</h1><div id="smgl-payment-form"></div>{more}</main><script>
window.told = [];
const form = window.form = new SmglPaymentForm("{token}", {{
  container: document.getElementById("smgl-payment-form"), ...{options}}});
form.onReady = () => told.push(["ready"]);
form.onPaymentStart = () => told.push(["start"]);
form.onPaymentSuccess = () => told.push(["success"]);
form.onPaymentFail = (error) => told.push(["fail", error]);
form.render();
</script></body></html>"""
END = "<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,><h1>Thank you</h1></html>"


class FormShop:
    """A merchant's site: /checkout/<n> shows the n-th form that was set up, anything else says thank you."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.pages: list[str] = []
        self.visits: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.visits.append(self.path)
                page = END
                if self.path.startswith("/checkout/"):
                    page = shop.pages[int(self.path.split("/")[2])]
                body = page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: the test looks at the visits."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def elsewhere(self, url: str) -> str:
        """The same page on another origin."""
        return url.replace("127.0.0.1", "localhost")

    def close(self) -> None:
        """Nobody comes any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def set_up(self, token: str, *, head: str = "", more: str = "", page_attributes: str = "", **options: Any) -> str:
        """A page with the form for this token; its address."""
        return self.add(
            PAGE.format(
                gateway=self.system.url,
                token=token,
                head=head,
                more=more,
                page_attributes=page_attributes,
                options=json.dumps(options),
            )
        )

    def add(self, page: str) -> str:
        """Any other page; its address."""
        self.pages.append(page)
        return f"{self.url}/checkout/{len(self.pages) - 1}"


def standing_in(text: str, words: Iterable[str]) -> list[str]:
    """Those of the words that stand in the text by themselves: three digits are part of many a port and hash."""
    return [word for word in words if re.search(rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])", text)]


@dataclass
class Form:
    """The form on a page, as its payer sees it."""

    page: Page

    @property
    def frame(self) -> FrameLocator:
        """Inside of the one iframe."""
        return self.page.frame_locator("#smgl-payment-form iframe")

    @property
    def inside(self) -> Frame:
        """The window of that iframe, for what locators cannot do."""
        return window_of(self.page.locator("#smgl-payment-form iframe"))

    @property
    def payers_page(self) -> Frame:
        """The payer's 3-D Secure page in the dialog."""
        return window_of(self.page.get_by_test_id("dialog-frame"))

    @property
    def bank(self) -> FrameLocator:
        """The issuer's page in it."""
        return self.page.frame_locator("[data-testid=dialog-frame]").frame_locator(f"[data-testid={FRAME}]")

    def field(self, name: str) -> Locator:
        """One of the form's parts by its test id."""
        return self.frame.get_by_test_id(f"form-{name}")

    def fill(self, number: str = CARD, expiry: str = EXPIRY, code: str = CODE, holder: str = HOLDER) -> None:
        """Type as a payer does."""
        for name, text in (("number", number), ("expiry", expiry), ("code", code), ("holder", holder)):
            self.field(name).click()
            self.field(name).press_sequentially(text)

    def submit(self) -> None:
        """Press the button."""
        self.field("submit").click()

    def pay(self, number: str = CARD, **typed: str) -> None:
        """Type and press."""
        self.fill(number, **typed)
        self.submit()

    def enter(self, code: str) -> None:
        """Enter a code on the issuer's page in the dialog."""
        field = self.bank.get_by_test_id("challenge-code")
        field.click()
        field.press_sequentially(code)
        expect(field).to_have_value(code)
        self.bank.get_by_test_id("challenge-submit").click()

    def expect_stage(self, stage: str, *, seconds: float = STAGE_SECONDS_MAX) -> None:
        """The form gets there."""
        expect(self.field("status")).to_have_attribute("data-stage", stage, timeout=seconds * 1000)

    def told(self) -> list[list[Any]]:
        """What the merchant's page was called back with."""
        found: list[list[Any]] = self.page.evaluate("() => window.told")
        return found


def window_of(iframe: Locator) -> Frame:
    """What is in a frame."""
    element = iframe.element_handle()
    assert element is not None
    frame = element.content_frame()
    assert frame is not None
    return frame


Opened = Callable[..., tuple[str, Form]]


def confirm(merchant: Merchant, session_id: str) -> None:
    """The merchant hears of the payment and says yes."""
    merchant.receiver.wait_for(session_id, "ready_to_confirm")
    merchant.confirm(session_id)


def forgive(windows: Windows, *parts: str) -> None:
    """Chromium's console names every answer above 399 and every attack that it stops, also those of a test."""
    windows.problems[:] = [one for one in windows.problems if not any(part in one for part in parts)]


def wait_in(page: Page, found: Callable[[], object], what: str, *, seconds: float = STAGE_SECONDS_MAX) -> None:
    """Wait while the browser's events go on arriving."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        page.wait_for_timeout(50)
