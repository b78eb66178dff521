"""The reference says what the code does: every setting, command, event, code and card, and nothing besides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import msgspec
import pytest

from tests.docs.documents import ROOT, blocks, document, plain, rows, sections
from tests.simulation.saboteurs import SABOTEURS
from tollhouse.api.problems import STATUS
from tollhouse.api.sessions import METHODS
from tollhouse.api.wire.answers import WebhookV2
from tollhouse.boot.config import settings, variable
from tollhouse.card import PAN, brand_of
from tollhouse.cli.__main__ import group
from tollhouse.event import EventType
from tollhouse.merchant import Settings, parse_duration, parse_setting
from tollhouse.outcome import REASON_BY_CODE, UNCLEAR_CODES, Reason
from tollhouse.sandbox import cards

CONFIGURATION, CLI = document("docs/reference/configuration.md"), document("docs/reference/cli.md")
API, WEBHOOKS = document("docs/reference/api.md"), document("docs/reference/webhooks.md")
MONEY_SAFETY = document("docs/explanation/money-safety.md")
POSTGRES_SETTINGS = frozenset({"fsync", "synchronous_commit"})
SETTINGS, CARDS = document("docs/reference/settings.md"), document("docs/reference/sandbox-cards.md")


def table(text: str) -> dict[str, list[str]]:
    """The rows of the tables of a text by their first cell, without marks."""
    return {plain(row[0]): [plain(cell) for cell in row[1:]] for row in rows(text)}


def test_configuration_is_complete() -> None:
    """The table of the configuration is that of the code: variable, default, flag and meaning."""
    told = {name: row for name, row in table(CONFIGURATION.read_text()).items() if name.startswith("TOLLHOUSE_")}
    known = {
        variable(name): [setting.default or "empty", f"--{name.replace('_', '-')}", setting.meaning]
        for name, setting in settings()
    }
    assert told == known


def leaves(command: click.Command = group, path: str = "tollhouse") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(leaves()), ids=lambda value: value if isinstance(value, str) else "")
def test_command_is_documented(path: str, command: click.Command) -> None:
    """A command has a section with each of its own options and an example that calls it."""
    section = sections(CLI).get(path)
    assert section is not None, f"{CLI.name} has no section `## {path}`"
    shared = {f"--{name.replace('_', '-')}" for name, _ in settings()}
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if isinstance(parameter, click.Option) and not shared & set(names):
            for name in names:
                assert re.search(rf"`{name}[` ]", section), f"## {path} does not explain {name}"
    examples = [block.text for block in blocks(CLI, "sh", "console") if block.text in section]
    assert any(re.search(rf"(^|/|\s){path}\b", text) for text in examples), f"## {path} has no example"


def test_no_command_is_invented() -> None:
    """Each section about a command is about one that exists, and explains only options that it has."""
    known = dict(leaves())
    for title, text in sections(CLI).items():
        if not title.startswith("tollhouse "):
            continue
        assert title in known, f"there is no `{title}`"
        options = {name for parameter in known[title].params for name in (*parameter.opts, *parameter.secondary_opts)}
        told = {name for row in rows(text) for name in re.findall(r"--[a-z][a-z-]*", row[0])}
        assert told <= options, f"{title} has no {told - options}"


def test_settings_of_a_project_are_complete() -> None:
    """The tables of settings hold every setting with its default; settings of later features have one value."""
    now, later = SETTINGS.read_text().split("## Known by name only")
    told = {name: row[0] for name, row in table(now).items() if name != "setting"}
    assert told.keys() == Settings.__dataclass_fields__.keys()
    for name, default in told.items():
        assert parse_setting(name, default) == {name: getattr(Settings(), name)}, name
    for name, row in table(later).items():
        if name != "setting":
            assert parse_setting(name, row[0]) == {}
    assert parse_duration(told["hold_period"]) == Settings().hold_period


def test_errors_of_calls_are_complete() -> None:
    """The table of errors holds every refusal's code with every status it may have, and no other."""
    told = {code: set(row[0].split(", ")) for code, row in table(sections(API)["Errors of calls"]).items()}
    known: dict[str, set[str]] = {}
    for refusal, status in STATUS.items():
        known.setdefault(refusal.code, set()).add(str(status))
    assert {code: statuses for code, statuses in told.items() if code != "code"} == known


