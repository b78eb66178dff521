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

from tests.api.client import SECRET, FakeProjects
from tests.builders import created
from tests.worlds import START, memory_world
from tollhouse.api.app import App, build_app
from tollhouse.api.payer.door import Steps
from tollhouse.api.widget.assets import Assets
from tollhouse.api.widget.watch import Watch
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
            who_is_away=self._who_is_away,
            webhook_key=self._webhook_key,
            version="0.1.0",
            assets=Assets({}, None, self.world.log),
            watch=Watch(),
            payer_steps=Steps(
                look=self._look,
                ask=self._ask,
                take_return=self._take_return,
                try_again=self._try_again,
                hear_results=self._hear_results,
                drive=self._drive,
            ),
        )

    async def _who_is_away(self) -> str:
        return ""

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
    query: str = "",
    client: tuple[str, int] | None = ("198.51.100.7", 40000),
    **headers: str,
) -> Got:
    """One request; headers are named with underscores."""
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": verb,
        "path": path,
        "query_string": query.encode(),
        "headers": list(given.items()),
        "client": client,
    }
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
