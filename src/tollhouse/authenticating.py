"""What follows when a payer must be authenticated, and when the directory server or a timer is heard (wire-api 8.2).

Every rule may be called again with the same news: what is known already changes nothing and announces nothing.
The invariant of this file: while a payment awaits the payer's action, its last authentication is open, and no charge
of it is live.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tollhouse.authentication import (
    ACTION_SECONDS_MAX,
    ATTEMPTS_MAX,
    RETRYABLE,
    WITH_ISSUER,
    Authentication,
    Heard,
    Result,
    State,
    TransStatus,
    Wish,
    hear,
)
from tollhouse.change import Change
from tollhouse.draft import Draft, Ids
from tollhouse.event import EventType
from tollhouse.operation import Kind, Operation
from tollhouse.outcome import Declined, Reason, is_soft_decline
from tollhouse.payment import Payment, Phase, Told
from tollhouse.session import PaymentSession
from tollhouse.verdict import Ending, Policy, Verdict, ending_of, proof_of, verdict_of

REFUSALS = frozenset({TransStatus.NOT_AUTHENTICATED, TransStatus.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the directory server answered an authentication request with."""

    ds_transaction_id: str
    acs_transaction_id: str
    acs_url: str | None
    result: Result


def is_due(payment: Payment) -> bool:
    """Whether the payer has to be authenticated before the first authorization (wire-api 16, setting `threeds`)."""
    match payment.threeds:
        case Policy.NEVER:
            return False
        case Policy.ALWAYS:
            return payment.card.enrolment is not None
        case Policy.AUTO:
            return payment.card.enrolment is not None and payment.exemption is None


def may_step_up(session: PaymentSession, operation: Operation, outcome: Declined) -> bool:
    """Whether a soft decline leads to 3-D Secure and a second authorization: once, and only if it was not done yet."""
    payment = session.payment(operation.payment_id)
    attempts = session.authentications_of(payment.id)
    return (
        is_soft_decline(outcome, payment.card.brand)
        and payment.threeds is not Policy.NEVER
        and payment.card.enrolment is not None
        and payment.phase is Phase.AUTHORIZING
        and all(attempt.wish is not Wish.MANDATE for attempt in attempts)
        and _asked_count(attempts) < ATTEMPTS_MAX
    )


def begin(draft: Draft, payment: Payment, told: Told, wish: Wish) -> None:
    """The payer must act: a link, 60 minutes, and an authentication that waits for the payer's browser."""
    deadline = draft.now + timedelta(seconds=ACTION_SECONDS_MAX)
    expires_at = _expires_at(payment)
    if expires_at is not None:
        deadline = max(draft.now, min(deadline, expires_at))
    draft.payment(replace(payment, action_link=payment.action_link or draft.ids.secret()))
    waiting = draft.tell(payment.id, told)
    draft.payment(replace(waiting, action_deadline_at=deadline))
    _open(draft, waiting, wish)
    draft.announce(EventType.ACTION_REQUIRED)


def plan_charge(draft: Draft, payment: Payment, authentication: Authentication | None = None) -> None:
    """Write down the authorization, with the authentication it uses up or the exemption it claims."""
    kind = Kind.AUTHORIZATION if payment.is_two_stage else Kind.SALE
    planned = draft.plan(kind, payment, payment.money.minor)
    attempts = draft.session.authentications_of(payment.id)
    exemption = payment.exemption if not attempts else None
    if authentication is not None or exemption is not None:
        named = authentication.id if authentication else None
        draft.operation(replace(planned, authentication_id=named, exemption=exemption), "planned")


def ask(session: PaymentSession, authentication_id: str, *, now: datetime, ids: Ids) -> Change | None:
    """*Asked*, to be committed before the request leaves. None when it was asked, is over, or the payer is late."""
    authentication = session.authentication(authentication_id)
    payment = session.payment(authentication.payment_id)
    if authentication.state is not State.OPENED or payment.phase is not Phase.AWAIT_ACTION or _is_late(payment, now):
        return None
    draft = Draft(session, now=now, ids=ids)
    draft.authentication(hear(authentication, Heard.ASKED, now), Heard.ASKED)
    return draft.change()


