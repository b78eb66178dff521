"""The payer's way through 3-D Secure, step by step, and the directory server's results (wire-api 12).

The payer's browser may come at any time, twice, in several windows, or never: what it asks for is read from the
session, and what it brings back decides nothing. `ask` and `hear_results` leave the charge planned, and whoever calls
them drives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from tollhouse import authenticating
from tollhouse.acquirers.message import NoAnswer, NotSent
from tollhouse.authenticating import Answered
from tollhouse.authentication import ANSWER_SECONDS_MAX, Authentication, State
from tollhouse.change import Change, Note
from tollhouse.flows.drive import apply
from tollhouse.flows.settle import settle
from tollhouse.masking import mask_json
from tollhouse.money import Money
from tollhouse.payment import Payment, Phase
from tollhouse.ports import Stale, World
from tollhouse.progress import FINAL, end_url, form_note, stage_of, with_session_id
from tollhouse.session import PaymentSession
from tollhouse.threeds.message import Component, MessageRefused, MessageType
from tollhouse.threeds.reading import accept, header, read
from tollhouse.threeds.translate import (
    WINDOW_SIZES,
    Addresses,
    Browser,
    Inquiry,
    authentication_request,
    challenge_request,
    method_data,
    read_answer,
    read_result,
    results_answer,
)
from tollhouse.threeds.writing import compose_erro, pack, unpack

Rule = Callable[[PaymentSession], Change | None]
COMPLETIONS = ("Y", "N", "U")
RETURN_BYTES_MAX = 12 * 1024  # anybody with the link can send one, and it is kept
TRY_AGAIN = "403"  # the protocol's word for a failure that passes


class Showing(StrEnum):
    """What the payer's page shows."""

    BEGIN = "begin"  # nobody was asked yet: the browser's data are wanted
    WAIT = "wait"  # the directory server is being asked
    CHALLENGE = "challenge"
    DECOUPLED = "decoupled"
    FINISH = "finish"  # the payer has done their share; the payment's end decides where they go
    OVER = "over"


