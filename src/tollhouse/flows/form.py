"""The payment form: what it shows, and the payment that it starts. A public token is all it comes with.

Nobody else's payment can be reached: the token names its session, and a session takes one payment, whichever window,
token or server starts it first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollhouse.card import CardDetails
from tollhouse.change import Note
from tollhouse.flows.settle import Call
from tollhouse.flows.start_payment import start_payment
from tollhouse.merchant import Project
from tollhouse.money import Money
from tollhouse.payment import Details
from tollhouse.ports import World
from tollhouse.progress import Progress, note_of, progress_of
from tollhouse.public_token import PublicToken, is_token, token_id
from tollhouse.refusal import PublicTokenInvalid
from tollhouse.session import Offer, PaymentSession

METHOD = "widget/v1/pay"


async def find_token(world: World, token: str) -> PublicToken:
    """What a public token stands for. Raises `PublicTokenInvalid` for one that is malformed, unknown or over."""
    # A malformed one is looked up too, so that it takes as long as any other.
    found = await world.tokens.find_public(token_id(token))
    if found is None or not is_token(token) or found.is_over(world.clock.now()):
        raise PublicTokenInvalid
    return found


async def find_frame(world: World, id: str) -> PublicToken | None:
    """The token of a form's frame, by its hash; None when there is none that opens a form."""
    found = await world.tokens.find_public(id) if is_token(id) else None
    if found is None or found.session_id is None or found.is_over(world.clock.now()):
        return None
    return found


async def look(world: World, token: PublicToken, *, names_session: bool = True) -> tuple[Money, Progress]:
    """What is to be paid, and how that stands. Raises `PublicTokenInvalid` for a token that opens no form."""
    session = await _session(world, token)
    money = session.payments[-1].money if session.payments else session.offer.money
    assert money is not None, "no token is given out for a session without an amount"
    return money, progress_of(session, token.options, world.clock.now(), names_session=names_session)


async def pay(
    world: World, project: Project, token: PublicToken, card: CardDetails, *, recurrent: bool, request_id: str
) -> tuple[PaymentSession, Progress]:
    """Start the payment of the token's session. Whoever calls drives the session if it is leased to this node.

    Raises `PublicTokenInvalid`, `StateForbids` when it was started before, and what `start_payment` refuses.
    """
    session = await _session(world, token)
    data = {"method": METHOD, "request_id": request_id, "status": 200}
    call = Call(project=project, api_version=session.api_version, note=Note(kind="request", data=data))
    offer = Offer(details=_details(session, project, token, recurrent=recurrent))
    settled = await start_payment(world, call, session.id, offer, card)
    return settled.session, progress_of(settled.session, token.options, world.clock.now())


async def _session(world: World, token: PublicToken) -> PaymentSession:
    if token.session_id is None:
        raise PublicTokenInvalid("X-PUBLIC-TOKEN: this token opens no payment form")
    session = await world.store.find_session(token.project, token.session_id)
    assert session is not None, "a token belongs to a session"
    return session


def _details(session: PaymentSession, project: Project, token: PublicToken, *, recurrent: bool) -> Details:
    """What the form adds to what its merchant gave. Where the merchant has the payer asked, the payer's word counts."""
    given = session.offer.details
    options: dict[str, Any] | None = None
    if token.options.shows_recurrent and (recurrent or (given.options or {}).get("recurrent")):
        options = {**(given.options or {}), "recurrent": recurrent}
    details = Details(options=options, unechoed=note_of(token.options, project.form_origins))
    if given.customer is None:
        details = replace(details, customer={"reference": session.id, "contacts": []})
    return details
