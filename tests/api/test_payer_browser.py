"""The payer's page in a real Chromium, in front of an issuer whose pages do as a test tells them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from tests.api.doors import Doors
from tests.api.payer_site import Scene, Site
from tests.chromium import chromium
from tests.worlds import START
from tollhouse.api.payer.texts import ENGLISH, RUSSIAN
from tollhouse.flows.authenticate import Showing
from tollhouse.threeds.translate import WINDOW_SIZES

# Chromium says so of every frame whose last page is ours, as the protocol's frames are.
KNOWN_WARNING = "can escape its sandboxing"
WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"
ONWARD = "<form id=f method=post action='{url}'><input type=hidden name={name} value=e30><button>Go on</button></form>"
SUBMIT = "<script>document.getElementById('f').submit()</script>"


class Issuer:
    """Pages of a bank, as an ASGI application: the opaque data it is given are the address it comes back to."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.on_confirm: Callable[[], None] = lambda: None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        message = await receive()
        fields = {name: values[0] for name, values in parse_qs(message.get("body", b"").decode()).items()}
        self.posts.append(scope["path"])
        page = self._page(scope["path"], fields)
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": f"<!doctype html><html lang=en>{page}".encode()})

    def _page(self, path: str, fields: dict[str, str]) -> str:
        match path:
            case "/method/prompt":
                return ONWARD.format(url=escape(fields["threeDSMethodData"]), name="threeDSMethodData") + SUBMIT
            case "/challenge":
                url, _, size = fields["creq"].partition("|")
                form = f"<form method=post action=/done><input type=hidden name=url value='{escape(url)}'>"
                return f"<title>Bank</title><h1>Window {size}</h1>{form}<button>Confirm</button></form>"
            case "/done":
                self.on_confirm()
                return ONWARD.format(url=escape(fields["url"]), name="cres") + SUBMIT
            case "/shop":
                return "<title>Shop</title><h1>Thank you</h1>"
            case _:
                return "<title>Silence</title>"


class Town:
    """Gateway and issuer, each on a port of its own, and the payments that a test opens."""

    def __init__(self) -> None:
        self.site = Site()
        self.issuer = Issuer()
        self._doors = Doors()
        self.gateway_url = self._doors.open(self.site.app)
        self.issuer_url = self._doors.open(self.issuer)

    def close(self) -> None:
        """Stop everything."""
        self._doors.close()

    def open(self, *, method: str | None = None) -> Scene:
        """A payment at its beginning; `method` is the path of the issuer's method page."""
        scene = Scene()
        self.site.scenes[scene.link] = scene
        self.issuer.posts.clear()
        self.issuer.on_confirm = lambda: self.over(scene)
        if method is not None:
            scene.show(Showing.BEGIN, method_url=self.issuer_url + method, method_data=f"{self.url(scene)}/method")
        return scene

    def url(self, scene: Scene) -> str:
        """The payer's link."""
        return f"{self.gateway_url}/3ds/{scene.link}"

    def challenge(self, scene: Scene) -> None:
        """The issuer asks this payer."""
        requests = {size: f"{self.url(scene)}/challenge|{size}" for size in WINDOW_SIZES}
        url = f"{self.issuer_url}/challenge"
        scene.show(Showing.CHALLENGE, acs_url=url, challenge_requests=requests, can_retry=True)

    def over(self, scene: Scene) -> None:
        """The payer goes back to the shop."""
        scene.show(Showing.OVER, return_url=f"{self.issuer_url}/shop?order=7")


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Gateway and issuer for all tests here."""
    town = Town()
    yield town
    town.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a screen."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens windows with the context's options. What a page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(**options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        assert context.cookies() == []
        context.close()
    assert [text for text in complaints if KNOWN_WARNING not in text and "ERR_INTERNET_DISCONNECTED" not in text] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A window of a desktop."""
    return open_page(viewport={"width": 1280, "height": 900})


def bank(page: Page) -> FrameLocator:
    """Inside of the issuer's frame."""
    return page.frame_locator("[data-testid=payer-challenge]")


def expect_shop(town: Town, page: Page) -> None:
    """The payer is back at the shop."""
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert page.url == f"{town.issuer_url}/shop?order=7"


