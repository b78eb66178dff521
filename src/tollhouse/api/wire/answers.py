"""Answers and webhooks as bytes: sessions in both spellings, absent members left out, never `null` (wire-api 10, 11).

The shapes here are those of the documentation. Members without a default are always emitted: clients rely on them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tollhouse.event import Event, EventType
from tollhouse.operation import Operation, State
from tollhouse.outcome import DESCRIPTIONS, Reason
from tollhouse.payment import Payment, Phase
from tollhouse.session import PaymentSession, RefundStatus, Status, refund_status

PAYMENT_STATUS: dict[Phase, str] = {
    Phase.ROUTING: "in_progress",
    Phase.AWAIT_CONFIRM: "pending",
    Phase.CONFIRMED: "pending",
    Phase.AWAIT_ACTION: "pending",
    Phase.AUTHORIZING: "in_progress",
    Phase.HELD: "pending",
    Phase.CAPTURING: "in_progress",
    Phase.CANCELLING: "pending",
    Phase.UNKNOWN: "in_progress",
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
}
assert set(PAYMENT_STATUS) == set(Phase)

PHONE_HEAD, PHONE_TAIL, PHONE_STARS = 4, 2, "*****"
UNSETTLED = "The acquirer gave no clear answer yet; the outcome is being settled"
ECHOED_OPTIONS = ("return_url", "recurrent")

Instant = Annotated[str, Meta(description="UTC as 2026-03-02T09:15:00.000000Z")]
SessionStatus = Annotated[str, Meta(extra_json_schema={"enum": [status.value for status in Status]})]
PaymentStatus = Annotated[str, Meta(extra_json_schema={"enum": sorted(set(PAYMENT_STATUS.values()))})]
RefundState = Annotated[str, Meta(extra_json_schema={"enum": [status.value for status in RefundStatus]})]
NextAction = Annotated[str, Meta(extra_json_schema={"enum": ["confirm", "capture"]})]
EventName = Annotated[str, Meta(extra_json_schema={"enum": [type.value for type in EventType]})]


class Answer(Struct, omit_defaults=True, kw_only=True):
    """What every shape of an answer has in common: a member with the value of its default is left out."""


class AmountShown(Answer, kw_only=True):
    """An amount in minor units of its currency."""

    amount: int
    currency: str


class FeeShown(Answer, kw_only=True):
    """What the merchant pays for the payment."""

    merchant_fee: AmountShown | None = None


class AmountsShown(Answer, kw_only=True):
    """What moved: `gross` was taken from the payer; fee and net with the setting `show_fees`."""

    gross: AmountShown | None = None
    fee: FeeShown | None = None
    net: AmountShown | None = None


class ErrorShown(Answer, kw_only=True):
    """Why it failed."""

    code: str
    description: str


class ContactShown(Answer, kw_only=True):
    """One way to reach the payer; of a phone number the first four and last two digits."""

    email: str | None = None
    phone: str | None = None


class CustomerShown(Answer, kw_only=True):
    """The payer, as the merchant names them."""

    reference: str
    contacts: list[ContactShown]


class CardShown(Answer, kw_only=True):
    """What may be shown of a card."""

    brand: str | None = None
    last4: str
    bin: str
    card_id: str | None = None


class PaymentMethodShown(Answer, kw_only=True):
    """How the payer pays."""

    type: str
    card: CardShown


class OptionsShown(Answer, kw_only=True):
    """The options that are echoed."""

    return_url: str | None = None
    recurrent: bool | None = None


class TransactionInfo(Answer, kw_only=True):
    """The bank's references of an operation, as far as they are known."""

    rrn: str | None = None
    auth_code: str | None = None


class RefundShown(Answer, kw_only=True):
    """One refund of a payment."""

    id: str
    status: RefundState
    created_at: Instant
    finished_at: Instant | None = None
    amount_details: AmountShown
    amounts: AmountsShown
    transaction_info: TransactionInfo | None = None
    metadata: Any = None
    error: ErrorShown | None = None


class RedirectShown(Answer, kw_only=True):
    """Where the payer's browser goes: `url` is complete; a form post would send `params` to it."""

    url: str
    base_url: str
    method: str
    qs: dict[str, str]
    params: dict[str, str]


class InteractionShown(Answer, kw_only=True):
    """What the payer has to do now."""

    type: str
    redirect: RedirectShown


