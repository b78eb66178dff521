"""The file in the home that anchors of the audit log are kept in: one line each, only ever added to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "audit-anchors"


def keep_anchor(home: Path, line: str) -> None:
    """Add the line; on the disk on return. Raises `OSError`."""
    file = os.open(home / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode() + b"\n")  # one write: lines of several processes never mix
        os.fsync(file)
    finally:
        os.close(file)


def keeper(home: Path, tell: Callable[..., Any]) -> Callable[[str], None]:
    """Keeps each anchor in the home and in the log of the process, which may go to another machine."""

    def keep(line: str) -> None:
        tell("audit anchor", line=line)
        keep_anchor(home, line)

    return keep
