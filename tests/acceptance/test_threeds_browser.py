"""Payers with a real Chromium on the whole way: our page, the issuer's pages in it, and back to the shop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance import books
from tests.acceptance.browsers import (
    FRAME,
    NO_THIRD_PARTY_COOKIES,
    Shop,
    Windows,
    bank,
    barriers,
    enter,
    expect_shop,
    overflow,
)
from tests.acceptance.conftest import SHARED_LIMITS
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import FAILING_CODE, RIGHT_CODE, WRONG_CODE, end_of, expire, messages_of, send_payer
from tests.acceptance.system import System
from tests.chromium import chromium
from tollhouse.sandbox.cards import compose

PAID, REFUSED, LATE = "accepted", "3DS_error", "action_timeout"
DESKTOP, PHONE, SMALL = (
    {"width": 1280, "height": 900},
    {"width": 390, "height": 844},
    {"width": 320, "height": 568},
)
CHALLENGE, BY_APP = compose(authentication=7), compose(authentication=7, challenge=5)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose issuer lies at another site than the payer's page, as issuers do."""
    running = System(tmp_path_factory.mktemp("town"), **SHARED_LIMITS)
    running.environment["TOLLHOUSE_DIRECTORY_URL"] = f"http://localhost:{running.sandbox_port}/ds"
    try:
        yield running.start()
    finally:
        running.destroy()


@pytest.fixture(scope="module")
def merchant(town: System) -> Iterator[Merchant]:
    """The merchant there."""
    merchant = Merchant(town)
    yield merchant
    merchant.close()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The merchant's page."""
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that keeps no cookies of frames from other sites."""
    with chromium(NO_THIRD_PARTY_COOKIES) as opened:
        yield opened


@pytest.fixture
def windows(browser: Browser, town: System, shop: Shop) -> Iterator[Windows]:
    """The payer's windows. What one of them complains of fails the test."""
    windows = Windows(browser, town, shop)
    yield windows
    windows.close()


class Journey:
    """A payment whose payer has opened the link."""

    def __init__(
        self,
        merchant: Merchant,
        shop: Shop,
        windows: Windows,
        number: str,
        *,
        has_clock: bool = False,
        **options: Any,
    ) -> None:
        self._merchant, self._shop = merchant, shop
        goal = {"payment_options": {"return_url": shop.url}}
        self.session_id, self.payer = send_payer(merchant, number, **goal)
        self.page = windows.open(**{"viewport": DESKTOP, "locale": "en-US", **options})
        if has_clock:
            self.page.clock.install()
        self.page.goto(self.payer.link)

    def expect_end(self, wanted: str, page: Page | None = None) -> None:
        """The payer is at the shop, and the merchant was told how it ended."""
        expect_shop(page or self.page, self.session_id, self._shop)
        assert end_of(self._merchant, self.session_id) == wanted


@pytest.fixture
def travel(merchant: Merchant, shop: Shop, windows: Windows) -> Any:
    """Begins journeys: `travel(number, viewport=…)`."""

    def begin(number: str = CHALLENGE, **options: Any) -> Journey:
        return Journey(merchant, shop, windows, number, **options)

    return begin


@pytest.mark.parametrize("method", [0, 1, 2])
def test_frictionless(town: System, travel: Any, method: int) -> None:
    """Without a word of the payer's: with the issuer's hidden page, without one, and past one that never answers."""
    journey = travel(compose(authentication=1, method=method))
    expect(journey.page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=30_000)
    journey.expect_end(PAID)
    request = messages_of(town, journey.session_id)[0]
    assert request["threeDSCompInd"] == {0: "Y", 1: "U", 2: "N"}[method]
    assert (request["browserJavascriptEnabled"], request["browserLanguage"]) == (True, "en-US")
    assert (request["browserScreenWidth"], request["browserScreenHeight"]) == ("1280", "900")


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [((RIGHT_CODE,), PAID), ((FAILING_CODE,), REFUSED), ((WRONG_CODE, RIGHT_CODE), PAID), ((WRONG_CODE,) * 3, REFUSED)],
)
def test_challenge(travel: Any, codes: tuple[str, ...], wanted: str) -> None:
    """The code decides, after wrong ones too; back at the shop the payer cannot go back into the challenge."""
    journey = travel()
    page = journey.page
    expect(bank(page).get_by_test_id("challenge-amount")).to_have_text(re.compile("25.90"))
    for number, code in enumerate(codes, start=1):
        enter(page, code)
        if number < len(codes):
            expect(bank(page).get_by_test_id("challenge-error")).not_to_be_empty()
    journey.expect_end(wanted)
    page.go_back()
    assert "session_id" in page.url or page.url == "about:blank"
    page.goto(journey.payer.link)
    journey.expect_end(wanted)


