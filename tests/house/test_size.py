"""Sizes: a file that grows too long hides a noun, a function a verb.

`ratchet.json` holds today's exceptions. They may only shrink: lower a number as soon as it is too high, and remove an
entry as soon as it fits. Never raise one.
"""

from __future__ import annotations

from tests.house.sources import RATCHET, ROOT, SRC, TESTS, expect_none, functions, python_files, shown

FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 60
FILES = (*python_files(SRC), *python_files(TESTS), *python_files(ROOT / "bench"))


def _judge(sizes: dict[str, int], limit: int, excused: dict[str, int], cure: str) -> list[str]:
    long = {name: size for name, size in sizes.items() if size > limit}
    found = [
        f"{name}: {size} lines, {excused.get(name, limit)} at most: {cure}"
        for name, size in long.items()
        if size > excused.get(name, limit)
    ]
    found += [
        f"ratchet.json: {name} is {sizes.get(name, 0)} lines now: " + ("lower it" if name in long else "remove it")
        for name, size in excused.items()
        if long.get(name, 0) < size
    ]
    return found


def test_files_are_short() -> None:
    """No Python file has more than 400 lines."""
    sizes = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    expect_none(_judge(sizes, FILE_LINES_MAX, RATCHET["file_lines"], "which noun is missing? split by it"))


def test_functions_are_short() -> None:
    """No function has more than 60 lines."""
    sizes = {
        f"{shown(path)}::{name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in FILES
        for name, node in functions(path)
    }
    expect_none(_judge(sizes, FUNCTION_LINES_MAX, RATCHET["function_lines"], "which verb is missing? give it a name"))