def hear_answer(
    session: PaymentSession, authentication_id: str, answered: Answered | None, *, now: datetime, ids: Ids
) -> Change | None:
    """What the directory server's answer, or its silence (None), makes of an authentication.

    None when it is late, but for a refusal after its silence had let the charge go: of that a person is told.
    """
    authentication = session.authentication(authentication_id)
    draft = Draft(session, now=now, ids=ids)
    if authentication.state is not State.ASKED:
        return _refused_too_late(draft, authentication, answered)
    if answered is None:
        draft.authentication(hear(authentication, Heard.LAPSED, now), Heard.LAPSED)
        _conclude(draft, authentication, Ending.NO_ANSWER, is_asked_for=False)
        return draft.change()
    known = replace(
        authentication,
        ds_transaction_id=answered.ds_transaction_id,
        acs_transaction_id=answered.acs_transaction_id,
        acs_url=answered.acs_url,
    )
    match answered.result.status:
        case TransStatus.CHALLENGE:
            draft.authentication(hear(known, Heard.CHALLENGE, now), Heard.CHALLENGE)
        case TransStatus.DECOUPLED:
            draft.authentication(hear(known, Heard.DECOUPLED, now), Heard.DECOUPLED)
        case _:
            _finish(draft, known, answered.result, is_asked_for=False)
    return draft.change()


def _refused_too_late(draft: Draft, authentication: Authentication, answered: Answered | None) -> Change | None:
    is_refusal = answered is not None and answered.result.status in REFUSALS
    if not is_refusal or authentication.state is not State.LAPSED:
        return None
    if draft.session.charge_of(authentication.payment_id) is None:
        return None
    draft.alarm(authentication.id, "refused by the issuer after its silence had let the payment go on without proof")
    return draft.change()


def hear_result(
    session: PaymentSession, authentication_id: str, result: Result, *, now: datetime, ids: Ids
) -> Change | None:
    """What the result message makes of an authentication: it alone decides a challenge. None when nothing changes.

    A repetition changes nothing; a result that contradicts the first raises an alarm and changes nothing either.
    One that comes after the payer's time is over finds the time over, whether or not a timer has said so yet.
    Before the answer is heard no result counts: the directory server's id, which only the answer brings and no
    browser ever sees, is what tells the directory server from anybody else.
    """
    authentication = session.authentication(authentication_id)
    draft = Draft(session, now=now, ids=ids)
    if authentication.state in WITH_ISSUER:
        if _is_late(session.payment(authentication.payment_id), now):
            return expire_actions(session, now=now, ids=ids)
        if result.cancelled in RETRYABLE and _is_to_be_repeated(draft, authentication):
            _open_another(draft, authentication)
        else:
            _finish(draft, authentication, result, is_asked_for=True)
        return draft.change()
    first = authentication.result
    if authentication.state is State.FINISHED and first is not None and first.status is not result.status:
        what = f"the issuer first said {first.status} and then {result.status}; the first word stands"
        draft.alarm(authentication.id, what)
        return draft.change()
    return None


def hear_error(session: PaymentSession, authentication_id: str, *, now: datetime, ids: Ids) -> Change | None:
    """The issuer broke off a challenge with an error message in place of a result, server to server."""
    authentication = session.authentication(authentication_id)
    if authentication.state not in WITH_ISSUER:
        return None
    draft = Draft(session, now=now, ids=ids)
    draft.authentication(hear(authentication, Heard.LAPSED, now), Heard.LAPSED)
    _conclude(draft, authentication, Ending.NO_ANSWER, is_asked_for=True)
    return draft.change()


def may_retry(session: PaymentSession, payment: Payment) -> bool:
    """Whether the payer may begin anew: the issuer's page may be stuck, and an attempt is left."""
    attempts = session.authentications_of(payment.id)
    return (
        payment.phase is Phase.AWAIT_ACTION
        and attempts[-1].state in (State.CHALLENGED, State.DECOUPLED)
        and _asked_count(attempts) < ATTEMPTS_MAX
    )


def retry(session: PaymentSession, payment_id: str, *, now: datetime, ids: Ids) -> Change | None:
    """The payer begins anew. None when that is not possible (any more)."""
    payment = session.payment(payment_id)
    if not may_retry(session, payment) or _is_late(payment, now):
        return None
    draft = Draft(session, now=now, ids=ids)
    _open_another(draft, session.authentications_of(payment_id)[-1])
    return draft.change()


