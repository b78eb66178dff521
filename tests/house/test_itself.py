"""The project speaks of itself: no machine, no workshop, nothing left open."""

from __future__ import annotations

import ast
import hashlib
import re

from tests.house.sources import SRC, TESTS, expect_none, parse, python_files, shown, text_files

# Brackets around a letter keep a pattern from finding itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~*-])/(work|farm|root|Users|home/[a-z]+)/")
REGISTRIES = re.compile(r"[p]ypi\.org|[p]ythonhosted\.|[n]pmjs\.|[y]arnpkg\.|deb\.[d]ebian\.org", re.IGNORECASE)
WORKSHOP = re.compile(r"[l]anguage model|[c]o-authored-by|[p]air-programmed", re.IGNORECASE)
LEFT_OPEN = re.compile(r"\b([T]ODO|[F]IXME|[N]otImplementedError)\b")
# Words that have no place here, as the first digits of their SHA-256, so that this list does not hold them.
UNSPOKEN = frozenset(
    {
        "386ebc0efd04",
        "3ea125d0bff3",
        "57de4cf40144",
        "60965168ce76",
        "7d3194f79e64",
        "94a168d2da57",
        "c247e9808f5e",
        "c70eca6b0f88",
        "c857d09db23e",
        "d298391b0743",
    }
)


def _found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path, text in text_files().items()
        for match in pattern.finditer(text)
    ]


def test_no_path_of_a_machine() -> None:
    """No file knows where it lay when it was written."""
    expect_none(_found(MACHINE_PATHS))


def test_no_registry() -> None:
    """Where packages come from is the business of whoever installs."""
    expect_none(_found(REGISTRIES))


def test_nothing_about_the_workshop() -> None:
    """Files say what the product is, not how it came about."""
    expect_none(_found(WORKSHOP))
    hashed = {
        word: hashlib.sha256(word.encode()).hexdigest()[:12]
        for text in text_files().values()
        for word in set(re.findall(r"[a-z]{5,}", text.lower()))
    }
    spoken = [word for word, digits in hashed.items() if digits in UNSPOKEN]
    expect_none([f"{shown(path)}: {w}" for path, text in text_files().items() for w in spoken if w in text.lower()])


def test_nothing_left_open() -> None:
    """What is not done stands in an issue, not in a file."""
    expect_none(_found(LEFT_OPEN))


def test_nothing_swallowed() -> None:
    """No error is caught and dropped: neither by `pass` alone nor by suppressing everything."""
    found = []
    for path in (*python_files(SRC), *python_files(TESTS)):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ExceptHandler):
                is_bare = node.type is None
                is_empty = all(isinstance(line, ast.Pass) for line in node.body)
                if is_bare or is_empty:
                    found.append(f"{shown(path)}:{node.lineno}: except without a consequence")
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                named = {ast.unparse(argument) for argument in node.args}
                if named & {"Exception", "BaseException"}:
                    found.append(f"{shown(path)}:{node.lineno}: suppresses everything; name what it expects")
    expect_none(found)
