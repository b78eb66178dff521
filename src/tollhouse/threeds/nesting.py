"""Forms made of other forms: objects, lists, and objects whose inside is nobody's business here."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from tollhouse.threeds.field import Faults, Format, Table, at, examine, known


@dataclass(frozen=True, slots=True)
class Object(Format):
    """A JSON object with a table of its own. Named in the docs by `title`."""

    title: str
    table: Table

    def fits(self, value: Any) -> bool:
        """Whether it is an object whose members fit the table."""
        faults = Faults()
        self.examine(value, self.title, faults)
        return not faults.missing and not faults.wrong

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"object {self.title}"

    def examine(self, value: Any, name: str, faults: Faults) -> None:
        """Note what is missing or wrong inside, by dotted names. Nothing in it at all is wrong, too."""
        if not isinstance(value, dict):
            faults.blame(name)
            return
        before = len(faults.missing)
        examine(self.table, value, faults, path=f"{name}.")
        if not value and len(faults.missing) == before:
            faults.blame(name)

    def known(self, value: Any) -> Any:
        """The object without members that its table does not have."""
        return known(self.table, value) if isinstance(value, dict) else value

    def at(self, version: str) -> Format:
        """The object as one version has it."""
        return replace(self, table=at(version, self.table))


@dataclass(frozen=True, slots=True)
class Array(Format):
    """A JSON list of things of one form."""

    item: Format
    most: int
    least: int = 1

    def fits(self, value: Any) -> bool:
        """Whether it is a list of as many fitting things as it may hold."""
        return self._holds(value) and all(self.item.fits(item) for item in value)

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"list of {self.least}–{self.most}: {self.item.text}"

    def examine(self, value: Any, name: str, faults: Faults) -> None:
        """Note what is missing or wrong in any of the things; they share the list's name."""
        if not self._holds(value):
            faults.blame(name)
            return
        for item in value:
            self.item.examine(item, name, faults)

    def known(self, value: Any) -> Any:
        """The list with each thing reduced to what its form knows."""
        return [self.item.known(item) for item in value] if isinstance(value, list) else value

    def at(self, version: str) -> Format:
        """The list as one version has it."""
        return replace(self, item=self.item.at(version))

    def _holds(self, value: Any) -> bool:
        return isinstance(value, list) and self.least <= len(value) <= self.most


@dataclass(frozen=True, slots=True)
class Anything(Format):
    """A JSON object that is passed on unread, limited in its length as compact JSON."""

    most: int

    def fits(self, value: Any) -> bool:
        """Whether it is an object, short enough, whose texts can be stored."""
        if not isinstance(value, dict) or not value:
            return False
        try:
            written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:  # half of a surrogate pair, or a number beyond all measure
            return False
        return len(written) <= self.most and b"\\u0000" not in written

    @property
    def text(self) -> str:
        """The form, for people."""
        return f"object of any kind, at most {self.most:,} bytes as JSON"
