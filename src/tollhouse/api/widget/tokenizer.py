"""`POST /cds/v1/tokenize/card` (wire-api 9.18): any page, with a public token for it, turns a card to a token."""

from __future__ import annotations

from tollhouse.api.access import Projects
from tollhouse.api.calls import Receive
from tollhouse.api.payer.pace import Pace
from tollhouse.api.problems import Reply
from tollhouse.api.widget.form_calls import DISABLED, PAYS_PER_MINUTE_MAX, project_of
from tollhouse.api.widget.policy import OPEN_HEADERS, PREFLIGHT_HEADERS
from tollhouse.api.widget.visit import JSON, Visit, read_json_body
from tollhouse.api.wire.browser import HAS_EXPIRED, read_tokenize, tokenized_body
from tollhouse.api.wire.document import read_json
from tollhouse.flows.form import find_token
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.ports import World
from tollhouse.refusal import CardHasExpired, MethodUnknown, NotPermitted, TooManyRequests

PREFIX = "/cds/"
PATH = "/cds/v1/tokenize/card"
VERBS = ("POST", "OPTIONS")


class Tokenizer:
    """Answers everything below /cds/."""

    def __init__(self, world: World, projects: Projects) -> None:
        self._world = world
        self._projects = projects
        self._pace = Pace(world.clock.monotonic, per_minute_max=PAYS_PER_MINUTE_MAX)

    async def answer(self, visit: Visit, receive: Receive) -> Reply:
        """The answer of a call. Raises every `Refusal`, `Disconnected`, `StoreUnreachable`."""
        if visit.path.removesuffix("/") != PATH:
            raise MethodUnknown
        visit.require_verb(VERBS)
        if visit.verb == "OPTIONS":
            return Reply(status=200, body=b'{"status":"ok"}', headers=PREFLIGHT_HEADERS)
        world = self._world
        body = await read_json_body(visit, receive)
        token = await find_token(world, visit.token)
        if self._pace.is_over(token.id):
            raise TooManyRequests("this token is used too often; wait a minute")
        self._pace.count(token.id)
        card = read_tokenize(read_json(body), world.clock.now())
        project = await project_of(self._projects, token)
        if project.is_disabled:
            raise NotPermitted(DISABLED)
        try:
            made = await tokenize_card(world, project, token, card)
        except CardHasExpired:  # which names the member of another request
            raise CardHasExpired(HAS_EXPIRED) from None
        return Reply(status=200, body=tokenized_body(made), headers={"Content-Type": JSON, **OPEN_HEADERS})
