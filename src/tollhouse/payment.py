"""A payment's phases, from routing to its end (wire-api 8.2). Phases are ours; the wire shows four statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from tollhouse.authentication import Enrolment
from tollhouse.card import CardId, CardIdScope, Expiry
from tollhouse.exemption import Exemption
from tollhouse.money import Money
from tollhouse.outcome import Reason
from tollhouse.verdict import Policy


class Phase(StrEnum):
    """Where a payment stands."""

    ROUTING = "routing"
    AWAIT_CONFIRM = "await_confirm"
    CONFIRMED = "confirmed"
    AWAIT_ACTION = "await_action"
    AUTHORIZING = "authorizing"
    HELD = "held"
    CAPTURING = "capturing"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED})


class Told(StrEnum):
    """What a payment is told."""

    ROUTED = "routed"
    AUTO_CONFIRMED = "auto_confirmed"
    REJECTED = "rejected"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    DECISION_OVER = "decision_over"
    ACTION_REQUIRED = "action_required"
    AUTHENTICATED = "authenticated"
    NOT_AUTHENTICATED = "not_authenticated"
    ACTION_OVER = "action_over"
    LEAVING = "leaving"
    NOT_SENT = "not_sent"
    GIVEN_UP = "given_up"
    CHARGED = "charged"
    HELD = "held"
    DECLINED = "declined"
    STEP_UP = "step_up"
    SILENCE = "silence"
    UNDONE = "undone"
    CAPTURE = "capture"
    HOLD_OVER = "hold_over"
    CAPTURED = "captured"
    CAPTURE_REFUSED = "capture_refused"
    RELEASED = "released"


P, T = Phase, Told

# The whole machine. A pair that is not here is refused (a merchant's word) or a bug (an acquirer's).
TRANSITIONS: dict[tuple[Phase, Told], Phase] = {
    (P.ROUTING, T.ROUTED): P.AWAIT_CONFIRM,
    (P.ROUTING, T.AUTO_CONFIRMED): P.CONFIRMED,
    (P.ROUTING, T.REJECTED): P.FAILED,
    (P.AWAIT_CONFIRM, T.CONFIRM): P.CONFIRMED,
    (P.AWAIT_CONFIRM, T.CANCEL): P.CANCELLING,
    (P.AWAIT_CONFIRM, T.DECISION_OVER): P.FAILED,
    (P.CONFIRMED, T.ACTION_REQUIRED): P.AWAIT_ACTION,
    (P.AWAIT_ACTION, T.AUTHENTICATED): P.CONFIRMED,
    (P.AWAIT_ACTION, T.NOT_AUTHENTICATED): P.FAILED,
    (P.AWAIT_ACTION, T.ACTION_OVER): P.FAILED,
    (P.CONFIRMED, T.LEAVING): P.AUTHORIZING,
    (P.CONFIRMED, T.GIVEN_UP): P.FAILED,
    (P.AUTHORIZING, T.NOT_SENT): P.CONFIRMED,
    (P.AUTHORIZING, T.CHARGED): P.SUCCEEDED,
    (P.AUTHORIZING, T.HELD): P.HELD,
    (P.AUTHORIZING, T.DECLINED): P.FAILED,
    (P.AUTHORIZING, T.STEP_UP): P.AWAIT_ACTION,  # soft decline: the payer first, then a second authorization
    (P.AUTHORIZING, T.SILENCE): P.UNKNOWN,
    (P.HELD, T.CAPTURE): P.CAPTURING,
    (P.HELD, T.CANCEL): P.CANCELLING,
    (P.HELD, T.HOLD_OVER): P.CANCELLING,
    (P.CAPTURING, T.CAPTURED): P.SUCCEEDED,
    (P.CAPTURING, T.CAPTURE_REFUSED): P.FAILED,
    (P.CAPTURING, T.SILENCE): P.UNKNOWN,
    (P.CANCELLING, T.RELEASED): P.FAILED,
    (P.CANCELLING, T.SILENCE): P.UNKNOWN,
    (P.UNKNOWN, T.SILENCE): P.UNKNOWN,
    (P.UNKNOWN, T.UNDONE): P.FAILED,
    (P.UNKNOWN, T.CAPTURED): P.SUCCEEDED,
    (P.UNKNOWN, T.CAPTURE_REFUSED): P.FAILED,
    (P.UNKNOWN, T.RELEASED): P.FAILED,
}


class Decision(StrEnum):
    """Who decided what about a prepared payment: made once, never changed (promise P4)."""

    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class HoldExpiry(StrEnum):
    """What happens to a hold that nobody captured or released in time."""

    RELEASE = "release"
    CAPTURE = "capture"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayingCard:
    """The card a payment uses: a token into the vault and what may be shown. Of a number alone `expiry` is None."""

    token: str
    bin: str
    last4: str
    brand: str | None
    expiry: Expiry | None
    fingerprint: str = ""  # keyed: the same for the same number, and of no other use
    enrolment: Enrolment | None = None  # None: it takes no part in 3-D Secure
    card_id: CardId | None = None

    def shown_within(self, scope: CardIdScope) -> PayingCard:
        """With its id only if that was made for this scope: the setting may have changed since it was kept."""
        is_meant = self.card_id is not None and self.card_id.scope is scope
        return self if is_meant else replace(self, card_id=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the merchant sent along, kept as sent: echoed by the API, never interpreted by the rules."""

    customer: Mapping[str, Any] | None = None
    participants: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None
    metadata: Any = None
    unechoed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment of a session. Amounts that grow are in minor units of `money`'s currency."""

    id: str
    phase: Phase
    money: Money
    card: PayingCard
    details: Details
    acquirer: str | None
    created_at: datetime
    is_two_stage: bool = False
    shows_fees: bool = False
    names_session_on_return: bool = True
    merchant_name: str | None = None  # what the payer and their issuer are shown
    hold_seconds: int = 0
    hold_expiry: HoldExpiry = HoldExpiry.RELEASE
    threeds: Policy = Policy.AUTO
    exemption: Exemption | None = None  # claimed with the first authorization
    sealed_cvv: str | None = None
    decision: Decision | None = None
    decision_deadline_at: datetime | None = None
    action_link: str | None = None  # where the payer authenticates: a secret of 128 bits
    action_deadline_at: datetime | None = None
    hold_deadline_at: datetime | None = None
    held_minor: int = 0  # authorized
    captured_minor: int = 0
    refunded_minor: int = 0  # every refund that is not declined or reversed
    rrn: str | None = None
    approval_code: str | None = None
    reason: Reason | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.phase in FINAL


class PhaseUnknown(AssertionError):
    """A pair of phase and word that cannot happen: a bug of ours."""


def may_tell(payment: Payment, told: Told) -> bool:
    """Whether the phase takes this word at all."""
    return (payment.phase, told) in TRANSITIONS


def tell(payment: Payment, told: Told, now: datetime, *, reason: Reason | None = None) -> Payment:
    """As it becomes. A final phase gets its time; a failed one its reason. Raises `PhaseUnknown`."""
    try:
        phase = TRANSITIONS[payment.phase, told]
    except KeyError:
        raise PhaseUnknown(f"payment {payment.phase} cannot be told {told}") from None
    after = replace(payment, phase=phase)
    if phase is Phase.FAILED:
        assert reason is not None, "a failed payment has a reason"
        after = replace(after, reason=reason)
    if phase in FINAL:
        after = replace(after, finished_at=now, decision_deadline_at=None, hold_deadline_at=None)
    if phase is not Phase.AWAIT_ACTION:
        after = replace(after, action_deadline_at=None)
    return after
