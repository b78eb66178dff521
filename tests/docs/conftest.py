"""A running Tollhouse for the examples of the documents, and a folder that looks like a clone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import System
from tests.docs.shell import clone


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`tollhouse up` with a home and ports of its own."""
    running = System(tmp_path_factory.mktemp("system"))
    try:
        yield running.start()
    finally:
        running.destroy()


@pytest.fixture
def stopped_system(tmp_path: Path) -> Iterator[System]:
    """A home and ports of their own where nothing runs yet; the limits are short, so that recovery is quick."""
    prepared = System(tmp_path / "system", answer_limit_seconds=1, in_flight_limit_seconds=2)
    try:
        yield prepared
    finally:
        prepared.destroy()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader's shell stands."""
    return clone(tmp_path / "clone")
