"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Console


@pytest.fixture
def console(database: str, home: Path) -> Console:
    """Runs commands on a migrated database of the test's own."""
    return Console(database, home)