def expire_actions(session: PaymentSession, *, now: datetime, ids: Ids) -> Change | None:
    """Payers who did not act in time, and directory servers that did not answer. None when there are none.

    That nothing was authorized is certain: no charge of a payment that awaits the payer is live.
    """
    draft = Draft(session, now=now, ids=ids)
    touched = False
    for payment in session.payments:
        if payment.phase is not Phase.AWAIT_ACTION or not _is_late(payment, now):
            continue
        charge = session.charge_of(payment.id)
        assert charge is None, "a charge is live while the payer is awaited"
        current = session.authentications_of(payment.id)[-1]
        draft.authentication(hear(current, Heard.LAPSED, now), Heard.LAPSED)
        _fail(draft, payment, Told.ACTION_OVER, Reason.ACTION_TIMEOUT)
        touched = True
    for authentication in draft.session.authentications:
        due_at = authentication.answer_due_at
        if due_at is not None and due_at <= now:
            draft.authentication(hear(authentication, Heard.LAPSED, now), Heard.LAPSED)
            _conclude(draft, authentication, Ending.NO_ANSWER, is_asked_for=False)
            touched = True
    return draft.change() if touched else None


def _is_late(payment: Payment, now: datetime) -> bool:
    return payment.action_deadline_at is not None and payment.action_deadline_at <= now


def _open(draft: Draft, payment: Payment, wish: Wish) -> None:
    enrolment = payment.card.enrolment
    assert enrolment is not None, "a card that takes no part is not asked for"
    opened = Authentication(
        id=draft.ids.uuid(), payment_id=payment.id, version=enrolment.version, wish=wish, opened_at=draft.now
    )
    draft.authentication(opened, "opened")


def _open_another(draft: Draft, authentication: Authentication) -> None:
    draft.authentication(hear(authentication, Heard.LAPSED, draft.now), Heard.LAPSED)
    _open(draft, draft.session.payment(authentication.payment_id), authentication.wish)


def _is_to_be_repeated(draft: Draft, authentication: Authentication) -> bool:
    return _asked_count(draft.session.authentications_of(authentication.payment_id)) < ATTEMPTS_MAX


def _asked_count(attempts: tuple[Authentication, ...]) -> int:
    return sum(attempt.asked_at is not None for attempt in attempts)


def _finish(draft: Draft, authentication: Authentication, result: Result, *, is_asked_for: bool) -> None:
    finished = draft.authentication(
        hear(replace(authentication, result=result), Heard.FINISHED, draft.now), Heard.FINISHED
    )
    ending = ending_of(result.status)
    brand = draft.session.payment(authentication.payment_id).card.brand
    if result.status in (TransStatus.AUTHENTICATED, TransStatus.ATTEMPTED) and proof_of(finished, brand).value is None:
        ending = Ending.UNAVAILABLE  # an approval without its value proves nothing
    _conclude(draft, finished, ending, is_asked_for=is_asked_for)


def _conclude(draft: Draft, authentication: Authentication, ending: Ending, *, is_asked_for: bool) -> None:
    """The payment goes on or fails. `is_asked_for`: the issuer wanted the payer, so nothing less than that will do."""
    payment = draft.session.payment(authentication.payment_id)
    attempts = draft.session.authentications_of(payment.id)
    # Who began anew in the midst of a challenge does not get round it by an issuer that is silent the next time.
    was_challenged = any(one.state is State.LAPSED and one.acs_transaction_id is not None for one in attempts)
    is_mandated = is_asked_for or was_challenged or authentication.wish is Wish.MANDATE
    match verdict_of(payment.threeds, ending, is_mandated=is_mandated):
        case Verdict.PROCEED:
            plan_charge(draft, draft.tell(payment.id, Told.AUTHENTICATED), authentication)
        case Verdict.UNPROVEN:
            named = authentication if authentication.state is State.FINISHED else None
            plan_charge(draft, draft.tell(payment.id, Told.AUTHENTICATED), named)
        case Verdict.FAIL:
            _fail(draft, payment, Told.NOT_AUTHENTICATED, Reason.NOT_AUTHENTICATED)


def _fail(draft: Draft, payment: Payment, told: Told, reason: Reason) -> None:
    draft.erase_cvv(payment.sealed_cvv)
    draft.payment(replace(payment, sealed_cvv=None))
    draft.tell(payment.id, told, reason=reason)
    draft.announce(EventType.PAYMENT_FINISHED)


def _expires_at(payment: Payment) -> datetime | None:
    """The merchant's own limit, `payment_options.expiration_at`: UTC where it names no zone."""
    text = (payment.details.options or {}).get("expiration_at")
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
