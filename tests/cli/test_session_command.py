"""`tollhouse session`: lists and shows what is in the database."""

from __future__ import annotations

import pytest

from tests.cli.commands import Console
from tests.ground.story import SEALED_CVV
from tests.lives import declined, keep, paid, reversed_late, told, waiting
from tests.servers import execute, run_apart


@pytest.fixture
def kept(console: Console) -> Console:
    """A console on a database with four sessions of one project."""
    console.create("shop", "--webhook-url", "http://127.0.0.1:9/hook")
    stories = [paid(1), declined(2), waiting(3), told(4).create()]
    run_apart(keep(console.dsn, *stories))
    return console


def test_list_is_newest_first_and_can_be_narrowed(kept: Console) -> None:
    """All sessions, or those of a project, of a status, or the newest so many."""
    assert [one["id"] for one in kept.json("session", "list")] == ["ps_004", "ps_003", "ps_002", "ps_001"]
    assert [one["id"] for one in kept.json("session", "list", "--limit", "1")] == ["ps_004"]
    assert [one["id"] for one in kept.json("session", "list", "--status", "accepted")] == ["ps_001"]
    assert [one["id"] for one in kept.json("session", "list", "--project", "shop", "--status", "created")] == ["ps_004"]
    kept.create("other")
    assert kept.json("session", "list", "--project", "other") == []
    assert "no sessions" in kept.run("session", "list", "--project", "other")


def test_list_shows_what_each_is_about(kept: Console) -> None:
    """Amount, card and reason, also of a session that is not started."""
    lines = kept.run("session", "list").splitlines()
    assert all("25.90 EUR" in line and "visa *4242" in line for line in lines), lines
    assert "insufficient_funds" in lines[2]


def test_sessions_of_an_unknown_project(kept: Console) -> None:
    """A project that does not exist is another thing than one without sessions."""
    assert "there is no project 'other'" in kept.failure("session", "list", "--project", "other")
    assert "there is no project 'other'" in kept.failure("session", "list", "--project", "other", "--json")


def test_show_draws_and_prints_the_same_life(kept: Console) -> None:
    """The drawing for people, everything as JSON for programs."""
    assert "0210 sale 00" in kept.run("session", "show", "ps_001")
    shown = kept.json("session", "show", "ps_001")
    assert (shown["status"], shown["amount"]) == ("accepted", {"amount": 2590, "currency": "eur"})
    assert [note["kind"] for note in shown["notes"]] == ["request", "request", "message_out", "message_in"]
    assert len(shown["transfers"]) == 2
    assert [event["type"] for event in shown["events"]] == ["ready_to_confirm", "payment_finished"]
    assert shown["history"][0]["steps"][-1]["heard"] == "routed"


def test_alarms_are_shown(kept: Console) -> None:
    """What a person must know is in both forms."""
    run_apart(keep(kept.dsn, reversed_late(9)))
    assert "ALARM sale" in kept.run("session", "show", "ps_009")
    (alarm,) = kept.json("session", "show", "ps_009")["alarms"]
    assert "approved after it was reversed" in alarm["what"]


def test_neither_card_tokens_nor_sealed_codes_are_shown(kept: Console) -> None:
    """What opens the vault's boxes stays in the rows."""
    for session_id in ("ps_003", "ps_004"):
        for text in (kept.run("session", "show", session_id), kept.run("session", "show", session_id, "--json")):
            assert SEALED_CVV not in text
            assert "ct_1" not in text


def test_an_unknown_session_is_one_line(kept: Console) -> None:
    """Unknown anywhere, or in this project."""
    assert "there is no session 'ps_99'" in kept.failure("session", "show", "ps_99")
    assert "in project other" in kept.failure("session", "show", "ps_001", "--project", "other")


def test_an_id_of_two_projects_asks_which(kept: Console) -> None:
    """Ids belong to projects: where two have the same one, the command does not guess."""
    kept.create("other")
    columns = "id, version, api_version, status, created_at, updated_at, events_count"
    copy = f"insert into session (project, {columns}) select 'other', {columns} from session where id = 'ps_004'"
    run_apart(execute(kept.dsn, copy))
    assert "projects other, shop have a session ps_004" in kept.failure("session", "show", "ps_004")
    assert kept.json("session", "show", "ps_004", "--project", "other")["project"] == "other"


def test_no_database_is_one_line(console: Console) -> None:
    """A home without a database, or an address where none answers, is one line that says what to do."""
    assert "`tollhouse up` makes one" in Console("", console.home).failure("session", "list")
    nowhere = Console("postgresql://nobody@127.0.0.1:1/none", console.home)
    assert "cannot reach the database" in nowhere.failure("session", "list")
