"""`kill -9` at ten points: everything comes back by itself, every payment ends, and nobody is charged twice."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import FINAL, Answer, Merchant, payment_of
from tests.acceptance.receiver import Reaction
from tests.acceptance.system import System, until
from tollhouse.sandbox.cards import compose

ANSWER_LOST, REQUEST_LOST, SLOW, CAPTURE_LOST = compose(fault=1), compose(fault=2), compose(fault=6), compose(later=4)
# A lease (limit + 10 s), a reversal's first repetitions (5 s), a webhook's first (5 s), and a slow machine.
SECONDS_MAX = 120.0
UNDONE = "provider_timeout"


@pytest.fixture
def shop(own: System, new_merchant: NewMerchant) -> Merchant:
    """A merchant of a system that will be hurt."""
    return new_merchant(own)


@pytest.fixture
def inn(own: System, new_merchant: NewMerchant) -> Merchant:
    """The same in two stages."""
    return new_merchant(own, settings={"capture_mode": "two_stage"})


def wait_for_state(system: System, session_id: str, kind: str, state: str) -> None:
    """Until an operation of a session stands so."""
    query = f"select state from operation where session_id = '{session_id}' and kind = '{kind}'"
    until(lambda: (state,) in system.rows(query), f"{kind} of {session_id} is {state}")


def assert_ended(merchant: Merchant, *sessions: str, types: set[str] | None = None) -> list[str]:
    """Every session is final, its webhooks came in order, and both books are sound. Returns the sessions' ends."""
    ends = []
    for session_id in sessions:
        session = merchant.wait_until_final(session_id, seconds=SECONDS_MAX)
        ends.append(session.get("error", {}).get("code") or session["status"])
        last = "payment_refunded" if payment_of(session)["refunds"] else "payment_finished"
        merchant.receiver.wait_for(session_id, last, seconds=SECONDS_MAX)
        sequences = [one.content["sequence"] for one in merchant.receiver.of(session_id) if one.reaction is Reaction.OK]
        assert sorted(set(sequences)) == list(range(1, max(sequences) + 1))
        assert [number for at, number in enumerate(sequences) if number not in sequences[:at]] == sorted(set(sequences))
    books.assert_sound(merchant.system, seconds=SECONDS_MAX)
    return ends


def test_gateway_dies_right_after_it_answered_init(own: System, shop: Merchant) -> None:
    """What was answered is kept (P10): the merchant is asked to confirm, and the payments succeed."""
    sessions = [shop.init(minor=100 + at) for at in range(8)]
    own.wait_until_back("gateway", own.kill_part("gateway"))
    for at, session_id in enumerate(sessions):
        shop.receiver.wait_for(session_id, "ready_to_confirm", seconds=SECONDS_MAX)
        assert payment_of(shop.status(session_id))["amount_details"]["amount"] == 100 + at
        shop.confirm(session_id)
    assert assert_ended(shop, *sessions) == ["accepted"] * 8


def test_gateway_dies_right_after_it_answered_confirm(own: System, shop: Merchant) -> None:
    """A confirmed payment is carried out or undone, whole: what may have left is never sent a second time."""
    sessions = [shop.prepare() for _ in range(8)]
    for session_id in sessions:
        shop.confirm(session_id)
    own.wait_until_back("gateway", own.kill_part("gateway"))
    assert set(assert_ended(shop, *sessions)) <= {"accepted", UNDONE}


def test_gateway_dies_while_the_acquirer_thinks(own: System, shop: Merchant) -> None:
    """The answer reaches nobody: the unknown outcome is undone, by somebody else."""
    sessions = [shop.start(SLOW) for _ in range(3)]
    for session_id in sessions:
        wait_for_state(own, session_id, "sale", "submitted")
    own.wait_until_back("gateway", own.kill_part("gateway"))
    assert assert_ended(shop, *sessions) == [UNDONE] * 3
    states = [one["state"] for session_id in sessions for one in books.of_session(own, session_id)]
    assert states == ["reversed"] * 3


def test_gateway_dies_while_an_outcome_is_unknown(own: System, shop: Merchant) -> None:
    """The reversal that was on its way goes on after its sender is gone, until the acquirer acknowledges it."""
    session_id = shop.start(REQUEST_LOST)
    wait_for_state(own, session_id, "sale", "reversing")
    own.wait_until_back("gateway", own.kill_part("gateway"))
    assert assert_ended(shop, session_id) == [UNDONE]


def test_worker_dies_between_repetitions(own: System, shop: Merchant, inn: Merchant) -> None:
    """A capture whose answer was lost and a webhook that failed are repeated by the next worker."""
    shop.receiver.react = lambda webhook: Reaction.FAIL if len(shop.receiver.webhooks) < 1 else Reaction.OK
    failing, captured = shop.init(), inn.start(CAPTURE_LOST)
    shop.receiver.wait_for(failing, "ready_to_confirm")
    inn.receiver.wait_for(captured, "ready_to_capture")
    inn.call("capture", {"session_id": captured})
    own.wait_until_back("work", own.kill_part("work"))
    shop.receiver.wait_for(failing, "ready_to_confirm", count=2, seconds=SECONDS_MAX)
    shop.confirm(failing)
    assert assert_ended(shop, failing) == ["accepted"]
    assert assert_ended(inn, captured) == ["accepted"]


