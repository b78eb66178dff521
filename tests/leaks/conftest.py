"""One flight of all canaries for every test of the hunt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import SHORT_LIMITS, running_system
from tests.leaks.flights import Flight, fly


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flight]:
    """A talkative system through which every canary went."""
    folder = tmp_path_factory.mktemp("flight")
    with running_system(folder / "system", log_level="debug", **SHORT_LIMITS) as system:
        yield fly(system, folder / "heard")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path
