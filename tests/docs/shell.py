"""Runs the `sh` blocks of a document as a reader does: one after another, in one shell, in the folder of a clone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docs.documents import ROOT, Block

SECONDS_MAX = 180
_MARK = "=== block ended"


def clone(folder: Path) -> Path:
    """A folder that looks like a fresh clone after its set-up: the program is at `.venv/bin/tollhouse`."""
    folder.mkdir()
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def run_blocks(blocks: Sequence[Block], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """What each block printed, errors included. Fails at the first command that fails, naming its block."""
    script = "set -e -o pipefail\n" + "\n".join(f"{block.text}\nprintf '\\n{_MARK}\\n'" for block in blocks)
    log = folder.parent / "printed"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            ended: object = f"exit code {process.wait(SECONDS_MAX)}"
        except subprocess.TimeoutExpired:
            ended = f"no end after {SECONDS_MAX} s"
        finally:
            _end_group(process.pid)
    parts = log.read_text(errors="replace").split(f"\n{_MARK}\n")
    if process.returncode or len(parts) != len(blocks) + 1:
        at = blocks[min(len(parts), len(blocks)) - 1]
        raise AssertionError(f"{at}: {ended}\n{at.text}\n--- printed:\n{parts[-1]}")
    return parts[:-1]


def _end_group(group: int) -> None:
    """What the blocks left running in the background ends too."""
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return
