"""Sessions in any state, in one line: `session = await held(world)`. All of it happens through the flows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.issuer import answering
from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld
from tollhouse.authentication import Enrolment
from tollhouse.card import CVV, CardDetails, Expiry, parse_pan
from tollhouse.change import KeyClaim, Note
from tollhouse.flows.authenticate import Showing, View, ask, hear_results, look
from tollhouse.flows.cancel import cancel
from tollhouse.flows.capture import capture
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.drive import drive
from tollhouse.flows.recover import claim, recover
from tollhouse.flows.refund import refund
from tollhouse.flows.settle import Call, Settled
from tollhouse.flows.start_payment import init_payment
from tollhouse.merchant import Project
from tollhouse.money import Money
from tollhouse.payment import Details
from tollhouse.session import Offer, PaymentSession
from tollhouse.threeds.translate import Browser

AMOUNT = Money(4990, "eur")
OFFER = Offer(money=AMOUNT, details=Details(customer={"reference": "u-3108"}, metadata="order-5512"))


def card(*, pan: str = "4242424242424242", cvv: str | None = "417") -> CardDetails:
    """A test card with a security code."""
    return CardDetails(pan=parse_pan(pan), expiry=Expiry(2031, 8), cvv=CVV(cvv) if cvv else None, holder="KAI DOE")


def call(
    project: Project = PROJECT, *, key: str | None = None, api_version: int = 2, keeps_answer: bool = False
) -> Call:
    """A merchant's call, with an idempotency key if it is given one."""
    claim = None
    if key is not None:
        claim = KeyClaim(key=key, path="session/test", body_hash=b"hash", keeps_answer=keeps_answer)
    return Call(project=project, api_version=api_version, note=Note(kind="request", data={}), claim=claim)


async def created(world: MemoryWorld, *, project: Project = PROJECT, with_card: bool = False) -> PaymentSession:
    """A session that waits to be started; with a card if it was given one already."""
    settled = await create_session(world, call(project), OFFER, card() if with_card else None)
    return settled.session


async def prepared(world: MemoryWorld, *, project: Project = PROJECT, **offer: Any) -> PaymentSession:
    """A session whose payment waits for the merchant's decision."""
    return (await init_payment(world, call(project), OFFER, card(**offer))).session


async def confirmed(world: MemoryWorld, *, project: Project = PROJECT) -> PaymentSession:
    """A confirmed session whose charge is planned and has not left."""
    session = await prepared(world, project=project)
    return (await confirm(world, call(project), session.id)).session


BROWSER = Browser(
    accept_header="text/html,*/*;q=0.8",
    user_agent="Mozilla/5.0 (X11; Linux x86_64)",
    language="en-GB",
    ip="203.0.113.7",
    has_script=True,
    screen_height="900",
    screen_width="1440",
    timezone_minutes="-60",
)


async def awaiting_payer(
    world: MemoryWorld,
    *,
    project: Project = PROJECT,
    version: str = "2.2.0",
    method_url: str | None = None,
    options: dict[str, Any] | None = None,
) -> PaymentSession:
    """A confirmed session whose card takes part in 3-D Secure: the payer has the link and has not come yet."""
    paying = card()
    world.directory.enrolled[paying.pan.reveal()] = Enrolment(version=version, method_url=method_url)
    offer = replace(OFFER, details=replace(OFFER.details, options=options))
    session = (await init_payment(world, call(project), offer, paying)).session
    settled = await confirm(world, call(project), session.id)
    assert settled.session.payments[0].action_link is not None
    return settled.session


async def asked(world: MemoryWorld, session: PaymentSession, completion: str = "U") -> View:
    """What the payer's page shows after the directory server was asked; what followed has been driven."""
    done = await ask(world, link_of(session), BROWSER, completion)
    assert done is not None
    await drive(world, done.session)
    return done.view


async def view_of(world: MemoryWorld, session: PaymentSession) -> View:
    """What the payer's page shows now."""
    view = await look(world, link_of(session))
    assert view is not None
    return view


async def challenged(world: MemoryWorld, **given: Any) -> PaymentSession:
    """A session whose payer is in the middle of a challenge; arguments are those of `awaiting_payer`."""
    session = await awaiting_payer(world, **given)
    world.directory.script.append(answering("C"))
    assert (await asked(world, session)).showing is Showing.CHALLENGE
    return world.session(session)


async def heard(world: MemoryWorld, body: bytes) -> dict[str, Any]:
    """What the directory server is answered; what followed has been driven."""
    answer = await hear_results(world, body)
    if answer.session is not None:
        await drive(world, answer.session)
    found: dict[str, Any] = json.loads(answer.body)
    return found


def with_settings(project: Project, **settings: Any) -> Project:
    """The project with other settings."""
    return replace(project, settings=replace(project.settings, **settings))


def link_of(session: PaymentSession) -> str:
    """The payer's link."""
    link = session.payments[0].action_link
    assert link is not None
    return link


async def driven(world: MemoryWorld, settled: Settled | PaymentSession) -> PaymentSession:
    """The session after the same process went on with what the call left."""
    session = settled.session if isinstance(settled, Settled) else settled
    await drive(world, session)
    return world.session(session)


async def succeeded(world: MemoryWorld) -> PaymentSession:
    """A paid session."""
    return await driven(world, await confirmed(world))


async def held(world: MemoryWorld) -> PaymentSession:
    """A session whose money is held."""
    return await driven(world, await confirmed(world, project=TWO_STAGE))


async def captured(world: MemoryWorld, money: Money | None = None) -> PaymentSession:
    """A session whose hold was captured, whole or in part."""
    session = await held(world)
    return await driven(world, await capture(world, call(TWO_STAGE), session.id, money))


async def refunding(world: MemoryWorld, money: Money | None = None) -> PaymentSession:
    """A paid session with a refund that is planned and has not left."""
    session = await succeeded(world)
    settled = await refund(world, call(), session.id, money, payment_id=None, metadata="returned")
    return settled.session


async def releasing(world: MemoryWorld) -> PaymentSession:
    """A held session that the merchant cancelled; the release is planned and has not left."""
    session = await held(world)
    return (await cancel(world, call(TWO_STAGE), session.id)).session


async def recovered(world: MemoryWorld, session: PaymentSession) -> PaymentSession:
    """The session after this node took up whatever is due."""
    for project, session_id in await claim(world):
        await recover(world, project, session_id)
    return world.session(session)


def announced(world: MemoryWorld, session: PaymentSession) -> list[str]:
    """The types of the session's events, in order."""
    events = world.books.deliveries.get((session.project, session.id), {}).values()
    return [event.type.value for event in sorted(events, key=lambda event: event.sequence)]


def moved(world: MemoryWorld, session: PaymentSession) -> list[tuple[str, str, str, int]]:
    """The session's ledger transfers: phase, debit, credit, amount."""
    transfers = world.books.transfers_of((session.project, session.id))
    return [(t.phase.value, t.debit.value, t.credit.value, t.amount_minor) for t in transfers]


def alarms(world: MemoryWorld, session: PaymentSession) -> list[str]:
    """What a person was told about the session."""
    return [alarm.what for _, alarm in world.books.histories[session.project, session.id].alarms]
