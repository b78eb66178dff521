"""The tables of docs/compliance: their rows by heading, and the files and tests that they point to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docs.documents import ROOT, document, name_of, prose

NONE = "–"
PLACES = (ROOT, ROOT / "src" / "tollhouse")
_POINTER = re.compile(r"`(tests/[a-z0-9_/]+\.py)::([A-Za-z0-9_]+)`")
_NAMED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: under which heading it stands, and its cells by the heads of their columns."""

    place: str
    section: str
    cells: dict[str, str]


def evidence() -> list[Path]:
    """Every document of the evidence."""
    found = sorted((ROOT / "docs" / "compliance").glob("*.md"))
    assert len(found) >= 6
    return found


def table_rows(path: Path) -> Iterator[Row]:
    """Every row of every table, in order. A row with more or fewer cells than its head is an error."""
    section, head = "", list[str]()
    for line in prose(path).splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            head = []
        elif not re.fullmatch(r"[|\s:-]+", line):
            cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
            if not head:
                head = cells
                continue
            place = f"{name_of(path)}, {section}: {cells[0]}"
            assert len(cells) == len(head), f"{place}: {len(cells)} cells under {len(head)} heads"
            yield Row(place=place, section=section, cells=dict(zip(head, cells, strict=True)))


def rows_of(name: str, *heads: str) -> list[Row]:
    """The rows of those tables of a document that have these columns."""
    return [row for row in table_rows(document(f"docs/compliance/{name}")) if set(heads) <= row.cells.keys()]


def pointers(text: str) -> list[tuple[str, str]]:
    """The tests that a text names: file and function."""
    return _POINTER.findall(text)


def names(cell: str) -> list[str]:
    """What stands in backquotes in a cell."""
    return _NAMED.findall(cell)


def is_there(name: str) -> bool:
    """Whether a file or folder of this name is in the tree, seen from its root or from the package."""
    return any((place / name).exists() for place in PLACES)


@cache
def functions_of(file: str) -> frozenset[str]:
    """The functions that a file of tests has at its top."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
