"""Payers with a real Chromium, a shop they come back to, and what every page of theirs is looked over for."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Frame, FrameLocator, Page, expect

from tests.acceptance.system import System

NO_THIRD_PARTY_COOKIES = "--test-third-party-cookie-phaseout"
# Chromium says so of every frame whose last page is ours, as the protocol's frames are.
KNOWN_WARNING = "can escape its sandboxing"
FRAME = "payer-challenge"
# A machine that does other things besides is slow, not wrong.
expect.set_options(timeout=30_000)

SHOP_PAGE = b"<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,><h1>Thank you</h1></html>"
AXE_OPTIONS = {"iframes": False, "resultTypes": ["violations"]}


class HasUrl(Protocol):
    """A site of a merchant."""

    url: str


class Shop:
    """The merchant's page to which payers come back. `visits` are the addresses they asked for."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(SHOP_PAGE)))
                self.end_headers()
                self.wfile.write(SHOP_PAGE)

            def log_message(self, *_: Any) -> None:
                """Nothing: the test looks at the visits."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/back"

    def close(self) -> None:
        """Nobody comes back any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Windows:
    """The windows of a test. Whatever one complains of, asks elsewhere or stores is a problem."""

    def __init__(
        self, browser: Browser, system: System, shop: HasUrl, *, cookies: frozenset[str] = frozenset()
    ) -> None:
        self._browser = browser
        self._cookies = cookies  # the names of those that the shop needs
        self._allowed = {_origin(url) for url in (system.url, system.books_url, shop.url)}
        self._allowed |= {origin.replace("127.0.0.1", "localhost") for origin in self._allowed}
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []

    def open(self, url: str | None = None, **options: Any) -> Page:
        """A window of somebody else's browser."""
        self._contexts.append(self._browser.new_context(**options))
        return self.another(self._contexts[-1], url)

    def another(self, context: BrowserContext, url: str | None = None) -> Page:
        """One more window of the same browser."""
        page = context.new_page()
        page.on("console", lambda message: self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: self._look_at(request.url))
        page.on("response", lambda answer: self._look_at_headers(answer.url, answer.headers))
        if url is not None:
            page.goto(url)
        return page

    def close(self) -> None:
        """Close them all; fails with what was wrong in one of them."""
        for context in self._contexts:
            stored = [one for one in context.cookies() if one["name"] not in self._cookies]
            if stored:
                self.problems.append(f"cookies: {stored}")
            context.close()
        assert not self.problems, self.problems

    def _complain(self, text: str) -> None:
        if KNOWN_WARNING not in text:
            self.problems.append(text)

    def _look_at(self, url: str) -> None:
        if url.startswith("http") and _origin(url) not in self._allowed:
            self.problems.append(f"asked for {url}")

    def _look_at_headers(self, url: str, headers: dict[str, str]) -> None:
        if headers.get("set-cookie", "").partition("=")[0] not in {"", *self._cookies}:
            self.problems.append(f"{url} sets a cookie")


def bank(page: Page) -> FrameLocator:
    """Inside of the issuer's frame."""
    return page.frame_locator(f"[data-testid={FRAME}]")


def enter(page: Page, code: str) -> None:
    """Enter a code on the issuer's page, in its frame, by mouse and keys as people do."""
    page.bring_to_front()  # or another window that opens meanwhile takes the keys
    field = bank(page).get_by_test_id("challenge-code")
    field.click()
    field.press_sequentially(code)
    expect(field).to_have_value(code)
    bank(page).get_by_test_id("challenge-submit").click()


def expect_shop(page: Page, session_id: str, shop: Shop) -> None:
    """The payer is back at the shop, which is told of which session."""
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert page.url == f"{shop.url}?session_id={session_id}"


def barriers(page: Page, *, inside: bool = True) -> list[str]:
    """What axe finds wrong with a page and inside of the issuer's frame in it: rule, what is the matter, where."""
    return [text for frame in (_frames(page) if inside else [page.main_frame]) for text in barriers_in(frame)]


def overflow(page: Page) -> list[str]:
    """The frames of a page that would have to be scrolled sideways."""
    return [frame.url for frame in _frames(page) if is_overflowing(frame)]


def is_overflowing(frame: Frame) -> bool:
    """Whether a page would have to be scrolled sideways."""
    script = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return bool(frame.evaluate(script) > 0)


def _frames(page: Page) -> list[Frame]:
    """The page and the issuer's frame. The hidden method page is gone, though the driver may still name its frame."""
    expect(page.locator("iframe")).to_have_count(1)
    inner = page.get_by_test_id(FRAME).element_handle().content_frame()
    assert inner is not None
    return [page.main_frame, inner]


def barriers_in(frame: Frame, *, is_part: bool = False) -> list[str]:
    """What axe finds wrong with one page, without the frames in it; a part of a page needs no main heading."""
    frame.evaluate(AXE_SCRIPT)
    rules = {"page-has-heading-one": {"enabled": not is_part}}
    found = frame.evaluate("options => axe.run(document, options)", {**AXE_OPTIONS, "rules": rules})
    return [
        f"{one['id']}: {one['help']}: {', '.join(str(node['target']) for node in one['nodes'])}"
        for one in found["violations"]
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
