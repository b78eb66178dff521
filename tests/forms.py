"""The payment form in one line: `token = await opened(world)`, `await pay(world, token)`. All of it by the flows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.builders import (
    OFFER,
    call,
    card,
    created,
)
from tests.worlds import PROJECT, MemoryWorld
from tollhouse.authentication import Enrolment
from tollhouse.card import CardDetails
from tollhouse.flows import form
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.form import find_token, look
from tollhouse.flows.issue_token import issue_token
from tollhouse.merchant import Project
from tollhouse.progress import Progress, Stage
from tollhouse.public_token import FormOptions, PublicToken
from tollhouse.session import PaymentSession

SUCCESS, FAILURE = "https://shop.example/ok", "https://shop.example/no"
BACK = "https://shop.example/back"
DAY_SECONDS = 24 * 3600
OTHER_PAN = "5555555555554444"


async def issued(
    world: MemoryWorld, session: PaymentSession, *, project: Project = PROJECT, **options: Any
) -> PublicToken:
    """A token of the session's form, as a browser's call finds it."""
    text = await issue_token(world, project, session_id=session.id, options=FormOptions(**options), may_tokenize=False)
    return await find_token(world, text)


async def opened(world: MemoryWorld, *, project: Project = PROJECT, **options: Any) -> PublicToken:
    """A token of the form of a new session."""
    return await issued(world, await created(world, project=project), project=project, **options)


async def pay(
    world: MemoryWorld,
    token: PublicToken,
    given: CardDetails | None = None,
    *,
    project: Project = PROJECT,
    recurrent: bool = False,
) -> tuple[PaymentSession, Progress]:
    """The payer's submit."""
    return await form.pay(world, project, token, given or card(), recurrent=recurrent, request_id="rq_1")


async def stage(world: MemoryWorld, token: PublicToken) -> Stage:
    """What the form shows."""
    return (await look(world, token))[1].stage


async def acting(
    world: MemoryWorld, *, project: Project = PROJECT, back: str | None = BACK, **options: Any
) -> tuple[PublicToken, PaymentSession]:
    """A payment by the form whose payer is to be authenticated: the token and the session."""
    world.directory.enrolled[card().pan.reveal()] = Enrolment(version="2.2.0")
    details = replace(OFFER.details, options={"return_url": back} if back else None)
    session = (await create_session(world, call(project), replace(OFFER, details=details), None)).session
    token = await issued(world, session, project=project, **options)
    await pay(world, token, project=project)
    session = (await confirm(world, call(project), session.id)).session
    return token, session
