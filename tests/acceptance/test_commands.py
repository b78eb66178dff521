"""The command line against a running system: the merchant it plays, and what it shows of a session's life."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance import books
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System


def played(system: System, *flags: str, code: int = 0) -> dict[str, Any]:
    """What `pay --json` tells."""
    told: dict[str, Any] = json.loads(system.run("pay", *flags, "--json", code=code).stdout)
    return told


@pytest.mark.parametrize(
    ("flags", "outcome", "booked"),
    [
        ([], "succeeded", [("sale", "approved", 2590)]),
        (["--api", "v1", "--amount", "1200", "--currency", "jpy"], "succeeded", [("sale", "approved", 1200)]),
        (["--cancel"], "cancelled", []),
        (["--refund", "10.00"], "succeeded", [("sale", "approved", 2590), ("refund", "approved", 1000)]),
        (
            ["--refund", "10.00", "--refund", "15.90", "--api", "v1"],
            "succeeded",
            [("sale", "approved", 2590), ("refund", "approved", 1000), ("refund", "approved", 1590)],
        ),
        (
            ["--two-stage", "--capture", "20"],
            "succeeded",
            [("authorization", "captured", 2590), ("completion", "approved", 2000)],
        ),
        (["--two-stage", "--cancel"], "cancelled", [("authorization", "reversed", 2590)]),
    ],
)
def test_pay_plays_the_merchant(
    system: System, flags: list[str], outcome: str, booked: list[tuple[str, str, int]]
) -> None:
    """The payment ends as the flags say, every signature fits, and the acquirer's books say the same."""
    told = played(system, *flags)
    assert (told["result"]["ok"], told["result"]["outcome"]) == (True, outcome)
    found = books.of_session(system, told["session"]["id"])
    assert [(one["kind"], one["state"], one["amount_minor"]) for one in found] == booked


def test_pay_tells_the_whole_conversation(system: System) -> None:
    """Without `--json` each call, each webhook with its signatures, and the result are told, without colours."""
    printed = system.run("pay", "--refund", "5").stdout
    words = ["init/payment", "ready_to_confirm", "confirm", "payment_finished", "refund", "payment_refunded"]
    places = [printed.find(word) for word in words]
    assert places == sorted(places)
    assert min(places) >= 0
    assert "25.90" in printed
    assert "\x1b" not in printed
    assert "4242424242424242" not in printed


def test_pay_ends_with_one_when_the_bank_says_no(system: System) -> None:
    """A decline is told with its reason."""
    told = played(system, "--card", "4000000000009995", code=1)
    assert (told["result"]["ok"], told["result"]["outcome"]) == (False, "failed")
    assert told["result"]["reason"] == "insufficient_funds"
    assert told["session"]["status"] == "cancelled"


def test_pay_names_a_wrong_flag(system: System) -> None:
    """A mistyped card or amount is one usage error that does not repeat the number."""
    wrong = system.run("pay", "--card", "4242424242424241", code=2)
    assert "--card" in wrong.stderr
    assert "4242424242424241" not in wrong.stderr
    assert "--amount" in system.run("pay", "--amount", "1.999", code=2).stderr


def test_session_show_draws_a_whole_life(system: System, shop: Merchant) -> None:
    """Requests, transitions, acquirer messages (masked), events and deliveries of one session, in order."""
    session_id = shop.pay()
    shop.refund(session_id, 500)
    shop.receiver.wait_for(session_id, "payment_refunded")
    printed = system.run("session", "show", session_id).stdout
    words = ["init/payment", "ready_to_confirm", "0200", "0210", "payment_finished", "payment_refunded"]
    places = [printed.find(word) for word in words]
    assert min(places) >= 0, printed
    assert places == sorted(places)
    assert "4242424242424242" not in printed
    life = system.json("session", "show", session_id)
    assert session_id in json.dumps(life)
    assert any(one["id"] == session_id for one in system.json("session", "list", "--project", shop.project))


def test_verify_proves_the_promises(system: System, shop: Merchant) -> None:
    """On sound books every promise is stated, counted and kept, and the sandbox's books are compared."""
    shop.pay()
    found = system.json("verify", "--project", shop.project)
    assert found["ok"]
    assert {one["promise"] for one in found["promises"]} == {"P1", "P2", "P3", "P4", "P5", "P8", "3DS"}
    assert all(one["violations"] == [] for one in found["promises"])
    assert "P1" in system.run("verify", "--project", shop.project).stdout


def test_verify_finds_what_somebody_changed(system: System, shop: Merchant) -> None:
    """A row that says another amount, until it is put right again, is named with its session."""
    session_id = shop.pay()
    change = "update transfer set amount_minor = {} where session_id = '{}' returning id"
    system.rows(change.format(2591, session_id))
    found = json.loads(system.run("verify", "--project", shop.project, "--json", code=1).stdout)
    system.rows(change.format(2590, session_id))
    assert not found["ok"]
    assert session_id in json.dumps(found)
    assert system.json("verify", "--project", shop.project)["ok"]


def test_card_builds_what_the_sandbox_understands(system: System, shop: Merchant) -> None:
    """A number made by `tollhouse card` behaves as asked for, and is explained in the same words."""
    number = system.run("card", "--answer", "51", "--brand", "mastercard").stdout.strip()
    assert shop.finished(shop.start(number))["error"]["code"] == "insufficient_funds"
    assert "insufficient funds" in system.run("card", number).stdout


def test_database_status_and_settings_can_be_read(system: System) -> None:
    """Migrations are applied, and the settings in force are those of the environment."""
    assert all(one["applied_at"] for one in system.json("db", "status")["migrations"])
    assert system.json("config")["port"] == system.port


@pytest.mark.parametrize(
    "words", [("session", "show", "ps_1"), ("event", "show", "evt_1"), ("project", "show", "nobody")]
)
def test_what_does_not_exist_is_one_line(system: System, words: tuple[str, ...]) -> None:
    """A name that nothing has ends with one clear line and a non-zero code."""
    ended = system.run(*words, code=1)
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert words[-1] in line