@contextmanager
def merchants_at_work(shop: Merchant, count: int) -> Iterator[list[str]]:
    """So many merchants who pay without pause, and repeat a call that got no answer, with the same key."""
    acknowledged: list[str] = []
    stop, gives_up = threading.Event(), threading.Event()
    problems: list[Exception] = []

    def insist(call: Callable[[], Answer]) -> Answer:
        while True:
            try:
                answer = call()
                if answer.status < 500 and answer.status != 409:
                    return answer
            except (OSError, http.client.HTTPException) as problem:
                told = repr(problem)
            else:
                told = f"{answer.status}"
            assert not gives_up.is_set(), f"the last call never got an answer: {told}"
            gives_up.wait(0.1)

    def work(name: int) -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                key, body = f"{name}-{number}", shop.body(minor=100 * name + number)
                answer = insist(partial(shop.call, "init/payment", body, key=key))
                session_id = answer.headers.get("x-tollhouse-idempotent-session") or answer.session["id"]
                acknowledged.append(session_id)
                assert insist(partial(shop.confirm, session_id)).status == 200
        except Exception as problem:  # noqa: BLE001 - a thread tells nobody else
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(1, count + 1)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS_MAX)
        gives_up.set()
        for thread in threads:
            thread.join()
    assert problems == []


def wait_for_more(acknowledged: list[str], count: int) -> None:
    """Until so many more payments were acknowledged."""
    wanted = len(acknowledged) + count
    until(lambda: len(acknowledged) >= wanted, "payments go on", seconds=SECONDS_MAX)


def test_database_dies_under_load(own: System, shop: Merchant) -> None:
    """The server's main process is killed while merchants pay: it comes back, and nothing acknowledged is lost."""
    with merchants_at_work(shop, 4) as acknowledged:
        wait_for_more(acknowledged, 20)
        before = own.pids("postgres")[0]
        os.kill(before, signal.SIGKILL)
        until(lambda: own.pids("postgres")[:1] not in ([], [before]), "Postgres runs again")
        own.wait_until_answering(own.port)
        wait_for_more(acknowledged, 10)
    ends = assert_ended(shop, *acknowledged)
    assert set(ends) <= {"accepted", UNDONE}
    assert ends[-4:] == ["accepted"] * 4
    assert len(set(acknowledged)) == len(acknowledged)


def test_sandbox_dies_in_the_middle_of_a_request(own: System, shop: Merchant) -> None:
    """The acquirer's connection breaks before its answers: what it had booked is undone when it is back."""
    sessions = [shop.start(SLOW), shop.start(SLOW)]
    for session_id in sessions:
        until(partial(books.of_session, own, session_id), "the sandbox has booked it")
    killed = own.kill_part("sandbox")
    until(lambda: [pid for pid in own.pids("sandbox") if pid != killed], "the sandbox runs again")
    assert assert_ended(shop, *sessions) == [UNDONE] * 2
    until(lambda: shop.wait_until_final(shop.start())["status"] == "accepted", "payments succeed again")


def test_everything_dies_at_once(own: System, shop: Merchant) -> None:
    """`kill -9` of `up` leaves no process; the next `up` finishes what was open in every state."""
    created = str(shop.call("create", shop.body()).session["id"])
    waiting, paid, unknown, slow = shop.prepare(), shop.pay(), shop.start(ANSWER_LOST), shop.start(SLOW)
    confirmed = shop.start()
    own.kill()
    own.start()
    assert shop.status(paid)["status"] == "accepted"
    assert shop.status(waiting)["next_action"] == "confirm"
    shop.confirm(waiting)
    shop.call("start/payment", {"session_id": created})
    shop.receiver.wait_for(created, "ready_to_confirm", seconds=SECONDS_MAX)
    shop.confirm(created)
    ends = assert_ended(shop, created, waiting, paid, unknown, slow, confirmed)
    assert ends[:5] == ["accepted", "accepted", "accepted", UNDONE, UNDONE]
    assert ends[5] in ("accepted", UNDONE)


def test_gateway_dies_during_refunds(own: System, shop: Merchant) -> None:
    """Refunds that were answered are carried out or undone, once each, and the acquirer's books say how many."""
    session_id = shop.pay(minor=1000)
    answers = [shop.refund(session_id, 100) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    own.wait_until_back("gateway", own.kill_part("gateway"))
    session = shop.wait_until_final(session_id, seconds=SECONDS_MAX)
    states = [refund["status"] for refund in payment_of(session)["refunds"]]
    assert len(states) == 6
    assert set(states) <= {"accepted", "declined"}
    assert_ended(shop, session_id)
    sale = books.of_session(own, session_id)[0]
    assert sale["refunded_minor"] == 100 * states.count("accepted")


def test_gateway_dies_while_it_delivers(own: System, shop: Merchant) -> None:
    """A webhook whose answer was not heard comes again, the same, and later ones wait for it."""
    shop.receiver.react = lambda webhook: Reaction.HANG if not shop.receiver.webhooks else Reaction.OK
    session_id = shop.init()
    first = shop.receiver.wait_for(session_id, "ready_to_confirm")[0]
    own.wait_until_back("gateway", own.kill_part("gateway"))
    again = shop.receiver.wait_for(session_id, "ready_to_confirm", count=2, seconds=SECONDS_MAX)[1]
    assert (again.body, again.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    shop.confirm(session_id)
    assert assert_ended(shop, session_id) == ["accepted"]


@pytest.mark.full
def test_parts_die_again_and_again(own: System, shop: Merchant) -> None:
    """While merchants pay, one part after the other is killed, several times round: every payment ends once."""
    with merchants_at_work(shop, 4) as acknowledged:
        for part in ("gateway", "postgres", "work", "sandbox", "gateway", "postgres", "sandbox", "gateway"):
            wait_for_more(acknowledged, 15)
            os.kill(own.pids(part)[0], signal.SIGKILL)
            until(partial(own.pids, part), f"{part} runs again", seconds=SECONDS_MAX)
    assert set(assert_ended(shop, *acknowledged)) <= {"accepted", UNDONE}
    assert len(set(acknowledged)) == len(acknowledged)
    assert all(shop.status(session_id)["status"] in FINAL for session_id in acknowledged)
