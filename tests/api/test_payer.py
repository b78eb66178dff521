"""The payer's paths, request by request: the page itself, and the way without script."""

from __future__ import annotations

import pytest

from tests.api.payer_site import FORM, ISSUER, SHOP, Scene, Site, embedded, plain, post_form, request
from tollhouse.api.payer.texts import ENGLISH
from tollhouse.flows.authenticate import Showing

# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("showing", [Showing.BEGIN, Showing.WAIT, Showing.CHALLENGE, Showing.DECOUPLED])
async def test_the_page_says_whose_payment_it_is(site: Site, scene: Scene, base: str, showing: Showing) -> None:
    """In each state: merchant, amount, time left, and the state for the script."""
    scene.challenge()
    scene.show(showing)
    got = await request(site.app, base)
    assert got.status == 200
    assert '<html lang="en">' in got.body
    assert 'data-testid="payer-merchant">shop<' in got.body
    assert 'data-testid="payer-amount">49.90 EUR<' in got.body
    assert '"payer-timer" id="timer" role="timer">60:00<' in got.body
    assert embedded(got)["state"]["showing"] == showing
    assert embedded(got)["state"]["seconds_left"] == 3600


async def test_over_leads_to_the_shop(site: Site, scene: Scene, base: str) -> None:
    """By 303, with the address as it is, without telling the shop where the payer came from."""
    scene.show(Showing.OVER, return_url=SHOP)
    got = await request(site.app, base)
    assert (got.status, got.headers["location"], got.body) == (303, SHOP, "")
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://shop.example/a\r\nSet-Cookie: x=1", "https://shop.example/a%0D%0ASet-Cookie:%20x=1"),
        ("https://shop.example/приём?a=é", "https://shop.example/%D0%BF%D1%80%D0%B8%D1%91%D0%BC?a=%C3%A9"),
        ("https://shop.example/a%20b?c=%2F&d=[1]#e", "https://shop.example/a%20b?c=%2F&d=[1]#e"),
    ],
)
async def test_an_address_cannot_add_headers(site: Site, scene: Scene, base: str, url: str, location: str) -> None:
    """What a header cannot carry is percent-encoded; the rest is left alone."""
    scene.show(Showing.OVER, return_url=url)
    got = await request(site.app, base)
    assert got.headers["location"] == location
    assert "set-cookie" not in got.headers


async def test_over_without_a_shop_to_go_to(site: Site, scene: Scene, base: str) -> None:
    """A neutral page that says nothing of the result."""
    scene.show(Showing.OVER, return_url=None)
    got = await request(site.app, base)
    assert got.status == 200
    assert 'data-testid="payer-end"' in got.body
    assert ENGLISH.end_title in got.body
    assert "shop<" not in got.body


async def test_head_is_get_without_its_body(site: Site, base: str) -> None:
    """So previews and probes change nothing."""
    got = await request(site.app, base, verb="HEAD")
    assert (got.status, got.body) == (200, "")


@pytest.mark.parametrize("step", ["", "/state", "/browser", "/method", "/challenge", "/again"])
async def test_a_link_of_nobody(site: Site, step: str) -> None:
    """404 for every path: a page for people, JSON for the script."""
    verb = "GET" if step in ("", "/state") else "POST"
    for link in ("A" * 22, "A" * 21, "A" * 23, "../../etc/passwd/12345", "%2e" * 8, "é" * 22, ""):
        got = await request(site.app, f"/3ds/{link}{step}", verb=verb, content_type=FORM)
        assert got.status == 404
        is_page = got.headers["content-type"] == "text/html; charset=utf-8"
        assert is_page == (ENGLISH.missing_title in got.body)
    known = await request(site.app, f"/3ds/{'A' * 22}/state")
    assert known.json["error"]["code"] == "method_not_found"


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        ("", "GET, HEAD"),
        ("/state", "GET, HEAD"),
        ("/browser", "POST"),
        ("/method", "POST"),
        ("/challenge", "POST"),
        ("/again", "POST"),
    ],
)
async def test_the_wrong_verb(site: Site, scene: Scene, base: str, step: str, allowed: str) -> None:
    """405, and the answer names the right one."""
    for verb in {"GET", "POST", "PUT", "DELETE", "OPTIONS"} - set(allowed.split(", ")):
        got = await request(site.app, base + step, verb=verb)
        assert (got.status, got.headers["allow"]) == (405, allowed)
    assert (await request(site.app, "/3ds/results")).status == 405
    assert scene.asked == scene.brought == []


async def test_the_payer_is_told_when_we_fail(site: Site, scene: Scene, base: str) -> None:
    """A page with a way back instead of an envelope; the script gets the envelope."""
    scene.is_broken = True
    got = await request(site.app, base)
    assert (got.status, got.headers["retry-after"]) == (503, "1")
    assert ENGLISH.failed_title in got.body
    assert f'href="{scene.link}"' in got.body
    assert (await request(site.app, f"{base}/state")).json["error"]["code"] == "service_unavailable"
    posted = await post_form(site, f"{base}/challenge", {"cres": "e30"})
    assert f'href="../{scene.link}"' in posted.body


# --- without script ---------------------------------------------------------------------------------------------------


async def test_the_way_without_script(site: Site, scene: Scene, base: str) -> None:
    """Continue posts a form, the issuer's page fills the window, and the page renews itself while it waits."""
    scene.show(Showing.BEGIN, method_url="https://acs.example/m", method_data="data")
    begun = plain(await request(site.app, base))
    assert f'action="{scene.link}/browser"' in begun
    scene.after_ask = scene.challenge
    posted = await post_form(site, f"{base}/browser", {}, accept_language="de-AT;q=0.9,en")
    assert (posted.status, posted.headers["location"]) == (303, f"../{scene.link}")
    browser, completion = scene.asked[0]
    assert (browser.has_script, browser.language, completion) == (False, "de-AT", "N")
    challenged = plain(await request(site.app, base))
    assert f'<form method="post" action="{ISSUER}/challenge">' in challenged
    assert '<input type="hidden" name="creq" value="request05">' in challenged
    assert f'action="{scene.link}/again"' in challenged
    assert (await post_form(site, f"{base}/again", {})).status == 303
    for showing in (Showing.WAIT, Showing.DECOUPLED):
        scene.show(showing)
        waiting = await request(site.app, base)
        assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in waiting.body
    scene.after_ask = lambda: scene.show(Showing.OVER, return_url=SHOP)
    over = await post_form(site, f"{base}/browser", {})
    assert f'content="0; url=../{scene.link}"' in over.body
