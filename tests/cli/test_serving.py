"""`tollhouse serve` and `work` as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.programs import environment, free_settings


@contextmanager
def serving(command: str, home: Path, database: str, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A part that has said it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tollhouse.cli", command],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home=home, database_url=database, **free_settings()),
    )
    assert process.stderr is not None
    try:
        assert any(ready in line for line in process.stderr), f"{command} ended before it was ready"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(("command", "ready"), [("serve", "gateway ready"), ("work", "workers ready")])
def test_sigterm_lets_everything_end_in_order(home: Path, database: str, command: str, ready: str) -> None:
    """A process that is told to end closes what runs beside its calls and ends by itself, not by the signal."""
    with serving(command, home, database, ready) as process:
        process.terminate()
        assert process.wait(30) == 0
