"""`tollhouse verify`: proves the promises from real rows, and names what was planted in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.books_server import Entry, books_of
from tests.cli.commands import Console
from tests.ground.story import Story
from tests.lives import STORIES, keep, paid, released
from tests.servers import drop_database, execute, run_apart, with_database
from tollhouse.comparison import KIND_THERE, is_comparable
from tollhouse.operation import CHARGES, Kind, State

_numbers = count(1)

WITHOUT_GUARDS = (
    "drop index one_live_charge",
    "drop index rrn_names_one_operation",
    "drop index authentication_used_once",
    "alter table payment drop constraint captured_within_held",
    "alter table payment drop constraint refunded_within_captured",
    "alter table transfer drop constraint transfer_project_operation_id_fkey",
    "alter table idempotency_key drop constraint idempotency_key_pkey",
)
# Rows as nothing of ours writes them: what is planted, under which promise it is named, and a part of the sentence.
PLANTED = {
    "a second live sale": (
        "create temp table again as select * from operation where kind = 'sale' and state = 'approved' limit 1;"
        " update again set id = 'op_again'; insert into operation select * from again",
        "P1",
        "has 2 live charges",
    ),
    "an approval nobody gave": ("delete from note where kind = 'message_in'", "P2", "no message of the acquirer"),
    "a decline overwritten": (
        "update operation set state = 'approved', response_code = '00' where state = 'declined' and kind = 'sale'",
        "P2",
        "no message of the acquirer says so",
    ),
    "more captured than held": ("update payment set captured_minor = 9999 where captured_minor > 0", "P3", "9999"),
    "a refund forgotten": (
        "update payment set refunded_minor = 0 where refunded_minor > 0",
        "P3",
        "states 0 as refunded",
    ),
    "an amount that is none": (
        "alter table payment drop constraint payment_amount_minor_check, drop constraint held_as_asked;"
        " update payment set amount_minor = 0 where captured_minor = 0",
        "P3",
        "its rows cannot be those of a session",
    ),
    "decided twice": (
        """update history set steps = steps || jsonb_build_array(jsonb_build_object('subject', (select id from payment p
           where (p.project, p.session_id) = (history.project, history.session_id)), 'before', 'await_confirm',
           'heard', 'cancel', 'after', 'cancelling')) where steps::text like '%"confirm"%'""",
        "P4",
        "was decided 2 times",
    ),
    "a decision without history": (
        "update payment set decision = 'confirmed' where decision is null and phase = 'await_confirm'",
        "P4",
        "history says nothing",
    ),
    "history lost": ("delete from history where version = 2", "P4", "left"),
    "a key that made nothing": (
        "update idempotency_key set at = at + interval '1 hour' where session_id = 'ps_001'",
        "P5",
        "came with no change",
    ),
    "a key of no session": (
        "update idempotency_key set session_id = 'ps_nobody' where session_id = 'ps_001'",
        "P5",
        "session ps_nobody, which does not exist",
    ),
    "one session made by two keys": (
        "update idempotency_key set session_id = 'ps_001' where session_id = 'ps_002'",
        "P5",
        "stands for 2 creations",
    ),
    "one key twice": (
        "insert into idempotency_key select project, 'key', path, body_hash, session_id, answer, at"
        " from idempotency_key limit 2",
        "P5",
        "stands for 2 creations",
    ),
    "a transfer lost": ("delete from transfer where id like '%-2'", "P8", "is missing"),
    "a transfer changed": ("update transfer set amount_minor = amount_minor + 1 where phase = 'posted'", "P8", "is"),
    "a transfer of nothing": (
        "insert into transfer select project, 'made-up-1', session_id, 'made-up', phase, debit, credit, amount_minor,"
        " currency, null, at from transfer where phase = 'posted' limit 1",
        "P8",
        "names operation made-up, which this session does not have",
    ),
    "a charge that nobody permitted": (
        "update operation set authentication_id = null where authentication_id is not null",
        "3DS",
        "names no authentication",
    ),
    "silence where an answer was needed": (
        "update payment set threeds = 'always' where phase = 'succeeded'",
        "3DS",
        "the last before it was asked, then lapsed",
    ),
    "an outcome overwritten": (
        """update authentication set result = '{"status": "N"}' where state = 'finished'""",
        "3DS",
        "which ended with N",
    ),
    "a proof used twice": (
        "update operation o set authentication_id = other.authentication_id from operation other"
        " where other.session_id = o.session_id and other.authentication_id is not null and o.exemption is not null",
        "3DS",
        "is used by 2 operations",
    ),
}


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    """One session of each sort."""
    return [story(number) for number, story in enumerate(STORIES, start=1)]


@pytest.fixture(scope="module")
def written(
    postgres_dsn: str, migrated: str, stories: list[Story], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database with all of them, written as the gateway would; each test has a copy."""
    run_apart(execute(postgres_dsn, f"CREATE DATABASE written TEMPLATE {migrated} STRATEGY WAL_LOG"))
    dsn = with_database(postgres_dsn, "written")
    console = Console(dsn, tmp_path_factory.mktemp("home"))
    console.create("shop")
    console.create("other")
    run_apart(keep(dsn, *stories))
    yield "written"
    run_apart(drop_database(postgres_dsn, "written"))


