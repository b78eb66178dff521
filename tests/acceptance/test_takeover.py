"""Two nodes on one database: either does the other's work, and one that slept too long does no harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System, reserve_port, until
from tollhouse.sandbox.cards import compose

SECONDS_MAX = 120.0
UNDONE = "provider_timeout"
SLOW = compose(fault=6)


@pytest.fixture
def second_port(own: System) -> Iterator[int]:
    """The port of a second gateway with a second worker beside it, in the same home and on the same database."""
    with reserve_port() as holder:
        port = holder.getsockname()[1]
        own.beside("serve", port=port)
        own.beside("work", port=port)
        own.wait_until_answering(port)
        yield port
        own.end_beside()


def ends_of(shop: Merchant, *sessions: str) -> list[str]:
    """How each session ended, after its last webhook."""
    found = []
    for session_id in sessions:
        session = shop.wait_until_final(session_id, seconds=SECONDS_MAX)
        shop.receiver.wait_for(session_id, "payment_finished", seconds=SECONDS_MAX)
        found.append(session.get("error", {}).get("code") or session["status"])
    return found


def test_second_node_finishes_what_the_first_began(own: System, new_merchant: NewMerchant, second_port: int) -> None:
    """The first gateway and its worker die and stay dead: the second node carries on all they had begun."""
    shop = new_merchant(own)
    created = str(shop.call("create", shop.body()).session["id"])
    waiting = [shop.prepare() for _ in range(4)]
    slow, confirmed = [shop.start(SLOW) for _ in range(2)], [shop.start() for _ in range(4)]
    fresh = [shop.init() for _ in range(4)]
    assert own.process is not None
    os.kill(own.process.pid, signal.SIGSTOP)  # its supervisor must not bring the first node back
    own.kill_part("gateway")
    own.kill_part("work")

    shop.port = second_port
    assert shop.call("start/payment", {"session_id": created}).status == 200
    for session_id in (created, *fresh):
        shop.receiver.wait_for(session_id, "ready_to_confirm", seconds=SECONDS_MAX)
    for session_id in (created, *waiting, *fresh):
        shop.confirm(session_id)
    # The security code was sealed by the first node and opened by the second.
    assert ends_of(shop, created, *waiting, *fresh) == ["accepted"] * 9
    assert ends_of(shop, *slow) == [UNDONE] * 2
    assert set(ends_of(shop, *confirmed)) <= {"accepted", UNDONE}
    books.assert_sound(own)


def test_both_nodes_may_be_called(own: System, new_merchant: NewMerchant, second_port: int) -> None:
    """Calls of one session go to either node; one key sent to both at once makes one payment."""
    shop = new_merchant(own)
    nodes = [shop, _on(shop, second_port)]

    def init(at: int, node: Merchant) -> tuple[int, str | None]:
        answer = node.call("init/payment", shop.body(minor=500 + at), key=f"order-{at}")
        known = answer.headers.get("x-tollhouse-idempotent-session")
        return answer.status, answer.session["id"] if answer.status == 200 else known

    sessions = []
    for at in range(6):
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(partial(init, at), nodes * 2))
        assert [status for status, _ in answers].count(200) == 1
        named = {session_id for _, session_id in answers if session_id is not None}
        assert len(named) == 1
        sessions += named
    for at, session_id in enumerate(sessions):
        shop.receiver.wait_for(session_id, "ready_to_confirm")
        assert nodes[at % 2].confirm(session_id).status == 200
    assert ends_of(shop, *sessions) == ["accepted"] * 6
    books.assert_sound(own)


def test_node_that_slept_neither_sends_nor_commits(own: System, new_merchant: NewMerchant, second_port: int) -> None:
    """A gateway is stopped with payments in its hands until others took them over; awake again it charges nobody."""
    shop = new_merchant(own)
    slow, sessions = shop.prepare(SLOW), [shop.prepare() for _ in range(12)]
    gateway = own.pid("gateway")
    with ThreadPoolExecutor(13) as threads:
        for session_id in (slow, *sessions):
            threads.submit(shop.confirm, session_id)
        until(lambda: own.rows("select id from operation where state <> 'planned'"), "some are on their way")
        os.kill(gateway, signal.SIGSTOP)
        other = _on(shop, second_port)
        until(lambda: _are_over(own, [slow]), "the second node took over", seconds=SECONDS_MAX)
        os.kill(gateway, signal.SIGCONT)
    confirmed = [session_id for session_id in sessions if other.confirm(session_id).status == 200]
    assert confirmed == sessions
    assert set(ends_of(shop, slow, *sessions)) <= {"accepted", UNDONE}
    own.wait_until_answering(own.port)
    books.assert_sound(own)
    assert own.pid("gateway") == gateway


def _on(shop: Merchant, port: int) -> Merchant:
    """The same merchant calling another gateway."""
    other = object.__new__(Merchant)
    other.__dict__.update(shop.__dict__, port=port)
    return other


def _are_over(system: System, sessions: list[str]) -> bool:
    named = ", ".join(f"'{session_id}'" for session_id in sessions)
    rows = system.rows(f"select status from session where id in ({named})")
    return all(status in ("accepted", "cancelled") for (status,) in rows)
