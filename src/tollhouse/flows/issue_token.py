"""`token` and `token/info`: public tokens for browsers, and what any token stands for (wire-api 9.13, 9.14)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tollhouse import decision
from tollhouse.merchant import Project
from tollhouse.ports import World
from tollhouse.public_token import CardToken, FormOptions, PublicToken, is_token, token_id
from tollhouse.refusal import RequestInvalid, SessionUnknown, TokenUnknown
from tollhouse.session import PaymentSession, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """What a merchant is told of a public token."""

    created_at: datetime
    ends_at: datetime
    is_active: bool


async def issue_token(
    world: World, project: Project, *, session_id: str | None, options: FormOptions, may_tokenize: bool
) -> str:
    """A public token for the form of a created session, or for tokenising, or both; kept by its hash only.

    Where no page may frame the form it opens on the hosted page alone.

    Raises `SessionUnknown`, `StateForbids`, `RequestInvalid` (the session has no amount).
    """
    if session_id is not None:
        session = await _find_session(world, project, session_id)
        decision.require_startable(session)
        if session.offer.money is None:
            raise RequestInvalid("acquiring_widget.session_id", "a session with amount_details expected")
    token = world.ids.token()
    await world.tokens.keep_public(
        PublicToken(
            id=token_id(token),
            project=project.name,
            created_at=world.clock.now(),
            session_id=session_id,
            may_tokenize=may_tokenize,
            options=options,
        )
    )
    return token


async def public_token_info(world: World, project: Project, token: str) -> TokenInfo:
    """How a public token of this project stands. Raises `TokenUnknown`."""
    # A malformed one is looked up too, so that it takes as long as any other.
    found = await world.tokens.find_public(token_id(token))
    if found is None or not is_token(token) or found.project != project.name:
        raise TokenUnknown("public_token.token: no such token of this project")
    is_active = not found.is_over(world.clock.now()) and found.used_at is None
    if is_active and found.session_id is not None:
        session = await _find_session(world, project, found.session_id)
        is_active = session.status is Status.CREATED
    return TokenInfo(created_at=found.created_at, ends_at=found.ends_at, is_active=is_active)


async def card_token_info(
    world: World, project: Project, token: str, *, path: str = "card.tokenized_card.token"
) -> CardToken:
    """The card that a token of this project stands for. Raises `TokenUnknown`, in the same words whatever is wrong."""
    found = await world.tokens.find_card(project.name, token)
    if found is None or not found.is_usable(world.clock.now()):
        raise TokenUnknown(f"{path}: no such token of this project, or its time is over")
    return found


async def _find_session(world: World, project: Project, session_id: str) -> PaymentSession:
    session = await world.store.find_session(project.name, session_id)
    if session is None:
        raise SessionUnknown
    return session
