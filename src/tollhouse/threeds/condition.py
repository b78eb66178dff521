"""When a field is needed: a sentence for people and a decision over the members of a message, from one description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.threeds.message import Members


@dataclass(frozen=True, slots=True)
class Condition(ABC):
    """Something that may be so in a message. Members that are not known leave it open: None."""

    @abstractmethod
    def settled(self, known: Members) -> bool | None:
        """True or False as far as these members decide it, None where they do not."""

    def met(self, members: Members) -> bool:
        """Whether it is so in a whole message."""
        return self.settled(members) is True

    @property
    @abstractmethod
    def text(self) -> str:
        """For people."""

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)


@dataclass(frozen=True, slots=True)
class Fixed(Condition):
    """So always, or never."""

    value: bool

    def settled(self, known: Members) -> bool | None:
        """What it is, whatever is known."""
        return self.value

    @property
    def text(self) -> str:
        """For people."""
        return "always" if self.value else "never"


@dataclass(frozen=True, slots=True)
class Is(Condition):
    """A member (dotted where it lies in another) has one of some values; a list counts when it holds one of them."""

    name: str
    values: tuple[str | bool, ...]

    def settled(self, known: Members) -> bool | None:
        """Decided once the member is known."""
        value: Any = known
        for part in self.name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return any(item in self.values for item in (value if isinstance(value, list) else (value,)))

    @property
    def text(self) -> str:
        """For people."""
        return f"`{self.name}` is {' or '.join(_shown(value) for value in self.values)}"


@dataclass(frozen=True, slots=True)
class Given(Condition):
    """A member is there."""

    name: str

    def settled(self, known: Members) -> bool | None:
        """Decided once the member is known."""
        return True if self.name in known else None

    @property
    def text(self) -> str:
        """For people."""
        return f"`{self.name}` is given"


@dataclass(frozen=True, slots=True)
class Both(Condition):
    """Two things at once."""

    one: Condition
    other: Condition

    def settled(self, known: Members) -> bool | None:
        """No as soon as one is no; yes when both are."""
        found = (self.one.settled(known), self.other.settled(known))
        return False if False in found else None if None in found else True

    @property
    def text(self) -> str:
        """For people."""
        return " and ".join(f"({part.text})" if isinstance(part, Either) else part.text for part in self._parts)

    @property
    def _parts(self) -> tuple[Condition, Condition]:
        return self.one, self.other


@dataclass(frozen=True, slots=True)
class Either(Condition):
    """At least one of two things."""

    one: Condition
    other: Condition

    def settled(self, known: Members) -> bool | None:
        """Yes as soon as one is yes; no when both are no."""
        found = (self.one.settled(known), self.other.settled(known))
        return True if True in found else None if None in found else False

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.one.text}, or {self.other.text}"


def one_of(name: str, *values: str | bool) -> Condition:
    """The member has one of these values."""
    return Is(name, values)


def given(name: str) -> Condition:
    """The member is there."""
    return Given(name)


def _shown(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


ALWAYS: Condition = Fixed(True)
NEVER: Condition = Fixed(False)
BROWSER = one_of("deviceChannel", "02")
REQUESTOR = one_of("deviceChannel", "03")
PAYMENT = one_of("messageCategory", "01")
