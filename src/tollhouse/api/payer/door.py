"""The payer's paths (wire-api 12), and the directory server's one.

GET  /3ds/<link>            the page; 303 to the shop when all is over
GET  /3ds/<link>/state      how it stands, for the page's script
POST /3ds/<link>/browser    what the browser is; the directory server is asked
POST /3ds/<link>/again      another attempt
POST /3ds/<link>/method     from the issuer's method frame
POST /3ds/<link>/challenge  from the issuer's challenge
POST /3ds/results           the result message, server to server
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from tollhouse.api.calls import Background, Receive, Scope
from tollhouse.api.payer.pace import RETURNS_PER_MINUTE_MAX, Pace
from tollhouse.api.payer.page import end_page, notice_page, payer_page, signal_page
from tollhouse.api.payer.policy import JSON_HEADERS, in_header, notice_headers, page_headers, signal_headers
from tollhouse.api.payer.state import state_of
from tollhouse.api.payer.visit import FORM, IN_DIALOG, JSON, Visit, read_browser, read_form, read_limited, read_visit
from tollhouse.api.problems import Reply, reply_to
from tollhouse.flows import authenticate
from tollhouse.flows.authenticate import Answer, Asked, Showing, View
from tollhouse.flows.drive import drive
from tollhouse.ports import World
from tollhouse.refusal import MethodNotAllowed, MethodUnknown, Refusal, TooManyRequests
from tollhouse.session import PaymentSession
from tollhouse.threeds.translate import Browser

PREFIX = "/3ds/"
_READING, _WRITING = ("GET", "HEAD"), ("POST",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The flows behind the page."""

    look: Callable[[World, str], Awaitable[View | None]] = authenticate.look
    ask: Callable[[World, str, Browser, str], Awaitable[Asked | None]] = authenticate.ask
    take_return: Callable[[World, str, str], Awaitable[None]] = authenticate.take_return
    try_again: Callable[[World, str], Awaitable[View | None]] = authenticate.try_again
    hear_results: Callable[[World, bytes], Awaitable[Answer]] = authenticate.hear_results
    drive: Callable[[World, PaymentSession], Coroutine[Any, Any, None]] = drive


