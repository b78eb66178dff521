"""The demo shop in Chromium, against `tollhouse up`: both scenarios, and the conversation that draws itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.browsers import Windows, bank, barriers_in, enter, is_overflowing
from tests.acceptance.canaries import Canaries
from tests.acceptance.forms import Form, forgive
from tests.acceptance.payer import RIGHT_CODE
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

PLAIN, CHALLENGE, DECLINED = "4242424242424242", "4000002760003184", "4000000000009995"
WIDGET, OWN = "widget", "own"
SECONDS_MAX = 30_000
KINDS = {"call", "answer", "webhook", "state", "payer"}


@pytest.fixture
def shop_windows(browser: Browser, system: System) -> Iterator[Windows]:
    """Windows of the shop's visitors; its own cookie is all that is stored."""
    site = SimpleNamespace(url=f"http://127.0.0.1:{system.shop_port}/")
    windows = Windows(browser, system, site, cookies=frozenset({"visitor"}))
    yield windows
    windows.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(system: System, shop_windows: Windows) -> Visit:
    """Opens the shop in somebody else's browser."""

    def open_shop(**options: Any) -> Page:
        return shop_windows.open(
            f"http://127.0.0.1:{system.shop_port}/", viewport={"width": 1200, "height": 1000}, **options
        )

    return open_shop


def buy(
    page: Page, scenario: str, number: str, *, product: str = "coffee", decision: str = "confirm", **chosen: str
) -> None:
    """Choose, buy, and type the card into the form that comes."""
    page.get_by_test_id(f"product-{product}").check()
    page.get_by_test_id(f"scenario-{scenario}").check()
    page.get_by_test_id(f"decision-{decision}").check()
    for name, value in chosen.items():
        page.get_by_test_id(name).select_option(value)
    page.get_by_test_id("buy").click()
    if scenario == WIDGET:
        form = Form(page)
        form.expect_stage("ready")
        page.evaluate("() => { document.documentElement.dataset.before = ''; }")  # gone with this page
        form.pay(number)
        return
    for name, text in (("number", number), ("expiry", "08/31"), ("code", "417")):
        page.get_by_test_id(f"own-{name}").fill(text)
    page.get_by_test_id("own-pay").click()


def expect_result(page: Page, status: str) -> None:
    """The shop says how it stands."""
    expect(page.get_by_test_id("result")).to_have_attribute("data-status", status, timeout=SECONDS_MAX)


def expect_return(page: Page, scenario: str, status: str) -> None:
    """The same, once the widget has led the payer back to the shop."""
    if scenario == WIDGET:
        expect(page.locator("html[data-before]")).to_have_count(0, timeout=SECONDS_MAX)
    expect_result(page, status)


def rows(page: Page) -> list[str]:
    """The kinds of the diagram's rows, in order."""
    found: list[str] = page.get_by_test_id("diagram-row").evaluate_all("all => all.map((one) => one.dataset.kind)")
    return found


@pytest.mark.parametrize("scenario", [WIDGET, OWN])
def test_paid_and_given_back(visit: Visit, scenario: str) -> None:
    """Paid, refunded in part, then the rest; the diagram shows each kind of message, masked, also after a reload."""
    page = visit()
    buy(page, scenario, PLAIN)
    expect_return(page, scenario, "succeeded")
    page.get_by_test_id("refund-amount").fill("1.90")
    page.get_by_test_id("refund-part").click()
    expect_result(page, "part_refunded")
    page.get_by_test_id("refund").click()
    expect_result(page, "refunded")
    expect(page.get_by_test_id("refund")).to_be_hidden()
    seen = rows(page)
    assert set(seen) == KINDS
    page.reload()
    expect_result(page, "refunded")
    assert rows(page) == seen
    for row in page.get_by_test_id("diagram-row").all():
        row.click()
        expect(row).to_have_attribute("aria-expanded", "true")
    assert Canaries([PLAIN]).in_bytes(page.get_by_test_id("diagram").inner_html().encode()) == []
    assert '"417"' not in page.get_by_test_id("diagram").inner_text()


@pytest.mark.parametrize("scenario", [WIDGET, OWN])
@pytest.mark.parametrize(("number", "decision"), [(DECLINED, "confirm"), (PLAIN, "cancel")])
def test_not_paid(visit: Visit, scenario: str, number: str, decision: str) -> None:
    """Declined by the bank, or cancelled by the shop's switch: nothing was taken, and there is nothing to refund."""
    page = visit()
    buy(page, scenario, number, decision=decision)
    expect_return(page, scenario, "failed")
    expect(page.get_by_test_id("refund")).to_be_hidden()
    expect(page.locator("[data-testid=diagram-row][data-kind=webhook]").first).to_be_visible()


@pytest.mark.parametrize(("scenario", "target"), [(WIDGET, "modal"), (WIDGET, "_top"), (OWN, "_top")])
def test_challenged(visit: Visit, scenario: str, target: str) -> None:
    """Through the bank's page, in the dialog or in the whole window, the payer comes back to the order."""
    page = visit()
    buy(page, scenario, CHALLENGE, product="book", **({"target": target} if scenario == WIDGET else {}))
    if target == "modal":
        Form(page).enter(RIGHT_CODE)
    else:
        expect(bank(page).get_by_test_id("challenge-code")).to_be_visible(timeout=SECONDS_MAX)
        enter(page, RIGHT_CODE)
    expect_return(page, scenario, "succeeded")
    expect(page.get_by_test_id("result")).to_contain_text(re.compile("JPY.2,400"))


def test_two_visitors(visit: Visit) -> None:
    """Each sees their own orders only."""
    first, second = visit(), visit()
    buy(first, OWN, PLAIN)
    expect_result(first, "succeeded")
    second.reload()
    expect(second.get_by_test_id("result")).to_be_hidden()
    expect(second.get_by_test_id("diagram-row")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barriers(visit: Visit, shop_windows: Windows, scheme: str) -> None:
    """axe finds nothing before, during and after a purchase, and at 320 pixels nothing is scrolled sideways."""
    page = visit(color_scheme=scheme, reduced_motion="reduce")  # in mid-animation new rows are paler
    page.set_viewport_size({"width": 320, "height": 640})
    assert barriers_in(page.main_frame) == []
    page.get_by_test_id("scenario-own").check()
    page.get_by_test_id("buy").click()
    assert barriers_in(page.main_frame) == []
    buy(page, WIDGET, compose(fault=6), language="de", theme=scheme)
    for frame in (page.main_frame, Form(page).inside):
        assert barriers_in(frame, is_part=frame != page.main_frame) == []
        assert not is_overflowing(frame)
    expect_return(page, WIDGET, "succeeded")
    page.get_by_test_id("diagram-row").first.click()
    assert barriers_in(page.main_frame) == []
    assert not is_overflowing(page.main_frame)
    # axe asks for the style sheets once more, by a way that the shop's policy does not allow to any script.
    forgive(shop_windows, "payment-form.css", "preload assets")
