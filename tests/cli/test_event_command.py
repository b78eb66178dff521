"""`tollhouse event`: lists and shows deliveries, lets an event go out again."""

from __future__ import annotations

import json

import pytest

from tests.cli.commands import Console
from tests.lives import keep, paid
from tests.servers import execute, fetch, run_apart

HOOK = "http://127.0.0.1:9/hook"
ATTEMPTS = """
insert into delivery_attempt (project, event_id, number, at, status, error, excerpt, duration_ms)
select project, id, number, created_at + number * interval '1 second', status, error, 'thanks', 12
from event, (values (1, null, 'connection refused'), (2, 200, null)) as tried (number, status, error)
where sequence = 1
"""


@pytest.fixture
def kept(console: Console) -> Console:
    """A console on a database with two events: the first was delivered at the second attempt."""
    console.create("shop", "--webhook-url", HOOK)
    run_apart(keep(console.dsn, paid()))
    delivered = "update event set state = 'delivered', attempts = 2, first_attempt_at = now() where sequence = 1"
    run_apart(execute(console.dsn, ATTEMPTS, delivered))
    return console


def ids(console: Console, *words: str) -> list[int]:
    """The sequence numbers that a list shows."""
    return [event["sequence"] for event in console.json("event", "list", *words)]


def test_list_is_newest_first_and_can_be_narrowed(kept: Console) -> None:
    """By project, session and how the delivery stands."""
    assert ids(kept) == [2, 1]
    assert ids(kept, "--state", "delivered") == [1]
    assert ids(kept, "--state", "waiting", "--session", "ps_001", "--project", "shop") == [2]
    assert ids(kept, "--limit", "1") == [2]
    assert "delivered, 2 attempts" in kept.run("event", "list")
    assert "no events" in kept.run("event", "list", "--state", "silent")


def test_events_of_what_does_not_exist(kept: Console) -> None:
    """An unknown project or session is another thing than one without events."""
    assert "there is no project 'other'" in kept.failure("event", "list", "--project", "other")
    assert "there is no session 'ps_002'" in kept.failure("event", "list", "--session", "ps_002", "--json")
    kept.create("other")
    assert "no events" in kept.run("event", "list", "--project", "other")
    elsewhere = ["--session", "ps_001", "--project", "other"]
    assert "there is no session 'ps_001' in project other" in kept.failure("event", "list", *elsewhere)


def test_show_has_body_and_attempts(kept: Console) -> None:
    """Every attempt with what was answered, and the body as it is sent."""
    event_id = kept.json("event", "list")[1]["id"]
    shown = kept.json("event", "show", event_id)
    assert [(one["number"], one["status"], one["error"]) for one in shown["attempts"]] == [
        (1, None, "connection refused"),
        (2, 200, None),
    ]
    assert shown["body"]["event_id"] == event_id
    text = kept.run("event", "show", event_id)
    assert "connection refused in 12 ms" in text
    assert '"type": "ready_to_confirm"' in text


def test_resend_lets_the_same_bytes_go_out_again(kept: Console) -> None:
    """Same id and body, due at once, with a window of its own."""
    event_id = kept.json("event", "list", "--state", "delivered")[0]["id"]
    before = kept.json("event", "show", event_id)["body"]
    again = kept.json("event", "resend", event_id)
    assert (again["id"], again["state"]) == (event_id, "waiting")
    assert kept.json("event", "show", event_id)["body"] == before
    due = "select next_attempt_at <= now(), first_attempt_at is null, attempts from event where sequence = 1"
    assert run_apart(fetch(kept.dsn, due)) == [(True, True, 2)]
    assert "goes out again" in kept.run("event", "resend", event_id)
    written = "SELECT outcome, subject FROM vault.audit_entry WHERE what = 'event.resend' ORDER BY at, number"
    assert run_apart(fetch(kept.dsn, written)) == [(word, f"shop/{event_id}") for word in ("granted", "done")] * 2


def test_resend_needs_somewhere_to_go(kept: Console) -> None:
    """Without a webhook address nothing can be sent, and the line says how to set one."""
    kept.run("project", "set", "shop", "--no-webhook")
    event_id = kept.json("event", "list")[0]["id"]
    assert "tollhouse project set shop --webhook-url" in kept.failure("event", "resend", event_id)


def test_an_unknown_event_is_one_line(kept: Console) -> None:
    """Unknown anywhere, or in this project."""
    event_id = kept.json("event", "list")[0]["id"]
    for words in (["event", "show", "evt_0"], ["event", "resend", event_id, "--project", "other"]):
        assert "there is no event" in kept.failure(*words)


def test_bodies_are_left_out_of_lists(kept: Console) -> None:
    """A list has no bodies: they hold what merchants know of payers."""
    assert "body" not in json.dumps(kept.json("event", "list"))
