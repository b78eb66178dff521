"""Idempotency keys over HTTP (wire-api 4): both modes, what is compared, and calls at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.api.client import EUROS, PAYMENT, Shop
from tests.worlds import memory_world, second_node
from tollhouse.api.wire import JsonWire
from tollhouse.idempotency import UsedKey
from tollhouse.merchant import IdempotencyMode
from tollhouse.store.memory import MemoryStore

CODE = "idempotency_key_already_exists"
SESSION = "x-tollhouse-idempotent-session"
OpenShop = Callable[..., Shop]
REPLAY = "x-tollhouse-idempotent-replay"


class SlowStore(MemoryStore):
    """A store whose look-up of keys waits until it is told to go on."""

    gate: asyncio.Event
    after: Callable[[], None]

    async def find_key(self, project: str, key: str) -> UsedKey | None:
        """Wait, look, and let something happen before the answer is used."""
        await self.gate.wait()
        found = await super().find_key(project, key)
        self.after()
        return found


def slow_shop(open_shop: OpenShop, **settings: Any) -> tuple[Shop, SlowStore]:
    """A merchant whose world has the slow store."""
    plain = memory_world()
    store = SlowStore(plain.books, node="n1", clock=plain.clock)
    store.gate, store.after = asyncio.Event(), _nothing
    return open_shop(world=memory_world(store=store, books=plain.books, wire=JsonWire()), **settings), store


async def test_a_repeated_call_is_rejected_and_names_the_first_session(shop: Shop) -> None:
    """The default: 400, and with the session one can ask what became of it."""
    first = await shop.call("session/init/payment", PAYMENT, key="order 7")
    again = await shop.call("session/init/payment", PAYMENT, key="order 7")
    assert (again.status, again.code) == (400, CODE)
    assert again.headers[SESSION] == first.session["id"]
    assert REPLAY not in again.headers
    assert len(shop.world.books.sessions) == 1
    assert len(shop.world.vault.cards) == 1


async def test_a_repeated_call_is_replayed_byte_for_byte(open_shop: OpenShop) -> None:
    """The setting `replay`: status and body of the first answer, although the session has moved on."""
    shop = open_shop(idempotency=IdempotencyMode.REPLAY)
    first = await shop.call("session/init/payment", PAYMENT, key="order 7")
    session_id = first.session["id"]
    confirmed = await shop.call("session/confirm", {"session_id": session_id}, key="yes 7")
    await shop.carry_on()
    refunded = await shop.call("session/refund", {"session_id": session_id}, key="back 7")
    await shop.carry_on()
    calls = {"session/init/payment": (PAYMENT, "order 7", first), "session/confirm": ({}, "yes 7", confirmed)}
    calls["session/refund"] = ({}, "back 7", refunded)
    for method, (members, key, answer) in calls.items():
        again = await shop.call(method, members or {"session_id": session_id}, key=key)
        assert (again.status, again.body) == (200, answer.body)
        assert (again.headers[REPLAY], again.headers[SESSION]) == ("true", session_id)
        assert REPLAY not in answer.headers
    assert len(shop.stored(session_id).refunds_of(first.session["payment_list"][0]["id"])) == 1


async def test_a_replay_has_the_version_of_its_call(open_shop: OpenShop) -> None:
    """A session of version 1 that is confirmed in version 2: the second answer is the first again."""
    shop = open_shop(idempotency=IdempotencyMode.REPLAY)
    session_id = await shop.prepared(version=1)
    first = await shop.call("session/confirm", {"session_id": session_id}, version=2, key="k")
    again = await shop.call("session/confirm", {"session_id": session_id}, version=2, key="k")
    assert first.body == again.body


@pytest.mark.parametrize("mode", list(IdempotencyMode))
async def test_another_body_or_path_is_never_the_same_call(open_shop: OpenShop, mode: IdempotencyMode) -> None:
    """400 in both modes, saying what differs, without naming the session."""
    shop = open_shop(idempotency=mode)
    first = await shop.call("session/create", {"metadata": 1}, key="k")
    session_id = {"session_id": first.session["id"]}
    others = [
        ("another body", await shop.call("session/create", {"metadata": 2}, key="k")),
        ("another body", await shop.call("session/create", raw=b'{"metadata":1}', key="k")),
        ("/api/v2/session/create", await shop.call("session/create", {"metadata": 1}, key="k", version=1)),
        ("/api/v2/session/create", await shop.call("session/cancel", session_id, key="k")),
    ]
    for said, answered in others:
        assert (answered.status, answered.code) == (400, CODE)
        assert said in answered.description
        assert SESSION not in answered.headers


async def test_keys_of_two_projects_do_not_meet(shop: Shop) -> None:
    """The scope of a key is its project."""
    assert (await shop.call("session/create", {}, key="k")).status == 200
    assert (await shop.call("session/create", {}, key="k", project="inn")).status == 200


async def test_a_call_that_writes_nothing_uses_no_key(shop: Shop) -> None:
    """Refused calls and those that find the decision standing leave the key free."""
    wrong = {**PAYMENT, "amount_details": {**EUROS, "amount": 0}}
    assert (await shop.call("session/init/payment", wrong, key="k")).status == 400
    assert (await shop.call("session/confirm", {"session_id": "ps_404"}, key="k")).status == 404
    session_id = await shop.prepared()
    assert (await shop.call("session/refund", {"session_id": session_id}, key="k")).status == 409
    await shop.call("session/cancel", {"session_id": session_id})
    assert (await shop.call("session/cancel", {"session_id": session_id}, key="k")).status == 200
    assert shop.world.books.keys == {}
    assert (await shop.call("session/init/payment", PAYMENT, key="k")).status == 200


async def test_reading_ignores_the_key(shop: Shop) -> None:
    """Also one that could not be a key."""
    session_id = await shop.prepared()
    for key in ("k", "k", "", "é"):
        assert (await shop.call("session/status", {"session_id": session_id}, key=key)).status == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "\x7f"])
async def test_what_is_no_key_is_refused(shop: Shop, key: str) -> None:
    """1 to 255 printable ASCII characters."""
    answered = await shop.call("session/create", {}, key=key)
    assert (answered.status, answered.code) == (400, "invalid_request")
    assert answered.description.startswith("X-PARTNER-IDEMPOTENCY-KEY: ")
    assert (await shop.call("session/create", {}, key="x" * 255)).status == 200


async def test_a_call_in_flight_is_waited_for(open_shop: OpenShop) -> None:
    """409 with Retry-After while the first call is at work, whatever the second says; then 400."""
    shop, store = slow_shop(open_shop)
    first = asyncio.create_task(shop.call("session/init/payment", PAYMENT, key="k"))
    await asyncio.sleep(0)
    for method, body in (("session/init/payment", PAYMENT), ("session/create", {})):
        busy = await shop.call(method, body, key="k")
        assert (busy.status, busy.code, busy.headers["retry-after"]) == (409, CODE, "1")
    store.gate.set()
    assert (await first).status == 200
    assert (await shop.call("session/init/payment", PAYMENT, key="k")).status == 400


async def test_a_call_that_failed_is_no_longer_in_flight(open_shop: OpenShop) -> None:
    """Whatever happens, the key is given free."""
    shop, store = slow_shop(open_shop)
    store.gate.set()
    store.after = _raise
    assert (await shop.call("session/create", {}, key="k")).status == 500
    store.after = _nothing
    assert (await shop.call("session/create", {}, key="k")).status == 200


async def test_the_faster_node_wins(open_shop: OpenShop) -> None:
    """Two nodes decide by the row: who comes second is answered as a repetition."""
    shop, store = slow_shop(open_shop, idempotency=IdempotencyMode.REPLAY)
    store.gate.set()
    other = open_shop(world=second_node(shop.world), idempotency=IdempotencyMode.REPLAY)
    answers: list[Any] = []

    def meanwhile() -> None:
        store.after = _nothing
        answers.append(_at_once(other.call("session/create", {}, key="k")))

    store.after = meanwhile
    mine = await shop.call("session/create", {}, key="k")
    assert mine.body == answers[0].body
    assert mine.headers[SESSION] == answers[0].session["id"]
    assert len(shop.world.books.sessions) == 1


def _raise() -> None:
    raise RuntimeError("the store is broken")


def _nothing() -> None:
    """Nothing happens."""


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never really waits, in the middle of another."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the coroutine waits for something")
