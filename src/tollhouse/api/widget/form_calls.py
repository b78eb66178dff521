"""The form's own calls (wire-api 13): what is to be paid, the payment itself, and how it stands.

Checks in this order: verb, own page, size, content type, token, pace, JSON, fields, rights, state.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tollhouse.api.access import Projects
from tollhouse.api.calls import Background, Receive
from tollhouse.api.payer.pace import Pace
from tollhouse.api.problems import Reply, reply_to
from tollhouse.api.streaming import StreamReply
from tollhouse.api.widget.policy import PRIVATE_HEADERS
from tollhouse.api.widget.state import state_of
from tollhouse.api.widget.stream import Beat, StatusStreams
from tollhouse.api.widget.visit import WRITING, Visit, read_json_body
from tollhouse.api.widget.watch import Watch
from tollhouse.api.wire.browser import HAS_EXPIRED, read_pay
from tollhouse.api.wire.document import read_json
from tollhouse.change import Note
from tollhouse.flows import form
from tollhouse.flows.drive import drive
from tollhouse.merchant import Project
from tollhouse.money import CURRENCIES
from tollhouse.ports import StoreUnreachable, World
from tollhouse.progress import Progress, Stage
from tollhouse.public_token import PublicToken
from tollhouse.refusal import (
    CardHasExpired,
    InternalFailure,
    MethodUnknown,
    NotPermitted,
    PublicTokenInvalid,
    Refusal,
    TooManyRequests,
)

PREFIX = "/widget/v1/"
STEPS = frozenset({"form", "pay", "status"})
PAYS_PER_MINUTE_MAX = 20
DISABLED = "this project is disabled"
UNCLEAR = "it is not known whether the payment began; ask how it stands"


class FormCalls:
    """Answers the calls of payment forms."""

    def __init__(
        self, world: World, *, projects: Projects, background: Background, watch: Watch, beat: Beat | None = None
    ) -> None:
        self._world = world
        self._projects = projects
        self._background = background
        self._streams = StatusStreams(watch, world.public_url, beat or Beat())
        self._pace = Pace(world.clock.monotonic)
        self._pays = Pace(world.clock.monotonic, per_minute_max=PAYS_PER_MINUTE_MAX)

    @property
    def open_streams(self) -> int:
        """How many forms are being told how their payment stands."""
        return len(self._streams)

    async def answer(self, visit: Visit, receive: Receive, request_id: str) -> Reply | StreamReply:
        """The answer of a call. Raises every `Refusal`, `Disconnected`, `StoreUnreachable`."""
        step = visit.path.removeprefix(PREFIX)
        if step not in STEPS:
            raise MethodUnknown
        visit.require_verb(WRITING)
        visit.require_own_page(self._world.public_url)
        body = await read_json_body(visit, receive)
        token = await form.find_token(self._world, visit.token)
        pace = self._pays if step == "pay" else self._pace
        if pace.is_over(token.id):
            raise TooManyRequests("this payment form calls too often; wait a minute")
        pace.count(token.id)
        members = read_json(body)
        project = await project_of(self._projects, token)
        match step:
            case "form":
                return await self._form(token, project)
            case "pay":
                return await self._pay(token, project, members, request_id)
            case _:
                return await self._status(token, project, is_stream=visit.takes_stream)

    async def _form(self, token: PublicToken, project: Project) -> Reply:
        money, progress = await form.look(self._world, token, names_session=project.settings.return_params)
        if project.is_disabled and progress.stage is Stage.READY:
            raise NotPermitted(DISABLED)
        left = token.ends_at - self._world.clock.now()
        shown = {
            "merchant": project.display_name,
            "amount": money.minor,
            "currency": money.currency,
            "exponent": CURRENCIES[money.currency].exponent,
            "is_test": not project.is_live,
            "recurrent_checkbox": token.options.shows_recurrent,
            "redirect_target": token.options.redirect_target.value,
            "seconds_left": max(0, int(left.total_seconds())),
            "state": state_of(progress, self._world.public_url),
        }
        return _ok(form=shown)

    async def _pay(self, token: PublicToken, project: Project, members: dict[str, Any], request_id: str) -> Reply:
        world = self._world
        asked = read_pay(members, world.clock.now())
        if project.is_disabled:
            raise NotPermitted(DISABLED)
        try:
            session, progress = await form.pay(
                world, project, token, asked.card, recurrent=asked.recurrent, request_id=request_id
            )
        except Refusal as refusal:
            if token.session_id is not None:
                data = {"method": form.METHOD, "request_id": request_id, "status": reply_to(refusal).status}
                world.store.note(token.project, token.session_id, Note(kind="request", data=data), world.clock.now())
            if isinstance(refusal, CardHasExpired):  # which names the member of another request
                raise CardHasExpired(HAS_EXPIRED) from None
            raise
        except StoreUnreachable as lost:
            # The commit may have come through: 503 would tell the payer that nothing happened.
            raise InternalFailure(UNCLEAR) from lost
        if session.lease_owner == world.node:
            self._background(drive(world, session))
        return self._state(progress)

    async def _status(self, token: PublicToken, project: Project, *, is_stream: bool) -> Reply | StreamReply:
        async def look() -> Progress:
            return (await form.look(self._world, token, names_session=project.settings.return_params))[1]

        progress = await look()  # whatever is wrong is answered before a stream begins
        stream = self._streams.reply(token, look) if is_stream else None
        return stream or self._state(progress)

    def _state(self, progress: Progress) -> Reply:
        return _ok(state=state_of(progress, self._world.public_url))


async def project_of(projects: Projects, token: PublicToken) -> Project:
    """The token's project. Raises `PublicTokenInvalid`."""
    found = await projects.find(token.project)
    if found is None:
        raise PublicTokenInvalid
    return found.project


def _ok(**members: Any) -> Reply:
    return Reply(status=200, body=msgspec.json.encode({"status": "ok", **members}), headers=PRIVATE_HEADERS)