def test_from_the_link_to_the_shop(town: Town, page: Page) -> None:
    """Method page, browser data, challenge in the window that fits, and back for good, with one click."""
    scene = town.open(method="/method/prompt")
    scene.after_ask = lambda: town.challenge(scene)
    page.goto(town.url(scene))
    expect(bank(page).get_by_role("heading")).to_have_text("Window 03")
    frame = page.get_by_test_id("payer-challenge")
    assert frame.bounding_box() is not None
    assert frame.evaluate("one => [one.clientWidth, one.clientHeight]") == [500, 600]
    assert frame.get_attribute("title") == ENGLISH.frame_title
    assert frame.get_attribute("sandbox") == "allow-scripts allow-forms allow-same-origin"
    expect(page.get_by_test_id("payer-status")).to_be_focused()
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.challenge)
    told, completion = scene.asked[0]
    assert (completion, told.has_script, told.ip, told.screen_width) == ("Y", True, "127.0.0.1", "1280")
    bank(page).get_by_role("button", name="Confirm").click()
    expect_shop(town, page)
    assert scene.brought == ["e30"]
    assert len(scene.asked) == 1
    page.go_back()
    expect_shop(town, page)


def test_a_method_page_that_never_ends(town: Town, page: Page) -> None:
    """After ten seconds the payer goes on without it."""
    scene = town.open(method="/method/never")
    scene.after_ask = lambda: town.over(scene)
    page.clock.install()
    page.goto(town.url(scene))
    expect(page.frame_locator("iframe[name^=method]").locator("title")).to_be_attached()
    page.clock.run_for(9_000)
    assert scene.asked == []
    page.clock.run_for(2_000)
    expect_shop(town, page)
    assert [completion for _, completion in scene.asked] == ["N"]


def test_frictionless(town: Town, page: Page) -> None:
    """Without a method page nothing is waited for; without a shop to go to the payer ends on a neutral page."""
    scene = town.open()
    scene.after_ask = lambda: scene.show(Showing.OVER, return_url=None)
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-end")).to_be_visible()
    assert [completion for _, completion in scene.asked] == ["U"]
    page.reload()
    expect(page.get_by_test_id("payer-end")).to_be_visible()


def test_reload_in_every_state(town: Town, page: Page) -> None:
    """The page finds its place again, and asks the directory server only at the beginning."""
    scene = town.open()
    scene.after_ask = lambda: scene.show(Showing.WAIT)
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.wait)
    page.reload()
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.wait)
    scene.show(Showing.DECOUPLED)
    page.reload()
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.decoupled)
    town.challenge(scene)
    for _ in range(2):
        page.reload()
        expect(bank(page).get_by_role("button", name="Confirm")).to_be_visible()
    town.over(scene)
    page.reload()
    expect_shop(town, page)
    assert len(scene.asked) == 1


def test_two_windows(town: Town, open_page: Callable[..., Page]) -> None:
    """The challenge is in both; what is done in one leads the other on."""
    scene = town.open()
    scene.after_ask = lambda: town.challenge(scene)
    first, second = open_page(), open_page()
    for window in (first, second):
        window.goto(town.url(scene))
        expect(bank(window).get_by_role("button", name="Confirm")).to_be_visible()
    bank(first).get_by_role("button", name="Confirm").click()
    for window in (first, second):
        expect_shop(town, window)


def test_another_attempt(town: Town, page: Page) -> None:
    """After the issuer's page came back without a result the payer may begin anew, and the page starts over."""
    scene = town.open(method="/method/prompt")
    scene.after_ask = lambda: town.challenge(scene)
    town.issuer.on_confirm = lambda: None
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-again")).to_be_hidden()
    bank(page).get_by_role("button", name="Confirm").click()
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.returned)
    expect(page.get_by_test_id("payer-challenge")).to_have_count(0)
    page.get_by_test_id("payer-again").click()
    expect(bank(page).get_by_role("button", name="Confirm")).to_be_visible()
    assert (scene.retries, len(scene.asked), town.issuer.posts.count("/method/prompt")) == (1, 2, 2)


