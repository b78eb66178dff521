"""The README keeps its word: the tour works as it is printed, and the figures are those that were measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.system import System
from tests.docs.documents import blocks, document
from tests.docs.figures import load_results, render, shown
from tests.docs.shell import run_blocks


@pytest.fixture(scope="module")
def printed(system: System, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the shell blocks of the README print, one after another."""
    from tests.docs.shell import clone

    folder = clone(tmp_path_factory.mktemp("readme") / "clone")
    return run_blocks(blocks(document("README.md"), "sh"), folder, system.environment)


def sessions(text: str) -> list[dict[str, Any]]:
    """The sessions of the answers in a text."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert all(answer["status"] == "ok" for answer in found), text
    return [answer["session"] for answer in found]


def test_pay_prints_the_whole_conversation(printed: list[str]) -> None:
    """The first command of the README ends in an accepted session."""
    assert "ready_to_confirm" in printed[0]
    assert "payment_finished" in printed[0]
    assert "accepted" in printed[0]


def test_tour_begins_a_payment_that_waits(printed: list[str]) -> None:
    """After init the payment is in progress; the next look finds it waiting for the decision."""
    (begun,), (waiting,) = sessions(printed[3]), sessions(printed[4])
    assert begun["status"] == "in_progress"
    assert begun["payment_list"][0]["status"] == "in_progress"
    assert waiting["next_action"] == "confirm"
    assert waiting["payment_list"][0]["status"] == "pending"


def test_tour_confirms_and_is_paid(printed: list[str]) -> None:
    """Confirm answers at once with a pending payment; a second later it has succeeded with the bank's references."""
    confirmed, paid = sessions(printed[5])
    assert (confirmed["status"], confirmed["payment_list"][0]["status"]) == ("in_progress", "pending")
    assert "next_action" not in confirmed
    assert (paid["status"], paid["payment_list"][0]["status"]) == ("accepted", "succeeded")
    assert paid["payment_list"][0]["transaction_info"].keys() == {"rrn", "auth_code"}


def test_tour_refunds_a_part(printed: list[str]) -> None:
    """The refund is in progress, then accepted, and the payment stays succeeded."""
    begun, done = sessions(printed[6])
    assert begun["payment_list"][0]["refunds"][0]["status"] == "in_progress"
    refund = done["payment_list"][0]["refunds"][0]
    assert (refund["status"], refund["amount_details"]["amount"]) == ("accepted", 1000)
    assert done["payment_list"][0]["status"] == "succeeded"


def test_tour_shows_the_life_of_the_session(printed: list[str]) -> None:
    """The last look names the calls, the acquirer's messages and the transitions, and no card number."""
    for word in ("session/init/payment", "session/confirm", "session/refund", "0200", "0210", "approved"):
        assert word in printed[7]
    assert "4242424242424242" not in printed[7]


def test_readme_is_short() -> None:
    """A newcomer reads it in five minutes."""
    assert len(document("README.md").read_text().splitlines()) <= 215


def test_figures_are_those_that_were_measured() -> None:
    """The figures in the README are the results of the last `make bench`, rendered by the same function."""
    assert shown() == render(load_results()), "run: .venv/bin/python -m tests.docs.figures"


def test_configuration_names_the_defaults() -> None:
    """The README's short table agrees with the reference."""
    from tests.docs.documents import plain, rows
    from tollhouse.boot.config import settings, variable

    defaults = {variable(name): setting.default for name, setting in settings()}
    short = {plain(row[0]): plain(row[1]) for row in rows(Path(document("README.md")).read_text()) if len(row) == 3}
    short = {name: default for name, default in short.items() if name.startswith("TOLLHOUSE_")}
    assert len(short) == 7
    for name, default in short.items():
        assert name in defaults
        assert default == defaults[name] or not defaults[name]