SHOWN: dict[State, Showing] = {
    State.OPENED: Showing.BEGIN,
    State.ASKED: Showing.WAIT,
    State.CHALLENGED: Showing.CHALLENGE,
    State.DECOUPLED: Showing.DECOUPLED,
    State.FINISHED: Showing.OVER,
    State.LAPSED: Showing.OVER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the payer's page is made of at one instant. `return_url`: where a payer goes who has nothing left to do."""

    showing: Showing
    merchant: str
    money: Money
    now: datetime
    deadline_at: datetime | None = None
    authentication_id: str | None = None
    method_url: str | None = None
    method_data: str | None = None
    acs_url: str | None = None
    challenge_requests: Mapping[str, str] = field(default_factory=dict)
    return_url: str | None = None
    can_retry: bool = False
    origins: tuple[str, ...] = ()  # whose pages may frame this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the payer is shown after the directory server was asked, and the session whose charge may now be driven."""

    view: View
    session: PaymentSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the directory server is answered, and the session whose charge may now be driven."""

    body: bytes
    session: PaymentSession | None = None


async def look(world: World, link: str) -> View | None:
    """What the payer's page shows now. None when there is no such link."""
    found = await _find(world, link)
    return None if found is None else _view(world, *found)


async def ask(world: World, link: str, browser: Browser, completion: str) -> Asked | None:
    """Ask the directory server, wait for its answer, and apply it. Who comes second is shown how it stands."""
    assert completion in COMPLETIONS, "the door reads Y, N or U"
    found = await _find(world, link)
    if found is None:
        return None
    session, payment = found
    if payment.phase is Phase.AWAIT_ACTION:
        current = session.authentications_of(payment.id)[-1]
        if current.state is State.OPENED:
            session = await _ask(world, session, payment, current, browser, completion)
    return Asked(view=_view(world, session, session.payment(payment.id)), session=session)


async def take_return(world: World, link: str, text: str) -> None:
    """Keep what the browser brought back from the issuer. It proves nothing, so nothing follows from it."""
    found = await _find(world, link)
    if found is None:
        return
    session, payment = found
    attempts = session.authentications_of(payment.id)
    if not attempts:
        return
    try:
        expected = {MessageType.CRES, MessageType.ERRO}
        message: Mapping[str, Any] = read(unpack(text), expects=expected, bytes_max=RETURN_BYTES_MAX)
    except MessageRefused as refused:
        message = compose_erro(refused, component=Component.SERVER, version=attempts[-1].version)
        note = _note(payment.id, "out", message)
    else:
        note = _note(payment.id, "in", message)
    world.store.note(session.project, session.id, note, world.clock.now())


async def try_again(world: World, link: str) -> View | None:
    """The payer begins anew, where that is possible; else how it stands."""
    found = await _find(world, link)
    if found is None:
        return None
    session, payment = found

    def rule(current: PaymentSession) -> Change | None:
        return authenticating.retry(current, payment.id, now=world.clock.now(), ids=world.ids)

    after = await apply(world, session, rule) or session
    return _view(world, after, after.payment(payment.id))


async def hear_results(world: World, body: bytes) -> Answer:
    """The directory server's result message (RReq), or an error message in its place. The answer is RRes or Erro."""
    try:
        message = read(body, expects={MessageType.RREQ, MessageType.ERRO})
        session, authentication = await _named(world, message)
        is_error = message["messageType"] == MessageType.ERRO
        known = _ids_of(authentication)
        # What an error message need not name is not asked of it, but for the one id that no browser ever sees.
        told = {name: id for name, id in known.items() if name in message or name == "dsTransID"}
        accept(message, told if is_error else known)
    except MessageRefused as refused:
        return Answer(body=msgspec.json.encode(compose_erro(refused, component=Component.SERVER)))
    notes = [_note(authentication.payment_id, "in", message)]
    answer: dict[str, Any] = {}
    if not is_error:
        answer = results_answer(message)
        notes.append(_note(authentication.payment_id, "out", answer))

    def rule(current: PaymentSession) -> Change | None:
        now = world.clock.now()
        if is_error:
            return authenticating.hear_error(current, authentication.id, now=now, ids=world.ids)
        return authenticating.hear_result(current, authentication.id, read_result(message), now=now, ids=world.ids)

    after = await apply(world, session, _noting(world, rule, tuple(notes)))
    return Answer(body=msgspec.json.encode(answer), session=after)


def _noting(world: World, rule: Rule, notes: tuple[Note, ...]) -> Rule:
    """The rule with messages that are kept with its change, and also when nothing changes."""

    def noted(current: PaymentSession) -> Change | None:
        change = rule(current)
        if change is not None:
            return replace(change, notes=notes)
        for note in notes:
            world.store.note(current.project, current.id, note, world.clock.now())
        return None

    return noted


async def _ask(
    world: World,
    session: PaymentSession,
    payment: Payment,
    authentication: Authentication,
    browser: Browser,
    completion: str,
) -> PaymentSession:
    """Written down before it is said: *asked* is committed before the request leaves."""
    assert payment.acquirer is not None
    now = world.clock.now()
    began = world.clock.monotonic()
    inquiry = authentication_request(
        session,
        authentication,
        browser,
        completion,
        registration=world.acquirers[payment.acquirer].registration,
        addresses=_addresses(world, payment),
        now=now,
    )
    change = authenticating.ask(session, authentication.id, now=now, ids=world.ids)
    if change is None:  # the payer is late; the timer will say so
        return session
    try:
        asked = (await settle(world, replace(change, notes=(_asked_note(payment, inquiry),)))).session
    except Stale:
        return await world.store.find_session(session.project, session.id) or session
    answered, notes = await _exchange(world, payment, authentication, inquiry)
    if world.clock.monotonic() > began + ANSWER_SECONDS_MAX:
        world.log.warning("the directory server is slow", session=session.id)

    def rule(current: PaymentSession) -> Change | None:
        now = world.clock.now()
        return authenticating.hear_answer(current, authentication.id, answered, now=now, ids=world.ids)

    return await apply(world, asked, _noting(world, rule, notes)) or asked


async def _exchange(
    world: World, payment: Payment, authentication: Authentication, inquiry: Inquiry
) -> tuple[Answered | None, tuple[Note, ...]]:
    """The directory server's answer, checked; None for silence, an error message, or what breaks the tables."""
    try:
        body = await world.directory.ask(inquiry)
        message = read(body, expects={MessageType.ARES, MessageType.ERRO})
        if message["messageType"] == MessageType.ERRO:
            return None, (_note(payment.id, "in", message),)
        accept(message, {"threeDSServerTransID": authentication.id})
        if message["messageVersion"] != authentication.version:
            raise MessageRefused("203", "messageVersion", header(message))
    except (NotSent, NoAnswer) as silence:
        return None, (_silence_note(payment, authentication, str(silence)),)
    except MessageRefused as refused:
        erro = compose_erro(refused, component=Component.SERVER, version=authentication.version)
        await world.directory.tell(erro)
        return None, (_note(payment.id, "in", refused.members), _note(payment.id, "out", erro))
    return read_answer(message), (_note(payment.id, "in", message),)


async def _find(world: World, link: str) -> tuple[PaymentSession, Payment] | None:
    found = await world.store.find_link(link)
    if found is None:
        return None
    project, session_id, payment_id = found
    session = await world.store.find_session(project, session_id)
    assert session is not None, "a link belongs to a session"
    return session, session.payment(payment_id)


async def _named(world: World, message: Mapping[str, Any]) -> tuple[PaymentSession, Authentication]:
    """The session and the authentication that a message names. Raises `MessageRefused`: 301 for none, 403 too early."""
    id = message.get("threeDSServerTransID", "")
    found = await world.store.find_authentication(id)
    session = await world.store.find_session(*found) if found else None
    authentication = session.authentication(id) if session else None
    if session is None or authentication is None or authentication.asked_at is None:
        raise MessageRefused("301", "threeDSServerTransID", header(message))
    if authentication.ds_transaction_id is None:
        # Its answer is not heard yet, so nothing shows that this comes from the directory server: it may say it again.
        raise MessageRefused(TRY_AGAIN, "threeDSServerTransID", header(message))
    return session, authentication


def _ids_of(authentication: Authentication) -> dict[str, str]:
    """What a result must name."""
    known = {
        "threeDSServerTransID": authentication.id,
        "acsTransID": authentication.acs_transaction_id,
        "dsTransID": authentication.ds_transaction_id,
    }
    return {name: id for name, id in known.items() if id is not None}


def _addresses(world: World, payment: Payment) -> Addresses:
    assert payment.action_link is not None
    return Addresses(public_url=world.public_url, link=payment.action_link)


def _view(world: World, session: PaymentSession, payment: Payment) -> View:
    now = world.clock.now()
    note = form_note(payment)
    shown = View(
        showing=Showing.OVER,
        merchant=payment.merchant_name or session.project,
        money=payment.money,
        now=now,
        origins=note.origins if note else (),
    )
    if payment.phase is not Phase.AWAIT_ACTION:
        if _is_awaited(payment):
            return replace(shown, showing=Showing.FINISH)
        return replace(shown, return_url=_way_back(session, payment))
    current = session.authentications_of(payment.id)[-1]
    showing = SHOWN[current.state]
    view = replace(
        shown,
        showing=showing,
        deadline_at=payment.action_deadline_at,
        authentication_id=current.id,
        can_retry=authenticating.may_retry(session, payment),
    )
    enrolment = payment.card.enrolment
    if showing is Showing.BEGIN and enrolment is not None and enrolment.method_url is not None:
        data = pack(method_data(current, _addresses(world, payment)))
        view = replace(view, method_url=enrolment.method_url, method_data=data)
    if showing is Showing.CHALLENGE:
        requests = {size: pack(challenge_request(current, size)) for size in WINDOW_SIZES}
        view = replace(view, acs_url=current.acs_url, challenge_requests=requests)
    return view


def _way_back(session: PaymentSession, payment: Payment) -> str | None:
    """Where a payer goes who has nothing left to do here."""
    note = form_note(payment)
    if note is not None:
        stage = stage_of(payment, succeeds_on_hold=note.succeeds_on_hold)
        if (url := end_url(session, payment, note, stage)) is not None:
            return url
    url = (payment.details.options or {}).get("return_url")
    if url is None or not payment.names_session_on_return:
        return url
    return with_session_id(str(url), session.id)


def _is_awaited(payment: Payment) -> bool:
    """Whether the payer's page waits for the payment's end: it decides which address of the form's merchant is next."""
    note = form_note(payment)
    if note is None or not note.has_return_url:
        return False
    return stage_of(payment, succeeds_on_hold=note.succeeds_on_hold) not in FINAL


def _note(payment_id: str, direction: str, message: Mapping[str, Any]) -> Note:
    shown = mask_json(dict(message))  # others may put a card's number where none belongs
    return Note(kind="threeds", data={"payment": payment_id, "direction": direction, "message": shown})


def _asked_note(payment: Payment, inquiry: Inquiry) -> Note:
    """The request as it may be shown: the number masked, the expiry left out."""
    card = payment.card
    shown = {**inquiry.message, "acctNumber": f"{card.bin}******{card.last4}", "cardExpiryDate": "<expiry>"}
    return _note(payment.id, "out", shown)


def _silence_note(payment: Payment, authentication: Authentication, why: str) -> Note:
    data = {"payment": payment.id, "direction": "in", "authentication": authentication.id, "silence": why}
    return Note(kind="threeds", data=data)