def test_challenge_cancelled(travel: Any) -> None:
    """The payer's own no is a refusal."""
    journey = travel()
    bank(journey.page).get_by_test_id("challenge-cancel").click()
    journey.expect_end(REFUSED)


@pytest.mark.parametrize(("button", "wanted"), [("oob-approve", PAID), ("oob-decline", REFUSED)])
def test_out_of_band(travel: Any, button: str, wanted: str) -> None:
    """The bank's app decides."""
    journey = travel(BY_APP)
    bank(journey.page).get_by_test_id(button).click()
    journey.expect_end(wanted)


@pytest.mark.parametrize("digit", [1, 2, 3])
def test_challenge_that_needs_no_payer(travel: Any, digit: int) -> None:
    """A challenge that passes, fails or is cancelled by itself leads straight on."""
    travel(compose(authentication=7, challenge=digit)).expect_end(PAID if digit == 1 else REFUSED)


def test_decoupled(travel: Any) -> None:
    """While the bank asks elsewhere the page waits, and goes on by itself."""
    journey = travel(compose(authentication=9))
    expect(journey.page.get_by_test_id("payer-status")).to_contain_text("for example in its app")
    assert barriers(journey.page, inside=False) == []
    journey.expect_end(PAID)


def test_browser_is_back_before_the_result(travel: Any) -> None:
    """The page says that it checks, and waits for the result itself."""
    journey = travel(compose(authentication=7, challenge=6))
    enter(journey.page, RIGHT_CODE)
    expect(journey.page.get_by_test_id("payer-status")).to_contain_text("We are checking the result")
    assert barriers(journey.page, inside=False) == []
    journey.expect_end(PAID)


def test_issuers_page_leads_nowhere(travel: Any) -> None:
    """The page notices by itself that the result is there, and takes the payer back."""
    journey = travel(compose(authentication=7, challenge=7))
    enter(journey.page, RIGHT_CODE)
    journey.expect_end(PAID)


def test_error_message_in_place_of_a_result(travel: Any) -> None:
    """The issuer's system fails: so does the payment."""
    journey = travel(compose(authentication=7, challenge=8))
    enter(journey.page, RIGHT_CODE)
    journey.expect_end(REFUSED)


def test_window_closed_and_opened_again(town: System, merchant: Merchant, windows: Windows, travel: Any) -> None:
    """In mid-challenge the payer leaves; whoever comes back finds it as it was; who does not is too late."""
    back, gone = travel(), travel()
    for journey in (back, gone):
        expect(bank(journey.page).get_by_test_id("challenge-code")).to_be_visible()
        journey.page.close()
    page = windows.open(back.payer.link)
    enter(page, RIGHT_CODE)
    back.expect_end(PAID, page)
    expire(town, gone.session_id)
    assert end_of(merchant, gone.session_id) == LATE
    gone.expect_end(LATE, windows.open(gone.payer.link))


def test_time_runs_out_before_the_payers_eyes(town: System, travel: Any) -> None:
    """An open page takes the payer back to the shop when the time is over."""
    journey = travel(compose(authentication=7, challenge=4))
    expect(bank(journey.page).get_by_role("heading")).to_be_visible()
    expire(town, journey.session_id)
    journey.expect_end(LATE)


def test_reload_in_mid_challenge(town: System, travel: Any) -> None:
    """The same challenge is there again, and nobody was asked twice."""
    journey = travel()
    for _ in range(3):
        expect(bank(journey.page).get_by_test_id("challenge-code")).to_be_visible()
        journey.page.reload()
    enter(journey.page, WRONG_CODE)
    expect(bank(journey.page).get_by_test_id("challenge-error")).not_to_be_empty()
    journey.page.reload()
    enter(journey.page, RIGHT_CODE)
    journey.expect_end(PAID)
    types = [message["messageType"] for message in messages_of(town, journey.session_id)]
    assert types.count("AReq") == 1


def test_two_windows(windows: Windows, travel: Any) -> None:
    """What is done in one leads the other on, in the same browser and in another."""
    journey = travel()
    others = [windows.another(journey.page.context, journey.payer.link), windows.open(journey.payer.link)]
    for page in (journey.page, *others):
        expect(bank(page).get_by_test_id("challenge-code")).to_be_visible()
    enter(others[0], RIGHT_CODE)
    for page in (journey.page, *others):
        journey.expect_end(PAID, page)


