"""What the page's script, the issuer's pages and the directory server send, and what follows."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from tests.api.client import Shop
from tests.api.payer_site import (
    FORM,
    ISSUER,
    JSON,
    SHOP,
    TOLD,
    Scene,
    Site,
    embedded,
    plain,
    post_form,
    post_json,
    request,
)
from tests.builders import awaiting_payer, link_of
from tests.issuer import ACS_URL, answering, result
from tests.worlds import START
from tollhouse.flows.authenticate import Showing
from tollhouse.payment import Phase
from tollhouse.threeds.translate import WINDOW_SIZES, Browser

# --- the script -------------------------------------------------------------------------------------------------------


async def test_the_state_has_what_the_step_needs_and_no_more(site: Site, scene: Scene, base: str) -> None:
    """The method page at the beginning, the requests of every window size during the challenge, nothing at the end."""
    scene.show(Showing.BEGIN, method_url=f"{ISSUER}/method", method_data="data")
    begun = (await request(site.app, f"{base}/state")).json
    assert begun["method"] == {"url": f"{ISSUER}/method", "data": "data"}
    assert begun["challenge"] is None
    scene.challenge()
    challenged = (await request(site.app, f"{base}/state")).json
    assert challenged["method"] is None
    assert set(challenged["challenge"]["requests"]) == set(WINDOW_SIZES)
    assert challenged["can_retry"] is True
    scene.show(Showing.OVER, return_url=SHOP)
    got = await request(site.app, f"{base}/state")
    assert got.json == {"showing": "over"}
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert got.headers["cross-origin-resource-policy"] == "same-origin"


async def test_time_over(site: Site, scene: Scene, base: str) -> None:
    """The time left never falls below zero."""
    scene.show(Showing.WAIT, now=START + timedelta(hours=3))
    assert (await request(site.app, f"{base}/state")).json["seconds_left"] == 0


@pytest.mark.parametrize(
    "url", ["http://acs.example/c", "javascript:alert(1)", "data:text/html,x", "http://[::1]:8402/c", "https://", "//x"]
)
async def test_addresses_that_no_browser_may_open(site: Site, scene: Scene, base: str, url: str) -> None:
    """They are in no form and no answer; the payer may begin anew."""
    scene.challenge(url)
    got = await request(site.app, base)
    assert embedded(got)["state"]["challenge"] is None
    assert url not in plain(got)
    assert f'action="{scene.link}/again"' in plain(got)
    assert "http:" not in got.headers["content-security-policy"]


async def test_what_the_browser_told(site: Site, scene: Scene, base: str) -> None:
    """Its own words, its headers and the connection's address reach the flow; no header can claim another address."""
    scene.show(Showing.BEGIN, method_url=f"{ISSUER}/method", method_data="data")
    scene.after_ask = scene.challenge
    site.lease_owner = site.world.node
    got = await post_json(
        site, f"{base}/browser", TOLD, accept="*/*", user_agent="Firefox", x_forwarded_for="203.0.113.9"
    )
    assert got.json["showing"] == "challenge"
    assert scene.asked == [
        (
            Browser(
                accept_header="*/*",
                user_agent="Firefox",
                language="en-GB",
                ip="198.51.100.7",
                has_script=True,
                color_depth="24",
                screen_height="1080",
                screen_width="1920",
                timezone_minutes="-120",
            ),
            "Y",
        )
    ]
    await site.carry_on()
    assert len(site.driven) == 1


async def test_another_node_carries_on(site: Site, scene: Scene, base: str) -> None:
    """What this node has no lease of it does not drive."""
    await post_json(site, f"{base}/browser", TOLD)
    await request(site.app, "/3ds/results", verb="POST", body=b"{}", content_type=JSON)
    assert len(scene.asked) == len(site.results) == 1
    assert site.work == []


@pytest.mark.parametrize(
    ("has_method", "told", "completion"),
    [(True, "Y", "Y"), (True, "N", "N"), (True, "U", "N"), (False, "Y", "U"), (False, "N", "U"), (False, "U", "U")],
)
async def test_completion(site: Site, scene: Scene, base: str, has_method: bool, told: str, completion: str) -> None:
    """U stands for an issuer without a method page, and for nothing else."""
    scene.show(Showing.BEGIN, method_url="https://acs.example/m" if has_method else None)
    await post_json(site, f"{base}/browser", TOLD | {"completion": told})
    assert scene.asked[0][1] == completion


@pytest.mark.parametrize(
    ("client", "ip"),
    [
        (("2001:db8::7", 1), "2001:db8::7"),
        (("fe80::1%eth0", 1), "fe80::1"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("testclient", 1), None),
        (None, None),
    ],
)
async def test_the_connection_has_the_address(
    site: Site, scene: Scene, base: str, client: tuple[str, int] | None, ip: str | None
) -> None:
    """As the protocol wants it, or none."""
    await request(site.app, f"{base}/browser", verb="POST", content_type=FORM, client=client)
    assert scene.asked[0][0].ip == ip


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        json.dumps(TOLD | {"completion": "X"}).encode(),
        json.dumps(TOLD | {"screen_width": "1920"}).encode(),
        json.dumps(TOLD | {"screen_width": 10**9}).encode(),
        json.dumps(TOLD | {"screen_height": -1}).encode(),
        json.dumps(TOLD | {"java": 1}).encode(),
        json.dumps(TOLD | {"language": "x" * 65}).encode(),
        json.dumps(TOLD | {"timezone_minutes": 1.5}).encode(),
    ],
)
async def test_what_no_browser_would_tell(site: Site, scene: Scene, base: str, body: bytes) -> None:
    """400, and nobody is asked."""
    got = await request(site.app, f"{base}/browser", verb="POST", body=body, content_type=JSON)
    assert (got.status, got.json["error"]["code"]) == (400, "invalid_request")
    assert scene.asked == []


