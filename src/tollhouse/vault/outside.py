"""What keyholders have in common that keep the key outside of this process, and seal and open where it is.

Each use costs a way there, so what is asked for meanwhile goes together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from tollhouse.grouping import Grouped
from tollhouse.vault.box import CannotOpen, bind
from tollhouse.vault.keys import KeysRefused

# OpenBao refuses JSON of more than about a thousand texts, and an item has five. A token gains little beyond it.
GROUP_SIZE_MAX = 100
CHECK = bind("tollhouse key check")


@dataclass(frozen=True, slots=True)
class Item:
    """Bytes to seal or to open under a version, bound to their context."""

    version: int
    content: bytes = field(repr=False)
    context: bytes


class OutsideKeys(ABC):
    """A keyholder without what is its own way. `name` is told to people, `cure` says what to set when it is wrong."""

    def __init__(self, *, name: str, cure: str) -> None:
        self._name, self._cure = name, cure
        self._seals: Grouped[Item, bytes] = Grouped(self._seal_all, group_size_max=GROUP_SIZE_MAX)
        self._opens: Grouped[Item, bytes | CannotOpen] = Grouped(self._open_all, group_size_max=GROUP_SIZE_MAX)

    async def check_value(self, version: int) -> bytes:
        """A known text, sealed: only the same key opens it."""
        return await self.seal(version, CHECK, CHECK)

    async def take_up(self, version: int, check_value: bytes, held: bytes | None) -> None:
        """Have the check value opened. Raises `KeysRefused`."""
        try:
            await self.unseal(version, check_value, CHECK)
        except CannotOpen as problem:
            raise KeysRefused(
                f"{self._name}: version {version} is not the one of this database ({problem}); {self._cure}"
            ) from None

    async def seal(self, version: int, plain: bytes, context: bytes) -> bytes:
        """Seal where the key is, with others that wait."""
        return await self._seals.ask(Item(version, plain, context))

    async def unseal(self, version: int, sealed: bytes, context: bytes) -> bytes:
        """Open where the key is, with others that wait. Raises `CannotOpen`."""
        opened = await self._opens.ask(Item(version, sealed, context))
        if isinstance(opened, CannotOpen):
            raise opened
        return opened

    async def close(self) -> None:
        """Finish what was asked for."""
        await self._seals.close()
        await self._opens.close()

    @abstractmethod
    async def _seal_all(self, items: Sequence[Item]) -> list[bytes]:
        """All of them, in their order."""

    @abstractmethod
    async def _open_all(self, items: Sequence[Item]) -> list[bytes | CannotOpen]:
        """All of them, in their order; for each that does not open, why."""
