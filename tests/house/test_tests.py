"""Tests: what they state, that they can fail, and that they replace nothing of what they test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.sources import TESTS, Function, expect_none, functions, parse, python_files, shown

FILES = tuple(path for path in python_files(TESTS) if path.name.startswith("test_"))
MOCKING = frozenset({"mock", "Mock", "MagicMock", "AsyncMock", "patch", "mocker", "create_autospec"})
RAISING = frozenset({"raises", "warns", "fail"})


def _names(node: ast.AST) -> set[str]:
    """Every name and attribute that occurs."""
    found = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return found | {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}


def _asserts(function: Function) -> bool:
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Attribute) and called.attr in RAISING for called in calls)


def _asserting() -> set[str]:
    """Names of everything in the tests that asserts, itself or through another."""
    known = [(function.name, function) for path in python_files(TESTS) for _, function in functions(path)]
    found = {name for name, function in known if _asserts(function)}
    while True:
        more = {name for name, function in known if name not in found and _names(function) & found}
        if not more:
            return found
        found |= more


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_tests_state_a_fact(path: Path) -> None:
    """Each test has a docstring: a sentence that says what is true."""
    wrong = [
        f"{shown(path)}::{name}: {ast.get_docstring(function)!r}"
        for name, function in functions(path)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").rstrip().endswith((".", "?"))
    ]
    expect_none(wrong)


def test_tests_can_fail() -> None:
    """Each test asserts something, itself or through something that does."""
    asserting = _asserting()
    found = [
        f"{shown(path)}::{name}"
        for path in FILES
        for name, function in functions(path)
        if function.name.startswith("test_") and function.name not in asserting
    ]
    expect_none(found)


def test_fakes_not_mocks() -> None:
    """Nothing is patched: what a test needs to replace is a port, and a fake of it is a class."""
    found = [
        f"{shown(path)}:{node.lineno}: write a fake"
        for path in python_files(TESTS)
        if path != Path(__file__)
        for node in ast.walk(parse(path))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("unittest", "mock", "pytest_mock")))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("unittest") for alias in node.names))
        or (isinstance(node, ast.Name | ast.Attribute) and _names(node) & MOCKING)
        or (isinstance(node, ast.Attribute) and node.attr in ("setattr", "delattr"))
    ]
    expect_none(found)


def test_nothing_is_passed_over() -> None:
    """No test is skipped or expected to fail."""
    marks = {"skip", "skipif", "xfail", "importorskip", "SkipTest", "expectedFailure"}
    found = [
        f"{shown(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in python_files(TESTS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and node.attr in marks and "pytest" in ast.unparse(node)
    ]
    expect_none(found)