@pytest.fixture
def books(postgres_dsn: str, written: str, home: Path) -> Iterator[Console]:
    """Commands on a copy of the written database."""
    name = f"books_{next(_numbers)}"
    run_apart(execute(postgres_dsn, f"CREATE DATABASE {name} TEMPLATE {written} STRATEGY WAL_LOG"))
    yield Console(with_database(postgres_dsn, name), home)
    run_apart(drop_database(postgres_dsn, name))


def test_sound_books_keep_every_promise(books: Console, stories: list[Story]) -> None:
    """Whatever the rules wrote proves itself, and everything was looked at."""
    told = books.json("verify")
    assert told["ok"], told
    assert told["sessions"] == len(stories)
    checked = {one["promise"]: one["checked"] for one in told["promises"]}
    operations = [operation for story in stories for operation in story.session.operations]
    assert checked == {
        "P1": len(stories),
        "P2": sum(operation.state is State.APPROVED for operation in operations),
        "P3": len(stories),
        "P4": sum(story.payment.decision is not None for story in stories),
        "P5": len(stories),
        "P8": sum(len(story.transfers) for story in stories),
        "3DS": sum(operation.kind in CHARGES for operation in operations),
    }
    assert sum(one["minor"] for one in told["ledger"]) == 0
    assert "connection refused" in told["acquirer_books"]["not_read"]


def test_an_empty_database_keeps_every_promise(console: Console) -> None:
    """Without sessions nothing is violated."""
    assert console.json("verify")["ok"]
    assert "0 sessions: every promise holds" in console.run("verify")


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_named(books: Console, name: str) -> None:
    """A flaw in the rows ends with exit code 1 and is named under its promise."""
    statement, promise, sentence = PLANTED[name]
    run_apart(execute(books.dsn, *WITHOUT_GUARDS, statement))
    ended = books.end("verify")
    assert ended.exit_code == 1, f"{ended.output}{ended.exception!r}"
    lines = ended.stdout.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"✗ {promise}"))
    named = [line for line in lines[begin + 1 :] if line.startswith("      ")]
    assert any(sentence in line for line in named), ended.stdout


def test_one_project_alone(books: Console, stories: list[Story]) -> None:
    """With --project only its rows are looked at; a project that is not there is named."""
    assert books.json("verify", "--project", "other")["sessions"] == 0
    assert books.json("verify", "--project", "shop")["sessions"] == len(stories)
    assert "there is no project 'nope'" in books.failure("verify", "--project", "nope")


def test_rows_of_a_project_that_is_gone_are_looked_at(books: Console, stories: list[Story]) -> None:
    """A session whose project was removed still counts."""
    run_apart(execute(books.dsn, "alter table project_key drop constraint project_key_project_fkey"))
    run_apart(execute(books.dsn, "delete from project"))
    assert books.json("verify")["sessions"] == len(stories)


