"""`tollhouse pay` and what can be looked at afterwards, against everything running as real processes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.system import System, until
from tests.cli.programs import environment, free_ports, tollhouse
from tollhouse.cli.pay import FRESH_SECONDS
from tollhouse.cli.payer import PlayedPayer
from tollhouse.net.merchant import calling
from tollhouse.sandbox.cards import compose

LIMITS = {"answer_limit_seconds": 1, "in_flight_limit_seconds": 2}
CHALLENGE, FRICTIONLESS = "4000002760003184", "4000000000002701"
SIGNATURES = {"X-PARTNER-SIGN": True, "v1": True, "v1a": True}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system for the tests of this file."""
    running = System(tmp_path_factory.mktemp("pay"), **LIMITS)
    try:
        yield running.start()
    finally:
        running.destroy()


def pay(system: System, *words: str, code: int = 0) -> Any:
    """What `pay` tells programs."""
    return json.loads(system.run("pay", "--json", *words, code=code).stdout)


def methods(told: Any) -> list[str]:
    """The calls that were made."""
    return [call["path"].rpartition("session/")[2] for call in told["calls"]]


def types(told: Any) -> list[str]:
    """The webhooks that came."""
    return [webhook["type"] for webhook in told["webhooks"]]


def test_a_payment_by_default(system: System) -> None:
    """Without flags it pays 25.90 EUR, confirms when asked, and every signature of every webhook fits."""
    told = pay(system)
    assert told["result"] == {"ok": True, "outcome": "succeeded", "reason": None, "description": "25.90 EUR taken"}
    assert methods(told) == ["init/payment", "confirm", "status"]
    assert types(told) == ["ready_to_confirm", "payment_finished"]
    assert [webhook["signatures"] for webhook in told["webhooks"]] == [SIGNATURES, SIGNATURES]
    assert (told["session"]["status"], told["card"]) == ("accepted", "424242******4242")


def test_v1_other_currency_and_two_refunds(system: System) -> None:
    """The older version, a currency without decimals, money given back in two parts."""
    told = pay(system, "--api", "v1", "--amount", "1200", "--currency", "jpy", "--refund", "500", "--refund", "700")
    assert told["result"]["description"] == "1200 JPY taken, 1200 JPY given back"
    assert types(told) == ["ready_to_confirm", "payment_finished", "payment_refunded", "payment_refunded"]
    assert "acquiring_payments" in told["session"]


def test_cancel(system: System) -> None:
    """The merchant's no is what was wanted: exit code 0."""
    told = pay(system, "--cancel", "--confirm-after", "0.1")
    assert (told["result"]["outcome"], methods(told)) == ("cancelled", ["init/payment", "cancel", "status"])


def test_two_stages(system: System) -> None:
    """A hold is captured in part, or given back."""
    told = pay(system, "--two-stage", "--capture", "20")
    assert methods(told) == ["init/payment", "confirm", "capture", "status"]
    assert told["result"]["description"] == "20.00 EUR taken"
    told = pay(system, "--two-stage", "--cancel")
    assert methods(told) == ["init/payment", "confirm", "cancel", "status"]
    assert told["result"]["outcome"] == "cancelled"


def test_a_decline_has_its_reason(system: System) -> None:
    """A bank's no is exit code 1 and says why."""
    told = pay(system, "--card", "4000000000009995", code=1)
    assert (told["result"]["outcome"], told["result"]["reason"]) == ("failed", "insufficient_funds")


def test_an_answer_that_is_lost(system: System) -> None:
    """Without the bank's answer the sale is undone, and `pay` waits until that is certain."""
    told = pay(system, "--card", compose(fault=1), code=1)
    assert (told["result"]["outcome"], told["result"]["reason"]) == ("failed", "provider_timeout")


def test_a_call_that_is_refused(system: System) -> None:
    """It ends the play with its code."""
    pay(system, "--project", "closed", "--cancel")
    system.run("project", "set", "closed", "--disable")
    time.sleep(FRESH_SECONDS)
    told = pay(system, "--project", "closed", code=1)
    assert (told["result"]["outcome"], told["result"]["reason"]) == ("refused", "authorization_error")


def test_a_named_project_is_made_once_and_keeps_its_settings(system: System) -> None:
    """A project of one's own comes back; what a flag changed for one run is changed back."""
    assert pay(system, "--project", "mine")["project"] == "mine"
    assert methods(pay(system, "--project", "mine", "--two-stage"))[2] == "capture"
    shown = system.json("project", "show", "mine")
    assert (shown["settings"]["capture_mode"], shown["webhook_url"]) == ("one_stage", None)


