"""Anchors of the audit log that are kept in files: `--anchors` of commands that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollhouse.cli.failure import Failure

if TYPE_CHECKING:
    from tollhouse.audit import Anchor

F = TypeVar("F", bound=Callable[..., Any])


def with_anchors(help: str) -> Callable[[F], F]:
    """The option `--anchors` as `anchor_files`."""
    return click.option(
        "--anchors",
        "anchor_files",
        type=click.Path(dir_okay=False, path_type=Path),
        multiple=True,
        help=f"{help} May be given several times.",
    )


def load_anchors(files: Sequence[Path], key: Ed25519PublicKey) -> tuple[list[Anchor], list[str]]:
    """The anchors in lines of these files, such as logs, and which lines are forged or cut.

    Raises `Failure` when a file cannot be read, or there is no anchor in one.
    """
    from tollhouse.audit import ANCHOR_MARK, read_anchor

    anchors, forged = list["Anchor"](), list[str]()
    for path in files:
        before = len(anchors) + len(forged)
        for place, line in _lines_of(path):
            try:
                anchor = read_anchor(line, key=key)
            except ValueError as problem:
                forged.append(f"{place}: an anchor is forged: {problem}")
                continue
            if anchor is not None:
                anchors.append(anchor)
            elif ANCHOR_MARK in line:
                forged.append(f"{place}: an anchor is not whole")
        if len(anchors) + len(forged) == before:
            raise Failure(f"--anchors {path}: has no line with an anchor; see `tollhouse audit anchor`")
    return anchors, forged


def _lines_of(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                yield f"{path}, line {number}", line
    except OSError as problem:
        raise Failure(f"--anchors {path}: {problem.strerror}; give a file with lines of `audit anchor`") from None
