"""The documents of this tree: their fenced blocks, headings, tables and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = frozenset({"sh", "console", "python", "sql", "json", "mermaid", "text", ""})

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z0-9]*)$")
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block. `line` is that of its first line of text."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Every document, by name."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def document(name: str) -> Path:
    """The document of this name, which must be there."""
    path = ROOT / name
    assert path.is_file(), f"{name} is missing"
    return path


def name_of(path: Path) -> str:
    """The document's name as people say it."""
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a document in order: all, or those of these languages."""
    found: list[Block] = []
    fence, start, lines = None, 0, list[str]()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if fence is not None and line.strip() == "```":
            found.append(Block(document=path, line=start, language=fence, text="\n".join(lines)))
            fence = None
        elif fence is not None:
            lines.append(line)
        elif opened := _FENCE.match(line):
            fence, start, lines = opened["language"], number + 1, []
    assert fence is None, f"{name_of(path)}:{start}: the block is not closed"
    return [block for block in found if not languages or block.language in languages]


def prose(path: Path) -> str:
    """The document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def sections(path: Path) -> dict[str, str]:
    """The text under each heading, down to the next heading of the same level or a higher one."""
    found: dict[str, str] = {}
    open_headings: list[tuple[int, str]] = []
    is_fenced = False
    for line in path.read_text().splitlines():
        is_fenced ^= line.startswith("```")
        heading = None if is_fenced else _HEADING.match(line)
        if heading:
            level = len(heading[1])
            open_headings = [(other, title) for other, title in open_headings if other < level]
            open_headings.append((level, heading[2]))
            found.setdefault(heading[2], "")
            continue
        for _, title in open_headings:
            found[title] += line + "\n"
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table in a text, without the lines under the heads."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line)
    ]


def plain(cell: str) -> str:
    """The text of a cell without its marks."""
    return cell.replace("`", "").replace("**", "")


def links(path: Path) -> list[str]:
    """Where the links of a document lead."""
    return _LINK.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """What may stand behind a `#` in a link to the document."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in (match[2] for match in map(_HEADING.match, prose(path).splitlines()) if match)
    }
