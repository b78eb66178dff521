"""Webhooks: when the next attempt is due, which event may go before another, and the signatures (wire-api 11)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tollhouse.event import EventType
from tollhouse.merchant import WebhookOrder

GAPS_SECONDS = (5, 15, 30, 60, 120, 300)
GAP_SECONDS_LAST = 15 * 60
JITTER_PERCENT_MAX = 10
HOLD_BACK_SECONDS = 60  # so long a failing event holds back the later ones, by default
ANSWER_SECONDS_MAX = 10
NEVER_WAITS = frozenset({EventType.ACTION_REQUIRED})


class DeliveryState(StrEnum):
    """Where the announcement of an event stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"  # its retry window is over; kept for resending
    SILENT = "silent"  # the project has no webhook address


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The announcement of one event: its bytes never change."""

    project: str
    session_id: str
    event_id: str
    type: EventType
    sequence: int
    body: bytes
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    first_attempt_at: datetime | None = None
    next_attempt_at: datetime | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sending and what became of it."""

    number: int
    at: datetime
    status: int | None
    error: str | None
    excerpt: str
    duration_seconds: float


def is_delivered(status: int | None) -> bool:
    """Any 2xx is a receipt; a redirect, an error or no answer is none."""
    return status is not None and 200 <= status <= 299


def after_attempt(
    delivery: Delivery, attempt: Attempt, *, window_seconds: int, jitter_percent: int, signature: str
) -> Delivery:
    """The delivery after an attempt: delivered, due again, or abandoned when the next start lies past the window."""
    assert 0 <= jitter_percent <= JITTER_PERCENT_MAX
    first_at = delivery.first_attempt_at or attempt.at
    state, next_at = DeliveryState.DELIVERED, None
    if not is_delivered(attempt.status):
        number = attempt.number
        gap = GAPS_SECONDS[number - 1] if number <= len(GAPS_SECONDS) else GAP_SECONDS_LAST
        next_at = attempt.at + timedelta(seconds=gap * (100 + jitter_percent) / 100)
        state = DeliveryState.WAITING
        if next_at > first_at + timedelta(seconds=window_seconds):
            state, next_at = DeliveryState.ABANDONED, None
    return Delivery(
        project=delivery.project,
        session_id=delivery.session_id,
        event_id=delivery.event_id,
        type=delivery.type,
        sequence=delivery.sequence,
        body=delivery.body,
        state=state,
        attempts=attempt.number,
        first_attempt_at=first_at,
        next_attempt_at=next_at,
        signature=signature,
    )


def may_send(delivery: Delivery, earlier: Sequence[Delivery], order: WebhookOrder, now: datetime) -> bool:
    """Whether the event may go out now, given the earlier ones of its session."""
    if delivery.state is not DeliveryState.WAITING:
        return False
    if delivery.next_attempt_at is not None and delivery.next_attempt_at > now:
        return False
    if order is WebhookOrder.NONE or delivery.type in NEVER_WAITS:
        return True
    waiting = [one for one in earlier if one.state is DeliveryState.WAITING]
    if order is WebhookOrder.STRICT:
        return not waiting
    hold_back = timedelta(seconds=HOLD_BACK_SECONDS)
    return all(one.first_attempt_at is not None and one.first_attempt_at + hold_back <= now for one in waiting)


def signed_content(event_id: str, timestamp: int, body: bytes) -> bytes:
    """What Standard Webhooks signs: id, Unix seconds of the attempt, raw body, joined by dots."""
    return f"{event_id}.{timestamp}.".encode() + body


def hmac_signature(secret: str, content: bytes) -> str:
    """`v1,…`: HMAC-SHA256 under a `whsec_` secret, Base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
