"""The payer's paths, request by request, with flows that a test plays by hand.

scene = Scene()                          # one payment, at its beginning
site = Site(scene)                       # the gateway in front of it
scene.show(Showing.OVER, return_url=…)   # how it stands now
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.client import SECRET, FakeProjects
from tests.builders import created
from tests.worlds import START, memory_world
from tollhouse.api.app import App, build_app
from tollhouse.api.payer.door import Steps
from tollhouse.api.payer.texts import ENGLISH
from tollhouse.flows.authenticate import Answer, Asked, Showing, View
from tollhouse.money import Money
from tollhouse.ports import StoreUnreachable, World
from tollhouse.session import PaymentSession
from tollhouse.threeds.translate import WINDOW_SIZES, Browser

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ISSUER = "http://127.0.0.1:8402"
SHOP = "https://shop.example/back?order=7&session_id=ps_1#top"
HOSTILE = "\"><script>alert(1)</script><!-- </script> ' & \u2028"
TOLD = {
    "completion": "Y",
    "language": "en-GB",
    "java": False,
    "color_depth": 24,
    "screen_height": 1080,
    "screen_width": 1920,
    "timezone_minutes": -120,
}


class Scene:
    """One payment as the flows would show it; a test moves it on."""

    def __init__(self, **given: Any) -> None:
        self.link = secrets.token_urlsafe(16)
        self.view = View(showing=Showing.OVER, merchant="shop", money=Money(4990, "eur"), now=START)
        self.is_broken = False
        self.asked: list[tuple[Browser, str]] = []
        self.brought: list[str] = []
        self.after_ask: Callable[[], None] = lambda: None
        self.retries = 0
        self.attempts = 0
        self.begin(**given)

    def begin(self, **given: Any) -> None:
        """Another attempt."""
        self.attempts += 1
        deadline_at = START + timedelta(minutes=60)
        attempt = f"00000000-0000-4000-8000-{self.attempts:012d}"
        self.show(Showing.BEGIN, deadline_at=deadline_at, authentication_id=attempt, can_retry=False, **given)

    def challenge(self, url: str = f"{ISSUER}/challenge") -> None:
        """The issuer asks the payer."""
        requests = {size: f"request{size}" for size in WINDOW_SIZES}
        self.show(Showing.CHALLENGE, acs_url=url, challenge_requests=requests, can_retry=True)

    def show(self, showing: Showing, **given: Any) -> None:
        """How it stands now."""
        self.view = replace(self.view, showing=showing, **given)

    def look(self) -> View:
        """What the page is made of. Raises `StoreUnreachable` when broken."""
        if self.is_broken:
            raise StoreUnreachable("the database does not answer")
        return self.view


class Site:
    """The gateway with scenes behind the payer's paths."""

    def __init__(self, *scenes: Scene) -> None:
        self.scenes = {scene.link: scene for scene in scenes}
        self.world = memory_world()
        self.work: list[Coroutine[Any, Any, None]] = []
        self.driven: list[PaymentSession] = []
        self.results: list[bytes] = []
        self.lease_owner = "another"  # node that carries on after a step
        self.app = build_app(
            self.world,
            projects=FakeProjects(),
            background=self.work.append,
            idempotency_secret=SECRET,
            is_ready=self._is_ready,
            webhook_key=self._webhook_key,
            version="0.1.0",
            payer_steps=Steps(
                look=self._look,
                ask=self._ask,
                take_return=self._take_return,
                try_again=self._try_again,
                hear_results=self._hear_results,
                drive=self._drive,
            ),
        )

    async def _is_ready(self) -> bool:
        return True

    async def _webhook_key(self, name: str) -> str | None:
        return None

    async def _session(self) -> PaymentSession:
        session = await created(memory_world())
        return replace(session, lease_owner=self.lease_owner)

    async def _look(self, world: World, link: str) -> View | None:
        return self.scenes[link].look() if link in self.scenes else None

    async def _ask(self, world: World, link: str, browser: Browser, completion: str) -> Asked | None:
        scene = self.scenes[link]
        scene.asked.append((browser, completion))
        scene.after_ask()
        return Asked(view=scene.look(), session=await self._session())

    async def _take_return(self, world: World, link: str, text: str) -> None:
        self.scenes[link].brought.append(text)

    async def _try_again(self, world: World, link: str) -> View | None:
        scene = self.scenes[link]
        scene.retries += 1
        if scene.view.can_retry:
            scene.begin()
        return scene.look()

    async def _hear_results(self, world: World, body: bytes) -> Answer:
        self.results.append(body)
        return Answer(body=b'{"messageType":"RRes"}', session=await self._session())

    async def _drive(self, world: World, session: PaymentSession) -> None:
        self.driven.append(session)

    async def carry_on(self) -> None:
        """Do what was started beside the requests."""
        while self.work:
            await self.work.pop(0)


@dataclass(frozen=True, kw_only=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    @property
    def policy(self) -> dict[str, str]:
        """The content policy by directive."""
        parts = self.headers["content-security-policy"].split("; ")
        return {name: value for name, _, value in (part.partition(" ") for part in parts)}


async def request(
    app: App,
    path: str,
    *,
    verb: str = "GET",
    body: bytes = b"",
    client: tuple[str, int] | None = ("198.51.100.7", 40000),
    **headers: str,
) -> Got:
    """One request; headers are named with underscores."""
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    scope = {"type": "http", "method": verb, "path": path, "headers": list(given.items()), "client": client}
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    names = [name.decode() for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names)), "no header twice"
    shown = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(status=sent[0]["status"], headers=shown, body=sent[1]["body"].decode())


@pytest.fixture
def scene() -> Scene:
    """A payment whose payer has just come."""
    return Scene()


@pytest.fixture
def site(scene: Scene) -> Site:
    """The gateway in front of it."""
    return Site(scene)


@pytest.fixture
def base(scene: Scene) -> str:
    """The page's path."""
    return f"/3ds/{scene.link}"


async def post_json(site: Site, path: str, members: Any, **headers: str) -> Got:
    """As the page's script does."""
    return await request(site.app, path, verb="POST", body=json.dumps(members).encode(), content_type=JSON, **headers)


async def post_form(site: Site, path: str, fields: Mapping[str, str], **headers: str) -> Got:
    """As a form does."""
    return await request(site.app, path, verb="POST", body=urlencode(fields).encode(), content_type=FORM, **headers)


def embedded(got: Got) -> Any:
    """What the page has for its script."""
    found = re.search(r'<script type="application/json" id="payer-data">([^<]*)</script>', got.body)
    assert found is not None
    return json.loads(found[1])


def plain(got: Got) -> str:
    """What browsers without script show beside the rest."""
    return "".join(re.findall(r"<noscript>(.*?)</noscript>", got.body))


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