def test_challenge_that_never_ends_and_another_attempt(town: System, travel: Any) -> None:
    """After a while the payer is offered to begin anew, and gets a fresh challenge."""
    journey = travel(compose(authentication=7, challenge=4), has_clock=True)
    page = journey.page
    expect(bank(page).get_by_role("heading")).to_be_visible()
    expect(page.get_by_test_id("payer-again")).to_be_hidden()
    first = page.get_by_test_id(FRAME).get_attribute("name")
    page.clock.fast_forward(21_000)
    page.get_by_test_id("payer-again").click()
    expect(page.get_by_test_id(FRAME)).not_to_have_attribute("name", str(first))
    expect(bank(page).get_by_role("heading")).to_be_visible()
    expire(town, journey.session_id)
    journey.expect_end(LATE)


def test_small_screen(travel: Any) -> None:
    """At 320 pixels nothing has to be scrolled sideways, the amount stays in sight, and the challenge can be used."""
    journey = travel(viewport=SMALL)
    page = journey.page
    expect(bank(page).get_by_test_id("challenge-code")).to_be_visible()
    assert overflow(page) == []
    expect(page.get_by_test_id("payer-amount")).to_be_in_viewport()
    assert page.get_by_test_id(FRAME).evaluate("one => one.offsetWidth") == 320
    enter(page, RIGHT_CODE)
    journey.expect_end(PAID)


@pytest.mark.parametrize("number", [CHALLENGE, compose(authentication=9)])
def test_without_script(town: System, travel: Any, number: str) -> None:
    """By buttons alone the payer comes through the challenge, or through the wait for the bank's app, to the shop."""
    journey = travel(number, java_script_enabled=False, locale="ru-RU")
    page = journey.page
    assert page.locator("html").get_attribute("lang") == "ru"
    page.get_by_test_id("payer-continue").click()
    if number == CHALLENGE:
        page.get_by_test_id("payer-continue").click()
        page.get_by_test_id("challenge-code").fill(RIGHT_CODE)
        page.get_by_test_id("challenge-submit").click()
        page.get_by_test_id("cres-continue").click()
    journey.expect_end(PAID)
    request = messages_of(town, journey.session_id)[0]
    assert (request["browserJavascriptEnabled"], request["browserLanguage"]) == (False, "ru-RU")


def test_keyboard_alone(travel: Any) -> None:
    """The focus stands immediately before the issuer's page; Tab, typing and Enter are enough."""
    journey = travel()
    code = bank(journey.page).get_by_test_id("challenge-code")
    expect(code).to_be_visible()
    expect(journey.page.get_by_test_id("payer-status")).to_be_focused()
    journey.page.keyboard.press("Tab")
    expect(code).to_be_focused()
    journey.page.keyboard.type(RIGHT_CODE)
    expect(code).to_have_value(RIGHT_CODE)
    journey.page.keyboard.press("Enter")
    journey.expect_end(PAID)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("viewport", "locale"), [(DESKTOP, "en-US"), (PHONE, "ru-RU"), (SMALL, "ru-RU")])
def test_no_barriers(windows: Windows, travel: Any, viewport: dict[str, int], locale: str, scheme: str) -> None:
    """axe finds nothing in the challenge, after a wrong code, in the bank's app and at the end; nothing is cut off."""
    options = {"viewport": viewport, "locale": locale, "color_scheme": scheme}
    journey = travel(CHALLENGE, **options)
    enter(journey.page, WRONG_CODE)
    expect(bank(journey.page).get_by_test_id("challenge-error")).not_to_be_empty()
    by_app = travel(BY_APP, **options)
    expect(bank(by_app.page).get_by_test_id("oob-approve")).to_be_visible()
    for page in (journey.page, by_app.page):
        assert barriers(page) == []
        assert overflow(page) == []
    language = bank(journey.page).locator("html").get_attribute("lang")
    assert language == journey.page.locator("html").get_attribute("lang") == locale[:2]
    enter(journey.page, RIGHT_CODE)
    journey.expect_end(PAID)


def test_neutral_page_has_no_barriers(merchant: Merchant, windows: Windows) -> None:
    """Where payers end who have nowhere to go."""
    session_id, payer = send_payer(merchant, compose(authentication=1))
    page = windows.open(payer.link)
    expect(page.get_by_test_id("payer-end")).to_be_visible()
    assert end_of(merchant, session_id) == PAID
    assert barriers(page, inside=False) == []


def test_books_are_sound_at_the_end(town: System) -> None:
    """Whatever the tests before have done here: nobody was charged twice, the books agree, `verify` finds nothing."""
    books.assert_sound(town)
