"""`kill -9` while payers authenticate: who was about to act goes on, who was charged is charged once."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import SHORT_LIMITS, running_system
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import RIGHT_CODE, Payer, Sight, all_at_once, end_of, messages_of, proofs_of, send_payer
from tests.acceptance.system import System, until
from tollhouse.sandbox.cards import compose

PAID, REFUSED, UNDONE = "accepted", "3DS_error", "provider_timeout"
CHALLENGE, SLOW = compose(authentication=7, method=1), compose(authentication=7, method=1, fault=6)
DECOUPLED, UNANSWERED = compose(authentication=9, method=1), compose(authentication=8, method=1)
SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that is hurt again and again."""
    with running_system(tmp_path_factory.mktemp("own"), **SHORT_LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def shop(own: System) -> Iterator[Merchant]:
    """A merchant there, who lets payments pass whose issuer cannot say."""
    merchant = Merchant(own)
    yield merchant
    merchant.close()


@pytest.fixture(scope="module")
def strict(own: System) -> Iterator[Merchant]:
    """One who does not."""
    merchant = Merchant(own, settings={"threeds": "always"})
    yield merchant
    merchant.close()


def ends(merchant: Merchant, *sessions: str) -> list[str]:
    """How these sessions ended."""
    return all_at_once(lambda session_id: end_of(merchant, session_id, seconds=SECONDS_MAX), sessions)


def challenged(merchant: Merchant, number: str = CHALLENGE) -> tuple[str, Payer, Sight]:
    """A payment whose payer sees the issuer's page."""
    session_id, payer = send_payer(merchant, number)
    assert payer.begin()["showing"] == "challenge"
    return session_id, payer, payer.challenge()


def test_gateway_dies_at_each_step(own: System, shop: Merchant, strict: Merchant) -> None:
    """Before the page is opened, while the directory server thinks, in mid-challenge, while the bank asks elsewhere."""
    opened_id, opened = send_payer(shop, CHALLENGE)
    silent_id, silent = send_payer(shop, UNANSWERED)
    refused_id, refused = send_payer(strict, UNANSWERED)
    shown_id, payer, shown = challenged(shop)
    asked_id, asked = send_payer(shop, DECOUPLED)
    with ThreadPoolExecutor(2) as threads:
        for one in (silent, refused):
            threads.submit(one.begin)
        until(lambda: states(own, silent_id) == states(own, refused_id) == ["asked"], "both are asked")
        assert asked.begin()["showing"] == "decoupled"
        own.wait_until_back("gateway", own.kill_part("gateway"))
    payer.go_back(payer.act(shown, RIGHT_CODE))
    opened.go(RIGHT_CODE)
    asked.go()
    assert ends(shop, opened_id, silent_id, shown_id, asked_id) == [PAID] * 4
    assert ends(strict, refused_id) == [REFUSED]
    for one in (opened, silent, refused, payer, asked):
        assert one.leave() is None
    books.assert_sound(own, seconds=SECONDS_MAX)


def test_gateway_dies_between_result_and_authorization(own: System, shop: Merchant) -> None:
    """What the result message allowed is done or undone as a whole, with the proof, and never twice."""
    waiting = all_at_once(lambda _: challenged(shop), range(8))
    slow_id, slow, shown = challenged(shop, SLOW)
    slow.act(shown, RIGHT_CODE)
    query = f"select 1 from operation where session_id = '{slow_id}' and state = 'submitted'"
    until(lambda: own.rows(query), "the acquirer thinks")
    with ThreadPoolExecutor(8) as threads:
        for _, payer, page in waiting:
            threads.submit(payer.act, page, RIGHT_CODE)
        heard = "select 1 from authentication where state = 'finished' and payment_id in (select id from payment"
        fresh = f"{heard} where phase in ('confirmed', 'authorizing')) and session_id <> '{slow_id}'"
        until(lambda: own.rows(fresh) or own.rows(f"{heard}) and session_id = '{waiting[-1][0]}'"), "one is heard")
        own.wait_until_back("gateway", own.kill_part("gateway"))
    assert ends(shop, slow_id) == [UNDONE]
    for session_id, payer, _ in waiting:
        if payer.state()["showing"] != "over":
            payer.begin_anew()
            payer.go(RIGHT_CODE)
        assert ends(shop, session_id)[0] in (PAID, UNDONE)
        assert len(proofs_of(own, session_id)) == 1
    books.assert_sound(own, seconds=SECONDS_MAX)


def test_result_while_the_gateway_is_down(own: System, shop: Merchant) -> None:
    """The directory server gives up after three repetitions; the payer who comes back may begin anew, and passes."""
    session_id, payer, shown = challenged(shop)
    assert own.process is not None
    os.kill(own.process.pid, signal.SIGSTOP)  # its supervisor must not bring the gateway back yet
    gateway = own.kill_part("gateway")
    back = payer.act(shown, RIGHT_CODE)
    assert back.way_back is not None
    with contextlib.suppress(OSError, http.client.HTTPException):
        payer.go_back(back)
    os.kill(own.process.pid, signal.SIGCONT)
    own.wait_until_back("gateway", gateway)
    until(lambda: "sandbox.result_not_taken" in own.log(), "the sandbox's line reaches the log")
    payer.go_back(back)
    state = payer.state()
    assert (state["showing"], state["can_retry"]) == ("challenge", True)
    payer.begin_anew()
    payer.go(RIGHT_CODE)
    assert ends(shop, session_id) == [PAID]
    assert [one["messageType"] for one in messages_of(own, session_id)].count("RReq") == 1
    assert len(books.of_session(own, session_id)) == 1


def test_sandbox_dies_in_mid_challenge(own: System, shop: Merchant) -> None:
    """The issuer has forgotten the challenge: the payer begins anew and is asked again."""
    session_id, payer, shown = challenged(shop)
    killed = own.kill_part("sandbox")
    until(lambda: [pid for pid in own.pids("sandbox") if pid != killed], "the sandbox runs again")
    own.wait_until_answering(own.port)

    def forgotten() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return payer.act(shown, RIGHT_CODE).status == 400
        return False

    until(forgotten, "the issuer answers again")
    until(lambda: "sandbox.challenge_forgotten" in own.log(), "the sandbox's line reaches the log")
    payer.begin_anew()
    payer.go(RIGHT_CODE)
    assert ends(shop, session_id) == [PAID]
    books.assert_sound(own, seconds=SECONDS_MAX)


def states(system: System, session_id: str) -> list[str]:
    """How the authentications of a session stand, oldest first."""
    rows = system.rows(f"select state from authentication where session_id = '{session_id}' order by opened_at")
    return [state for (state,) in rows]
