"""`tollhouse session threeds`: every message of 3-D Secure, who said it to whom, and what it means."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from tests.cli.authenticated import MASKED, challenged, kept, life, message, notes_of
from tests.cli.commands import Console
from tests.ground.story import SEALED_CVV, VALUE
from tests.lives import keep, paid
from tests.servers import run_apart
from tollhouse.change import Note
from tollhouse.cli.card import command as card
from tollhouse.cli.threeds import BROWSER, DIRECTORY, SERVER, exchanged, print_messages, shown_messages
from tollhouse.sandbox.cards import compose
from tollhouse.store.postgres import PostgresStore


async def keep_with_messages(dsn: str) -> None:
    """Write a challenged payment with its messages, and one without 3-D Secure, into a database."""
    story = challenged(1)
    await keep(dsn, story, paid(2))
    store = await PostgresStore.open(dsn, node="n1")
    for note in notes_of(story):
        assert isinstance(note.what, Note)
        store.note("shop", story.session.id, note.what, note.at)
    await store.close()


@pytest.fixture
def kept_console(console: Console) -> Console:
    """A console on a database with both of them."""
    console.create("shop")
    run_apart(keep_with_messages(console.dsn))
    return console


def printed(width: int = 110, *, ends_in_silence: bool = False) -> list[str]:
    """What people see, without colours."""
    return [click.unstyle(line) for line in print_messages(life(ends_in_silence=ends_in_silence), width)]


def test_messages_come_in_order_with_who_said_them_to_whom() -> None:
    """Request, answer, what the browser brought, result and its receipt."""
    assert [(one.type, one.parties) for one in exchanged(life())] == [
        ("AReq", (SERVER, DIRECTORY)),
        ("ARes", (DIRECTORY, SERVER)),
        ("CRes", (BROWSER, SERVER)),
        ("RReq", (DIRECTORY, SERVER)),
        ("RRes", (SERVER, DIRECTORY)),
    ]


def test_the_headlines_tell_the_story() -> None:
    """Direction, type, version, outcome and ECI stand in one line."""
    lines = [line.partition("  ")[2] for line in printed() if line.startswith("2026")]
    assert lines == [
        "→ AReq 2.3.1",
        "← ARes 2.3.1  C challenge",
        "← CRes 2.3.1  Y authenticated",
        "← RReq 2.3.1  Y authenticated, ECI 05",
        "→ RRes 2.3.1  received",
    ]


def test_every_member_is_printed_within_the_width() -> None:
    """Members stand by their dotted names, long values are wrapped, and the PAN is the masked one."""
    lines = printed(60)
    text = "\n".join(lines)
    assert f"acctNumber            {MASKED}" in text
    assert "acctInfo.chAccAgeInd  01" in text
    assert VALUE in text
    assert max(len(line) for line in lines if line.startswith("    ")) <= 60


def test_a_silence_and_an_error_are_told() -> None:
    """Where an answer was awaited in vain the reason stands; an Erro says code, words and fields."""
    text = "\n".join(printed(ends_in_silence=True))
    assert "← silence  no answer within 10 s" in text
    assert "→ Erro 2.3.1  203 Wrong: eci (about ARes)" in text


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"transStatus": "N", "challengeCancel": "01"}, "N not authenticated, cancelled by the payer"),
        ({"transStatus": "N", "challengeCancel": "99"}, "N not authenticated, cancelled (99)"),
        ({"transStatus": "Z"}, "Z"),
        ({"transStatus": "A", "eci": "06"}, "A attempted, ECI 06"),
        ({}, ""),
    ],
)
def test_words(members: dict[str, str], words: str) -> None:
    """What matters in a message, also where its values are none of the protocol's."""
    story = challenged()
    one = kept(story, 1, "in", message("RReq", **members))
    (read,) = exchanged(replace(life(), notes=(one,)))
    assert read.words == words


def test_what_others_wrote_is_only_text() -> None:
    """Control characters in a message do nothing on a terminal."""
    wild = message("Erro\x1b[2J", errorCode="203", errorDescription="a\x1b]0;x\x07\nb", **{"odd\x1b": "\x1b[31m"})
    one = kept(challenged(), 1, "in", wild)
    lines = [click.unstyle(line) for line in print_messages(replace(life(), notes=(one,)), 110)]
    assert all(line.isprintable() for line in lines), lines


def test_the_command_prints_what_is_in_the_database(kept_console: Console) -> None:
    """For people and for programs, and of a session without 3-D Secure that there is nothing."""
    text = kept_console.run("session", "threeds", "ps_001")
    assert "← RReq 2.3.1  Y authenticated, ECI 05" in text
    told = kept_console.json("session", "threeds", "ps_001", "--project", "shop")
    assert [(one["direction"], one["type"]) for one in told["messages"]] == [
        ("out", "AReq"),
        ("in", "ARes"),
        ("in", "CRes"),
        ("in", "RReq"),
        ("out", "RRes"),
    ]
    assert told["messages"][0]["message"]["acctNumber"] == MASKED
    assert told["messages"][2]["from"] == BROWSER
    assert "3-D Secure said nothing" in kept_console.run("session", "threeds", "ps_002")
    assert kept_console.json("session", "threeds", "ps_002")["messages"] == []
    assert "there is no session 'ps_99'" in kept_console.failure("session", "threeds", "ps_99")


def test_show_has_authentications_and_no_secrets(kept_console: Console) -> None:
    """The life as JSON has each authentication with its result; tokens and sealed codes are not in it."""
    (one,) = kept_console.json("session", "show", "ps_001")["authentications"]
    assert (one["state"], one["result"]["status"], one["result"]["value"]) == ("finished", "Y", VALUE)
    for words in (
        ("show", "ps_001"),
        ("show", "ps_001", "--json"),
        ("threeds", "ps_001"),
        ("threeds", "ps_001", "--json"),
    ):
        text = kept_console.run("session", *words)
        assert SEALED_CVV not in text
        assert "ct_1" not in text


def test_silence_for_programs() -> None:
    """A silence has a reason in place of a message."""
    silent = shown_messages(life(ends_in_silence=True))["messages"][1]
    assert silent["silence"] == "no answer within 10 s"
    assert "message" not in silent


def test_cards_can_be_built_by_names() -> None:
    """`tollhouse card` takes names for digits, and names what there is when one is unknown."""
    words = ["--authentication", "challenge", "--challenge", "out-of-band", "--method", "none", "--fault", "slow"]
    ended = CliRunner().invoke(card, words)
    assert ended.output.strip() == compose(authentication=7, challenge=5, method=1, fault=6)
    refused = CliRunner().invoke(card, ["--challenge", "nope"])
    assert refused.exit_code == 2
    assert "'nope': 0 to 9 expected, or one of page, passes, fails" in refused.output
