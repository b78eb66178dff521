"""Canaries typed into the form: afterwards they are nowhere but in the vault, where nobody can read them (P11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.acceptance.canaries import CVV, Canaries, files_of, rows_of
from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.forms import Form, FormShop, confirm
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import RIGHT_CODE
from tests.acceptance.system import System, until
from tests.chromium import chromium
from tollhouse.sandbox.cards import compose

AMEX = "american_express"
HOLDER = "CANARY BIRD"
CARDS = {
    "paid": compose(brand=AMEX, free="1"),
    "declined": compose(brand=AMEX, answer="51", free="2"),
    "challenged": compose(brand=AMEX, authentication=7, free="3"),
    "hosted": compose(brand=AMEX, free="4"),
    "left": compose(brand=AMEX, free="5"),
}
STORED = """async () => JSON.stringify([
  {...localStorage}, {...sessionStorage}, await indexedDB.databases(), await caches.keys(), document.cookie, name,
  history.state, performance.getEntries().map((one) => one.name)])"""
EMPTY = [{}, {}, [], [], "", "", None]


class Witness:
    """Sees what a payer's browser shows, stores, says and sends."""

    def __init__(self, context: BrowserContext, gateway: str) -> None:
        self.seen: list[str] = []
        self.to_gateway: list[str] = []
        self._gateway = gateway
        context.on("request", self._sent)
        context.on("console", lambda message: self.seen.append(f"console: {message.text}"))
        context.on("weberror", lambda error: self.seen.append(f"error: {error.error}"))

    def look(self, page: Page) -> None:
        """At the merchant's page and at what every frame has stored."""
        self.seen += [page.url, page.title(), page.content()]
        for frame in page.frames:
            *stored, entries = json.loads(frame.evaluate(STORED))
            assert stored in (EMPTY, [*EMPTY[:5], frame.name, None]), (frame.url, stored)
            self.seen += entries

    def _sent(self, request: Request) -> None:
        told = f"{request.method} {request.url} {request.headers}"
        self.seen.append(told)
        body = request.post_data or ""
        (self.to_gateway if request.url.startswith(self._gateway) else self.seen).append(body)


class Payers:
    """People who come one after the other, each with a card, and a witness beside them."""

    def __init__(self, system: System, merchant: Merchant, browser: Browser, shop: FormShop) -> None:
        self._merchant, self._shop, self._system = merchant, shop, system
        self.context = browser.new_context()
        self.witness = Witness(self.context, system.url)

    def come(self, *, is_hosted: bool = False) -> tuple[str, Form]:
        """A form that waits for a card."""
        session_id, token = self._merchant.open_form()
        options: dict[str, Any] = {"isCvcMasked": True, "customerInteractionRedirect": {"target": "modal"}}
        form = Form(self.context.new_page())
        form.page.goto(f"{self._system.url}/pay/{token}" if is_hosted else self._shop.set_up(token, **options))
        form.expect_stage("ready")
        return session_id, form

    def type(self, form: Form, name: str) -> None:
        """Type the card. What is wrong first is mended then."""
        number = CARDS[name]
        form.fill(number[:-1] + str((int(number[-1]) + 1) % 10), code=CVV, holder=HOLDER)
        form.submit()
        expect(form.field("summary")).to_be_visible()
        self.witness.look(form.page)
        form.field("number").fill(number)
        self.witness.look(form.page)

    def pay(self, name: str, *, is_hosted: bool = False) -> tuple[str, Form]:
        """Type, look, press; the merchant says yes."""
        session_id, form = self.come(is_hosted=is_hosted)
        self.type(form, name)
        form.submit()
        form.expect_stage("waiting")
        self.witness.look(form.page)
        confirm(self._merchant, session_id)
        return session_id, form

    def end(self, form: Form, stage: str) -> None:
        """The end, seen before and after a reload; no field is left with what was typed."""
        for _ in range(2):
            form.expect_stage(stage)
            assert form.frame.locator("input").count() == 0
            self.witness.look(form.page)
            self.witness.seen += [frame.content() for frame in form.page.frames]
            form.page.reload()


@pytest.fixture
def talkative(new_system: NewSystem) -> System:
    """A system that writes down as much as it can."""
    return new_system(log_level="debug").start()


@pytest.fixture
def payers(talkative: System, new_merchant: NewMerchant) -> Iterator[Payers]:
    """Whoever comes to the form of its merchant."""
    shop = FormShop(talkative)
    with chromium() as browser:
        yield Payers(talkative, new_merchant(talkative), browser, shop)
    shop.close()


def test_no_card_of_the_form_is_anywhere_in_the_clear(talkative: System, payers: Payers) -> None:
    """Paid, declined, challenged, hosted, left: not in pages, storage, console, requests, logs, rows or files."""
    payers.end(payers.pay("paid")[1], "succeeded")
    payers.end(payers.pay("declined")[1], "declined")
    payers.end(payers.pay("hosted", is_hosted=True)[1], "succeeded")
    _, challenged = payers.pay("challenged")
    dialog = challenged.page.frame_locator("[data-testid=dialog-frame]")
    inner = dialog.frame_locator("[data-testid=payer-challenge]")
    expect(inner.get_by_test_id("challenge-code")).to_be_visible(timeout=30_000)
    payers.witness.seen += [frame.content() for frame in challenged.page.frames]
    payers.witness.look(challenged.page)
    inner.get_by_test_id("challenge-code").press_sequentially(RIGHT_CODE)
    inner.get_by_test_id("challenge-submit").click()
    payers.end(challenged, "succeeded")
    _, left = payers.come()
    payers.type(left, "left")
    left.page.reload()
    left.expect_stage("ready")
    payers.witness.look(left.page)
    assert left.field("number").input_value() == ""
    assert payers.context.cookies() == []
    payers.context.close()

    canaries = Canaries(list(CARDS.values()))
    assert any(canaries.in_text(body) for body in payers.witness.to_gateway), "the search finds a card where one is"
    assert len(payers.witness.seen) > 60
    assert [found for text in payers.witness.seen for found in canaries.in_text(text)] == []
    assert not any(HOLDER in text for text in payers.witness.seen)
    until(lambda: not talkative.rows("select 1 from event where state = 'waiting'"), "every webhook is out")
    assert {table: found for table, text in rows_of(talkative).items() if (found := canaries.in_text(text))} == {}
    assert talkative.stop() == 0
    found = {str(path): traces for path in files_of(talkative) if (traces := canaries.in_bytes(path.read_bytes()))}
    assert found == {}
    assert canaries.in_text(talkative.log()) == []
