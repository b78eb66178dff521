"""Purity: what import-linter cannot see, since it needs no import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.sources import expect_none, parse, pure_files, shown

CLOCKS = frozenset({"now", "utcnow", "today"})
WORLDLY = frozenset({"open", "print", "input", "breakpoint", "__import__", "exec", "eval", "globals"})


@pytest.mark.parametrize("path", pure_files(), ids=shown)
def test_no_clock(path: Path) -> None:
    """Ground floor, acquirers and flows are told the time: by an argument, or by `world.clock` in a flow."""
    found = [
        f"{shown(path)}:{node.lineno}: {ast.unparse(node)}: take `now` as an argument (a flow asks `world.clock`)"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and node.attr in CLOCKS
        and isinstance(node.value, ast.Name | ast.Attribute)
        and ast.unparse(node.value).rpartition(".")[2] in ("datetime", "date")
    ]
    expect_none(found)


@pytest.mark.parametrize("path", pure_files(), ids=shown)
def test_nothing_worldly(path: Path) -> None:
    """They open, print and ask nothing."""
    found = [
        f"{shown(path)}:{node.lineno}: {node.func.id}() touches the world: it belongs into a folder that may"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLDLY
    ]
    expect_none(found)


@pytest.mark.parametrize("path", pure_files(), ids=shown)
def test_no_state_between_calls(path: Path) -> None:
    """They keep nothing in variables of the module: no `global`."""
    found = [f"{shown(path)}:{node.lineno}" for node in ast.walk(parse(path)) if isinstance(node, ast.Global)]
    expect_none(found)
