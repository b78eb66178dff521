"""The payer that `pay` plays: its way from the payer's page to the issuer and back, against small real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tollhouse.cli.payer import Person, PlayedPayer, read_page
from tollhouse.cli.play import PayerStuck
from tollhouse.net.merchant import Unreachable, calling

CODE_PAGE = (
    '<form action="/acs/challenge/a1" method="post" data-testid="challenge-form"><input type="hidden" name="kept" '
    'value="&lt;1&gt;"><input name="code"><button name="act" value="submit" data-testid="challenge-submit">Go</button>'
    '<button name="act" value="cancel" data-testid="challenge-cancel">No</button></form>'
)
APP_PAGE = (
    '<form action="/acs/challenge/a1" method="post" data-testid="challenge-form">'
    '<button name="act" value="approve" data-testid="oob-approve">Yes</button>'
    '<button name="act" value="decline" data-testid="oob-decline">No</button>'
    '<button name="act" value="cancel" data-testid="challenge-cancel">Cancel</button></form>'
)
BACK_PAGE = (
    '<form action="/3ds/link/challenge" data-testid="cres-form"><input type="hidden" name="cres" value="CRES"></form>'
)
METHOD_PAGE = (
    '<form action="/3ds/link/method" data-testid="method-form"><input type="hidden" name="threeDSMethodData" '
    'value="BACK"></form>'
)


@dataclass
class Scene:
    """The payer's page and the issuer in one server. `answers`: what the issuer shows after each form."""

    challenge: str | None = CODE_PAGE  # None: frictionless
    answers: list[str] = field(default_factory=lambda: [BACK_PAGE])
    method: str | None = None
    location: str | None = None
    looks_until_over: int = 1
    showing: str = "begin"
    decides_alone: bool = False  # the result comes, the browser does not
    base: str = ""
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200

    def state(self) -> dict[str, Any]:
        """What `/state` says."""
        if self.showing == "over":
            return {"showing": "over"}
        state: dict[str, Any] = {"showing": self.showing, "authentication_id": "a1", "method": None, "challenge": None}
        if self.showing == "begin" and self.method is not None:
            state["method"] = {"url": f"{self.base}/acs/method", "data": "DATA"}
        if self.showing == "challenge":
            state["challenge"] = {"url": f"{self.base}/acs/challenge", "requests": {"05": "CREQ"}}
        return state

    async def show_state(self, _: web.Request) -> web.Response:
        """GET /3ds/link/state"""
        if self.showing == "wait":
            self.looks_until_over -= 1
            self.showing = "over" if self.looks_until_over <= 0 else "wait"
        return web.json_response(self.state(), status=self.status)

    async def hear_browser(self, request: web.Request) -> web.Response:
        """POST /3ds/link/browser"""
        self.told.append(await request.json())
        self.showing = "wait" if self.challenge is None else "challenge"
        return web.json_response(self.state())

    async def take_form(self, request: web.Request) -> web.Response:
        """Any form post: the issuer's pages in their order, and the ways back."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append((request.path, form))
        if self.decides_alone and request.path == "/acs/challenge/a1":
            self.showing = "wait"
        if request.path == "/3ds/link/challenge":
            self.showing = "wait"
            raise web.HTTPSeeOther("/3ds/link")
        page = {"/acs/challenge": self.challenge, "/acs/method": self.method, "/3ds/link/method": ""}.get(request.path)
        return web.Response(text=self.answers.pop(0) if page is None else page, content_type="text/html")

    async def show_page(self, _: web.Request) -> web.Response:
        """GET /3ds/link"""
        if self.showing == "over" and self.location is not None:
            raise web.HTTPSeeOther(self.location)
        return web.Response(text="<p>the page</p>", content_type="text/html")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serve it; yields the payer's link."""
        app = web.Application()
        app.router.add_get("/3ds/link", self.show_page)
        app.router.add_get("/3ds/link/state", self.show_state)
        app.router.add_post("/3ds/link/browser", self.hear_browser)
        app.router.add_post("/{rest:.*}", self.take_form)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield f"{self.base}/3ds/link"
        finally:
            await runner.cleanup()


async def act(scene: Scene, answer: str = "1234", patience_seconds: float = 60) -> list[str]:
    """Let the payer act; what it did."""
    steps: list[str] = []

    async def did(text: str) -> None:
        steps.append(text)

    async with calling() as caller, scene.open() as link:
        payer = PlayedPayer(caller=caller, answer=answer, did=did, seconds_max=1, patience_seconds=patience_seconds)
        await payer.act(link)
        return [step.replace(scene.base.removeprefix("http://"), "issuer") for step in steps]


async def test_a_code_is_entered_and_the_answer_carried_back() -> None:
    """Page, browser's data, challenge, code, the way back, and the shop's address at the end."""
    scene = Scene(location="https://shop.test/back?session_id=ps_1")
    assert await act(scene) == [
        "opens the page",
        "tells about the browser",
        "takes the challenge request to issuer",
        "enters the code 1234",
        "is sent back by the issuer",
        "returns to https://shop.test/back?session_id=ps_1",
    ]
    assert scene.forms == [
        ("/acs/challenge", {"creq": "CREQ"}),
        ("/acs/challenge/a1", {"kept": "<1>", "code": "1234", "act": "submit"}),
        ("/3ds/link/challenge", {"cres": "CRES"}),
    ]
    assert scene.told[0]["completion"] == "U"


