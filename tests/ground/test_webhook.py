"""Webhooks: when attempts are due, which event may overtake another, and the signatures."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.event import EventType
from tollhouse.merchant import WebhookOrder
from tollhouse.webhook import (
    Attempt,
    Delivery,
    DeliveryState,
    after_attempt,
    hmac_signature,
    is_delivered,
    may_send,
    signed_content,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HALF_HOUR = 30 * 60


def _delivery(sequence: int = 1, type: EventType = EventType.PAYMENT_FINISHED) -> Delivery:
    return Delivery(
        project="shop", session_id="ps_1", event_id=f"evt_{sequence}", type=type, sequence=sequence, body=b"{}"
    )


def _attempt(number: int, at: datetime, status: int | None = 500) -> Attempt:
    return Attempt(number=number, at=at, status=status, error=None, excerpt="", duration_seconds=0.1)


def _failing(window_seconds: int, jitter_percent: int) -> tuple[list[datetime], Delivery]:
    """Starts of all attempts of a delivery that always fails, each taken exactly when it is due."""
    delivery, at, starts = _delivery(), NOON, []
    while True:
        starts.append(at)
        delivery = after_attempt(
            delivery,
            _attempt(len(starts), at),
            window_seconds=window_seconds,
            jitter_percent=jitter_percent,
            signature="s",
        )
        if delivery.next_attempt_at is None:
            return starts, delivery
        at = delivery.next_attempt_at


def test_nominal_times() -> None:
    """Attempts start at 0:00 0:05 0:20 0:50 1:50 3:50 8:50 23:50 of the half hour, and then no more."""
    starts, delivery = _failing(HALF_HOUR, 0)
    clock = [divmod(int((start - NOON).total_seconds()), 60) for start in starts]
    assert clock == [(0, 0), (0, 5), (0, 20), (0, 50), (1, 50), (3, 50), (8, 50), (23, 50)]
    assert (delivery.state, delivery.attempts, delivery.first_attempt_at) == (DeliveryState.ABANDONED, 8, NOON)


def test_longer_window_keeps_the_last_gap() -> None:
    """A longer window goes on every 15 minutes to its end."""
    starts, _ = _failing(2 * 3600, 0)
    gaps = {(later - earlier).total_seconds() for earlier, later in pairwise(starts[7:])}
    assert gaps == {900}
    assert starts[-1] == NOON + timedelta(hours=1, minutes=53, seconds=50)


@given(st.integers(60, 100_000), st.integers(0, 10))
def test_no_attempt_starts_past_the_window(window_seconds: int, jitter_percent: int) -> None:
    """Whatever the window and the jitter, no attempt starts later than the window, and gaps never shrink."""
    starts, delivery = _failing(window_seconds, jitter_percent)
    assert starts[-1] <= NOON + timedelta(seconds=window_seconds)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps == sorted(gaps)
    assert all(gap.total_seconds() <= 990 for gap in gaps)
    assert delivery.state is DeliveryState.ABANDONED


def test_late_attempt_counts_from_its_own_start() -> None:
    """After an outage the next gap begins at the late attempt, and the window still at the first one."""
    first = after_attempt(_delivery(), _attempt(1, NOON), window_seconds=HALF_HOUR, jitter_percent=0, signature="s")
    late = NOON + timedelta(minutes=20)
    second = after_attempt(first, _attempt(2, late), window_seconds=HALF_HOUR, jitter_percent=0, signature="s")
    assert (second.next_attempt_at, second.first_attempt_at) == (late + timedelta(seconds=15), NOON)


@pytest.mark.parametrize(
    ("status", "delivered"),
    [
        (200, True),
        (201, True),
        (204, True),
        (299, True),
        (None, False),
        (100, False),
        (199, False),
        (300, False),
        (301, False),
        (304, False),
        (400, False),
        (404, False),
        (410, False),
        (500, False),
        (503, False),
    ],
)
def test_receipt(status: int | None, delivered: bool) -> None:
    """Any 2xx is a receipt; redirects, errors and silence are none."""
    after = after_attempt(
        _delivery(), _attempt(1, NOON, status), window_seconds=HALF_HOUR, jitter_percent=0, signature="s"
    )
    assert is_delivered(status) is delivered
    assert (after.state is DeliveryState.DELIVERED) is delivered
    assert (after.next_attempt_at is None) is delivered


def test_bytes_never_change() -> None:
    """An attempt changes neither the body nor the event, and keeps the body's signature for the next one."""
    before = _delivery()
    after = after_attempt(before, _attempt(1, NOON), window_seconds=HALF_HOUR, jitter_percent=10, signature="signed")
    assert (after.body, after.event_id, after.sequence, after.type) == (b"{}", "evt_1", 1, before.type)
    assert after.signature == "signed"


