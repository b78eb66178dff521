"""The payer of `tollhouse pay`: a person with a browser, or one played over HTTP who answers the sandbox's pages."""

from __future__ import annotations

import asyncio
import os
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from tollhouse.authentication import ACTION_SECONDS_MAX
from tollhouse.cli.play import PayerStuck
from tollhouse.net.merchant import Answer, Caller

APPROVE, DECLINE, CANCEL = "approve", "decline", "cancel"
APPROVE_BUTTON, ENTER_CODE, CODE_FIELD = "oob-approve", "challenge-submit", "code"
BUTTONS: Mapping[str, tuple[str, str]] = {
    APPROVE: (APPROVE_BUTTON, "approves in the bank's app"),
    DECLINE: ("oob-decline", "declines in the bank's app"),
    CANCEL: ("challenge-cancel", "cancels"),
}
REDIRECTS_MAX = 3
CODES_MAX = 5
WINDOW_SIZE = "05"  # full screen
RETURN_MARGIN_SECONDS = 60.0
PATIENCE_SECONDS = 120.0  # of the played payer: an issuer may decide without the browser
LOOK_SECONDS = 0.5
BEGIN, OVER = "begin", "over"
BROWSER_FACTS: Mapping[str, object] = {
    "language": "en",
    "java": False,
    "color_depth": 24,
    "screen_height": 1080,
    "screen_width": 1920,
    "timezone_minutes": 0,
}
HEADERS = {
    "Accept": "text/html,application/json;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) tollhouse-pay",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person authenticates in a browser of their own, whenever they like."""

    invite: Callable[[str, bool], Awaitable[None]]  # link, and whether it opens by itself
    open_page: Callable[[str], bool] | None  # None: nothing is opened
    seconds_max: float = ACTION_SECONDS_MAX + RETURN_MARGIN_SECONDS

    async def act(self, link: str) -> None:
        """Open the page, or say where it is; what comes of it is told by the webhook."""
        is_opened = self.open_page is not None and await asyncio.to_thread(self.open_page, link)
        await self.invite(link, is_opened)


def open_page(link: str) -> bool:
    """Open it in this desktop's browser. False where there is none but such as would take over the terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    is_in_terminal = type(browser) is webbrowser.GenericBrowser
    return not (is_in_terminal and "BROWSER" not in os.environ) and browser.open(link)


@dataclass(slots=True, kw_only=True)
class PlayedPayer:
    """Does what the payer's browser and the payer would do. `answer`: a code, or approve, decline, cancel."""

    caller: Caller
    answer: str
    did: Callable[[str], Awaitable[None]]
    seconds_max: float
    patience_seconds: float = PATIENCE_SECONDS
    _answered: set[str] = field(default_factory=set)

    async def act(self, link: str) -> None:
        """From the first look at the page to the way back. Raises `PayerStuck`, `Unreachable`."""
        await self.did("opens the page")
        state = await self._look(link)
        deadline = time.monotonic() + self.patience_seconds
        while state["showing"] != OVER:
            if time.monotonic() > deadline:
                raise PayerStuck(f"the page still shows {state['showing']!a} after {self.patience_seconds:.0f} s")
            attempt = str(state.get("authentication_id"))
            challenge = state.get("challenge")
            if state["showing"] == BEGIN:
                state = await self._begin(link, state)
            elif isinstance(challenge, dict) and attempt not in self._answered:
                self._answered.add(attempt)
                await self._authenticate(challenge)
                state = await self._look(link)
            else:
                await asyncio.sleep(LOOK_SECONDS)
                state = await self._look(link)
        await self._return(link)

    async def _look(self, link: str) -> dict[str, Any]:
        return _state(await self.caller.get(f"{link}/state", HEADERS))

    async def _begin(self, link: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """The hidden page of the issuer first, then what a browser tells of itself."""
        completion = "U"
        method = state.get("method")
        if isinstance(method, dict):
            completion = "Y" if await self._call_method(method) else "N"
            heard = "" if completion == "Y" else ", which says nothing"
            await self.did(f"calls the 3DS method page of {_host(method['url'])}{heard}")
        await self.did("tells about the browser")
        body = msgspec.json.encode({**BROWSER_FACTS, "completion": completion})
        headers = {**HEADERS, "Content-Type": "application/json"}
        after = _state(await self.caller.post(f"{link}/browser", body, headers))
        if after["showing"] == BEGIN:
            await asyncio.sleep(LOOK_SECONDS)
        return after

    async def _call_method(self, method: Mapping[str, Any]) -> bool:
        """Whether the issuer's hidden page reported back."""
        page = await self._submit(method["url"], {"threeDSMethodData": method["data"]})
        form = page.form("method-form")
        if form is None:
            return False
        await self._submit(form.action, form.fields)
        return True

    async def _authenticate(self, challenge: Mapping[str, Any]) -> None:
        """At the issuer: until its page leads back, or does nothing more."""
        await self.did(f"takes the challenge request to {_host(challenge['url'])}")
        page = await self._submit(challenge["url"], {"creq": challenge["requests"][WINDOW_SIZE]})
        for number in range(1 + CODES_MAX):
            if (back := page.form("cres-form")) is not None:
                await self.did("is sent back by the issuer")
                await self._submit(back.action, back.fields)
                return
            form = page.form("challenge-form")
            if form is None and number > 0:
                await self.did("stays at the issuer's page, which leads nowhere")
                return
            if form is None:
                raise PayerStuck("the issuer's page asks nothing (is it not the sandbox's? then use a browser)")
            page = await self._submit(form.action, await self._answer(form))
        raise PayerStuck(f"the issuer's page takes none of {CODES_MAX} answers")

    async def _answer(self, form: Form) -> dict[str, str]:
        testid, doing = BUTTONS.get(self.answer, (ENTER_CODE, f"enters the code {self.answer}"))
        button = form.buttons.get(testid)
        if button is None:
            wanted = "approve, decline or cancel" if APPROVE_BUTTON in form.buttons else "a code, or cancel"
            raise PayerStuck(f"--answer {self.answer} does not fit: the issuer's page wants {wanted}")
        await self.did(doing)
        code = {CODE_FIELD: self.answer} if testid == ENTER_CODE else {}
        return {**form.fields, **code, button[0]: button[1]}

    async def _return(self, link: str) -> None:
        """Where the page sends a payer who has nothing left to do."""
        answer = await self.caller.get(link, HEADERS)
        await self.did(f"returns to {answer.location}" if answer.location else "has nothing left to do")

    async def _submit(self, url: str, fields: Mapping[str, str]) -> Page:
        """Post a form as a browser's window would. A redirect is followed by hand, as a GET."""
        answer = await self.caller.submit(url, fields, {**HEADERS, "Sec-Fetch-Dest": "document"})
        for _ in range(REDIRECTS_MAX):
            if answer.status not in (302, 303) or answer.location is None:
                break
            url = urljoin(url, answer.location)
            answer = await self.caller.get(url, HEADERS)
        if answer.status >= 400:
            raise PayerStuck(f"{_host(url)} answers with status {answer.status}")
        return read_page(url, answer.body)


@dataclass(slots=True)
class Form:
    """One form of a page: its address, its hidden fields, and by data-testid the name and value of each button."""

    testid: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """What a page offers to do."""

    forms: list[Form]

    def form(self, testid: str) -> Form | None:
        """The form with this data-testid."""
        return next((form for form in self.forms if form.testid == testid), None)


def read_page(url: str, body: bytes) -> Page:
    """The forms of an HTML page that was found at this address."""
    reader = _FormReader(url)
    reader.feed(body.decode("utf-8", errors="replace"))
    reader.close()
    return Page(reader.forms)


class _FormReader(HTMLParser):
    """Collects forms."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._is_inside = False
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A form begins, or has a field or a button more."""
        named = {name: value or "" for name, value in attrs}
        testid, name, value = (named.get(key, "") for key in ("data-testid", "name", "value"))
        if tag == "form":
            self.forms.append(Form(testid, urljoin(self._url, named.get("action", ""))))
            self._is_inside = True
        elif tag == "button" and self._is_inside:
            self.forms[-1].buttons[testid] = (name, value)
        elif tag == "input" and self._is_inside and named.get("type") == "hidden":
            self.forms[-1].fields[name] = value

    def handle_endtag(self, tag: str) -> None:
        """A form ends."""
        self._is_inside = self._is_inside and tag != "form"


def _state(answer: Answer) -> dict[str, Any]:
    """How the page says the authentication stands. Raises `PayerStuck`."""
    try:
        state = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        state = {}
    if answer.status != 200 or not isinstance(state.get("showing"), str):
        raise PayerStuck(f"the payer's page answers with status {answer.status}")
    return state


def _host(url: str) -> str:
    return urlsplit(url).netloc
