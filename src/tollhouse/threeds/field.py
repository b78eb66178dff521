"""A field of a message: its name, its form, when it is needed. And the walk of a table over what was received."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.condition import ALWAYS, NEVER, Condition
from tollhouse.threeds.message import Members


@dataclass(slots=True)
class Faults:
    """What a walk found, in the order found: names of fields, dotted where nested."""

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def miss(self, name: str) -> None:
        """Note a required field that is not there or empty."""
        if name not in self.missing:
            self.missing.append(name)

    def blame(self, name: str) -> None:
        """Note a field whose format, length or value is wrong."""
        if name not in self.wrong:
            self.wrong.append(name)


@dataclass(frozen=True, slots=True)
class Format(ABC):
    """The form of a field's value."""

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Whether the value has this form."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The form, for people."""

    def examine(self, value: Any, name: str, faults: Faults) -> None:
        """Note what is wrong with a value that is there."""
        if not self.fits(value):
            faults.blame(name)

    def known(self, value: Any) -> Any:
        """The value without members that this form does not know."""
        return value

    def at(self, version: str) -> Format:
        """This form in one version."""
        return self


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table."""

    name: str
    format: Format
    needed: Condition = NEVER
    only: Condition = ALWAYS  # where it has a place at all; elsewhere it is an unknown extra member
    versions: tuple[str, ...] = VERSIONS
    note: str = ""

    def at(self, version: str) -> Field:
        """This row in one version."""
        return replace(self, format=self.format.at(version))


Table = tuple[Field, ...]


def at(version: str, fields: Iterable[Field]) -> Table:
    """The rows that one version has."""
    return tuple(row.at(version) for row in fields if version in row.versions)


def examine(table: Table, members: Members, faults: Faults, *, path: str = "", blank: Collection[str] = ()) -> None:
    """Note all that is missing or wrong in these members."""
    seen = {**dict.fromkeys(blank, ""), **members}
    for row in placed(table, seen):
        if row.name in blank:
            continue
        name = path + row.name
        empty = is_empty(members.get(row.name))
        if empty and row.needed.met(seen):
            faults.miss(name)
        elif row.name in members:
            row.format.examine(members[row.name], name, faults)


def known(table: Table, members: Members) -> dict[str, Any]:
    """Of these members, those that the table has a place for; members without a value (None) are left out."""
    given = {name: value for name, value in members.items() if value is not None}
    return {row.name: row.format.known(given[row.name]) for row in placed(table, given) if row.name in given}


def placed(table: Table, members: Mapping[str, Any]) -> Iterator[Field]:
    """The rows that have a place in a message with these members."""
    return (row for row in table if row.only.met(members))


def is_empty(value: Any) -> bool:
    """Not there, null, or nothing in it."""
    return value is None or (isinstance(value, str | list | dict) and not value)
