"""The hunt itself: `tollhouse scan` as people run it, over a system's files, its database, and what others heard."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.system import PROGRAM, System
from tollhouse.card import PAN_DIGITS_MIN, mask

SECONDS_MAX = 300
OUR_ID = re.compile(rb"(?<![0-9])[0-9]{20}(?![0-9])")


@dataclass(frozen=True)
class Scanned:
    """What one scan said."""

    code: int
    content: dict[str, Any]

    @property
    def places(self) -> list[str]:
        """Each find in a line: place, encoding, number as it is shown."""
        return [f"{one['place']} {'>'.join(one['encoding'])} {one['number']}" for one in self.content["findings"]]

    def of(self, shown: str) -> list[str]:
        """The finds of one number."""
        return [place for place in self.places if place.endswith(shown)]


def scan(system: System, *places: str | Path, known: Path | None = None) -> Scanned:
    """Run it. Familiar test numbers are no canaries, and the sandbox names them in its card ranges."""
    words = [PROGRAM, "scan", *map(str, places), *(["--known", str(known)] if known else []), "--json"]
    ended = subprocess.run(
        words, env=system.environment, cwd=system.folder, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert ended.returncode in (0, 1), ended
    return Scanned(ended.returncode, json.loads(ended.stdout))


def places_of(system: System) -> list[Path]:
    """Where a system leaves files: its home, the database wherever it lies, its logs."""
    return [system.folder, (system.home / "postgres").resolve()]


def torn_ids(places: Iterable[Path]) -> set[str]:
    """How the pieces of our ids look that stand whole in these files: Postgres tears them where a page begins."""
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    whole = {one.decode() for file in files for one in OUR_ID.findall(file.read_bytes())}
    return {
        mask(one[begin:end])
        for one in whole
        for begin in range(len(one))
        for end in range(begin + PAN_DIGITS_MIN, len(one) + (begin > 0))
    }