def test_the_conversation_for_people(system: System) -> None:
    """Calls, webhooks with marks, states and the result line, without colours and without the card's PAN."""
    printed = system.run("pay", "--refund", "10.00").stdout
    for part in (
        "card 424242******4242",
        "→ POST /api/v2/session/init/payment  200",
        "← webhook ready_to_confirm  #1 evt_",
        "X-PARTNER-SIGN ✓  v1 ✓  v1a ✓",
        "session in_progress · payment pending · next: confirm",
        "✓ succeeded: 25.90 EUR taken, 10.00 EUR given back",
        "/tollhouse session show ps_",
    ):
        assert part in printed, printed
    assert "\x1b" not in printed
    assert "4242424242424242" not in printed
    (life,) = re.findall(r"its life: (.+)", printed)
    drawn = subprocess.run(life, shell=True, check=True, env=system.environment, capture_output=True, text=True)  # noqa: S602
    assert "0200 sale 25.90 EUR" in drawn.stdout, "the line can be called as it stands"


def test_what_was_paid_can_be_looked_at(system: System) -> None:
    """The session's life, its events, and the proof over everything that was paid here."""
    told = pay(system)
    drawn = system.run("session", "show", told["session_id"]).stdout
    assert "0200 sale 25.90 EUR" in drawn
    assert "◀── payment_finished #2" in drawn
    events = system.json("event", "list", "--session", told["session_id"])
    assert [event["state"] for event in events] == ["delivered", "delivered"]
    proved = system.json("verify")
    assert proved["ok"], proved
    assert proved["acquirer_books"]["compared"] > 0


def test_a_challenge_is_answered_by_the_played_payer(system: System) -> None:
    """With --answer 1234 the payer passes; the messages and the link are in the JSON."""
    told = pay(system, "--card", CHALLENGE, "--answer", "1234")
    assert types(told) == ["ready_to_confirm", "action_required", "payment_finished"]
    assert told["action"].startswith(f"{system.url}/3ds/")
    # What the browser brings back is kept beside everything else: it may be there a moment after the end.
    decisive = [one["type"] for one in told["threeds"] if one["type"] != "CRes"]
    assert decisive == ["AReq", "ARes", "RReq", "RRes"]
    (result,) = (one["message"] for one in told["threeds"] if one["type"] == "RReq")
    assert (result["transStatus"], result["eci"]) == ("Y", "05")

    def kept() -> list[str]:
        shown = system.json("session", "threeds", told["session_id"])
        return sorted(one["type"] for one in shown["messages"])

    until(lambda: kept() == ["AReq", "ARes", "CRes", "RReq", "RRes"], "every message is kept")
    assert "── AReq 2.3.1 ─" in system.run("session", "show", told["session_id"]).stdout


@pytest.mark.parametrize(
    ("challenge", "answer", "reason"),
    [
        (0, "9999", "3DS_error"),
        (0, "cancel", "3DS_error"),
        (5, "approve", None),
        (5, "decline", "3DS_error"),
        (5, "1234", "payer_stuck"),
        (7, "1234", None),
    ],
)
def test_answers_that_pass_and_that_do_not(system: System, challenge: int, answer: str, reason: str | None) -> None:
    """A wrong code, a cancelled challenge and a no in the bank's app fail; an answer that fits no page says so."""
    card = compose(authentication=7, challenge=challenge)
    told = pay(system, "--card", card, "--answer", answer, code=0 if reason is None else 1)
    assert told["result"]["reason"] == reason


def test_the_setting_for_one_play(system: System) -> None:
    """With --threeds never nobody is asked, in a project that other plays do not use."""
    told = pay(system, "--card", CHALLENGE, "--threeds", "never")
    assert (told["action"], told["threeds"], told["project"]) == (None, [], "demo-shop-3ds-never")


def test_a_challenge_for_people(system: System) -> None:
    """The payer's steps and the messages stand in order among calls and webhooks, without the PAN."""
    printed = system.run("pay", "--card", CHALLENGE, "--answer", "1234").stdout
    steps = (
        "← webhook action_required",
        "payer → opens the page",
        "payer → calls the 3DS method page",
        "→ AReq 2.3.1",
        "← ARes 2.3.1  C challenge",
        "payer → enters the code 1234",
        "← RReq 2.3.1  Y authenticated, ECI 05",
        "→ RRes 2.3.1  received",
        "← webhook payment_finished",
    )
    places = [printed.find(step) for step in steps]
    assert -1 not in places, printed
    assert places == sorted(places), printed
    assert CHALLENGE not in printed


