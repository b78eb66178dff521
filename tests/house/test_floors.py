"""Floors: who may import whom."""

from __future__ import annotations

import configparser

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.house.sources import PURE_FOLDERS, ROOT, ground_floor

CONTRACTS = ROOT / ".importlinter"


def _lines(contract: str, key: str) -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(CONTRACTS)
    return parser[f"importlinter:contract:{contract}"][key].split("\n")[1:]


def test_floors_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """No module imports from a floor above it, and nothing pure reaches the world."""
    status = lint_imports(config_filename=str(CONTRACTS), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_ground_floor_is_listed() -> None:
    """Every file at the root of the package is named by the contracts: a new noun is added to both."""
    nouns = {path.stem for path in ground_floor()}
    assert {f"tollhouse.{noun}" for noun in nouns | set(PURE_FOLDERS)} == set(_lines("purity", "source_modules"))
    assert nouns == {*_lines("floors", "layers")[-1].split(" : "), "ports"}
