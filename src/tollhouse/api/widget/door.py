"""The widget's host, address by address (wire-api 13).

GET  /payment-form.js, /payment-form.css, /tollhouse.mjs   the loader as it is now
GET  /widget/<version>/<file>                              any file of a build, for ever the same
GET  /widget/v1/frame/<token id>                           the form's frame
POST /widget/v1/form, /widget/v1/pay, /widget/v1/status    the form's own calls
GET  /pay/<public token>                                   the form on a page of ours
POST /cds/v1/tokenize/card                                 a card becomes a token
"""

from __future__ import annotations

import re

from tollhouse.api.access import Projects
from tollhouse.api.calls import Background, Receive, Scope
from tollhouse.api.payer.pace import Pace
from tollhouse.api.problems import Reply, reply_to
from tollhouse.api.streaming import StreamReply
from tollhouse.api.widget import form_calls, tokenizer
from tollhouse.api.widget.assets import LOADER, LOADER_MODULE, LOADER_STYLE, NOT_BUILT, Asset, Assets
from tollhouse.api.widget.form_calls import FormCalls, project_of
from tollhouse.api.widget.page import frame_page, hosted_page, notice_page
from tollhouse.api.widget.policy import (
    FILE_HEADERS,
    NEWEST_HEADERS,
    OPEN_HEADERS,
    PRIVATE_HEADERS,
    VERSION_HEADERS,
    frame_headers,
    hosted_headers,
    notice_headers,
)
from tollhouse.api.widget.stream import Beat
from tollhouse.api.widget.tokenizer import Tokenizer
from tollhouse.api.widget.visit import READING, Visit, origin_of, read_visit
from tollhouse.api.widget.watch import Watch
from tollhouse.flows import form
from tollhouse.merchant import ANYBODY, Project
from tollhouse.ports import World
from tollhouse.progress import Stage
from tollhouse.public_token import PublicToken
from tollhouse.refusal import MethodUnknown, NotPermitted, PublicTokenInvalid, Refusal, TooManyRequests

NEWEST = {f"/{name}": name for name in (LOADER, LOADER_STYLE, LOADER_MODULE)}
FRAME_PREFIX, HOSTED_PREFIX, WIDGET_PREFIX = "/widget/v1/frame/", "/pay/", "/widget/"
PREFIXES = (WIDGET_PREFIX, HOSTED_PREFIX, tokenizer.PREFIX)

_VERSIONED = re.compile(r"/widget/(?P<version>[0-9a-f]{12})/(?P<name>[a-z.-]{1,40})")


def is_of_widget(path: str) -> bool:
    """Whether this door answers this path."""
    return path in NEWEST or path.startswith(PREFIXES)


