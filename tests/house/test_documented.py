"""Documented: what people meet has words, in the code and in the docs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.house.sources import DOCS, ROOT, SRC, expect_none, functions, parse, python_files, shown
from tollhouse.api.problems import STATUS
from tollhouse.boot.config import example, settings, variable
from tollhouse.cli.__main__ import group
from tollhouse.event import EventType
from tollhouse.outcome import Reason
from tollhouse.refusal import Refusal

WEBHOOKS, API = DOCS / "reference" / "webhooks.md", DOCS / "reference" / "api.md"
SETTINGS, COMMANDS = DOCS / "reference" / "configuration.md", DOCS / "reference" / "cli.md"


def _subclasses(of: type[Refusal]) -> Iterator[type[Refusal]]:
    for one in of.__subclasses__():
        yield one
        yield from _subclasses(one)


REFUSALS = sorted(_subclasses(Refusal), key=lambda one: one.__name__)


def _text(path: Path) -> str:
    assert path.exists(), f"{shown(path)} is to be written"
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one.__name__)
def test_refusals(refusal: type[Refusal]) -> None:
    """Each refusal has a sentence, a code of its own and a status; its code is in docs/reference/api.md."""
    assert (refusal.__doc__ or "").strip().endswith("."), "the docstring is the default message: one sentence"
    assert "code" in vars(refusal), "name the stable code of wire-api 6"
    assert 400 <= STATUS[refusal] <= 599
    assert f"`{refusal.code}`" in _text(API)


@pytest.mark.parametrize("reason", Reason)
def test_reasons(reason: Reason) -> None:
    """Each reason a payment may fail for is in docs/reference/api.md."""
    assert f"`{reason}`" in _text(API)


@pytest.mark.parametrize("type", EventType)
def test_events(type: EventType) -> None:
    """Each type of event is in docs/reference/webhooks.md."""
    assert f"`{type}`" in _text(WEBHOOKS)


@pytest.mark.parametrize(
    ("name", "setting"), list(settings()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_settings(name: str, setting: object) -> None:
    """Each field of the configuration has a sentence, is in the example and in docs/reference/configuration.md."""
    meaning = getattr(setting, "meaning", "")
    assert meaning.endswith(".")
    assert f"#{variable(name)}=" in example()
    assert f"`{variable(name)}`" in _text(SETTINGS)


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, f"{path} {name}")


def test_commands() -> None:
    """Each command has help with examples, each option says what it does, and docs/reference/cli.md has them all."""
    found = []
    text = _text(COMMANDS)
    for path, command in _commands(group, "tollhouse"):
        is_group = isinstance(command, click.Group)
        if not (command.help or "").strip().split("\n")[0].rstrip().endswith("."):
            found.append(f"{path}: its help is to begin with a sentence")
        if not is_group and "xample" not in f"{command.help}{command.epilog}":
            found.append(f"{path}: its help has no example")
        if f"`{path}" not in text and f"{path} " not in text and f"{path}\n" not in text:
            found.append(f"{path}: not in {shown(COMMANDS)}")
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        found += [
            f"{path}: {option.opts[0]} has no help" for option in options if not option.help and not option.hidden
        ]
    expect_none(found)


@pytest.mark.parametrize("path", python_files(SRC), ids=shown)
def test_public_things_have_docstrings(path: Path) -> None:
    """Each module, public class and public function says what it is, in a sentence."""
    tree = parse(path)
    found = [] if ast.get_docstring(tree) else [f"{shown(path)}: the module"]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    public = [(node.name, node) for node in classes] + [(n, f) for n, f in functions(path) if "." not in n]
    found += [
        f"{shown(path)}:{node.lineno}: {name}"
        for name, node in public
        if not name.startswith("_") and not ast.get_docstring(node)
    ]
    expect_none(found)


@pytest.mark.parametrize("name", ["STYLE.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"])
def test_documents_of_the_root(name: str) -> None:
    """The documents a visitor looks for are there."""
    assert len(_text(ROOT / name)) > 200
