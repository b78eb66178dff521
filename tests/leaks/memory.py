"""What a process holds in memory at this moment, as a core dump would: its pages that can be written."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")


def dump(pid: int, to: Path) -> int:
    """Write the memory of a process to a file; how many bytes."""
    with to.open("wb") as out, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = _LINE.match(line)
            if found is None or "[vvar]" in line:
                continue
            begin, end = int(found[1], 16), int(found[2], 16)
            with suppress(OSError):  # a page that went away meanwhile, or one of a device
                memory.seek(begin)
                out.write(memory.read(end - begin))
    return to.stat().st_size


def core_limit(pid: int) -> tuple[str, str]:
    """The soft and the hard limit for core files of a process."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    found = re.search(r"^Max core file size +(\S+) +(\S+)", limits, re.MULTILINE)
    assert found is not None, limits
    return found[1], found[2]
