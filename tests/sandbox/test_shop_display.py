"""What the demo shop shows: the page with its fences, the stream of a visitor's own orders, and nothing of cards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio

from tests.sandbox.shop_gateway import TOKEN, WAIT_SECONDS, Visit, until, visiting
from tollhouse.sandbox.shop.display import masked

PAN, CODE = "4000120000000008", "8173"
CARD = {"number": PAN, "expiration_month": "08", "expiration_year": "31", "security_code": CODE}

Members = dict[str, Any]


@pytest_asyncio.fixture
async def visit() -> AsyncIterator[Visit]:
    """A shop with an empty shelf of orders."""
    async with visiting() as running:
        yield running


async def read_stream(visit: Visit, browser: aiohttp.ClientSession, *, orders: int) -> list[Members]:
    """What a stream tells until it has said that the past is told, and `orders` more times."""
    told: list[Members] = []
    async with asyncio.timeout(WAIT_SECONDS), browser.get(f"{visit.url}/stream") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        async for line in stream.content:
            if line.startswith(b"data: "):
                told.append(json.loads(line.removeprefix(b"data: ")))
                if "now" in told[-1] and sum("order" in one for one in told) >= orders:
                    return told
    return told


async def test_page_loads_nothing_from_others(visit: Visit) -> None:
    """The page may load scripts of its own and the widget's loader, and may be framed by nobody."""
    async with visit.browser.get(f"{visit.url}/") as page:
        policy, text = page.headers["Content-Security-Policy"], await page.text()
    assert "default-src 'none'" in policy
    assert "script-src 'self' https://pay.example/payment-form.js;" in policy
    assert "frame-ancestors 'none'" in policy
    assert '<script src="https://pay.example/payment-form.js" defer></script>' in text
    assert "{{" not in text
    assert "style=" not in text


async def test_files_of_the_page(visit: Visit) -> None:
    """Scripts and styles are served, the merchant's own file is not."""
    found = {}
    for name in ("shop.js", "diagram.js", "shop.css", "healthz", "shop.py", "index.html", "__init__.py"):
        async with visit.browser.get(f"{visit.url}/{name}") as answer:
            found[name] = answer.status
    assert [name for name, status in found.items() if status == 200] == ["shop.js", "diagram.js", "shop.css", "healthz"]


async def test_cookie_is_not_for_scripts(visit: Visit) -> None:
    """A visitor is known by a cookie that scripts cannot read and other sites' forms do not send."""
    async with aiohttp.request("GET", f"{visit.url}/") as page:
        cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_conversation_is_told_in_order(visit: Visit) -> None:
    """Calls with answers, webhooks and states come by the stream, numbered, in the order they happened."""
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].token)
    await visit.ask_to_confirm(order)
    await until(lambda: "session/confirm" in visit.gateway.methods())
    await visit.finish(order)
    await until(lambda: visit.display.rows[order][-1]["title"] == "succeeded")
    (past, *_) = await read_stream(visit, visit.browser, orders=1)
    rows = past["rows"]
    assert [row["n"] for row in rows] == list(range(len(rows)))
    said = [(row["kind"], row["title"]) for row in rows]
    assert said[:3] == [("payer", "orders the coffee"), ("call", "session/create"), ("answer", "200")]
    places = [said.index(one) for one in (("webhook", "ready_to_confirm"), ("state", "pending"))]
    places += [said.index(one) for one in (("call", "session/confirm"), ("webhook", "payment_finished"))]
    assert places == sorted(places)
    assert said[-1] == ("state", "succeeded")
    assert past["order"]["status"] == "succeeded"


async def test_stream_tells_what_happens(visit: Visit) -> None:
    """A stream that is open is told of what the page saw the widget do, and of webhooks, as they come."""
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].token)
    async with asyncio.timeout(WAIT_SECONDS), visit.browser.get(f"{visit.url}/stream") as stream:
        while b'"now"' not in (await stream.content.readline()):
            pass
        async with visit.browser.post(f"{visit.url}/orders/{order}/seen", json={"seen": "started"}) as answer:
            assert answer.status == 200
        while not (line := await stream.content.readline()).startswith(b"data: "):
            pass
    (row,) = json.loads(line.removeprefix(b"data: "))["rows"]
    assert (row["kind"], row["way"]) == ("payer", "payer>tollhouse")


async def test_browser_proves_nothing(visit: Visit) -> None:
    """A page that says the widget succeeded has paid nothing, and cannot speak about others' orders."""
    order = await visit.buy()
    async with visit.browser.post(f"{visit.url}/orders/{order}/seen", json={"seen": "succeeded"}) as answer:
        assert answer.status == 200
    assert visit.shop.orders[order].session == {}
    for members in ({"seen": "paid"}, {}):
        async with visit.browser.post(f"{visit.url}/orders/{order}/seen", json=members) as answer:
            assert answer.status == 404


async def test_visitors_see_their_own_orders_only(visit: Visit) -> None:
    """Two browsers: each stream tells of its own orders; without a cookie there is no stream."""
    mine = await visit.buy()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        async with other.get(f"{visit.url}/"):
            pass
        assert await read_stream(visit, other, orders=0) != []
        assert all("order" not in one for one in await read_stream(visit, other, orders=0))
    told = await read_stream(visit, visit.browser, orders=1)
    assert {one["order"]["id"] for one in told if "order" in one} == {mine}
    async with aiohttp.request("GET", f"{visit.url}/stream") as answer:
        assert answer.status == 403


async def test_card_is_kept_nowhere(visit: Visit) -> None:
    """Neither the PAN nor the security code is in records, orders, answers or streams, lost answers or not."""
    visit.gateway.lost = {"session/init/payment"}
    visit.gateway.status = {"id": "ps_1", "status": "in_progress"}
    order = await visit.buy(scenario="own", card=CARD)
    await until(lambda: visit.shop.orders[order].session_id)
    assert PAN in str(visit.gateway.heard[0].members), "the canary flew"
    told = await read_stream(visit, visit.browser, orders=1)
    everything = f"{visit.display.rows} {visit.shop.orders} {told}"
    assert "•••• 0008" in everything
    for canary in (PAN, CODE, PAN[:12]):
        assert canary not in everything


async def test_public_token_is_not_drawn(visit: Visit) -> None:
    """The page is given the token to open the form; the drawing has no more than its beginning."""
    order = await visit.buy()
    await until(lambda: visit.shop.orders[order].token)
    assert TOKEN not in str(visit.display.rows[order])
    assert TOKEN[:6] in str(visit.display.rows[order])


def test_stray_pans_are_masked() -> None:
    """A run of digits like a PAN is masked wherever it stands; ids, references and times stay readable."""
    text = "4000 1200 0000 0008 and 4000-1200-0000-0008 and 4000120000000008"
    assert masked([{"description": text}]) == [{"description": "••• and ••• and •••"}]
    kept = {"id": "ps_41002700000000000001", "rrn": "606100004411", "created_at": "2026-03-02T09:15:00.000000Z"}
    assert masked(kept) == kept
