"""`tollhouse pay` and what can be looked at afterwards, against everything running as real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.system import System
from tests.cli.programs import environment, free_ports, tollhouse
from tollhouse.sandbox.cards import compose

LIMITS = {"answer_limit_seconds": 1, "in_flight_limit_seconds": 2}
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


def test_a_refund_that_is_too_large(system: System) -> None:
    """A call that is refused ends the play with its code."""
    told = pay(system, "--refund", "26", code=1)
    assert (told["result"]["outcome"], told["result"]["reason"]) == ("refused", "refund_amount_too_large")


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
        "tollhouse session show ps_",
    ):
        assert part in printed, printed
    assert "\x1b" not in printed
    assert "4242424242424242" not in printed


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--card", "4242424242424241"], "--card: 12 to 19 digits"),
        (["--amount", "0"], "--amount"),
        (["--amount", "25.901"], "at most 2 decimals"),
        (["--currency", "nope"], "unknown currency"),
        (["--capture", "5"], "--capture needs --two-stage"),
        (["--cancel", "--refund", "5"], "--cancel takes no money"),
        (["--project", "../x"], "--project"),
    ],
)
def test_flags_that_cannot_be(system: System, words: list[str], said: str) -> None:
    """A wrong flag is named, and a PAN is never repeated."""
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
