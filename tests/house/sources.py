"""The files of the project as the house checks read them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "tollhouse"
TESTS = ROOT / "tests"
DOCS = ROOT / "docs"
PURE_FOLDERS = ("acquirers", "flows", "threeds")
PASSED_OVER = frozenset(
    {".git", ".venv", ".tollhouse", "__pycache__", "node_modules", "dist", ".hypothesis", ".import_linter_cache"}
)
RATCHET: dict[str, Any] = json.loads((Path(__file__).parent / "ratchet.json").read_text())

Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path) -> str:
    """The path as people write it, from the root of the project."""
    return path.relative_to(ROOT).as_posix()


@cache
def python_files(folder: Path) -> tuple[Path, ...]:
    """Every Python file of a folder, in order."""
    return tuple(sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts))


@cache
def text_files() -> dict[Path, str]:
    """Every text file of the project that somebody wrote."""
    found: dict[Path, str] = {}
    waiting = [ROOT]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path.name not in PASSED_OVER and not path.name.endswith(("_cache", ".egg-info")):
                    waiting.append(path)
                continue
            try:
                found[path] = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue
    return found


@cache
def pure_files() -> tuple[Path, ...]:
    """The ground floor, the acquirers and the flows."""
    return (*ground_floor(), *(path for folder in PURE_FOLDERS for path in python_files(SRC / folder)))


@cache
def ground_floor() -> tuple[Path, ...]:
    """The files at the root of the package."""
    return tuple(path for path in sorted(SRC.glob("*.py")) if path.name != "__init__.py")


@cache
def parse(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Every function and method of a file with its name inside the file, nested ones too."""
    yield from _functions(parse(path), "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        inner = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
        yield from _functions(child, inner)


@cache
def given_names(path: Path) -> tuple[tuple[int, str], ...]:
    """Every name the file itself gives, with its line: not those it takes from a library."""
    found = []
    for node in ast.walk(parse(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.append((node.lineno, name))
            case ast.arg(arg=name, lineno=line) | ast.alias(asname=str(name), lineno=line):
                found.append((line, name))
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.append((node.lineno, name))
    return tuple(found)


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every text in the code, without docstrings and other texts that stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node


def expect_none(found: list[str]) -> None:
    """Fails with one line for each thing found."""
    assert not found, "\n".join(["", *found])
