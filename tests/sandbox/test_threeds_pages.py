"""The issuer's pages: languages, safety of what they show, and a real browser at every window size."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page as Tab
from playwright.async_api import async_playwright

from tests.chromium import ARGUMENTS, CHROMIUM
from tests.sandbox.threeds import Browser, Server
from tollhouse.sandbox.cards import Challenge, compose
from tollhouse.sandbox.threeds.challenges import Notice
from tollhouse.sandbox.threeds.words import ENGLISH, RUSSIAN, words_for
from tollhouse.threeds.writing import pack

SIZES = {"01": (250, 400), "02": (390, 400), "03": (500, 600), "04": (600, 400), "05": (320, 640)}
TARGET_MIN = 44  # pixels of a button that a finger finds


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", ENGLISH),
        ("ru", RUSSIAN),
        ("ru-RU,ru;q=0.9,en;q=0.8", RUSSIAN),
        ("en-GB,en;q=0.9,ru;q=0.8", ENGLISH),
        ("de,ru;q=0.5", RUSSIAN),
        ("fr", ENGLISH),
        ("ru;q=0", ENGLISH),
        ("ru;q=x", ENGLISH),
    ],
)
def test_language(asked: str, words: object) -> None:
    """The page speaks the language that the browser would rather have, English if it has neither."""
    assert words_for(asked) is words


def test_both_languages_say_everything() -> None:
    """Every text exists in both languages, and no text of one is that of the other."""
    for words in (ENGLISH, RUSSIAN):
        assert set(words.notices) == set(Notice)
        assert words.time_left(600) != words.time_left(30)
    names = set(ENGLISH.__slots__) - {"notices"}
    assert all(getattr(ENGLISH, name) != getattr(RUSSIAN, name) for name in names)


async def test_russian_page(server: Server) -> None:
    """The challenge in Russian, with the amount as Russians write it."""
    browser = Browser(server, "ru")
    page = await browser.open(await server.ask(compose(authentication=7)))
    assert '<html lang="ru">' in page.text
    assert page.shown("challenge-amount") == "25,90 EUR"
    page = await browser.act(page, "submit", "1")
    assert page.shown("challenge-error") == RUSSIAN.notices[Notice.CODE_WRONG]


@pytest.mark.parametrize("challenge", [Challenge.PAGE, Challenge.PASSES, Challenge.OUT_OF_BAND, Challenge.BROWSER_LOST])
async def test_policy(server: Server, browser: Browser, challenge: Challenge) -> None:
    """A page runs nothing but what its policy names by hash, fetches nothing, and may stand in any frame."""
    page = await browser.open(await server.ask(compose(authentication=7, challenge=challenge)))
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors *" in policy
    for kind in ("style", "script"):
        for text in re.findall(rf"<{kind}>(.*?)</{kind}>", page.text, re.DOTALL):
            digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)="', page.text)
    assert page.headers["Cache-Control"] == "private, no-cache"


async def test_nothing_is_taken_for_markup(server: Server, browser: Browser) -> None:
    """A merchant's name, the shop's data and addresses are text on the page, whatever they hold."""
    answer = await server.ask(
        compose(authentication=7), merchantName="<script>alert(1)</script>", notificationURL=f"{server.url}?a='\"<b>"
    )
    page = await browser.open(answer, session_data='"><script>alert(2)</script>')
    back = await browser.act(page, "submit", "1234")
    assert "<script>alert" not in page.text + back.text
    assert "<b>" not in back.text
    assert back.fields["threeDSSessionData"] == '"><script>alert(2)</script>'


async def test_acts_that_make_no_sense(server: Server, browser: Browser) -> None:
    """Pressing what is not there, on a challenge that is not open, or an unknown one, leads nowhere."""
    answer = await server.ask(compose(authentication=7))
    for issuer_id in (answer["acsTransID"], "none"):
        assert (await browser.post(f"/acs/challenge/{issuer_id}", act="submit", code="1234")).status == 400
    page = await browser.open(answer)
    assert (await browser.post(page.action, act="pay")).status == 400
    assert "challenge-form" in (await browser.post(page.action, act="approve")).testids
    assert server.results == []


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's Chromium without a screen."""
    assert Path(CHROMIUM).exists(), "install it with: apt-get install -y chromium"
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        await opened.close()


