"""What may be announced to a merchant: five types and no other (wire-api 11)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tollhouse.session import PaymentSession


class EventType(StrEnum):
    """The types of a webhook."""

    READY_TO_CONFIRM = "ready_to_confirm"
    READY_TO_CAPTURE = "ready_to_capture"
    ACTION_REQUIRED = "action_required"
    PAYMENT_FINISHED = "payment_finished"
    PAYMENT_REFUNDED = "payment_refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact to announce, with the session as it was at that moment. `sequence` counts within the session."""

    id: str
    type: EventType
    sequence: int
    session: PaymentSession
    created_at: datetime
    body: bytes = b""  # rendered once, before the commit
