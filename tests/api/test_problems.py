"""Refusals and failures as answers: every code has a status, every answer an envelope, no failure says too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.client import PAN, PAYMENT, Shop
from tests.worlds import memory_world
from tollhouse import refusal
from tollhouse.api.problems import STATUS, reply_to
from tollhouse.api.wire import JsonWire
from tollhouse.api.wire.answers import PAYMENT_STATUS
from tollhouse.payment import Phase
from tollhouse.ports import StoreUnreachable
from tollhouse.refusal import Refusal
from tollhouse.session import PaymentSession
from tollhouse.store.memory import MemoryBooks, MemoryStore


def every_refusal(kind: type[Refusal] = Refusal) -> set[type[Refusal]]:
    """All classes of refusals but the root."""
    return {one for child in kind.__subclasses__() for one in {child, *every_refusal(child)}}


def test_every_refusal_has_a_status() -> None:
    """And the table has no more."""
    assert set(STATUS) == every_refusal()
    assert all(400 <= status <= 599 for status in STATUS.values())


@pytest.mark.parametrize("kind", sorted(every_refusal(), key=lambda kind: kind.__name__))
def test_every_refusal_has_its_headers(kind: type[Refusal]) -> None:
    """401: how to sign. 429, 503 and a key in flight: when to come back. 405: what is allowed."""
    needed: dict[type[Refusal], tuple[Any, ...]] = {
        refusal.RequestInvalid: ("customer", "an object"),
        refusal.KeyUsed: ("ps_1",),
        refusal.GuessedTooOften: (12.3,),
    }
    reply = reply_to(kind(*needed.get(kind, ())))
    wanted = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After", 409: "Retry-After", 405: "Allow"}
    has_more = kind is refusal.KeyUsed
    expected = set() if kind is refusal.StateForbids else {wanted[reply.status]} if reply.status in wanted else set()
    assert set(reply.headers) == (expected | ({"X-Tollhouse-Idempotent-Session"} if has_more else set()))


def test_codes_have_the_statuses_of_the_specification() -> None:
    """Codes and statuses of wire-api 6 that a call may be answered with."""
    found = {(kind.code, status) for kind, status in STATUS.items()}
    assert found == {
        ("identification_error", 401),
        ("authentication_error", 401),
        ("public_token_invalid", 401),
        ("authorization_error", 403),
        ("invalid_request", 400),
        ("method_not_found", 404),
        ("method_not_allowed", 405),
        ("session_not_found", 404),
        ("token_not_found", 404),
        ("session_wrong_state", 409),
        ("idempotency_key_already_exists", 400),
        ("idempotency_key_already_exists", 409),
        ("refund_amount_too_large", 400),
        ("capture_amount_too_large", 400),
        ("bank_card_expired", 400),
        ("card_number_does_not_exist", 400),
        ("request_too_large", 413),
        ("unsupported_media_type", 415),
        ("too_many_requests", 429),
        ("internal_error", 500),
        ("service_unavailable", 503),
    }


def test_every_phase_has_a_status_on_the_wire() -> None:
    """Of the four there are."""
    assert set(PAYMENT_STATUS) == set(Phase)
    assert set(PAYMENT_STATUS.values()) == {"in_progress", "pending", "succeeded", "failed"}


class BrokenStore(MemoryStore):
    """A store that fails as told."""

    error: Exception

    async def find_session(self, project: str, session_id: str) -> PaymentSession | None:
        """Fail."""
        raise self.error


def broken_world(error: Exception) -> Any:
    """A world whose store fails."""
    world = memory_world(wire=JsonWire())
    store = BrokenStore(MemoryBooks(), node="n1", clock=world.clock)
    store.error = error
    return memory_world(store=store, wire=JsonWire())


async def test_a_failure_of_ours_says_nothing_of_itself(open_shop: Callable[..., Shop]) -> None:
    """500 with the envelope; the log names the place and the kind of error, not its text."""
    shop = open_shop(world=broken_world(RuntimeError(f"cannot store {PAN}")))
    answered = await shop.call("session/status", {"session_id": "ps_1"})
    assert (answered.status, answered.code) == (500, "internal_error")
    assert PAN not in repr((answered, shop.world.log.lines))
    failed = next(fields for level, event, fields in shop.world.log.lines if level == "error")
    assert failed["error"] == "RuntimeError"
    assert failed["request_id"] == answered.headers["x-tollhouse-request-id"]
    assert any("test_problems.py" in place for place in failed["places"])


async def test_a_broken_promise_of_ours_is_a_failure_too(open_shop: Callable[..., Shop]) -> None:
    """An assertion that does not hold is answered like any other bug."""
    shop = open_shop(world=broken_world(AssertionError("no")))
    assert (await shop.call("session/confirm", {"session_id": "ps_1"})).code == "internal_error"


async def test_without_the_database_the_gateway_is_unavailable(open_shop: Callable[..., Shop]) -> None:
    """503 and when to come back; the log says what is away."""
    shop = open_shop(world=broken_world(StoreUnreachable("gone")))
    answered = await shop.call("session/cancel", {"session_id": "ps_1"})
    assert (answered.status, answered.code) == (503, "service_unavailable")
    assert answered.headers["retry-after"] == "1"
    assert [level for level, *_ in shop.world.log.lines] == ["info"]
    assert shop.world.log.lines[0][-1]["why"] == "gone"


async def test_every_answer_has_the_same_headers(shop: Shop) -> None:
    """JSON that nobody stores or guesses at, and a name of its own."""
    answers = [
        await shop.call("session/init/payment", PAYMENT),
        await shop.call("session/begin"),
        await shop.call("session/create", raw=b"{"),
        await shop.request("/nowhere"),
    ]
    for answered in answers:
        assert answered.headers["content-type"] == "application/json"
        assert answered.headers["cache-control"] == "no-store"
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["content-length"] == str(len(answered.body))
        assert answered.json["status"] == ("ok" if answered.status == 200 else "error")
    assert len({answered.headers["x-tollhouse-request-id"] for answered in answers}) == len(answers)