async def enter(
    tab: Tab, server: Server, answer: dict[str, Any], size: str = "02", end: str = "**/acs/challenge"
) -> None:
    """Bring a CReq by a form, as a shop's page does."""
    sent = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "messageVersion")}
    creq = pack({"messageType": "CReq", "challengeWindowSize": size} | sent)
    await tab.goto(server.shop_url)
    await tab.set_content(
        f'<form method="post" action="{answer["acsURL"]}"><input name="creq" value="{creq}"></form>'
        "<script>document.forms[0].submit()</script>"
    )
    await tab.wait_for_url(end)
    await tab.wait_for_load_state()


@pytest.mark.parametrize("light", ["light", "dark"])
async def test_window_sizes(server: Server, chromium: Chromium, light: Any) -> None:
    """At every size nothing is cut off sideways, the code can be entered, and what is pressed is large enough."""
    for size, (width, height) in SIZES.items():
        tab = await chromium.new_page(viewport={"width": width, "height": height}, color_scheme=light)
        for challenge, first in ((Challenge.PAGE, "challenge-code"), (Challenge.OUT_OF_BAND, "oob-approve")):
            answer = await server.ask(compose(authentication=7, challenge=challenge))
            await enter(tab, server, answer, size)
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width
            place = await tab.get_by_test_id(first).bounding_box()
            assert place is not None
            assert place["y"] + place["height"] <= height
            for button in await tab.get_by_role("button").all():
                box = await button.bounding_box()
                assert box is not None
                assert box["height"] >= TARGET_MIN
        await tab.close()


async def test_by_keyboard(server: Server, chromium: Chromium) -> None:
    """Tab and Enter are enough: a wrong code is announced and described, the right one takes the browser back."""
    tab = await chromium.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(message.text))
    await enter(tab, server, await server.ask(compose(authentication=7)))
    code = tab.get_by_label("One-time code")
    await tab.keyboard.press("Tab")
    assert await code.evaluate("field => field === document.activeElement")
    await tab.keyboard.type("0000")
    await tab.keyboard.press("Enter")
    alert = tab.get_by_role("alert")
    await alert.get_by_text("wrong").wait_for()
    assert await code.get_attribute("aria-invalid") == "true"
    await code.fill("1234")
    assert problems == []
    await tab.keyboard.press("Enter")
    await tab.wait_for_url("**/return")
    assert server.results[0]["transStatus"] == "Y"


async def test_without_script(server: Server, chromium: Chromium) -> None:
    """Without script everything works, by one more button."""
    context = await chromium.new_context(java_script_enabled=False)
    tab = await context.new_page()
    answer = await server.ask(compose(authentication=7))
    sent = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "messageVersion")}
    creq = pack({"messageType": "CReq", "challengeWindowSize": "05"} | sent)
    await tab.set_content(
        f'<form method="post" action="{answer["acsURL"]}"><input name="creq" value="{creq}"><button>Go</button></form>'
    )
    await tab.get_by_text("Go").click()
    await tab.get_by_test_id("challenge-code").fill("1234")
    await tab.get_by_test_id("challenge-submit").click()
    await tab.get_by_test_id("cres-continue").click()
    await tab.wait_for_url("**/return")
    assert len(server.results) == 1


async def test_in_a_frame(server: Server, chromium: Chromium) -> None:
    """In a frame of another site the challenge works, and the frame is taken back by itself."""
    tab = await chromium.new_page()
    await tab.goto(server.shop_url)
    answer = await server.ask(compose(authentication=7, challenge=Challenge.PASSES))
    sent = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "messageVersion")}
    creq = pack({"messageType": "CReq", "challengeWindowSize": "03"} | sent)
    await tab.set_content(
        '<iframe name="inner" sandbox="allow-forms allow-scripts allow-same-origin"></iframe>'
        f'<form method="post" target="inner" action="{answer["acsURL"]}"><input name="creq" value="{creq}"></form>'
        "<script>document.forms[0].submit()</script>"
    )
    frame = tab.frame("inner")
    assert frame is not None
    await frame.wait_for_url("**/return")
    assert [one["transStatus"] for one in server.results] == ["Y"]


async def test_back_button(server: Server, chromium: Chromium) -> None:
    """Whoever goes back sees the challenge again; after its end, whatever is pressed there leads to the shop again."""
    tab = await chromium.new_page()
    answer = await server.ask(compose(authentication=7))
    await enter(tab, server, answer)
    await tab.get_by_test_id("challenge-resend").click()
    await tab.get_by_text("A new code was sent").wait_for()
    await tab.go_back()
    assert tab.url == answer["acsURL"]
    await tab.get_by_test_id("challenge-code").fill("1234")
    await tab.get_by_test_id("challenge-submit").click()
    await tab.wait_for_url("**/return")
    await enter(tab, server, answer, end="**/return")
    assert [one["transStatus"] for one in server.results] == ["Y"]
