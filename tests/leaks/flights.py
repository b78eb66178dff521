"""Everything that a card can go through, with canaries, in real processes; and what was said meanwhile, in files."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.acceptance.canaries import CVV
from tests.acceptance.forms import Form, FormShop, confirm
from tests.acceptance.merchant import Merchant, payment_of, sign
from tests.acceptance.payer import RIGHT_CODE
from tests.acceptance.system import System, until
from tests.acceptance.test_canaries import Recorder, authenticate, cards, misplace, pay, run_everything
from tests.chromium import ARGUMENTS, CHROMIUM
from tollhouse.sandbox.cards import compose

HOLDER = "CANARY BIRD OF THE FORM"
AMEX = "american_express"
TYPED = {
    "form paid": compose(brand=AMEX, free="1"),
    "form challenged": compose(brand=AMEX, authentication=7, free="3"),
    "form left": compose(brand=AMEX, free="5"),
}
MORE = {"tokenized": compose(free="41"), "crashed": compose(fault=6, free="42"), "limits": compose(free="43")}


@dataclass
class Flight:
    """A system that all canaries went through.

    `said` has what it told others, a file for each who heard it; `holders` are the parts that open cards or send them.
    """

    system: System
    numbers: dict[str, str]
    said: Path
    profile: Path
    known: Path
    holders: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)

    def tell(self, name: str, texts: list[str]) -> None:
        """Put down what somebody heard."""
        self.counts[name] = len(texts)
        (self.said / f"{name}.txt").write_text("\n".join(texts))


def fly(system: System, folder: Path, holders: tuple[str, ...]) -> Flight:
    """Run every flow. Payers, merchants and mistakes go on side by side, and at the end the gateway crashes."""
    folder.mkdir()
    numbers = cards() | TYPED | MORE
    flight = Flight(system, numbers, folder / "said", folder / "profile", folder / "known.txt", holders)
    flight.said.mkdir()
    flight.known.write_text("\n".join([*numbers.values(), CVV, f"text:{HOLDER}"]))
    shop, inn = Merchant(system), Merchant(system, settings={"capture_mode": "two_stage"})
    wrong = Merchant(system)  # so many mistakes may lock a project out for a while
    merchants = (shop, inn, wrong)
    recorders = [Recorder(merchant) for merchant in merchants]
    with ThreadPoolExecutor(4) as threads:
        flows: list[Callable[[], Any]] = [
            lambda: run_everything(shop, inn, numbers),
            lambda: authenticate(shop, numbers),
            lambda: misplace(wrong, numbers["stray"]),
            lambda: tokenize(shop, numbers["tokenized"]),
        ]
        running = [threads.submit(flow) for flow in flows]
        flight.tell("browser", type_and_pay(system, shop, flight.profile))
        _, shown, _, _ = [one.result() for one in running]
        flight.tell("pages", shown)
        told = threads.submit(commands, system)
        crash(system, shop, numbers["crashed"], holders)
        flight.tell("commands", told.result())
    until(lambda: not system.rows("select 1 from event where state = 'waiting'"), "every webhook is out")
    flight.tell("answers", [answer for recorder in recorders for answer in recorder.answers])
    heard = [webhook for merchant in merchants for webhook in merchant.receiver.webhooks]
    flight.tell("webhooks", [f"{one.path} {one.headers} {one.body.decode()}" for one in heard])
    flight.tell("doors", [door(f"{system.url}{path}") for path in ("/healthz", "/readyz", "/openapi.json", "/docs")])
    flight.tell("books", [door(system.books_url)])
    for merchant in merchants:
        merchant.close()
    return flight


def tokenize(merchant: Merchant, number: str) -> None:
    """A number becomes a token, and the token is asked about."""
    element = {"ref": "a", "type": "card_number", "card_number": number}
    for elements in ([element], [element, element], [{**element, "card_number": f"{number}1"}]):
        body = json.dumps({"elements": elements}).encode()
        headers = {"X-PARTNER-PROJECT": merchant.project, "X-PARTNER-SIGN": sign(merchant.key, body)}
        answer = merchant.send("/api/v2/tokenize/elements", body, {"Content-Type": "application/json", **headers})
        assert answer.status in (200, 400), answer


def crash(system: System, merchant: Merchant, number: str, parts: tuple[str, ...]) -> None:
    """These parts are ended with -9 while a card is on its way; then everything comes to its end."""
    session_id = pay(merchant, number)
    killed = {part: system.kill_part(part) for part in parts}
    for part, pid in killed.items():
        system.wait_until_back(part, pid)
    assert payment_of(merchant.wait_until_final(session_id))["status"] in ("succeeded", "failed")


def type_and_pay(system: System, merchant: Merchant, profile: Path) -> list[str]:
    """A payer in Chromium with a profile of its own: pays, is challenged, leaves. What the browser showed and asked."""
    seen: list[str] = []
    shop = FormShop(system)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=ARGUMENTS)
        context.on("request", lambda request: seen.append(f"{request.method} {request.url} {request.headers}"))
        context.on("console", lambda message: seen.append(message.text))
        _type(context, merchant, shop, seen, "form left").page.reload()
        for name in ("form paid", "form challenged"):
            form = _type(context, merchant, shop, seen, name)
            if name == "form challenged":
                expect(form.bank.get_by_test_id("challenge-code")).to_be_visible(timeout=30_000)
                seen.append(_shown(form.page))
                form.enter(RIGHT_CODE)
            form.expect_stage("succeeded")
            seen.append(_shown(form.page))
        context.close()
    shop.close()
    return seen


def _type(context: BrowserContext, merchant: Merchant, shop: FormShop, seen: list[str], name: str) -> Form:
    session_id, token = merchant.open_form()
    form = Form(context.new_page())
    form.page.goto(shop.set_up(token, customerInteractionRedirect={"target": "modal"}))
    form.expect_stage("ready")
    form.fill(TYPED[name], code=CVV, holder=HOLDER)
    seen.append(_shown(form.page))
    if name != "form left":
        form.submit()
        form.expect_stage("waiting")
        confirm(merchant, session_id)
    return form


def _shown(page: Page) -> str:
    return " ".join([page.url, page.title(), *(frame.content() for frame in page.frames)])


def commands(system: System) -> list[str]:
    """What people are told on the command line, of sessions and of events."""
    sessions = system.json("session", "list", "--limit", "2")
    told = [system.run("session", word, one["id"]).stdout for one in sessions for word in ("show", "threeds")]
    told += [system.run("event", "list", "--json").stdout, system.run("verify", "--json").stdout]
    return [*told, system.run("audit", "export").stdout]


def door(url: str) -> str:
    """What a page says to anybody."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return f"{answer.headers} {answer.read().decode()}"