def _waiting(since_seconds: int | None) -> Delivery:
    """An earlier event: not tried yet, or first tried so many seconds ago and failing."""
    delivery = _delivery(1)
    if since_seconds is None:
        return delivery
    first_at = NOON - timedelta(seconds=since_seconds)
    return after_attempt(delivery, _attempt(1, first_at), window_seconds=HALF_HOUR, jitter_percent=0, signature="s")


DELIVERED = after_attempt(
    _delivery(1), _attempt(1, NOON, 200), window_seconds=HALF_HOUR, jitter_percent=0, signature="s"
)
ABANDONED = _failing(HALF_HOUR, 0)[1]


@pytest.mark.parametrize(
    ("earlier", "session", "strict", "none"),
    [
        ([], True, True, True),
        ([DELIVERED], True, True, True),
        ([ABANDONED], True, True, True),
        ([_waiting(None)], False, False, True),
        ([_waiting(59)], False, False, True),
        ([_waiting(60)], True, False, True),
        ([DELIVERED, _waiting(10)], False, False, True),
        ([_waiting(60), _waiting(None)], False, False, True),
    ],
)
def test_order(earlier: list[Delivery], session: bool, strict: bool, none: bool) -> None:
    """By default an event waits for earlier ones until they have failed for 60 seconds; strictly until they end."""
    later = _delivery(2)
    assert may_send(later, earlier, WebhookOrder.SESSION, NOON) is session
    assert may_send(later, earlier, WebhookOrder.STRICT, NOON) is strict
    assert may_send(later, earlier, WebhookOrder.NONE, NOON) is none


@pytest.mark.parametrize("order", WebhookOrder)
def test_action_required_never_waits(order: WebhookOrder) -> None:
    """The payer's minutes are running: what asks for an action overtakes."""
    assert may_send(_delivery(2, EventType.ACTION_REQUIRED), [_waiting(None)], order, NOON)


@pytest.mark.parametrize("order", WebhookOrder)
def test_only_what_is_due_is_sent(order: WebhookOrder) -> None:
    """What is delivered, given up, or due later is not sent now."""
    assert not may_send(DELIVERED, [], order, NOON)
    assert not may_send(ABANDONED, [], order, NOON)
    assert not may_send(_waiting(4), [], order, NOON)
    assert may_send(_waiting(5), [], order, NOON)


def test_published_vector() -> None:
    """The signature of the specification's vector (wire-api 11)."""
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    body = b'{"type":"payment_finished","event_id":"evt_9001","sequence":2,"session":{"id":"ps_410027"}}'
    content = signed_content("evt_9001", 1772442000, body)
    assert secret == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert hmac_signature(secret, content) == "v1,aikctdRfUAGpMJt1xlh2KwGniGank3DvsulaA+y5pqk="


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.integers(1_000_000_000, 4_000_000_000))
def test_independent_verifier_accepts(secret: bytes, body: bytes, timestamp: int) -> None:
    """Another implementation of Standard Webhooks accepts our signature and refuses it for any other body."""
    from standardwebhooks import Webhook

    key = "whsec_" + base64.b64encode(secret).decode()
    signature = hmac_signature(key, signed_content("evt_1", timestamp, body))
    at = datetime.fromtimestamp(timestamp, UTC)
    text = body.decode("latin-1")
    theirs = Webhook(key).sign("evt_1", at, text)
    assert (theirs == signature) is text.isascii()