class PaymentShown(Answer, kw_only=True):
    """One payment of a session."""

    id: str
    status: PaymentStatus
    created_at: Instant
    finished_at: Instant | None = None
    customer: CustomerShown
    payment_details: PaymentMethodShown
    amount_details: AmountShown
    amounts: AmountsShown
    customer_interaction: InteractionShown | None = None
    participant_details: dict[str, Any] | None = None
    payment_options: OptionsShown | None = None
    refunds: list[RefundShown]
    transaction_info: TransactionInfo | None = None
    metadata: Any = None
    error: ErrorShown | None = None


class SessionV1(Answer, kw_only=True):
    """A session as version 1 spells it."""

    id: str
    status: SessionStatus
    created_at: Instant
    updated_at: Instant
    finished_at: Instant | None = None
    acquiring_payments: list[PaymentShown] | None = None
    next_action: NextAction | None = None
    error: ErrorShown | None = None


class SessionV2(Answer, kw_only=True):
    """A session as version 2 spells it."""

    id: str
    status: SessionStatus
    created_at: Instant
    updated_at: Instant
    finished_at: Instant | None = None
    payment_list: list[PaymentShown] | None = None
    next_action: NextAction | None = None
    error: ErrorShown | None = None


class AnswerV1(Answer, kw_only=True):
    """A call that was carried out, in version 1."""

    status: str
    session: SessionV1


class AnswerV2(Answer, kw_only=True):
    """A call that was carried out, in version 2."""

    status: str
    session: SessionV2


class WebhookV1(Answer, kw_only=True):
    """The body of a webhook in version 1."""

    type: EventName
    event_id: str
    sequence: int
    session: SessionV1


class WebhookV2(Answer, kw_only=True):
    """The body of a webhook in version 2."""

    type: EventName
    event_id: str
    sequence: int
    session: SessionV2


class Refused(Answer, kw_only=True):
    """A call that was not carried out."""

    status: str
    error: ErrorShown


_encode = msgspec.json.Encoder().encode


class JsonWire:
    """The port `Wire`. `public_url` is how payers reach us."""

    def __init__(self, public_url: str = "") -> None:
        self._public_url = public_url

    def webhook_body(self, event: Event, api_version: int) -> bytes:
        """The bytes that are sent for an event, on every attempt."""
        named: dict[str, Any] = {"type": event.type, "event_id": event.id, "sequence": event.sequence}
        if api_version == 1:
            return _encode(WebhookV1(session=self._v1(event.session), **named))
        return _encode(WebhookV2(session=self._v2(event.session), **named))

    def answer_body(self, session: PaymentSession, api_version: int) -> bytes:
        """The bytes that a call is answered with."""
        if api_version == 1:
            return _encode(AnswerV1(status="ok", session=self._v1(session)))
        return _encode(AnswerV2(status="ok", session=self._v2(session)))

    def _v1(self, session: PaymentSession) -> SessionV1:
        return SessionV1(acquiring_payments=_payments(session, self._public_url), **_session(session))

    def _v2(self, session: PaymentSession) -> SessionV2:
        return SessionV2(payment_list=_payments(session, self._public_url), **_session(session))


def refused_body(code: str, description: str) -> bytes:
    """The envelope of every error."""
    return _encode(Refused(status="error", error=ErrorShown(code=code, description=description)))


