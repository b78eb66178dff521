"""The payer's page in a dialog over the merchant's page, and the wait for the end that decides where a payer goes."""

from __future__ import annotations

import pytest

from tests.api.payer_site import SHOP, Got, Scene, Site, embedded, plain, post_form, request
from tollhouse.api.payer.policy import SCRIPT
from tollhouse.api.payer.texts import ENGLISH
from tollhouse.flows.authenticate import Showing

ORIGINS = ("https://shop.example", "http://localhost:5173")
ABOVE = "'self' https://shop.example http://localhost:5173"
OPEN = [Showing.BEGIN, Showing.WAIT, Showing.CHALLENGE, Showing.DECOUPLED, Showing.FINISH]


async def in_dialog(site: Site, path: str, **headers: str) -> Got:
    """The page as the merchant's dialog asks for it."""
    return await request(site.app, path, query="in=dialog", **headers)


# --- who may stand around it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("showing", OPEN)
async def test_the_merchants_pages_may_frame_it(site: Site, scene: Scene, base: str, showing: Showing) -> None:
    """Those of the payment's form, and our own hosted page; older words that can name nobody are left out."""
    scene.challenge()
    scene.show(showing, origins=ORIGINS)
    got = await in_dialog(site, base)
    assert got.status == 200
    assert got.policy["frame-ancestors"] == ABOVE
    assert got.headers.get("x-frame-options", "") == ""
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"
    assert embedded(got)["state"]["showing"] == showing


async def test_any_page_may_where_the_project_lets_anybody(site: Site, scene: Scene, base: str) -> None:
    """A test project that names nobody."""
    scene.show(Showing.BEGIN, origins=("*",))
    assert (await in_dialog(site, base)).policy["frame-ancestors"] == "'self' *"


async def test_nobody_else_where_there_was_no_form(site: Site, scene: Scene, base: str) -> None:
    """The word in the address gives no rights: a payment by open parameters is framed by our own pages at most."""
    assert (await in_dialog(site, base)).policy["frame-ancestors"] == "'self'"


@pytest.mark.parametrize("query", ["", "in=window", "in=dialog&x=1", "x=1&in=dialog", "in=dialog%20", "in=Dialog"])
async def test_without_the_word_it_is_framed_by_nobody(site: Site, scene: Scene, base: str, query: str) -> None:
    """Exactly this query opens the dialog; with any other the page is as it was."""
    scene.show(Showing.BEGIN, origins=ORIGINS)
    got = await request(site.app, base, query=query)
    assert got.policy["frame-ancestors"] == "'none'"
    assert got.headers["x-frame-options"] == "DENY"
    assert got.headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_dialog_changes_nothing_else(site: Site, scene: Scene, base: str) -> None:
    """Page and policy are the same in every other word, and so are the headers."""
    scene.challenge()
    scene.show(Showing.CHALLENGE, origins=ORIGINS)
    alone, framed = await request(site.app, base), await in_dialog(site, base)
    assert framed.body == alone.body
    changed = {"content-security-policy", "x-frame-options", "cross-origin-resource-policy", "x-tollhouse-request-id"}
    kept = [{name: value for name, value in got.headers.items() if name not in changed} for got in (alone, framed)]
    assert kept[0] == kept[1]
    policies = [{**got.policy, "frame-ancestors": ""} for got in (alone, framed)]
    assert policies[0] == policies[1]


@pytest.mark.parametrize("step", ["method", "challenge"])
async def test_the_issuers_way_back_may_lie_in_the_dialog(site: Site, scene: Scene, base: str, step: str) -> None:
    """Above the page that issuers come back to are ours, perhaps the issuer's own, and now the merchant's."""
    scene.challenge()
    scene.show(Showing.CHALLENGE, origins=ORIGINS)
    got = await post_form(site, f"{base}/{step}", {"cres": "e30"})
    assert got.policy["frame-ancestors"] == f"{ABOVE} https:"
    assert got.headers.get("x-frame-options", "") == ""


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [None, SHOP])
async def test_at_the_end_the_dialog_shows_a_closing_page(site: Site, scene: Scene, base: str, url: str | None) -> None:
    """Nobody is led to the shop inside of it: the form around it knows how it ended, and goes on."""
    scene.show(Showing.OVER, return_url=url, origins=ORIGINS)
    got = await in_dialog(site, base)
    assert got.status == 200
    assert "location" not in got.headers
    assert ENGLISH.end_title in got.body
    assert SHOP not in got.body
    assert "<script" not in got.body
    assert got.policy["frame-ancestors"] == ABOVE
    assert got.policy["form-action"] == "'none'"


async def test_at_the_end_the_window_goes_to_the_shop(site: Site, scene: Scene, base: str) -> None:
    """The same link by itself still leads back: a payer may have opened it in a tab."""
    scene.show(Showing.OVER, return_url=SHOP, origins=ORIGINS)
    got = await request(site.app, base)
    assert (got.status, got.headers["location"]) == (303, SHOP)
    scene.show(Showing.OVER, return_url=None)
    got = await request(site.app, base)
    assert (got.status, got.policy["frame-ancestors"]) == (200, "'none'")


def test_the_script_tells_the_page_around_it() -> None:
    """Escape is passed on in the dialog only, since its keys go to the frame; a page anew stays in the dialog."""
    assert 'location.search === "?in=dialog"' in SCRIPT
    assert 'parent.postMessage({ tollhouse: "leave" }, "*")' in SCRIPT
    assert "location.replace(link + location.search)" in SCRIPT


# --- waiting for the end ----------------------------------------------------------------------------------------------


async def test_the_page_says_that_the_payers_share_is_done(site: Site, scene: Scene, base: str) -> None:
    """No challenge, no button to begin anew, no time that runs: it renews itself until the end is known."""
    scene.challenge()
    scene.show(Showing.FINISH, return_url=None, can_retry=False)
    got = await request(site.app, base)
    assert got.status == 200
    assert ENGLISH.over in got.body
    state = embedded(got)["state"]
    assert (state["showing"], state.get("challenge"), state.get("method")) == ("finish", None, None)
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in got.body
    assert "<form" not in plain(got)


async def test_the_state_while_the_end_is_awaited(site: Site, scene: Scene, base: str) -> None:
    """The script asks until it is over."""
    scene.show(Showing.FINISH)
    assert (await request(site.app, f"{base}/state")).json["showing"] == "finish"
    scene.show(Showing.OVER, return_url=SHOP)
    assert (await request(site.app, f"{base}/state")).json == {"showing": "over"}


async def test_a_step_that_ends_the_payers_share(site: Site, scene: Scene, base: str) -> None:
    """Without script the page is shown again until the end, and then the shop."""
    scene.after_ask = lambda: scene.show(Showing.FINISH)
    posted = await post_form(site, f"{base}/browser", {})
    assert (posted.status, posted.headers["location"]) == (303, f"../{scene.link}")
    assert (await request(site.app, base)).status == 200
    scene.show(Showing.OVER, return_url=SHOP)
    assert (await request(site.app, base)).headers["location"] == SHOP