def entries_of(stories: list[Story]) -> list[Entry]:
    """The acquirer's books as they should be."""
    found: list[Entry] = []
    for story in stories:
        for operation in story.session.operations:
            if not is_comparable(operation):
                continue
            assert operation.references is not None
            is_undone = any(
                one.kind is Kind.REVERSAL and one.target_id == operation.id and one.state is State.APPROVED
                for one in story.session.operations
            )
            state = "reversed" if is_undone or operation.state is State.REVERSED else operation.state.value
            found.append(
                {
                    "kind": KIND_THERE[operation.kind],
                    "rrn": operation.references.rrn,
                    "state": state if state in ("approved", "declined", "reversed") else "declined",
                    "amount_minor": operation.amount_minor,
                    "currency": "eur",
                    "acceptor": "SHOP",
                    "card": "424242******4242",
                }
            )
    return found


def test_equal_books_agree(books: Console, stories: list[Story]) -> None:
    """Where both books say the same of every operation that is over, nothing is violated."""
    with books_of(entries_of(stories)) as url:
        told = books.json("verify", "--acquirer-books", url)
    assert told["ok"], told
    assert told["acquirer_books"]["compared"] > 5
    assert told["acquirer_books"]["still_open"] > 0


def test_one_changed_entry_is_one_violation(console: Console) -> None:
    """An amount, a state, or an entry the acquirer does not have: each is one sentence about one operation."""
    console.create("shop")
    stories = [paid(1), paid(2), paid(3), released(4)]
    run_apart(keep(console.dsn, *stories))
    entries = entries_of(stories)
    entries[0]["amount_minor"] += 1
    entries[1]["state"] = "reversed"
    entries[3]["state"] = "approved"
    with books_of([entries[0], entries[1], entries[3]]) as url:
        ended = console.end("verify", "--acquirer-books", url)
    assert ended.exit_code == 1
    assert "✗ P2" in ended.stdout
    for sentence in ("2591 eur at the acquirer", "reversed at the acquirer", "does not know it", "it stands at the"):
        assert sentence in ended.stdout, ended.stdout
    assert "4 violations" in ended.stdout


def test_money_only_the_acquirer_knows_is_a_violation(books: Console, stories: list[Story]) -> None:
    """What stands at the acquirer must be in our books; what it declined need not be."""
    unknown: dict[str, Any] = {**entries_of([paid(1)])[0], "rrn": "ELSEWHERE001"}
    entries = entries_of(stories)
    with books_of([*entries, unknown]) as url:
        (violation,) = violations_of(books, url)
        assert violation["subject"] == "RRN ELSEWHERE001"
        assert violation["what"] == "the acquirer has a sale of 2590 eur, unknown here"
    with books_of([*entries, {**unknown, "state": "declined"}]) as url:
        assert books.json("verify", "--acquirer-books", url)["ok"]


def violations_of(console: Console, url: str) -> list[dict[str, str]]:
    """What `verify` finds with these books."""
    ended = console.end("verify", "--json", "--acquirer-books", url)
    assert ended.exit_code == 1
    return [one for promise in json.loads(ended.stdout)["promises"] for one in promise["violations"]]


def test_another_projects_money_is_left_alone(books: Console, stories: list[Story]) -> None:
    """With --project the acquirer may have other merchants' operations."""
    with books_of(entries_of(stories)) as url:
        assert books.json("verify", "--project", "other", "--acquirer-books", url)["ok"]


def test_books_that_cannot_be_read_are_one_line(console: Console) -> None:
    """An address that was given must show books; the line names it and the flag."""
    with books_of([], status=500) as url:
        line = console.failure("verify", "--acquirer-books", url)
    assert "status 500" in line
    assert "--acquirer-books" in line
    assert "connection refused" in console.failure("verify", "--acquirer-books", url)
