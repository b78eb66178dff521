"""Send, hear, apply: the only place that speaks to an acquirer.

`drive` may be called again from anywhere at any time: what was submitted is never sent again unless it is safe to
repeat, and a node that lost its lease can neither commit (the version moved) nor send (the deadline passed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tollhouse.acquirers.message import CVVGone, NoAnswer, NotSent, Request, Response
from tollhouse.change import Change, Note
from tollhouse.flows.settle import settle
from tollhouse.hearing import (
    ConcludeSilence,
    Send,
    find_silence,
    hear_cvv_gone,
    hear_not_sent,
    hear_outcome,
    next_step,
    submit,
)
from tollhouse.operation import CHARGES, SEND_SECONDS_MAX, Operation
from tollhouse.outcome import Outcome, Unknown
from tollhouse.ports import Stale, World
from tollhouse.session import PaymentSession

Rule = Callable[[PaymentSession], Change | None]


async def drive(world: World, session: PaymentSession) -> None:
    """Move a session's operations as far as they will go now."""
    current: PaymentSession | None = session
    while current is not None and current.lease_owner == world.node:
        match next_step(current, world.clock.now()):
            case Send(operation_id=operation_id):
                current = await _send(world, current, operation_id)
            case ConcludeSilence() | None:
                return


async def conclude_silence(world: World, session: PaymentSession) -> PaymentSession | None:
    """What was sent once and not answered is unclear: for whoever took the session over from its last owner."""
    current: PaymentSession | None = session
    while current is not None and current.lease_owner == world.node:
        silence = find_silence(current, world.clock.now())
        if silence is None:
            return current
        current = await apply(world, current, _outcome_rule(world, silence.operation_id, Unknown(why="no answer")))
    return current


async def _send(world: World, session: PaymentSession, operation_id: str) -> PaymentSession | None:
    operation = session.operation(operation_id)
    payment = session.payment(operation.payment_id)
    assert payment.acquirer is not None
    acquirer = world.acquirers[payment.acquirer]
    began = world.clock.monotonic()
    now = world.clock.now()
    change = submit(session, operation_id, world.naming.new(now), now=now, ids=world.ids, limits=world.limits)
    submitted = change.session.operation(operation_id)
    # The message is built before the commit, which takes the sealed security code out of the payment.
    request = _demanding(world, session, submitted, acquirer.request(change.session.with_payment(payment), submitted))
    try:
        done = await settle(world, replace(change, notes=(_sent_note(operation_id, request),)))
    except Stale:
        return await world.store.find_session(session.project, session.id)
    try:
        response = await world.links[payment.acquirer].exchange(request, send_before=began + SEND_SECONDS_MAX)
    except CVVGone:
        rule = _cvv_gone_rule(world, operation_id)
    except NotSent:
        sealed_cvv = payment.sealed_cvv

        def back_to_planned(found: PaymentSession) -> Change | None:
            now = world.clock.now()
            return hear_not_sent(found, operation_id, sealed_cvv=sealed_cvv, now=now, ids=world.ids)

        after = await apply(world, done.session, back_to_planned)
        if sealed_cvv is not None and (after is None or after.payment(payment.id).sealed_cvv != sealed_cvv):
            await world.vault.erase_cvv(sealed_cvv)  # it did not leave, and nobody will send it any more
        return after
    except NoAnswer as silence:
        rule = _outcome_rule(world, operation_id, Unknown(why=str(silence)))
    else:
        outcome = acquirer.outcome(submitted, response)
        rule = _outcome_rule(world, operation_id, outcome, note=heard_note(operation_id, response))
    return await apply(world, done.session, rule)


async def apply(world: World, session: PaymentSession, rule: Rule) -> PaymentSession | None:
    """Commit what a rule makes of something heard: the news is never dropped, only decided again on fresher ground."""
    current: PaymentSession | None = session
    while current is not None:
        change = rule(current)
        if change is None:
            return current
        try:
            return (await settle(world, change)).session
        except Stale:
            current = await world.store.find_session(session.project, session.id)
    return None


def _outcome_rule(world: World, operation_id: str, outcome: Outcome, *, note: Note | None = None) -> Rule:
    def rule(found: PaymentSession) -> Change | None:
        change = hear_outcome(found, operation_id, outcome, now=world.clock.now(), ids=world.ids, limits=world.limits)
        return change if change is None or note is None else replace(change, notes=(note,))

    return rule


def _cvv_gone_rule(world: World, operation_id: str) -> Rule:
    return lambda found: hear_cvv_gone(found, operation_id, now=world.clock.now(), ids=world.ids)


def _demanding(world: World, session: PaymentSession, operation: Operation, request: Request) -> Request:
    """The request, marked where it must not leave without a security code.

    A second authorization of a payment goes after the payer's authentication, and never has one (money-safety 2).
    """
    acquirer = session.payment(operation.payment_id).acquirer
    is_first = not any(o.payment_id == operation.payment_id and o.id != operation.id for o in session.operations)
    if request.card is None or operation.kind not in CHARGES or acquirer not in world.demand_cvv or not is_first:
        return request
    return replace(request, card=replace(request.card, demands_cvv=True))


def _sent_note(operation_id: str, request: Request) -> Note:
    slots = {field: f"{request.fields.get(field, '')}<{slot}>" for field, slot in request.slots.items()}
    return Note(
        kind="message_out",
        data={"operation": operation_id, "mti": request.mti, "fields": {**request.fields, **slots}},
    )


def heard_note(operation_id: str, response: Response) -> Note:
    """An acquirer's message for the session's life; the link has masked its card fields."""
    return Note(
        kind="message_in",
        data={"operation": operation_id, "mti": response.mti, "fields": dict(response.fields)},
    )