async def test_without_a_challenge_opening_the_page_is_enough() -> None:
    """A frictionless card needs somebody to open the page and no answer."""
    did = await act(Scene(challenge=None, looks_until_over=2))
    assert did == ["opens the page", "tells about the browser", "has nothing left to do"]


@pytest.mark.parametrize(("method", "completion"), [(METHOD_PAGE, "Y"), ("<p>busy</p>", "N")])
async def test_the_method_page_is_called(method: str, completion: str) -> None:
    """The issuer's hidden page comes first; whether it reported back is told with the browser's data."""
    scene = Scene(challenge=None, method=method)
    did = await act(scene)
    assert did[1].startswith("calls the 3DS method page of issuer")
    assert scene.told[0]["completion"] == completion
    assert scene.forms[0] == ("/acs/method", {"threeDSMethodData": "DATA"})
    assert (("/3ds/link/method", {"threeDSMethodData": "BACK"}) in scene.forms) is (completion == "Y")


async def test_a_wrong_code_is_entered_until_the_issuer_has_enough() -> None:
    """The page that asks again is answered again."""
    scene = Scene(answers=[CODE_PAGE, CODE_PAGE, BACK_PAGE])
    assert (await act(scene, "9999")).count("enters the code 9999") == 3


@pytest.mark.parametrize(
    ("page", "answer", "value"),
    [
        (APP_PAGE, "approve", "approve"),
        (APP_PAGE, "decline", "decline"),
        (APP_PAGE, "cancel", "cancel"),
        (CODE_PAGE, "cancel", "cancel"),
    ],
)
async def test_buttons_are_pressed(page: str, answer: str, value: str) -> None:
    """The bank's app approves or declines, and every challenge can be cancelled."""
    scene = Scene(challenge=page)
    await act(scene, answer)
    assert scene.forms[1][1]["act"] == value
    assert "code" not in scene.forms[1][1]


async def test_an_issuer_that_leads_nowhere_is_left_alone() -> None:
    """After an answer the issuer's page may stay; the payer's page tells when it is over."""
    scene = Scene(answers=["<p>thank you</p>"], decides_alone=True)
    assert "stays at the issuer's page, which leads nowhere" in await act(scene)


@pytest.mark.parametrize(
    ("scene", "answer", "said"),
    [
        (Scene(challenge=APP_PAGE), "1234", "--answer 1234 does not fit: the issuer's page wants approve, decline or"),
        (Scene(), "approve", "the issuer's page wants a code, or cancel"),
        (Scene(challenge="<p>thinking</p>"), "1234", "the issuer's page asks nothing"),
        (Scene(answers=[CODE_PAGE] * 9), "1234", "takes none of 5 answers"),
        (Scene(status=404), "1234", "the payer's page answers with status 404"),
        (Scene(showing="decoupled"), "1234", "the page still shows 'decoupled' after 0 s"),
    ],
)
async def test_where_the_payer_is_stuck(scene: Scene, answer: str, said: str) -> None:
    """One line says where it does not go on."""
    with pytest.raises(PayerStuck) as stuck:
        await act(scene, answer, patience_seconds=0 if scene.showing == "decoupled" else 60)
    assert said in str(stuck.value)


async def _nothing(_: str) -> None:
    """Tell nobody."""


async def test_a_page_that_is_not_there_is_unreachable() -> None:
    """Nobody listens at the link's address."""
    async with calling() as caller:
        payer = PlayedPayer(caller=caller, answer="1234", did=_nothing, seconds_max=1)
        with pytest.raises(Unreachable):
            await payer.act("http://127.0.0.1:9/3ds/link")


@pytest.mark.parametrize(("opener", "is_opened"), [(None, False), (lambda _: True, True), (lambda _: False, False)])
async def test_a_person_is_invited(opener: Any, is_opened: bool) -> None:
    """The link is told, with whether a browser shows it already; then an hour is given."""
    invited: list[tuple[str, bool]] = []

    async def invite(link: str, opens: bool) -> None:
        invited.append((link, opens))

    person = Person(invite=invite, open_page=opener)
    await person.act("http://127.0.0.1/3ds/x")
    assert invited == [("http://127.0.0.1/3ds/x", is_opened)]
    assert person.seconds_max > 3600


def test_pages_are_read_by_their_forms() -> None:
    """Addresses become whole, entities are read, and what stands outside of forms is none of theirs."""
    page = read_page("http://acs.test/a/b", f"<input type=hidden name=x value=y>{CODE_PAGE}<button>z".encode())
    (form,) = page.forms
    assert (form.action, form.fields) == ("http://acs.test/acs/challenge/a1", {"kept": "<1>"})
    assert form.buttons == {"challenge-submit": ("act", "submit"), "challenge-cancel": ("act", "cancel")}
    assert page.form("cres-form") is None
