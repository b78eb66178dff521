"""Acts: what a command changes stands in the audit log, or a reason says why it need not (PCI DSS 10.2.1)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from tests.house.sources import DOCS, SRC, expect_none, parse, python_files
from tollhouse.cli.__main__ import group

WRITERS = {"recorded", "record_done", "record"}
# Commands that write no act of their own.
WITHOUT = {
    "pay": "a merchant's part is played over the API; the project it makes is written by `identity`",
    "card": "builds a number of the sandbox; reads and changes nothing",
    "session list": "shows no card data beyond the last four digits; changes nothing",
    "session show": "shows no card data beyond the last four digits; changes nothing",
    "session threeds": "shows messages in which card data is masked; changes nothing",
    "event list": "shows no card data beyond the last four digits; changes nothing",
    "event show": "shows no card data beyond the last four digits; changes nothing",
    "project list": "shows no secret; changes nothing",
    "project show": "shows no secret; changes nothing",
    "ranges list": "card ranges are public; changes nothing",
    "ranges refresh": "takes over the public card ranges of the directory server, as every node does daily",
    "widget check": "asks the gateway as a browser does; changes nothing",
    "widget info": "shows how a page embeds the form; changes nothing",
    "widget scripts": "shows the digests of our scripts; changes nothing",
    "vault serve": "the process writes its start and its end, in `boot`",
    "vault certificate make": "makes files for the operator; the vault writes down who connects with them",
    "vault certificate revoke": "changes a file of the operator; the vault writes down whom it refuses",
    "vault key status": "shows numbers of versions; changes nothing",
    "verify": "reads the books, no card; changes nothing",
    "doctor": "reads the configuration; changes nothing",
    "sbom": "lists our parts; changes nothing",
    "config": "prints the settings there are; changes nothing",
    "db status": "shows which migrations are applied; changes nothing",
    "serve": "the process writes its start and its end, in `boot`",
    "work": "the process writes its start and its end, in `boot`",
    "sandbox": "the acquirer's part in tests; has no vault",
    "shop": "a merchant's part in tests; has no vault",
}


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}".strip())


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def writes_an_act(command: click.Command) -> bool:
    """Whether its function, or one of the same file that it uses, calls what writes into the audit log."""
    assert command.callback is not None
    function = inspect.unwrap(command.callback)
    tree = parse(Path(inspect.getfile(function)))
    parts = {
        one.name: one for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    seen: set[str] = set()
    wanted = {function.__name__}
    while new := (wanted & parts.keys()) - seen:
        seen |= new
        wanted |= set().union(*(_names(parts[name]) for name in new))
    return bool(wanted & WRITERS)


def test_commands_write_what_they_do() -> None:
    """A command writes an act or is named above with its reason, never both; no name above is out of date."""
    found = {path: writes_an_act(command) for path, command in leaves(group)}
    expect_none(
        [f"`{path}` writes no act: use `recorded`" for path, does in found.items() if not (does or path in WITHOUT)]
    )
    expect_none(
        [f"`{path}` writes an act: take it from the list" for path, does in found.items() if does and path in WITHOUT]
    )
    expect_none([f"there is no command `{path}`" for path in WITHOUT if path not in found])


def test_acts_are_documented() -> None:
    """Every act that the code can write is in docs/explanation/audit-log.md."""
    page = (DOCS / "explanation" / "audit-log.md").read_text(encoding="utf-8")
    expect_none([f"act `{what}` is missing there" for what in sorted(_acts()) if f"`{what}`" not in page])


def _acts() -> set[str]:
    found = set()
    for path in python_files(SRC):
        for call in ast.walk(parse(path)):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            named = {word.arg: word.value for word in call.keywords}
            match call.func.id:
                case "Act":
                    what = named.get("what")
                case "_act":
                    what = call.args[0] if call.args else None
                case "recorded" | "record_done":
                    what = call.args[1] if len(call.args) > 1 else None
                case _:
                    continue
            if isinstance(what, ast.Constant) and isinstance(what.value, str):
                found.add(what.value)
    return found
