"""The methods of the API: what each reads, whether it writes, and the flow that carries it out (wire-api 9)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from tollhouse.api.wire import requests, tokens
from tollhouse.api.wire.requests import Asked, Besides
from tollhouse.flows.cancel import cancel
from tollhouse.flows.capture import capture
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.issue_token import card_token_info, issue_token, public_token_info
from tollhouse.flows.refund import refund
from tollhouse.flows.settle import Call, Settled
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.flows.tokenize_elements import tokenize_elements
from tollhouse.merchant import Project
from tollhouse.ports import World
from tollhouse.refusal import SessionUnknown

VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method: `carry_out` where the answer is a session, `answer` where it is something else.

    `is_later`: of a product without which every project is, for now; then nothing carries it out.
    """

    name: str
    read: Callable[[dict[str, Any], Besides], Asked]
    carry_out: Callable[[World, Call, Asked], Awaitable[Settled]] | None = None
    answer: Callable[[World, Project, Any], Awaitable[bytes]] | None = None
    is_writing: bool = True
    is_later: bool = False
    verb: str = "POST"


async def _create(world: World, call: Call, asked: Asked) -> Settled:
    return await create_session(world, call, asked.offer, asked.card)


async def _init(world: World, call: Call, asked: Asked) -> Settled:
    assert asked.card is not None, "the form requires a payment method"
    return await init_payment(world, call, asked.offer, asked.card)


async def _start(world: World, call: Call, asked: Asked) -> Settled:
    return await start_payment(world, call, _session_of(asked), asked.offer, asked.card)


async def _confirm(world: World, call: Call, asked: Asked) -> Settled:
    return await confirm(world, call, _session_of(asked))


async def _cancel(world: World, call: Call, asked: Asked) -> Settled:
    return await cancel(world, call, _session_of(asked))


async def _capture(world: World, call: Call, asked: Asked) -> Settled:
    return await capture(world, call, _session_of(asked), asked.money)


async def _refund(world: World, call: Call, asked: Asked) -> Settled:
    return await refund(
        world, call, _session_of(asked), asked.money, payment_id=asked.payment_id, metadata=asked.metadata
    )


async def _status(world: World, call: Call, asked: Asked) -> Settled:
    session = await world.store.find_session(call.project.name, _session_of(asked))
    if session is None:
        raise SessionUnknown
    return Settled(answer=session, session=session, is_written=False)


async def _token(world: World, project: Project, asked: tokens.AskedToken) -> bytes:
    token = await issue_token(
        world, project, session_id=asked.session_id, options=asked.options, may_tokenize=asked.may_tokenize
    )
    return tokens.token_body(token)


async def _token_info(world: World, project: Project, asked: tokens.AskedInfo) -> bytes:
    if asked.public_token is not None:
        return tokens.public_info_body(asked.public_token, await public_token_info(world, project, asked.public_token))
    assert asked.card_token is not None, "the form requires one of them"
    found = await card_token_info(world, project, asked.card_token, path=asked.card_path)
    return tokens.card_info_body(found, is_hash=asked.is_hash)


async def _tokenize_elements(world: World, project: Project, asked: tokens.AskedElements) -> bytes:
    return tokens.elements_body(await tokenize_elements(world, project, asked.numbers))


def _session_of(asked: Asked) -> str:
    assert asked.session_id is not None, "the form requires a session"
    return asked.session_id


METHODS = (
    Method(name="session/create", read=requests.read_create, carry_out=_create),
    Method(name="session/init/payment", read=requests.read_init, carry_out=_init),
    Method(name="session/start/payment", read=requests.read_start, carry_out=_start),
    Method(name="session/confirm", read=requests.read_confirm, carry_out=_confirm),
    Method(name="session/cancel", read=requests.read_session, carry_out=_cancel),
    Method(name="session/capture", read=requests.read_capture, carry_out=_capture),
    Method(name="session/refund", read=requests.read_refund, carry_out=_refund),
    Method(name="session/status", read=requests.read_session, carry_out=_status, is_writing=False),
    Method(name="token", read=tokens.read_token, answer=_token, is_writing=False),
    Method(name="token/info", read=tokens.read_info, answer=_token_info, is_writing=False),
    Method(name="tokenize/elements", read=tokens.read_elements, answer=_tokenize_elements, is_writing=False),
)

_LATER = Method(name="", read=requests.read_nothing, is_writing=False, is_later=True)
LATER_METHODS = (
    replace(_LATER, name="session/init/payment/sync", read=requests.read_init, is_writing=True),
    replace(_LATER, name="session/start/payout", read=requests.read_session, is_writing=True),
    replace(_LATER, name="session/chargeback", read=requests.read_session, is_writing=True),
    replace(_LATER, name="session/init/payout", is_writing=True),
    replace(_LATER, name="session/multi/init", is_writing=True),
    *(
        replace(_LATER, name=name)
        for name in (
            "recurrent/status",
            "recurrent/disable",
            "wallet/balance",
            "fps/customer_verification",
            "subscription/cancel",
            "subscription/restore",
            "sberpay/push",
        )
    ),
    replace(_LATER, name="fps/banks", verb="GET"),  # the family's only call that is no POST
)

# Every path there is, with its version.
_PATHS: dict[str, tuple[int, Method]] = {
    f"/api/v{version}/{method.name}": (version, method) for version in VERSIONS for method in (*METHODS, *LATER_METHODS)
}

# Families of methods of the sibling's that end alike: escrow accounts, cash desks, fiscal receipts.
_LATER_FAMILY = re.compile(
    r"/api/v([12])/(session/(?:[a-z]{1,20}/){1,3}nominal|(?:[a-z]{1,20}/){1,4}rko|(?:[a-z]{1,20}/){0,3}fiscalization)"
)


def find_method(path: str) -> tuple[int, Method] | None:
    """The version and the method of a path; one trailing slash makes no difference."""
    path = path.removesuffix("/")
    found = _PATHS.get(path)
    if found is None and (later := _LATER_FAMILY.fullmatch(path)):
        return int(later.group(1)), replace(_LATER, name=later.group(2), is_writing=True)
    return found