def heed_interrupts() -> None:
    """Ctrl-C ends what is started here, as from a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_person_is_waited_for(system: System) -> None:
    """Without --answer the link is told, and what somebody does there meanwhile is told as it happens."""
    words = [sys.executable, "-m", "tollhouse.cli", "pay", "--card", FRICTIONLESS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=system.environment) as waiting:
        assert waiting.stdout is not None
        link = next(line.strip() for line in waiting.stdout if "/3ds/" in line)
        asyncio.run(open_and_leave(link))
        printed = waiting.stdout.read()
    assert "← ARes 2.3.1  Y authenticated, ECI 05" in printed
    assert (waiting.returncode, "✓ succeeded: 25.90 EUR taken" in printed) == (0, True)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_ctrl_c_names_the_session(system: System, more: tuple[str, ...]) -> None:
    """Who stops waiting for a payer is told which session goes on, and the exit code is that of Ctrl-C."""
    words = [sys.executable, "-m", "tollhouse.cli", "pay", "--card", FRICTIONLESS, *more]
    # Started beside a terminal, this run may have been told to ignore the signal, and would hand that on.
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_interrupts}
    with subprocess.Popen(words, text=True, env=system.environment, **both) as waiting:  # type: ignore[call-overload]
        source = waiting.stderr if more else waiting.stdout
        next(line for line in source if "/3ds/" in line)
        waiting.send_signal(signal.SIGINT)
        printed, problems = waiting.communicate()
    assert waiting.returncode == 130
    assert "Traceback" not in problems
    newest = system.json("session", "list", "--limit", "1")[0]["id"]
    if more:
        told = json.loads(printed)
        assert (told["session_id"], told["result"]["outcome"], told["result"]["ok"]) == (newest, "interrupted", False)
    else:
        assert f"✗ interrupted: session {newest} was left as in_progress and goes on by itself" in printed


def test_a_step_up_for_people(system: System) -> None:
    """The first charge, declined softly, is told before the payer is asked; every line is in order of time."""
    card = compose(authentication=1, fault=8)
    words = ("--card", card, "--threeds", "auto", "--answer", "1234", "--amount", "5")
    system.run("pay", "--project", "stepping", "--cancel")
    system.run("project", "set", "stepping", "threeds_exemptions=low_value")
    time.sleep(FRESH_SECONDS)  # so long the gateway may still see the settings before
    told = pay(system, "--project", "stepping", *words)
    assert [one["response_code"] for one in told["soft_declines"]] == ["1A"]
    assert told["warnings"] == []
    printed = system.run("pay", "--project", "stepping", *words).stdout
    steps = ("session/confirm", "← acquirer: sale 5.00 EUR softly declined (1A)", "webhook action_required", "→ AReq")
    places = [printed.find(step) for step in steps]
    assert -1 not in places, printed
    assert places == sorted(places), printed
    times = [float(found) for found in re.findall(r"^ *([0-9]+\.[0-9]{3}) s  ", printed, re.MULTILINE)]
    assert len(times) > 10
    assert times == sorted(times), printed


async def open_and_leave(link: str) -> None:
    """Do what a browser does with the page of a payment without a challenge."""

    async def did(_: str) -> None:
        return None

    async with calling() as caller:
        await PlayedPayer(caller=caller, answer="1234", did=did, seconds_max=1).act(link)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--card", "4242424242424241"], "--card: 12 to 19 digits"),
        (["--amount", "0"], "--amount"),
        (["--amount", "25.901"], "at most 2 decimals"),
        (["--currency", "nope"], "--currency: unknown currency 'nope': ISO 4217 letters expected"),
        (["--amount", "10", "--refund", "20"], "--refund: more would be given back than the 10.00 EUR that are taken"),
        (["--refund", "20", "--refund", "6"], "--refund: more would be given back than the 25.90 EUR that are taken"),
        (["--two-stage", "--capture", "5", "--refund", "6"], "--refund: more would be given back than the 5.00 EUR"),
        (["--two-stage", "--capture", "26"], "--capture: 26.00 EUR is more than the 25.90 EUR that are held"),
        (["--capture", "5"], "--capture needs --two-stage"),
        (["--cancel", "--refund", "5"], "--cancel takes no money"),
        (["--project", "../x"], "--project"),
        (["--answer", "12 34"], "--answer: approve, decline, cancel, or a code"),
        (["--threeds", "sometimes"], "--threeds"),
    ],
)
def test_flags_that_cannot_be(system: System, words: list[str], said: str) -> None:
    """A wrong flag is named before anything is charged, and a PAN is never repeated."""
    ended = tollhouse("pay", *words, env=system.environment)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert "4242424242424241" not in ended.stderr


def test_no_gateway_is_one_line() -> None:
    """Nobody answers at the port: one line says so, and how to start one."""
    (port,) = free_ports(1)
    ended = tollhouse("pay", env=environment(port=port))
    assert ended.returncode == 1
    assert f"no gateway answers at http://127.0.0.1:{port} (connection refused)" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
