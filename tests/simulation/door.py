"""A node's doors: what HTTP does around a flow, without HTTP: keys, refusals, going on afterwards.

One is for merchants, one for payers' browsers and one for their forms, one for the directory server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation import moments, shown
from tests.simulation.truth import Violation
from tollhouse.card import CardDetails, GivenCard, TokenizedCard
from tollhouse.change import KeyClaim, Note
from tollhouse.flows.authenticate import ask, hear_results, look, take_return, try_again
from tollhouse.flows.cancel import cancel
from tollhouse.flows.capture import capture
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.drive import drive
from tollhouse.flows.form import find_token, pay
from tollhouse.flows.form import look as look_at_form
from tollhouse.flows.issue_token import issue_token
from tollhouse.flows.refund import refund
from tollhouse.flows.settle import Call, Settled
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.idempotency import UsedKey, answer_again
from tollhouse.merchant import IdempotencyMode, Project
from tollhouse.money import Money
from tollhouse.ports import KeyTaken, StoreUnreachable, World
from tollhouse.public_token import FormOptions
from tollhouse.refusal import KeyUsed, Refusal, SessionUnknown, Unavailable
from tollhouse.session import Offer, PaymentSession
from tollhouse.threeds.translate import Browser

if TYPE_CHECKING:
    from tests.simulation.scheduler import Box
    from tests.simulation.world import Node

API_VERSION = 2
BROWSER = Browser(accept_header="*/*", user_agent="Chromium", language="en", ip="198.51.100.7", has_script=True)
BUSY, NO_PAGE = "busy", "no page"  # what a browser gets instead of a view


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One call of a merchant. `body_hash` stands for the body's bytes."""

    project: Project
    name: str
    session_id: str = ""
    key: str | None = None
    offer: Offer = field(default_factory=Offer)
    card: GivenCard | None = None
    money: Money | None = None
    metadata: object = None
    body_hash: bytes = b""

    @property
    def path(self) -> str:
        """As in the URL."""
        return f"session/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the merchant is told: `ok`, or the refusal's code; with the session if it is known."""

    code: str
    session_id: str = ""
    session: PaymentSession | None = None
    body: bytes | None = None  # a replayed answer

    @property
    def is_done(self) -> bool:
        """Whether repeating the call would be of no use."""
        return self.code not in ("service_unavailable", "in_flight", "no answer")


async def serve(node: Node, wish: Wish, reply: Box) -> None:
    """Answer a call. What it leaves behind is driven by this process at once."""
    ports = node.ports
    name = (wish.project.name, wish.key or "")
    if wish.key is not None and name in node.keys_in_flight:
        reply.put(Reply(code="in_flight"))
        return
    node.keys_in_flight.add(name)
    try:
        used = await ports.store.find_key(*name) if wish.key is not None else None
        if used is not None:
            reply.put(_again(wish, used))
            return
        settled = await _act(ports, wish)
    except KeyTaken:
        used = await ports.store.find_key(*name)
        assert used is not None
        reply.put(_again(wish, used))
        return
    except StoreUnreachable:
        reply.put(Reply(code=Unavailable.code))
        return
    except Refusal as refusal:
        reply.put(Reply(code=refusal.code))
        return
    finally:
        node.keys_in_flight.discard(name)
    moments.at_answer(node.simulation, settled)
    reply.put(Reply(code="ok", session_id=settled.answer.id, session=settled.answer))
    if settled.is_written:
        await drive(ports, settled.session)


def _again(wish: Wish, used: UsedKey) -> Reply:
    replays = wish.project.settings.idempotency is IdempotencyMode.REPLAY
    try:
        body = answer_again(used, path=wish.path, body_hash=wish.body_hash, replays=replays)
    except KeyUsed as refusal:
        return Reply(code="ok", session_id=refusal.session_id)
    except Refusal as refusal:
        return Reply(code=refusal.code)
    return Reply(code="ok", session_id=used.session_id, body=body)