def test_results_are_complete() -> None:
    """The table of results holds every reason, and every response code that leads to it."""
    told = table(sections(API)["Results of payments and refunds"])
    assert told.keys() - {"code"} == {reason.value for reason in Reason}
    for code, reason in REASON_BY_CODE.items():
        assert re.search(rf"\b{code}\b", told[reason.value][0]), f"{code} leads to {reason}"
    unclear = sections(API)["Results of payments and refunds"]
    assert all(re.search(rf"\b{code}\b", unclear) for code in UNCLEAR_CODES)


def test_methods_are_complete() -> None:
    """The table of methods holds those that are carried out."""
    assert table(sections(API)["Methods"]).keys() - {"method"} == {method.name for method in METHODS}


@pytest.mark.parametrize("type", EventType)
def test_event_has_an_example(type: EventType) -> None:
    """Every type of webhook has a section whose example is a webhook of this type, in the shape that is sent."""
    examples = [block for block in blocks(WEBHOOKS, "json") if block.text in sections(WEBHOOKS)[type.value]]
    assert len(examples) == 1
    shown = msgspec.json.decode(examples[0].text, type=WebhookV2)
    assert shown.type == type
    assert re.fullmatch(r"evt_[0-9]{20}", shown.event_id)
    assert shown.session.payment_list


def test_familiar_cards_are_those_of_the_sandbox() -> None:
    """The table of familiar numbers holds every alias with its brand and its answer."""
    told = {name: row for name, row in table(sections(CARDS)["Familiar numbers"]).items() if name.isdigit()}
    assert told.keys() == cards.ALIASES.keys()
    for number, (brand, answer) in told.items():
        asked = cards.ALIASES[number]
        assert brand == brand_of(PAN(number))
        assert answer.startswith(f"{asked.response_code} {cards.RESPONSE_CODES[asked.response_code]}")
        assert ("3-D Secure" in answer) is (asked.authentication is not cards.Authentication.NONE)
        assert asked.authentication is cards.Authentication.NONE or asked.authentication.text in answer


@pytest.mark.parametrize(
    ("title", "meanings"),
    [
        ("f: what goes wrong at the authorization", (cards.Fault,)),
        ("o: what goes wrong later on", (cards.Later,)),
        ("a, m, c: 3-D Secure", (cards.Authentication, cards.Method, cards.Challenge)),
    ],
)
def test_digits_are_those_of_the_sandbox(title: str, meanings: tuple[type[cards.Digit], ...]) -> None:
    """The tables of digits hold every digit with its meaning."""
    told = [(row[0], row[1]) for row in rows(sections(CARDS)[title]) if row[0].isdigit()]
    assert told == [(str(int(digit)), digit.text) for meaning in meanings for digit in meaning]


def test_codes_and_bins_are_those_of_the_sandbox() -> None:
    """The tables of response codes and of BINs are those of the code."""
    codes = table(sections(CARDS)["rr: the response code"])
    assert {code: row[0] for code, row in codes.items() if code != "code"} == dict(cards.RESPONSE_CODES)
    bins = {brand: row[0] for brand, row in table(sections(CARDS)["Composed numbers"]).items() if brand in cards.BINS}
    assert bins == dict(cards.BINS)


def test_planted_bugs_are_those_of_the_simulation() -> None:
    """The planted bugs that the explanation names exist and attack the promises it says."""
    told = {row[1]: row[0] for row in rows(sections(MONEY_SAFETY)["Planted bugs"]) if row[0] != "promise"}
    known = {saboteur.name: saboteur.promise for saboteur in SABOTEURS}
    assert told.items() <= known.items()
    assert set(told.values()) == set(known.values())


def test_names_in_the_table_of_promises_exist() -> None:
    """The constraints and checks that the explanation names are in the schema and in the code."""
    schema = (ROOT / "src/tollhouse/store/migrations/0001_gateway.sql").read_text()
    checkers = (ROOT / "src/tollhouse/proof.py").read_text()
    promises = [row for row in rows(sections(MONEY_SAFETY)["The promises"]) if re.fullmatch(r"P[0-9]+", row[0])]
    assert [row[0] for row in promises] == [f"P{number}" for number in range(1, 14)]
    for _, _, _, constraint, checker in promises:
        for name in re.findall(r"`([a-z_]+)`", constraint):
            assert name in schema or name in POSTGRES_SETTINGS, f"there is no {name}"
        for name in re.findall(r"`([a-z_]+)`", checker):
            assert f"def {name}(" in checkers, f"there is no check {name}"