class WidgetDoor:
    """Answers everything of the widget's host."""

    def __init__(
        self,
        world: World,
        *,
        assets: Assets,
        projects: Projects,
        background: Background,
        watch: Watch,
        beat: Beat | None = None,
    ) -> None:
        self._world = world
        self._assets = assets
        self._projects = projects
        self._calls = FormCalls(world, projects=projects, background=background, watch=watch, beat=beat)
        self._tokenizer = Tokenizer(world, projects)
        self._pace = Pace(world.clock.monotonic)

    async def answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply | StreamReply:
        """The answer of a request. Raises `Refusal`, `Disconnected`, `StoreUnreachable`."""
        visit = read_visit(scope)
        path = visit.path
        if path.startswith(tokenizer.PREFIX):
            return await self._tokenizer.answer(visit, receive)
        if path in NEWEST:
            visit.require_verb(READING)
            return self._newest(visit, NEWEST[path])
        if found := _VERSIONED.fullmatch(path):
            visit.require_verb(READING)
            return await self._versioned(visit, found["version"], found["name"])
        if path.startswith(FRAME_PREFIX):
            visit.require_verb(READING)
            return await self._frame(visit, path.removeprefix(FRAME_PREFIX))
        if path.startswith(HOSTED_PREFIX):
            visit.require_verb(READING)
            return await self._hosted(visit, path.removeprefix(HOSTED_PREFIX))
        return await self._calls.answer(visit, receive, request_id)

    def refuse(self, refusal: Refusal, scope: Scope) -> Reply:
        """A refusal, in words for the payer or as JSON for a program."""
        visit = read_visit(scope)
        is_framed = visit.path.startswith(FRAME_PREFIX)
        if is_framed or visit.path.startswith(HOSTED_PREFIX):
            reply = reply_to(refusal, allow=", ".join(READING))
            page = notice_page(visit.language, reply.status)
            return Reply(
                status=reply.status, body=page.encode(), headers=reply.headers | notice_headers(is_framed=is_framed)
            )
        if visit.path.startswith(tokenizer.PREFIX):
            allow, headers = ", ".join(tokenizer.VERBS), OPEN_HEADERS
        elif visit.path.startswith(form_calls.PREFIX):
            allow, headers = "POST", PRIVATE_HEADERS
        else:
            allow, headers = ", ".join(READING), FILE_HEADERS
        reply = reply_to(refusal, allow=allow)
        return Reply(status=reply.status, body=reply.body, headers=reply.headers | headers)

    def _newest(self, visit: Visit, name: str) -> Reply:
        if not self._assets.is_built:
            return _not_built()
        asset = self._assets.newest(name)
        headers = {**NEWEST_HEADERS, "ETag": asset.tag, "Vary": "Accept-Encoding"}
        if visit.has_kept(asset.tag):
            return Reply(status=304, body=b"", headers={**headers, "Content-Type": ""})
        return _file(visit, asset, headers)

    async def _versioned(self, visit: Visit, version: str, name: str) -> Reply:
        asset = await self._assets.find(version, name)
        if asset is not None:
            return _file(visit, asset, {**VERSION_HEADERS, "Vary": "Accept-Encoding"})
        if not self._assets.is_built:
            return _not_built()
        raise MethodUnknown("there is no such file")

    async def _frame(self, visit: Visit, id: str) -> Reply:
        if not self._assets.is_built:
            return _not_built()
        token = await form.find_frame(self._world, id)
        project = None if token is None else await self._known_project(token)
        if token is None or project is None:
            return self._frame_page(visit, language=visit.language, origins=(ANYBODY,), is_known=False)
        self._keep_pace(token)
        return self._frame_page(visit, language=token.options.language, origins=project.form_origins, is_known=True)

    def _frame_page(self, visit: Visit, *, language: str, origins: tuple[str, ...], is_known: bool) -> Reply:
        public_url = self._world.public_url
        # The hosted page is one of those that may talk to the form.
        partners = origins if ANYBODY in origins else (*origins, origin_of(public_url))
        page = frame_page(self._assets, language=language, origins=partners, is_known=is_known)
        headers = frame_headers(visit, public_url, self._assets, origins)
        return Reply(status=200 if is_known else 404, body=page.encode(), headers=headers)

    async def _hosted(self, visit: Visit, text: str) -> Reply:
        if not self._assets.is_built:
            return _not_built()
        try:
            token = await form.find_token(self._world, text)
            _, progress = await form.look(self._world, token)
        except PublicTokenInvalid:
            raise MethodUnknown from None  # a page that is not there, for people
        project = await self._known_project(token)
        if project is None:
            raise MethodUnknown
        if project.is_disabled and progress.stage is Stage.READY:
            raise NotPermitted(form_calls.DISABLED)
        self._keep_pace(token)
        page = hosted_page(self._assets, language=token.options.language)
        headers = hosted_headers(visit, self._world.public_url, self._assets)
        return Reply(status=200, body=page.encode(), headers=headers)

    async def _known_project(self, token: PublicToken) -> Project | None:
        try:
            return await project_of(self._projects, token)
        except PublicTokenInvalid:
            return None

    def _keep_pace(self, token: PublicToken) -> None:
        if self._pace.is_over(token.id):
            raise TooManyRequests("this payment form is opened too often; wait a minute")
        self._pace.count(token.id)


def _file(visit: Visit, asset: Asset, headers: dict[str, str]) -> Reply:
    if visit.takes_packed:
        headers = {**headers, "Content-Encoding": "gzip"}
    body = asset.packed if visit.takes_packed else asset.body
    return Reply(status=200, body=body, headers={**headers, "Content-Type": asset.media_type})


def _not_built() -> Reply:
    headers = {"Content-Type": "text/plain; charset=utf-8", **FILE_HEADERS}
    return Reply(status=503, body=f"{NOT_BUILT}\n".encode(), headers=headers)
