"""SQL: in the store and the vault only, each query described and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.sources import SRC, expect_none, parse, python_files, shown, text_files, texts

PLACES = ("src/tollhouse/store/", "src/tollhouse/vault/")
SQL = re.compile(
    r"\s*(select\s+(\w+[,.(\s]|\*)|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s|truncate\s+\w|"
    r"(create|alter|drop)\s+(table|index|function|database|role|schema|type|view|extension)\s|"
    r"with\s+\w+\s+as\s*\(|listen\s+\w+$|notify\s+\w+$|set\s+(local|session)\s|grant\s+\w+\s+(on|to)\s)",
    re.IGNORECASE,
)
QUERY_FILES = sorted((SRC / "store" / "queries").glob("*.sql"))


def test_sql_stays_in_its_place() -> None:
    """No other Python file holds a statement, and no other folder an .sql file."""
    found = [
        f"{shown(path)}:{text.lineno}: SQL belongs into store/queries or into the vault"
        for path in python_files(SRC)
        if not shown(path).startswith(PLACES)
        for text in texts(parse(path))
        if SQL.match(str(text.value))
    ]
    found += [shown(path) for path in text_files() if path.suffix == ".sql" and not shown(path).startswith(PLACES)]
    expect_none(found)


@pytest.mark.parametrize("path", QUERY_FILES, ids=shown)
def test_queries_are_described_and_used(path: Path) -> None:
    """Each query has a name and one line on what it does, and somebody runs it."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^-- name: (\w+)\n-- (.+)\n", text, re.MULTILINE)
    names = re.findall(r"^-- name: *(\S*)", text, re.MULTILINE)
    assert [name for name, _ in blocks] == names
    assert all(what.endswith(".") for _, what in blocks)
    code = "\n".join(file.read_text(encoding="utf-8") for file in python_files(SRC))
    expect_none([f"{name} is run by nobody" for name in names if f'"{name}"' not in code])


def test_migrations_say_why() -> None:
    """Migrations are numbered without a gap and begin with the reason."""
    files = sorted((SRC / "store" / "migrations").glob("*.sql"))
    assert [path.name[:4] for path in files] == [f"{number:04d}" for number in range(1, len(files) + 1)]
    expect_none([shown(path) for path in files if not path.read_text(encoding="utf-8").startswith("-- ")])
