"""What a merchant may decide: open, start, confirm, cancel, capture, refund (wire-api 8.5).

Each rule returns a `Change`, or None when the same decision stands already, or raises a `Refusal`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta

from tollhouse import authenticating
from tollhouse.authentication import Wish
from tollhouse.change import Change
from tollhouse.draft import Draft, Ids
from tollhouse.event import EventType
from tollhouse.exemption import Exemption
from tollhouse.merchant import CaptureMode, Project, Settings
from tollhouse.money import Money
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, Payment, Phase, Told
from tollhouse.refusal import (
    CaptureExceedsHold,
    CardHasExpired,
    NotPermitted,
    RefundExceedsCaptured,
    RequestInvalid,
    StateForbids,
)
from tollhouse.routing import route
from tollhouse.session import DECISION_SECONDS_MAX, GIVEN_CARD_SECONDS_MAX, Offer, PaymentSession, Status

WAS_CANCELLED = {
    Reason.CANCELLED_BY_MERCHANT: "the session was cancelled by the merchant",
    Reason.CANCELLED: "the session was cancelled because it was not started in time",
    Reason.ACTION_TIMEOUT: "the session was cancelled because the payer did not act in time",
    Reason.CONFIRM_TIMEOUT: "the session was cancelled because nobody confirmed it in time",
    Reason.CAPTURE_TIMEOUT: "the hold was released because nobody captured it in time",
}


def open_session(
    *, project: str, id: str, api_version: int, now: datetime, webhook_version: int | None = None
) -> PaymentSession:
    """A session that is not committed yet: version 0."""
    return PaymentSession(
        project=project,
        id=id,
        version=0,
        api_version=api_version,
        webhook_version=webhook_version,
        created_at=now,
        updated_at=now,
    )


def create_session(session: PaymentSession, offer: Offer, *, now: datetime, ids: Ids) -> Change:
    """A session that waits to be started, with whatever the merchant gave already."""
    draft = Draft(replace(session, offer=offer), now=now, ids=ids)
    draft.step(session.id, "", "create", Status.CREATED)
    return draft.change()


def merge_offer(earlier: Offer, later: Offer) -> Offer:
    """Members given later replace the earlier ones as a whole (wire-api 9)."""
    given = {field.name: getattr(later.details, field.name) for field in fields(Details)}
    details = {name: value for name, value in given.items() if value is not None}
    if earlier.details.unechoed and later.details.unechoed:  # each member in it is one of its own
        details["unechoed"] = {**earlier.details.unechoed, **later.details.unechoed}
    source = later if later.card else earlier
    return Offer(
        money=later.money or earlier.money,
        card=source.card,
        sealed_cvv=source.sealed_cvv,
        card_given_at=source.card_given_at,
        details=replace(earlier.details, **details),
    )


def _still_kept(offer: Offer, now: datetime) -> Offer:
    """The offer without a card that was given too long ago, whether or not a timer has taken it away yet."""
    given_at = offer.card_given_at
    if given_at is None or now < given_at + timedelta(seconds=GIVEN_CARD_SECONDS_MAX):
        return offer
    return replace(offer, card=None, sealed_cvv=None, card_given_at=None)


def require_startable(session: PaymentSession) -> None:
    """Refuse a start unless the session only waits for one (wire-api 8.5)."""
    if session.status is not Status.CREATED:
        raise StateForbids(f"session_id: {_standing(session)}; a payment can be started once")


def require_whole(session: PaymentSession, given: Offer, *, now: datetime, is_card_coming: bool = False) -> Offer:
    """All that a start has to go by. Refuses one that may not be, or that lacks something, before a card is touched."""
    require_startable(session)
    offer = merge_offer(_still_kept(session.offer, now), given)
    if offer.card is None and not is_card_coming:
        raise RequestInvalid("payment_details", "required here or at session/create (a card is kept for 24 hours)")
    if offer.money is None:
        raise RequestInvalid("amount_details", "required here or at session/create")
    if offer.details.customer is None:
        raise RequestInvalid("customer", "required here or at session/create")
    return offer


def start_payment(
    session: PaymentSession,
    given: Offer,
    project: Project,
    *,
    now: datetime,
    ids: Ids,
    exemption: Exemption | None = None,
) -> Change:
    """Start the session's payment with what was given at create and now.

    It is routed in the same breath, so the change ends in *await_confirm* (or *confirmed*, or *failed* without a
    route), while the caller is shown the moment before. Raises `StateForbids`, `RequestInvalid`, `CardHasExpired`.
    """
    offer = require_whole(session, given, now=now)
    assert offer.card is not None and offer.money is not None, "the offer is whole"
    assert offer.card.expiry is not None, "a number alone pays nothing: whoever took it has refused it"
    if offer.card.expiry.is_past(now):
        raise CardHasExpired
    settings = project.settings
    draft = Draft(replace(session, offer=Offer()), now=now, ids=ids)
    if session.offer.sealed_cvv != offer.sealed_cvv:
        draft.erase_cvv(session.offer.sealed_cvv)
    payment = draft.payment(
        Payment(
            id=ids.new("pm"),
            phase=Phase.ROUTING,
            money=offer.money,
            card=offer.card.shown_within(settings.card_id),
            details=offer.details,
            acquirer=route(project),
            created_at=now,
            is_two_stage=settings.capture_mode is CaptureMode.TWO_STAGE,
            shows_fees=settings.show_fees,
            hold_seconds=settings.hold_period,
            hold_expiry=settings.hold_expiry,
            threeds=settings.threeds,
            exemption=exemption,
            names_session_on_return=settings.return_params,
            merchant_name=project.display_name,
            sealed_cvv=offer.sealed_cvv,
        )
    )
    draft.step(session.id, Status.CREATED, "start", Status.IN_PROGRESS)
    answer = draft.seen()
    if payment.acquirer is None:
        draft.erase_cvv(payment.sealed_cvv)
        draft.payment(replace(payment, sealed_cvv=None))
        draft.tell(payment.id, Told.REJECTED, reason=Reason.ROUTING)
        draft.announce(EventType.PAYMENT_FINISHED)
    else:
        _prepare(draft, payment, settings)
    return draft.change(answer=answer)


def _prepare(draft: Draft, payment: Payment, settings: Settings) -> None:
    """The merchant is asked for the decision, or has made it beforehand."""
    if settings.auto_confirm:
        decided = draft.payment(replace(payment, decision=Decision.CONFIRMED))
        _go_on(draft, draft.tell(decided.id, Told.AUTO_CONFIRMED))
        return
    deadline = draft.now + timedelta(seconds=DECISION_SECONDS_MAX)
    draft.payment(replace(payment, decision_deadline_at=deadline))
    draft.tell(payment.id, Told.ROUTED)
    draft.announce(EventType.READY_TO_CONFIRM)


def _go_on(draft: Draft, payment: Payment) -> None:
    """What follows a confirmation: the payer is authenticated first, or the charge is sent."""
    if authenticating.is_due(payment):
        authenticating.begin(draft, payment, Told.ACTION_REQUIRED, Wish.NO_PREFERENCE)
    else:
        authenticating.plan_charge(draft, payment)


def confirm(session: PaymentSession, *, now: datetime, ids: Ids) -> Change | None:
    """The merchant's yes to every prepared payment. None when it stands already; `StateForbids` otherwise.

    The caller is shown the moment before the payer is asked to act, if that is due.
    """
    awaiting = _awaiting(session)
    if awaiting and session.status is not Status.ERROR:
        draft = Draft(session, now=now, ids=ids)
        for payment in awaiting:
            draft.payment(replace(payment, decision=Decision.CONFIRMED, decision_deadline_at=None))
            draft.tell(payment.id, Told.CONFIRM)
        answer = draft.seen()
        for payment in awaiting:
            _go_on(draft, draft.session.payment(payment.id))
        return draft.change(answer=answer)
    if _is_cancelled(session) or not any(p.decision is Decision.CONFIRMED for p in session.payments):
        raise StateForbids(f"session_id: {_standing(session)}")
    return None


def cancel(session: PaymentSession, *, now: datetime, ids: Ids) -> Change | None:
    """The merchant's no: drops an unstarted session, refuses prepared payments, releases holds.

    None when it stands already; `StateForbids` otherwise.
    """
    reason = Reason.CANCELLED_BY_MERCHANT
    draft = Draft(session, now=now, ids=ids)
    if session.status is Status.CREATED:
        _drop(draft, reason, "cancel")
        return draft.change()
    if _is_cancelled(session):
        return None
    awaiting = _awaiting(session)
    held = [payment for payment in session.payments if payment.phase is Phase.HELD]
    if session.status is Status.ERROR or not (awaiting or held):
        raise StateForbids(f"session_id: {_standing(session)}")
    for payment in awaiting:
        draft.erase_cvv(payment.sealed_cvv)
        draft.payment(
            replace(payment, decision=Decision.CANCELLED, decision_deadline_at=None, sealed_cvv=None, reason=reason)
        )
        draft.tell(payment.id, Told.CANCEL)
    for payment in held:
        release_hold(draft, payment, Told.CANCEL, reason)
    answer = draft.seen()
    for payment in awaiting:  # nothing is at the acquirer, so nothing has to be awaited
        draft.tell(payment.id, Told.RELEASED, reason=reason)
        draft.announce(EventType.PAYMENT_FINISHED)
    return draft.change(answer=answer)


def release_hold(draft: Draft, payment: Payment, told: Told, reason: Reason) -> None:
    """Give back a hold: the authorization is voided at the acquirer, the reason is kept for the end."""
    charge = draft.session.charge_of(payment.id)
    assert charge is not None and charge.state is State.APPROVED
    draft.payment(replace(payment, hold_deadline_at=None, reason=reason))
    draft.tell(payment.id, told)
    draft.plan(Kind.REVERSAL, payment, charge.amount_minor, target=charge)


def capture(session: PaymentSession, money: Money | None, *, now: datetime, ids: Ids) -> Change | None:
    """Take held money, whole or a part; the rest is released. None when the same capture stands already.

    Raises `StateForbids`, `RequestInvalid` (currency), `CaptureExceedsHold`.
    """
    held = [payment for payment in session.payments if payment.phase is Phase.HELD]
    if held and session.status is not Status.ERROR:
        if money is not None and len(held) > 1:
            raise RequestInvalid("amount_details", "an amount is possible only while exactly one payment is held")
        draft = Draft(session, now=now, ids=ids)
        for payment in held:
            amount_minor = _amount_minor(money, payment, default=payment.held_minor)
            if amount_minor > payment.held_minor:
                raise CaptureExceedsHold(f"amount_details.amount: {amount_minor} exceeds the {payment.held_minor} held")
            plan_capture(draft, payment, amount_minor)
        return draft.change()
    for payment in session.payments:
        captures = [o for o in session.operations if o.payment_id == payment.id and o.kind is Kind.CAPTURE]
        taken = captures[-1].amount_minor if captures else payment.captured_minor
        if not taken or payment.phase is Phase.FAILED:
            raise StateForbids(f"session_id: {_standing(session)}")
        if _amount_minor(money, payment, default=payment.held_minor) != taken:
            raise StateForbids(f"session_id: {taken} was captured already; there is one capture per payment")
    if not session.payments:
        raise StateForbids(f"session_id: {_standing(session)}")
    return None


def plan_capture(draft: Draft, payment: Payment, amount_minor: int) -> None:
    """Write down the capture of a hold."""
    charge = draft.session.charge_of(payment.id)
    assert charge is not None and charge.state is State.APPROVED
    draft.payment(replace(payment, hold_deadline_at=None))
    draft.plan(Kind.CAPTURE, draft.tell(payment.id, Told.CAPTURE), amount_minor, target=charge)


def refund(
    session: PaymentSession,
    money: Money | None,
    project: Project,
    *,
    payment_id: str | None,
    metadata: object,
    now: datetime,
    ids: Ids,
) -> Change:
    """Give back captured money, whole or a part; every call is a new refund (wire-api 9.8).

    Raises `StateForbids`, `RequestInvalid`, `NotPermitted` (partial refunds off), `RefundExceedsCaptured`.
    """
    succeeded = [payment for payment in session.payments if payment.phase is Phase.SUCCEEDED]
    refunding = session.status is Status.IN_PROGRESS and all(payment.is_final for payment in session.payments)
    if not succeeded or not (session.status is Status.ACCEPTED or refunding):
        raise StateForbids(f"session_id: {_standing(session)}; only a succeeded payment can be refunded")
    if payment_id is None and len(succeeded) > 1:
        raise RequestInvalid("payment_id", "needed because the session has several succeeded payments")
    payment = next((p for p in succeeded if payment_id in (None, p.id)), None)
    if payment is None:
        raise RequestInvalid("payment_id", "no succeeded payment of this session has this id")
    if not payment.card.token:
        raise StateForbids("the card was erased at the end of its retention; give the money back another way")
    left = payment.captured_minor - payment.refunded_minor
    amount_minor = _amount_minor(money, payment, default=left)
    if 0 < amount_minor < payment.captured_minor and not project.settings.partial_refunds:
        raise NotPermitted("amount_details.amount: partial refunds are not enabled for this project")
    if amount_minor > left or left <= 0:
        raise RefundExceedsCaptured(f"amount_details.amount: {left} is left to refund")
    draft = Draft(session, now=now, ids=ids)
    paid = next(
        o
        for o in session.operations
        if o.payment_id == payment.id and o.kind in (Kind.SALE, Kind.CAPTURE) and o.state is State.APPROVED
    )
    draft.payment(replace(payment, refunded_minor=payment.refunded_minor + amount_minor))
    planned = draft.plan(Kind.REFUND, payment, amount_minor, target=paid)
    draft.operation(replace(planned, metadata=metadata), "planned")
    return draft.change()


def _drop(draft: Draft, reason: Reason, heard: str) -> None:
    offer = draft.session.offer
    draft.erase_cvv(offer.sealed_cvv)
    draft.step(draft.session.id, Status.CREATED, heard, Status.CANCELLED)
    offer = replace(offer, card=None, sealed_cvv=None, card_given_at=None)
    draft.session = replace(draft.session, dropped=reason, offer=offer)


def expire(session: PaymentSession, *, now: datetime, ids: Ids) -> Change | None:
    """What the timers say at `now` (wire-api 8.6): None when none of them has run out."""
    draft = Draft(session, now=now, ids=ids)
    touched = False
    if session.status is Status.CREATED and session.due_at is not None and session.due_at <= now:
        if replace(session, offer=Offer()).due_at <= now:  # type: ignore[operator]
            _drop(draft, Reason.CANCELLED, "unstarted")
        else:
            draft.erase_cvv(session.offer.sealed_cvv)
            draft.session = replace(
                draft.session, offer=replace(session.offer, card=None, sealed_cvv=None, card_given_at=None)
            )
        touched = True
    for payment in session.payments:
        if payment.phase is Phase.AWAIT_CONFIRM and _is_over(payment.decision_deadline_at, now):
            draft.erase_cvv(payment.sealed_cvv)
            draft.payment(replace(payment, decision=Decision.TIMED_OUT, sealed_cvv=None))
            draft.tell(payment.id, Told.DECISION_OVER, reason=Reason.CONFIRM_TIMEOUT)
            draft.announce(EventType.PAYMENT_FINISHED)
            touched = True
        elif payment.phase is Phase.HELD and _is_over(payment.hold_deadline_at, now):
            if payment.hold_expiry == "capture":
                plan_capture(draft, payment, payment.held_minor)
            else:
                release_hold(draft, payment, Told.HOLD_OVER, Reason.CAPTURE_TIMEOUT)
            touched = True
    return draft.change() if touched else None


def _is_over(deadline_at: datetime | None, now: datetime) -> bool:
    return deadline_at is not None and deadline_at <= now


def _awaiting(session: PaymentSession) -> list[Payment]:
    """Every open payment, if all of them wait for the decision; none otherwise."""
    open_payments = [payment for payment in session.payments if not payment.is_final]
    return open_payments if all(p.phase is Phase.AWAIT_CONFIRM for p in open_payments) else []


def _is_cancelled(session: PaymentSession) -> bool:
    """Whether a cancel decision stands: the merchant's, or a timer's, carried out or on its way."""
    return session.dropped is not None or any(p.reason in WAS_CANCELLED for p in session.payments)


def _amount_minor(money: Money | None, payment: Payment, *, default: int) -> int:
    if money is None:
        return default
    if money.currency != payment.money.currency:
        raise RequestInvalid("amount_details.currency", f"{payment.money.currency} expected, as the payment has")
    return money.minor


def _standing(session: PaymentSession) -> str:
    """Which decision stands, for the description of a `StateForbids`."""
    if session.dropped is not None:
        return WAS_CANCELLED[session.dropped]
    for payment in session.payments:
        if payment.reason in WAS_CANCELLED:
            return WAS_CANCELLED[payment.reason]
    if not session.payments:
        return "the session is not started"
    if any(payment.decision is Decision.CONFIRMED for payment in session.payments):
        ended = {Status.ACCEPTED: " and paid", Status.CANCELLED: " and then declined"}.get(session.status, "")
        return f"the session was confirmed{ended}"
    if session.status is Status.CANCELLED:
        return "the session was rejected before anybody decided"
    return "the session waits to be confirmed or cancelled"
