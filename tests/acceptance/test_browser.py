"""The reference page in a real browser: readable at every width and in either light, and nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.system import System
from tests.chromium import chromium

WIDTHS = (320, 768, 1280)
# What WCAG asks for between text and what is behind it (1.4.3).
CONTRAST_MIN = 4.5
CONTRASTS = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const parse = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
    const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.backgroundColor = 'Canvas';
    const canvasColour = parse(getComputedStyle(probe).backgroundColor);
    probe.remove();
    const behind = element => element === null ? canvasColour
        : over(parse(getComputedStyle(element).backgroundColor), behind(element.parentElement));
    return [...document.querySelectorAll('h1, h2, h3, p, a, td, th, li, code, pre')].slice(0, 2000)
        .filter(element => element.textContent.trim()).map(element => {
            const back = behind(element), text = over(parse(getComputedStyle(element).color), back);
            const [high, low] = [light(text), light(back)].sort((a, b) => b - a);
            return [element.tagName + ' ' + element.textContent.trim().slice(0, 40), (high + .05) / (low + .05)];
        });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a screen."""
    with chromium() as opened:
        yield opened


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, system: System, browser: Browser) -> Iterator[Page]:
    """The reference, opened by somebody who prefers this light. Whatever is wrong with it fails the test."""
    context = browser.new_context(color_scheme=request.param)
    opened = context.new_page()
    problems: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("requestfailed", lambda failed: problems.append(f"failed: {failed.url}"))
    opened.on("request", lambda request: asked.append(request.url))
    answer = opened.goto(f"{system.url}/docs")
    assert answer is not None
    assert answer.status == 200
    yield opened
    context.close()
    assert problems == []
    assert [url for url in asked if not url.startswith(system.url)] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_reference_can_be_read(system: System, page: Page, width: int, tmp_path: Path) -> None:
    """At each width nothing is cut off, every text stands out from what is behind it, and each method is there."""
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert float(page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")) >= 16
    pale = [found for found in page.evaluate(CONTRASTS) if found[1] < CONTRAST_MIN]
    assert pale == []
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    page.screenshot(path=tmp_path / f"reference-{width}.png")
    for method in ("session/create", "session/init/payment", "session/confirm", "session/refund"):
        assert page.locator("h3", has_text=method).first.is_visible()


def test_links_lead_somewhere(system: System, page: Page) -> None:
    """Every link inside the page has its place, and the document for programs is where the page says."""
    missing = page.evaluate(
        """() => [...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute('href'))
        .filter(target => !document.getElementById(decodeURIComponent(target.slice(1))))"""
    )
    assert missing == []
    page.locator("nav a").first.click()
    assert "#" in page.url
    page.locator("a[href='/openapi.json']").click()
    assert page.url == f"{system.url}/openapi.json"
    assert '"openapi":"3.1' in page.content().replace(" ", "")