async def test_another_attempt(site: Site, scene: Scene, base: str) -> None:
    """It begins with another id, so that the page starts over."""
    scene.challenge()
    before = scene.view.authentication_id
    got = await post_json(site, f"{base}/again", {})
    assert got.json["showing"] == "begin"
    assert got.json["authentication_id"] != before
    assert scene.retries == 1


# --- the issuer and the directory server ------------------------------------------------------------------------------


async def test_the_method_page_reports(site: Site, base: str) -> None:
    """A tiny page that tells the page above; it may live in frames of issuers, but runs its own script only."""
    got = await post_form(site, f"{base}/method", {"threeDSMethodData": "e30"}, sec_fetch_site="cross-site")
    assert got.status == 200
    assert 'data-step="method"' in got.body
    assert got.policy["frame-ancestors"] == "'self' https:"
    assert got.policy["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", got.policy["script-src"])
    assert "x-frame-options" not in got.headers


async def test_the_challenge_reports_in_a_frame(site: Site, scene: Scene, base: str) -> None:
    """What the browser brought is kept; a script tells the page above, and a link leads there without one."""
    scene.challenge()
    got = await post_form(site, f"{base}/challenge", {"cres": "brought"}, sec_fetch_dest="iframe")
    assert (got.status, scene.brought) == (200, ["brought"])
    assert 'data-step="challenge"' in got.body
    assert f'href="../{scene.link}"' in got.body


async def test_the_challenge_reports_in_a_window(site: Site, scene: Scene, base: str) -> None:
    """303 to the page; a small page of ours goes between when all is over, since a form must not lead to the shop."""
    scene.challenge()
    got = await post_form(site, f"{base}/challenge", {"cres": "brought"}, sec_fetch_dest="document")
    assert (got.status, got.headers["location"]) == (303, f"../{scene.link}")
    scene.show(Showing.OVER, return_url=SHOP)
    over = await post_form(site, f"{base}/challenge", {"cres": "again"}, sec_fetch_dest="document")
    assert over.status == 200
    assert f'content="0; url=../{scene.link}"' in over.body
    assert scene.brought == ["brought", "again"]


@pytest.mark.parametrize("body", [b"", b"cres=", b"other=1", b"threeDSSessionData=x"])
async def test_a_return_without_an_answer(site: Site, scene: Scene, base: str, body: bytes) -> None:
    """There is nothing to keep; the page goes on all the same."""
    got = await request(site.app, f"{base}/challenge", verb="POST", body=body, content_type=FORM)
    assert (got.status, scene.brought) == (200, [])


@pytest.mark.parametrize("body", [b"&".join(b"a=1" for _ in range(21)), b"cres=\xff"])
async def test_a_return_that_cannot_be_read(site: Site, scene: Scene, base: str, body: bytes) -> None:
    """400 with a page that leads back."""
    got = await request(site.app, f"{base}/challenge", verb="POST", body=body, content_type=FORM)
    assert (got.status, scene.brought) == (400, [])
    assert f'href="../{scene.link}"' in got.body


async def test_results_from_the_directory_server(site: Site) -> None:
    """The flow's answer goes back as it is; then the charge is driven."""
    site.lease_owner = site.world.node
    got = await request(site.app, "/3ds/results", verb="POST", body=b'{"messageType":"RReq"}', content_type=JSON)
    assert (got.status, got.body) == (200, '{"messageType":"RRes"}')
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert site.results == [b'{"messageType":"RReq"}']
    await site.carry_on()
    assert len(site.driven) == 1


# --- with the flows themselves ----------------------------------------------------------------------------------------


async def test_a_challenge_from_the_first_visit_to_the_shop(shop: Shop) -> None:
    """The page, the directory server's answer, its result, and the way back, with the real flows behind."""
    world = shop.world
    session = await awaiting_payer(world, options={"return_url": "https://shop.example/back?order=7"})
    world.directory.script.append(answering("C"))
    base = f"/3ds/{link_of(session)}"
    begun = await request(shop.app, base)
    assert embedded(begun)["state"]["showing"] == "begin"
    body = json.dumps(TOLD).encode()
    asked = await request(shop.app, f"{base}/browser", verb="POST", body=body, content_type=JSON)
    assert asked.json["challenge"]["url"] == ACS_URL
    assert world.directory.asked[0]["browserIP"] == "198.51.100.7"
    brought = b"cres=" + asked.json["challenge"]["requests"]["05"].encode()
    returned = await request(shop.app, f"{base}/challenge", verb="POST", body=brought, content_type=FORM)
    assert returned.status == 200
    told = result(world.directory.asked[0], "Y")
    heard = await request(shop.app, "/3ds/results", verb="POST", body=told, content_type=JSON)
    assert heard.json["messageType"] == "RRes"
    await shop.carry_on()
    over = await request(shop.app, base)
    assert (over.status, over.headers["location"]) == (
        303,
        f"https://shop.example/back?order=7&session_id={session.id}",
    )
    assert shop.stored(session.id).payments[0].phase is Phase.SUCCEEDED