async def _act(ports: World, wish: Wish) -> Settled:
    claim = None
    if wish.key is not None:
        keeps = wish.project.settings.idempotency is IdempotencyMode.REPLAY
        claim = KeyClaim(key=wish.key, path=wish.path, body_hash=wish.body_hash, keeps_answer=keeps)
    call = Call(
        project=wish.project,
        api_version=API_VERSION,
        note=Note(kind="request", data={"path": wish.path}),
        claim=claim,
    )
    match wish.name:
        case "create":
            return await create_session(ports, call, wish.offer, wish.card)
        case "start/payment":
            return await start_payment(ports, call, wish.session_id, wish.offer, wish.card)
        case "init/payment":
            assert wish.card is not None
            return await init_payment(ports, call, wish.offer, wish.card)
        case "confirm":
            return await confirm(ports, call, wish.session_id)
        case "cancel":
            return await cancel(ports, call, wish.session_id)
        case "capture":
            return await capture(ports, call, wish.session_id, wish.money)
        case "refund":
            return await refund(ports, call, wish.session_id, wish.money, payment_id=None, metadata=wish.metadata)
        case "status":
            found = await ports.store.find_session(wish.project.name, wish.session_id)
            if found is None:
                raise SessionUnknown
            return Settled(answer=found, session=found, is_written=False)
    raise AssertionError(f"no such call: {wish.name}")


async def serve_payer(node: Node, step: str, link: str, brought: str, reply: Box) -> None:
    """Answer a payer's browser with a view, with `BUSY` or `NO_PAGE`."""
    ports = node.ports
    session: PaymentSession | None = None
    try:
        match step:
            case "ask":
                asked = await ask(ports, link, BROWSER, brought)
                view, session = (asked.view, asked.session) if asked else (None, None)
            case "return":
                await take_return(ports, link, brought)
                view = await look(ports, link)
            case "again":
                view = await try_again(ports, link)
            case _:
                view = await look(ports, link)
                if view is not None:
                    shown.at_view(node.simulation, link, view)
    except StoreUnreachable:
        reply.put(BUSY)
        return
    reply.put(view or NO_PAGE)
    await _go_on(node, session)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a browser is told instead."""

    code: str


async def serve_token(node: Node, project: Project, session_id: str | None, options: FormOptions, reply: Box) -> None:
    """Answer a merchant with the text of a public token, or with a refusal: for a form, or to turn a card into one."""
    may_tokenize = session_id is None
    try:
        text = await issue_token(node.ports, project, session_id=session_id, options=options, may_tokenize=may_tokenize)
    except StoreUnreachable:
        reply.put(BUSY)
    except Refusal as refusal:
        reply.put(Refused(code=refusal.code))
    else:
        reply.put(text)


async def serve_tokenizing(node: Node, text: str, card: CardDetails, reply: Box) -> None:
    """Answer a browser with the token of its card, or with a refusal."""
    ports = node.ports
    try:
        token = await find_token(ports, text)
        made = await tokenize_card(ports, node.simulation.books.projects[token.project], token, card)
    except StoreUnreachable:
        reply.put(BUSY)
    except Refusal as refusal:
        reply.put(Refused(code=refusal.code))
    else:
        reply.put(TokenizedCard(token=made.token))


async def serve_form(node: Node, step: str, text: str, card: CardDetails, reply: Box) -> None:
    """Answer a form with how its payment stands, with a refusal or with `BUSY`."""
    ports, simulation = node.ports, node.simulation
    issued = simulation.tokens.issued(text)
    was_over = issued.is_over(node.clock.now())
    session: PaymentSession | None = None
    try:
        token = await find_token(ports, text)
        if was_over and issued.is_over(node.clock.now()):  # a clock may have been put back meanwhile
            raise Violation("P12", "a form is opened by a token whose day is over", issued.session_id)
        if step == "pay":
            project = simulation.books.projects[token.project]
            session, progress = await pay(ports, project, token, card, recurrent=False, request_id="rq")
        else:
            _, progress = await look_at_form(ports, token)
    except StoreUnreachable:
        reply.put(BUSY)
        return
    except Refusal as refusal:
        reply.put(Refused(code=refusal.code))
        return
    shown.at_progress(simulation, issued, progress)
    if session is not None:
        simulation.tally["payments by form"] += 1
        moments.at_answer(simulation, Settled(answer=session, session=session, is_written=True))
    reply.put(progress)
    await _go_on(node, session)


async def hear_directory(node: Node, body: bytes, reply: Box) -> None:
    """Answer the directory server's result message."""
    try:
        answer = await hear_results(node.ports, body)
    except StoreUnreachable:
        reply.put(b'{"messageType":"unavailable"}')
        return
    reply.put(answer.body or b"{}")
    await _go_on(node, answer.session)


async def _go_on(node: Node, session: PaymentSession | None) -> None:
    if session is not None and session.lease_owner == node.name:
        await drive(node.ports, session)
