"""How a bug is planted: a saboteur replaces a few words of one function, or an entry of a table, while it is at work.

The code object is exchanged, so everybody who imported the function gets the saboteur's version.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Any

from tests.simulation.weather import Weather


@dataclass(frozen=True, kw_only=True)
class Words:
    """In this function, these words become those."""

    function: Callable[..., Any]
    old: str
    new: str

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Exchange the function's code, and put it back."""
        source = textwrap.dedent(inspect.getsource(self.function))
        assert source.count(self.old) == 1, f"{self.function.__qualname__} does not say {self.old!r} once"
        module = compile(
            f"from __future__ import annotations\n{source.replace(self.old, self.new)}", "saboteur", "exec"
        )
        name = self.function.__name__
        codes = [code for code in module.co_consts if isinstance(code, CodeType) and code.co_name == name]
        honest = self.function.__code__
        self.function.__code__ = codes[0]
        try:
            yield
        finally:
            self.function.__code__ = honest


@dataclass(frozen=True, kw_only=True)
class Entry:
    """In this table, this key leads there."""

    table: dict[Any, Any]
    key: Any
    value: Any

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Exchange the entry, or add it, and put everything back."""
        honest = dict(self.table)
        self.table[self.key] = self.value
        try:
            yield
        finally:
            self.table.clear()
            self.table.update(honest)


@dataclass(frozen=True, kw_only=True)
class Saboteur:
    """One planted bug, the promise it breaks, and the weather in which it shows soon (None: any)."""

    name: str
    promise: str
    lies: tuple[Words | Entry, ...]
    weather: Weather | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this lasts, the bug is there."""
        with ExitStack() as stack:
            for lie in self.lies:
                stack.enter_context(lie.spoken())
            yield


def words(
    name: str,
    promise: str,
    function: Callable[..., Any],
    old: str,
    new: str,
    weather: Weather | None = None,
) -> Saboteur:
    """A saboteur with a single lie: words in a function."""
    return Saboteur(name=name, promise=promise, lies=(Words(function=function, old=old, new=new),), weather=weather)