def test_somebody_else_began_anew(town: Town, page: Page) -> None:
    """Another window's attempt takes the place of the one that is shown; the button comes when the issuer is slow."""
    scene = town.open()
    scene.after_ask = lambda: town.challenge(scene)
    page.clock.install()
    page.goto(town.url(scene))
    expect(bank(page).get_by_role("button", name="Confirm")).to_be_visible()
    page.clock.run_for(21_000)
    expect(page.get_by_test_id("payer-again")).to_be_visible()
    first = page.get_by_test_id("payer-challenge").get_attribute("name")
    scene.begin()
    page.clock.run_for(6_000)
    expect(page.get_by_test_id("payer-again")).to_be_hidden()
    expect(bank(page).get_by_role("button", name="Confirm")).to_be_visible()
    assert page.get_by_test_id("payer-challenge").get_attribute("name") != first


def test_without_connection(town: Town, page: Page) -> None:
    """The page says so, and goes on by itself."""
    scene = town.open()
    scene.after_ask = lambda: scene.show(Showing.WAIT)
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.wait)
    page.context.set_offline(True)
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.offline)
    town.over(scene)
    page.context.set_offline(False)
    expect_shop(town, page)


def test_time_goes_by(town: Town, page: Page) -> None:
    """The time left is counted by our clock, whatever the payer's says; the last minutes are announced."""
    scene = town.open()
    scene.show(Showing.DECOUPLED, deadline_at=START + timedelta(seconds=60))
    page.clock.install(time="2001-01-01")
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-timer")).to_have_text(re.compile(r"0:5\d"))
    expect(page.locator("#announcement")).to_have_text("Minutes left: 1")
    scene.show(Showing.DECOUPLED, deadline_at=START)
    expect(page.get_by_test_id("payer-status")).to_have_text(ENGLISH.late)
    expect(page.get_by_test_id("payer-timer")).to_have_text("0:00")


@pytest.mark.parametrize("height", [480, 640])
def test_small_screens(town: Town, open_page: Callable[..., Page], height: int) -> None:
    """At 320 pixels the issuer's page gets the whole width, nothing needs scrolling sideways, the amount stays."""
    scene = town.open()
    scene.after_ask = lambda: town.challenge(scene)
    page = open_page(viewport={"width": 320, "height": height}, has_touch=True, is_mobile=True)
    page.goto(town.url(scene))
    expect(bank(page).get_by_role("heading")).to_have_text("Window 05")
    scroll, width = page.evaluate(WIDTHS)
    assert scroll <= width == 320
    assert page.get_by_test_id("payer-challenge").evaluate("one => one.offsetWidth") == 320
    expect(page.get_by_test_id("payer-amount")).to_be_visible()
    bank(page).get_by_role("button", name="Confirm").click()
    expect_shop(town, page)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(1280, 900, "03"), (800, 500, "04"), (510, 800, "02"), (900, 380, "05")]
)
def test_the_window_that_fits(town: Town, open_page: Callable[..., Page], width: int, height: int, size: str) -> None:
    """The largest of the protocol's windows; when none fits, the whole page."""
    scene = town.open()
    town.challenge(scene)
    page = open_page(viewport={"width": width, "height": height})
    page.goto(town.url(scene))
    expect(bank(page).get_by_role("heading")).to_have_text(f"Window {size}")
    scroll, inner = page.evaluate(WIDTHS)
    assert scroll <= inner


def test_without_script(town: Town, open_page: Callable[..., Page]) -> None:
    """Two buttons lead to the issuer's page, its own button back, and the way ends at the shop."""
    scene = town.open(method="/method/prompt")
    scene.after_ask = lambda: town.challenge(scene)
    page = open_page(java_script_enabled=False, locale="ru-RU")
    page.goto(town.url(scene))
    expect(page.get_by_test_id("payer-status")).to_have_text(RUSSIAN.begin_plain)
    page.get_by_test_id("payer-continue").click()
    expect(page.get_by_test_id("payer-status")).to_have_text(RUSSIAN.challenge_plain)
    page.get_by_test_id("payer-continue").click()
    expect(page.get_by_role("heading")).to_have_text("Window 05")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Go on").click()
    expect_shop(town, page)
    told, completion = scene.asked[0]
    assert (told.has_script, completion, told.language) == (False, "N", "ru-RU")
    assert scene.brought == ["e30"]
