"""Named SQL of the .sql files here: a block begins with `-- name: what` and one line on what it does."""

from __future__ import annotations

import re
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (?P<name>\w+)\n-- (?P<doc>.+)\n", re.MULTILINE)


def load_queries() -> dict[str, str]:
    """Every query of the folder by its name. A name used twice is a bug."""
    found: dict[str, str] = {}
    for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        text = entry.read_text(encoding="utf-8")
        starts = list(_BLOCK.finditer(text))
        for block, after in zip(starts, [*starts[1:], None], strict=True):
            assert block["name"] not in found, block["name"]
            found[block["name"]] = text[block.end() : after.start() if after else None].strip()
    return found


QUERIES = load_queries()
