"""One flight of all canaries for every test of the hunt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import SHORT_LIMITS, running_system
from tests.leaks.flights import Flight, fly

VAULTS = {"inside": "", "process": "unix:"}


@pytest.fixture(scope="module", params=["inside", pytest.param("process", marks=pytest.mark.full)])
def flight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flight]:
    """A talkative system through which every canary went, with the vault where the parameter says."""
    folder = tmp_path_factory.mktemp("flight")
    where = VAULTS[request.param]
    with running_system(folder / "system", log_level="debug", vault_url=where, **SHORT_LIMITS) as system:
        holders = ("gateway", "work", "vault") if where else ("gateway", "work")
        yield fly(system, folder / "heard", holders)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path
