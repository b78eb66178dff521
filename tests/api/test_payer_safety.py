"""What the payer's paths refuse, and what they tell browsers to refuse."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.api.payer_site import FORM, HOSTILE, ISSUER, JSON, Scene, Site, embedded, post_form, request
from tollhouse.api.payer.pace import REQUESTS_PER_MINUTE_MAX, RETURNS_PER_MINUTE_MAX
from tollhouse.api.payer.page import payer_page
from tollhouse.api.payer.texts import ENGLISH, RUSSIAN
from tollhouse.flows.authenticate import Showing

# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["/browser", "/again", "/method", "/challenge"])
async def test_a_body_that_is_too_large(site: Site, scene: Scene, base: str, step: str) -> None:
    """413 by what it announces, and by what it is."""
    large = b"cres=" + b"a" * 64 * 1024
    announced = await request(site.app, base + step, verb="POST", content_type=FORM, content_length=str(len(large)))
    given = await request(site.app, base + step, verb="POST", content_type=FORM, body=large)
    assert (announced.status, given.status) == (413, 413)
    results = await request(site.app, "/3ds/results", verb="POST", content_type=JSON, body=large)
    assert results.status == 413
    assert scene.asked == scene.brought == site.results == []


async def test_a_body_of_the_wrong_type(site: Site, base: str) -> None:
    """415: forms from issuers, JSON from the directory server, either from our page."""
    for path, wrong in (
        (f"{base}/method", JSON),
        (f"{base}/challenge", "multipart/form-data; boundary=x"),
        (f"{base}/browser", "text/plain"),
        (f"{base}/again", "text/plain"),
        ("/3ds/results", FORM),
    ):
        assert (await request(site.app, path, verb="POST", content_type=wrong, body=b"{}")).status == 415


async def test_a_page_in_a_loop(site: Site, scene: Scene, base: str) -> None:
    """After some hundred requests in a minute the link is refused, until the minute is over; other links are not."""
    other = Scene()
    site.scenes[other.link] = other
    for _ in range(REQUESTS_PER_MINUTE_MAX):
        assert (await request(site.app, f"{base}/state")).status == 200
    refused = await request(site.app, base)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert ENGLISH.busy_title in refused.body
    assert (await request(site.app, f"{base}/state")).json["error"]["code"] == "too_many_requests"
    assert (await request(site.app, f"/3ds/{other.link}")).status == 200
    site.world.clock.move(60)
    assert (await request(site.app, base)).status == 200


async def test_a_flood_of_returns(site: Site, scene: Scene, base: str) -> None:
    """Anybody with the link can post them, so only a few a minute are kept; the browser is led on all the same."""
    scene.challenge()
    for number in range(RETURNS_PER_MINUTE_MAX + 5):
        assert (await post_form(site, f"{base}/challenge", {"cres": str(number)})).status == 200
    assert scene.brought == [str(number) for number in range(RETURNS_PER_MINUTE_MAX)]
    site.world.clock.move(60)
    await post_form(site, f"{base}/challenge", {"cres": "later"})
    assert scene.brought[-1] == "later"


@pytest.mark.parametrize("step", ["browser", "again"])
@pytest.mark.parametrize(("said", "status"), [("cross-site", 403), ("same-site", 403), ("none", 403), ("", 303)])
async def test_other_sites_send_nothing(site: Site, scene: Scene, base: str, step: str, said: str, status: int) -> None:
    """What is not sent by our own page is refused, where the browser says who sends it."""
    headers = {"sec_fetch_site": said} if said else {}
    got = await post_form(site, f"{base}/{step}", {}, **headers)
    assert got.status == status
    assert len(scene.asked) + scene.retries == (status == 303)
    own = await post_form(site, f"{base}/{step}", {}, sec_fetch_site="same-origin")
    assert own.status == 303


# --- what browsers are told -------------------------------------------------------------------------------------------


async def test_the_policy_of_the_page(site: Site, scene: Scene, base: str) -> None:
    """Nothing but our own script and style, and frames of issuers; http on this machine only, and by its very port."""
    scene.challenge("https://acs.example/challenge")
    strict = (await request(site.app, base)).policy
    assert {name: value for name, value in strict.items() if name not in ("style-src", "script-src")} == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "connect-src": "'self'",
        "frame-src": "'self' https:",
        "form-action": "'self' https:",
        "frame-ancestors": "'none'",
    }
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", strict["script-src"])
    scene.challenge(f"{ISSUER}/challenge")
    got = await request(site.app, base)
    assert got.policy["frame-src"] == got.policy["form-action"] == f"'self' https: {ISSUER}"
    assert embedded(got)["origins"] == [ISSUER]
    scene.show(Showing.BEGIN, method_url="http://localhost/m", acs_url=None)
    assert (await request(site.app, base)).policy["frame-src"] == "'self' https: http://localhost"


async def test_the_headers_of_the_page(site: Site, base: str) -> None:
    """Kept by nobody, framed by nobody, silent towards the shop, and a passkey for the issuer's frame only."""
    headers = (await request(site.app, base)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["permissions-policy"].startswith("publickey-credentials-get=*, camera=()")
    assert "set-cookie" not in headers
    missing = await request(site.app, "/3ds/nobody")
    assert missing.policy["frame-ancestors"] == missing.policy["form-action"] == "'none'"
    assert missing.headers["x-frame-options"] == "DENY"


async def test_hostile_values_stay_values(site: Site, scene: Scene, base: str) -> None:
    """A merchant's name, an address and an id cannot leave the place where they stand."""
    scene.challenge("https://acs.example/\"'><script>alert(2)</script>")
    scene.show(Showing.CHALLENGE, merchant=HOSTILE, authentication_id="</script><script>alert(3)</script>")
    got = await request(site.app, base)
    assert "alert(1)</script>" not in got.body
    assert "<script>alert" not in got.body
    assert got.body.count("<script") == got.body.count("</script") == 2
    assert embedded(got)["state"]["authentication_id"] == scene.view.authentication_id
    shown = re.search(r'data-testid="payer-merchant">([^<]*)<', got.body)
    assert shown is not None
    assert unescape(shown[1]) == HOSTILE


async def test_the_page_speaks_the_payers_language(site: Site, scene: Scene, base: str) -> None:
    """By Accept-Language, on every page, with the amount as it is written there."""
    page = await request(site.app, base, accept_language="ru-RU,ru;q=0.9,en;q=0.8")
    assert '<html lang="ru">' in page.body
    assert RUSSIAN.title in page.body
    assert "49,90 EUR" in page.body
    assert embedded(page)["texts"]["begin"] == RUSSIAN.begin
    missing = await request(site.app, "/3ds/nobody", accept_language="ru")
    assert RUSSIAN.missing_title in missing.body
    scene.show(Showing.OVER)
    assert RUSSIAN.end_title in (await request(site.app, base, accept_language="ru")).body
    signal = await post_form(site, f"{base}/method", {}, accept_language="ru")
    assert RUSSIAN.signal in signal.body


async def test_links_are_not_logged(site: Site, scene: Scene, base: str) -> None:
    """Whoever reads our logs cannot open the page."""
    scene.is_broken = True
    for path in (base, f"{base}/state", f"{base}/nowhere"):
        await request(site.app, path)
    assert len(site.world.log.lines) == 3
    assert scene.link not in repr(site.world.log.lines)


def test_nothing_comes_from_elsewhere(scene: Scene) -> None:
    """No address in the page but the issuer's: no picture, no font, no script of others."""
    scene.challenge("https://acs.example/challenge")
    page = payer_page(ENGLISH, scene.link, scene.view)
    assert set(re.findall(r"https?://[\w.:-]+", page)) == {"https://acs.example"}
