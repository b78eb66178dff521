"""The payment form in a real browser: from the script tag on a shop's page to the form that can be typed into.

The shop's page is served from an address of its own, as in life. Cold: a browser that knows nothing; warm: the same
page once more. The bytes are those of the build.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from playwright.async_api import Browser, async_playwright

from bench.merchant import Merchant
from tests.chromium import ARGUMENTS, CHROMIUM

READY_SECONDS_MAX = 30
LOADED = ("payment-form.js", "payment-form.css", "frame.js", "frame.css")  # on a shop's page and in the form's frame
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
PAGE = """\
<!doctype html><html lang="en"><head><title>Shop</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="{gateway}/payment-form.css">
<script>performance.mark("tag")</script><script src="{gateway}/payment-form.js"></script></head>
<body><div id="smgl-payment-form"></div><script>
const form = new SmglPaymentForm("{token}", {{container: document.getElementById("smgl-payment-form")}});
form.onReady = () => {{ window.tookMs = performance.now() - performance.getEntriesByName("tag")[0].startTime; }};
form.render();
</script></body></html>"""


@dataclass
class ShopPage:
    """Serves one page, the present one, on a port of the system's choice."""

    page: str = ""
    url: str = field(default="", init=False)

    async def listen(self) -> None:
        """Until the process ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = self.page.encode()
        writer.write(HEAD % len(body) + body)
        await writer.drain()
        writer.close()


async def open_forms(merchant: Merchant, gateway: str, count: int) -> dict[str, float]:
    """Median milliseconds until a form is usable, cold and warm, of so many visits each."""
    shop = ShopPage()
    await shop.listen()
    cold, warm = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        await _visit(browser, shop, merchant, gateway)  # the browser's own first start is nobody's
        for _ in range(count):
            first, second = await _visit(browser, shop, merchant, gateway)
            cold.append(first)
            warm.append(second)
        await browser.close()
    return {"cold": round(statistics.median(cold), 1), "warm": round(statistics.median(warm), 1)}


async def _visit(browser: Browser, shop: ShopPage, merchant: Merchant, gateway: str) -> tuple[float, float]:
    """One new payer: the page, and the page once more."""
    context = await browser.new_context()
    page = await context.new_page()
    took: list[float] = []
    for _ in range(2):
        shop.page = PAGE.format(gateway=gateway, token=await new_token(merchant))
        await page.goto(shop.url)
        waited = await page.wait_for_function("() => window.tookMs", timeout=READY_SECONDS_MAX * 1000)
        took.append(await waited.json_value())
    await context.close()
    return took[0], took[1]


async def new_token(merchant: Merchant) -> str:
    """A public token for a session of its own."""
    body = json.dumps({"amount_details": {"amount": 2590, "currency": "eur"}}).encode()
    session = await merchant.call("create", body)
    asked = json.dumps({"acquiring_widget": {"session_id": session["id"]}}).encode()
    answer = await merchant.ask("token", asked)
    token: str = answer["public_token"]
    return token


def sizes(say: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Bytes of each file of the widget, plain and gzip."""
    inventory = json.loads(files("tollhouse.api.widget").joinpath("built", "inventory.json").read_text())
    found = {one["name"]: {"bytes": one["bytes"], "gzip": one["gzip"]} for one in inventory["files"]}
    say(", ".join(f"{name} {size['gzip']} B" for name, size in found.items()))
    return found


def loaded_kb(found: dict[str, dict[str, int]]) -> float:
    """What a browser loads for the form, in KB as gzip makes it."""
    return round(sum(found[name]["gzip"] for name in LOADED) / 1024, 1)