class PayerDoor:
    """Answers everything below /3ds/."""

    def __init__(self, world: World, *, background: Background, steps: Steps) -> None:
        self._world = world
        self._background = background
        self._steps = steps
        self._pace = Pace(world.clock.monotonic)
        self._returns = Pace(world.clock.monotonic, per_minute_max=RETURNS_PER_MINUTE_MAX)

    async def answer(self, scope: Scope, receive: Receive) -> Reply:
        """The answer of a request. Raises `Refusal`, `Disconnected`, `StoreUnreachable`."""
        visit = read_visit(scope)
        if visit.link is None and visit.step != "results":
            raise _no_such_link()
        if visit.verb not in _verbs(visit):
            raise MethodNotAllowed(f"this is reached by {_verbs(visit)[0]}")
        if visit.link is None:
            return await self._hear_results(await read_limited(visit, receive, JSON))
        return await self._answer(visit, visit.link, receive)

    def refuse(self, refusal: Refusal, scope: Scope) -> Reply:
        """A refusal, in words for the payer or as JSON for a program."""
        visit = read_visit(scope)
        reply = reply_to(refusal, allow=", ".join(_verbs(visit)))
        if visit.is_by_program:
            return Reply(status=reply.status, body=reply.body, headers=reply.headers | JSON_HEADERS)
        texts = visit.texts
        onward = None if visit.link is None else f"../{visit.link}" if visit.step else visit.link
        if onward is not None and visit.in_dialog:
            onward += f"?{IN_DIALOG.decode()}"
        match reply.status:
            case 404:
                title, text, onward = texts.missing_title, texts.missing, None
            case 429:
                title, text = texts.busy_title, texts.busy
            case status if status >= 500:
                title, text = texts.failed_title, texts.failed
            case _:
                title, text = texts.refused_title, texts.refused
        page = notice_page(texts, title, text, onward=onward)
        headers = reply.headers | notice_headers(in_dialog=visit.in_dialog)
        return Reply(status=reply.status, body=page.encode(), headers=headers)

    async def _answer(self, visit: Visit, link: str, receive: Receive) -> Reply:
        if self._pace.is_over(link):
            raise TooManyRequests("this payment's page is asked for too often")
        if visit.step in ("browser", "again"):
            visit.require_own_page()
        body = b""
        if visit.verb == "POST":
            is_from_issuer = visit.step in ("method", "challenge")
            body = await read_limited(visit, receive, *((FORM,) if is_from_issuer else (JSON, FORM)))
        view = await self._steps.look(self._world, link)
        if view is None:
            raise _no_such_link()
        self._pace.count(link)
        if visit.step == "":
            return _page(visit, link, view)
        if visit.step == "state":
            return _state(view)
        if visit.step == "method":
            return _signal(visit, link, view)
        if visit.step == "challenge":
            return await self._take_return(visit, link, body, view)
        if visit.step == "browser":
            view = await self._ask(visit, link, body, view)
        elif visit.step == "again":
            view = await self._steps.try_again(self._world, link) or view
        return _state(view) if visit.is_by_program else _onward(visit, link, view)

    async def _ask(self, visit: Visit, link: str, body: bytes, view: View) -> View:
        browser, completion = read_browser(visit, body, view)
        asked = await self._steps.ask(self._world, link, browser, completion)
        if asked is None:
            raise _no_such_link()
        self._carry_on(asked.session)
        return asked.view

    async def _take_return(self, visit: Visit, link: str, body: bytes, view: View) -> Reply:
        fields = read_form(body)
        brought = fields.get("cres") or fields.get("erro")  # a broken challenge comes back with an error message
        if brought and not self._returns.is_over(link):
            self._returns.count(link)
            await self._steps.take_return(self._world, link, brought)
        return _onward(visit, link, view) if visit.is_in_window else _signal(visit, link, view)

    async def _hear_results(self, body: bytes) -> Reply:
        answer = await self._steps.hear_results(self._world, body)
        if answer.session is not None:
            self._carry_on(answer.session)
        return Reply(status=200, body=answer.body, headers=JSON_HEADERS)

    def _carry_on(self, session: PaymentSession) -> None:
        if session.lease_owner == self._world.node:
            self._background(self._steps.drive(self._world, session))


def _verbs(visit: Visit) -> tuple[str, ...]:
    return _READING if visit.step in ("", "state") else _WRITING


def _no_such_link() -> Refusal:
    return MethodUnknown("there is no such payment link")


def _page(visit: Visit, link: str, view: View) -> Reply:
    if view.showing is not Showing.OVER:
        page = payer_page(visit.texts, link, view)
        return Reply(status=200, body=page.encode(), headers=page_headers(view, in_dialog=visit.in_dialog))
    if visit.in_dialog:  # the form around it knows how it ended, and goes on
        return Reply(status=200, body=end_page(visit.texts).encode(), headers=notice_headers(view))
    if view.return_url is None:
        return Reply(status=200, body=end_page(visit.texts).encode(), headers=notice_headers())
    return Reply(status=303, body=b"", headers=notice_headers() | {"Location": in_header(view.return_url)})


def _state(view: View) -> Reply:
    return Reply(status=200, body=msgspec.json.encode(state_of(view)), headers=JSON_HEADERS)


def _signal(visit: Visit, link: str, view: View) -> Reply:
    page = signal_page(visit.texts, link, visit.step)
    return Reply(status=200, body=page.encode(), headers=signal_headers(view))


def _onward(visit: Visit, link: str, view: View) -> Reply:
    """To the page after a form was posted.

    When that leads on to the shop, a page goes between: a browser holds the whole chain of redirects against the
    policy of the page with the form (form-action), which knows nothing of the shop.
    """
    if view.showing is Showing.OVER:
        return _signal(visit, link, view)
    return Reply(status=303, body=b"", headers=notice_headers() | {"Location": f"../{link}"})
