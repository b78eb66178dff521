"""What a real browser received, recorded by Chromium itself, against the inventory: `tollhouse widget check --har`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browsers import bank
from tests.acceptance.forms import Form, FormShop, confirm
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import RIGHT_CODE
from tests.acceptance.system import System
from tollhouse.sandbox.cards import compose

Har = dict[str, Any]
Entry = dict[str, Any]


@pytest.fixture(scope="module")
def recording(system: System, shop: Merchant, form_shop: FormShop, browser: Browser, tmp_path_factory: Any) -> Path:
    """The whole way of two payers: in the shop's page with the dialog, and on the hosted page in the whole window."""
    path: Path = tmp_path_factory.mktemp("har") / "checkout.har"
    context = browser.new_context(record_har_path=path, record_har_content="embed")
    for is_hosted in (False, True):
        session_id, token = shop.open_form()
        modal = {"customerInteractionRedirect": {"target": "modal"}}
        form = Form(context.new_page())
        form.page.goto(f"{system.url}/pay/{token}" if is_hosted else form_shop.set_up(token, **modal))
        form.expect_stage("ready")
        form.pay(compose(authentication=7))
        confirm(shop, session_id)
        if is_hosted:
            code = bank(form.page).get_by_test_id("challenge-code")
            expect(code).to_be_visible(timeout=30_000)
        else:
            form.enter(RIGHT_CODE)
            form.expect_stage("succeeded")
    context.close()
    return path


def entry_of(har: Har, ending: str) -> Entry:
    """The first answer whose address has this in it."""
    found: Entry = next(
        one for one in har["log"]["entries"] if ending in one["request"]["url"] and one["response"]["status"] == 200
    )
    return found


def text_of(entry: Entry) -> str:
    """What was received."""
    content = entry["response"]["content"]
    return base64.b64decode(content["text"]).decode() if content.get("encoding") == "base64" else str(content["text"])


def put(entry: Entry, text: str) -> None:
    """Something else in its place."""
    entry["response"]["content"]["text"] = text
    entry["response"]["content"].pop("encoding", None)


def change_byte(har: Har) -> None:
    """One sign of the form's script is another."""
    entry = entry_of(har, "/frame.js")
    put(entry, text_of(entry).replace("X-PUBLIC-TOKEN", "X-PUBLIC-TOKEM", 1))


def add_script(har: Har) -> None:
    """One script more in the form's frame."""
    entry = entry_of(har, "/widget/v1/frame/")
    put(entry, text_of(entry).replace("</head>", '<script src="https://evil.example/x.js"></script></head>', 1))


def add_inline(har: Har) -> None:
    """A few lines more in the payer's page."""
    entry = entry_of(har, "/3ds/")
    put(entry, text_of(entry).replace("</head>", "<script>fetch('https://evil.example')</script></head>", 1))


def weaken_policy(har: Har) -> None:
    """The form's page may connect to anybody."""
    for header in entry_of(har, "/widget/v1/frame/")["response"]["headers"]:
        if header["name"].lower() == "content-security-policy":
            header["value"] = header["value"].replace("connect-src 'self'; ", "")


def change_loader(har: Har) -> None:
    """The script on the shop's page is another."""
    entry = entry_of(har, "/payment-form.js")
    put(entry, text_of(entry) + "\nfetch('https://evil.example');")


def test_a_real_browsers_record_is_clean(system: System, recording: Path) -> None:
    """The shop's page with dialog and the hosted page received what the inventory says, and nothing else."""
    found = system.run("widget", "check", "--har", str(recording), "--url", system.url)
    assert "frame.js" in text_of_har(recording)
    assert found.stdout


def text_of_har(path: Path) -> str:
    """The addresses that were asked for."""
    return "\n".join(one["request"]["url"] for one in json.loads(path.read_text())["log"]["entries"])


@pytest.mark.parametrize("tamper", [change_byte, add_script, add_inline, weaken_policy, change_loader])
def test_tampering_is_found(system: System, recording: Path, tmp_path: Path, tamper: Callable[[Har], None]) -> None:
    """Each change to what a payer's browser received is named, and the exit code says so."""
    har = json.loads(recording.read_text())
    tamper(har)
    tampered = tmp_path / "tampered.har"
    tampered.write_text(json.dumps(har))
    found = system.run("widget", "check", "--har", str(tampered), "--url", system.url, code=1)
    assert found.stdout + found.stderr