def instant(at: datetime) -> str:
    """UTC with six digits and `Z`."""
    offset = at.utcoffset()
    assert offset is not None and not offset, "instants are in UTC"
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def _end(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def mask_phone(phone: str) -> str:
    """The first four and the last two digits; of a very short number only the last two, or nothing would be hidden."""
    digits = phone.removeprefix("+")
    head = digits[:PHONE_HEAD] if len(digits) > PHONE_HEAD + PHONE_TAIL else ""
    return head + PHONE_STARS + digits[-PHONE_TAIL:]


def _payments(session: PaymentSession, public_url: str) -> list[PaymentShown] | None:
    return [_payment(session, payment, public_url) for payment in session.payments] or None


def _interaction(payment: Payment, public_url: str) -> InteractionShown | None:
    """The link to the payer's page, only while the payer's action is open (wire-api 12)."""
    if payment.phase is not Phase.AWAIT_ACTION:
        return None
    url = f"{public_url}/3ds/{payment.action_link}"
    return InteractionShown(
        type="redirect", redirect=RedirectShown(url=url, base_url=url, method="GET", qs={}, params={})
    )


def _session(session: PaymentSession) -> dict[str, Any]:
    """What both spellings have in common."""
    status = session.status
    return {
        "id": session.id,
        "status": status.value,
        "created_at": instant(session.created_at),
        "updated_at": instant(session.updated_at),
        "finished_at": _end(session.finished_at),
        "next_action": session.next_action,
        "error": _session_error(session, status),
    }


def _payment(session: PaymentSession, payment: Payment, public_url: str) -> PaymentShown:
    details, currency, shows_fees = payment.details, payment.money.currency, payment.shows_fees
    used, card_id = payment.card, payment.card.card_id.text if payment.card.card_id else None
    card = CardShown(brand=used.brand, last4=used.last4, bin=used.bin, card_id=card_id)
    echoed = {name: value for name, value in (details.options or {}).items() if name in ECHOED_OPTIONS}
    return PaymentShown(
        id=payment.id,
        status=PAYMENT_STATUS[payment.phase],
        created_at=instant(payment.created_at),
        finished_at=_end(payment.finished_at),
        customer=_customer(payment),
        payment_details=PaymentMethodShown(type="card", card=card),
        amount_details=_amount(payment.money.minor, currency),
        amounts=_amounts(payment.captured_minor, currency, shows_fees=shows_fees),
        customer_interaction=_interaction(payment, public_url),
        participant_details=dict(details.participants) if details.participants else None,
        payment_options=OptionsShown(**echoed) if echoed else None,
        refunds=[_refund(refund, currency, shows_fees=shows_fees) for refund in session.refunds_of(payment.id)],
        transaction_info=_transaction_info(payment.rrn, payment.approval_code),
        metadata=details.metadata,
        error=_error(payment.reason) if payment.phase is Phase.FAILED else None,
    )


def _refund(refund: Operation, currency: str, *, shows_fees: bool) -> RefundShown:
    status = refund_status(refund)
    is_approved = refund.state is State.APPROVED
    rrn = refund.references.rrn if refund.references and is_approved else None
    return RefundShown(
        id=refund.id,
        status=status,
        created_at=instant(refund.planned_at),
        finished_at=_end(refund.finished_at),
        amount_details=_amount(refund.amount_minor, currency),
        amounts=_amounts(refund.amount_minor if is_approved else 0, currency, shows_fees=shows_fees),
        transaction_info=_transaction_info(rrn, refund.approval_code),
        metadata=refund.metadata,
        error=_error(refund.reason) if status is RefundStatus.DECLINED else None,
    )


def _customer(payment: Payment) -> CustomerShown:
    customer = payment.details.customer
    assert customer is not None, "a payment has a customer"
    contacts = [
        ContactShown(email=contact.get("email"), phone=mask_phone(contact["phone"]) if "phone" in contact else None)
        for contact in customer.get("contacts", ())
    ]
    return CustomerShown(reference=customer["reference"], contacts=contacts)


def _amount(minor: int, currency: str) -> AmountShown:
    return AmountShown(amount=minor, currency=currency)


def _amounts(moved_minor: int, currency: str, *, shows_fees: bool) -> AmountsShown:
    """What moved so far; this version takes no fees."""
    if not moved_minor:
        return AmountsShown()
    gross = _amount(moved_minor, currency)
    if not shows_fees:
        return AmountsShown(gross=gross)
    return AmountsShown(gross=gross, fee=FeeShown(merchant_fee=_amount(0, currency)), net=gross)


def _transaction_info(rrn: str | None, approval_code: str | None) -> TransactionInfo | None:
    if rrn is None and approval_code is None:
        return None
    return TransactionInfo(rrn=rrn, auth_code=approval_code)


def _session_error(session: PaymentSession, status: Status) -> ErrorShown | None:
    if status not in (Status.CANCELLED, Status.ERROR):
        return None
    reason = session.reason
    assert reason is not None, "a session that ended without success has a reason"
    return ErrorShown(code=reason, description=UNSETTLED) if status is Status.ERROR else _error(reason)


def _error(reason: Reason | None) -> ErrorShown | None:
    return None if reason is None else ErrorShown(code=reason, description=DESCRIPTIONS[reason])
