"""The scripts and styles of an HTML page, as a browser would find them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

# Data for a script to read; a browser does not run it.
_DATA_TYPES = frozenset({"application/json", "text/plain"})
_EMBEDDING = frozenset({"iframe", "frame", "embed", "object", "base", "portal", "fencedframe"})


@dataclass(slots=True)
class Tag:
    """A script or style of a page: outside of it, with `address`, or in it, with `text`."""

    address: str | None = None
    integrity: str | None = None
    text: str = ""


@dataclass(slots=True)
class Markup:
    """What of a page could run, change its look, or embed something else."""

    scripts: list[Tag] = field(default_factory=list)
    styles: list[Tag] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # handlers, addresses that are scripts, embedded documents


def read_markup(page: bytes) -> Markup:
    """Read a page."""
    reader = _Reader()
    reader.feed(page.decode("utf-8", "replace"))
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Markup()
        self._open: Tag | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name.lower(): value or "" for name, value in attrs}
        self._look(tag, given)
        if tag == "script" and given.get("type", "").lower() not in _DATA_TYPES:
            address = given.get("src", given.get("href")) if {"src", "href"} & set(given) else None
            self._open = Tag(address=address, integrity=given.get("integrity"))
            self.found.scripts.append(self._open)
        elif tag == "style":
            self._open = Tag()
            self.found.styles.append(self._open)
        elif tag == "link":
            relations = given.get("rel", "").lower().split()
            if "stylesheet" in relations:
                self.found.styles.append(Tag(address=given.get("href", ""), integrity=given.get("integrity")))
            elif not ("icon" in relations and given.get("href", "").startswith("data:")):
                self.found.others.append(f"<link rel={given.get('rel', '')}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("script", "style"):  # which HTML, other than XML, does not end so
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.text += data

    def _look(self, tag: str, given: dict[str, str]) -> None:
        for name, value in given.items():
            if name.startswith("on"):
                self.found.others.append(f"<{tag} {name}>")
            if "".join(value.split()).lower().startswith("javascript:"):
                self.found.others.append(f"<{tag} {name}=javascript:>")
        if tag in _EMBEDDING:
            self.found.others.append(f"<{tag}>")
