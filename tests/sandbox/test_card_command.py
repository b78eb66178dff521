"""`tollhouse card`: building, listing and explaining sandbox numbers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tollhouse.cli.card import command
from tollhouse.sandbox.cards import ALIASES, Behaviour, Fault, Later, behaviour_of, compose


def run(*arguments: str) -> str:
    """What the command prints when all is well."""
    ended = CliRunner().invoke(command, list(arguments))
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_builds_an_approved_visa_by_default() -> None:
    """Without options the number is an approved Visa."""
    assert run() == compose() + "\n"


def test_builds_what_was_asked_for() -> None:
    """The printed number behaves as the options say."""
    pan = run("--brand", "mastercard", "--answer", "51", "--fault", "1", "--later", "5", "--free", "07").strip()
    assert pan.startswith("545454")
    assert behaviour_of(pan) == Behaviour(
        response_code="51", fault=Fault.ANSWER_LOST, later=Later.REVERSAL_REFUSED_TWICE
    )


def test_a_challenge_alone_is_a_card_that_is_challenged() -> None:
    """--challenge implies --authentication challenge; after a soft decline others are challenged too."""
    assert run("--challenge", "out-of-band").strip() == compose(authentication=7, challenge=5)
    assert run("--challenge", "page").strip() == compose(authentication=7)
    stepped_up = ["--authentication", "frictionless", "--fault", "8", "--challenge", "2"]
    assert run(*stepped_up).strip() == compose(authentication=1, fault=8, challenge=2)


def test_json_holds_number_and_behaviour() -> None:
    """With --json a program reads the number and what it does."""
    printed = json.loads(run("--fault", "3", "--json"))
    assert printed["number"] == compose(fault=3)
    assert printed["fault"]["digit"] == 3
    assert printed["answer"]["code"] == "00"


def test_list_has_every_familiar_number() -> None:
    """--list prints all aliases, and so does its JSON."""
    assert [line.split()[0] for line in run("--list").splitlines()] == list(ALIASES)
    assert [entry["number"] for entry in json.loads(run("--list", "--json"))] == list(ALIASES)


def test_explains_a_number_without_repeating_it() -> None:
    """A number given as argument, with or without spaces, is explained by its mask."""
    pan = compose(answer="51", fault=1)
    spaced = [pan[at : at + 4] for at in range(0, 16, 4)]
    for printed in (run(pan), run(*spaced)):
        assert "51  insufficient funds" in printed
        assert "the answer is lost" in printed
        assert pan not in printed
    assert json.loads(run("4000000000009995", "--json"))["source"] == "familiar"
    assert json.loads(run("4917610000000000", "--json"))["source"] == "any other: approved"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--fault", "12"], "fault 12: 0 to 9 expected"),
        (["--answer", "1A"], "two digits expected"),
        (["--method", "3"], "method 3: 0 to 2 expected"),
        (["--challenge", "1", "--authentication", "none"], "with --authentication none there never is one"),
        (["--challenge", "fails", "--authentication", "3"], "with --authentication not-authenticated there never"),
        (["4242424242424241"], "right check digit"),
        (["4242"], "12 to 19 digits"),
        (["4242424242424242", "--fault", "1"], "exclude each other"),
        (["4242424242424242", "--list"], "exclude each other"),
        (["--list", "--brand", "visa"], "exclude each other"),
    ],
)
def test_wrong_input_is_refused(arguments: list[str], text: str) -> None:
    """A wrong value is refused with exit code 2 and says what is expected."""
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 2
    assert text in ended.output
    assert "4242424242424241" not in ended.output


def test_help_shows_examples_and_meanings() -> None:
    """--help has examples and the meaning of every fault."""
    printed = run("--help")
    assert "tollhouse card --answer 51" in printed
    for digit in [*Fault, *Later]:
        assert f"{int(digit)}  {digit.text}" in printed
