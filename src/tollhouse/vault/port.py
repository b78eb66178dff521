"""What a node of the gateway needs of the vault, wherever the vault runs: inside the node, or as a process of its own.

Flows and links see parts of it (`ports.Vault`, `net.tcp.Egress`, `net.directory.Egress`). One contract suite runs over
all who implement it: tests/contracts/test_vault.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from tollhouse.acquirers.message import CardUse, Request, Slot
from tollhouse.audit import Act
from tollhouse.card import CVV, CardDetails, KeptCard
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.cvv import IsLive

SETTLE_SECONDS = 60.0
ERASED_AT_ONCE_MAX = 2000


class VaultAway(StoreUnreachable):
    """The vault's process was not reached, or went away before it answered."""


class KeptRow(NamedTuple):
    """A card of the vault, by its name."""

    project: str
    token: str
    created_at: datetime


class CardRows(Protocol):
    """The vault's cards as a purge sees them: by name only. Raises `StoreUnreachable`."""

    async def next_cards(self, after: tuple[str, str], project: str | None) -> list[KeptRow]:
        """The next page of all cards, or of a project's; those that come meanwhile may be left out."""
        ...

    async def shred(self, cards: Sequence[tuple[str, str]], why: str) -> int:
        """Erase these, all or none, and durable on return; how many there were. Twice is no error."""
        ...


class NodeVault(CardRows, Protocol):
    """Cards, security codes and secrets of projects. What raises says so in `ports.Vault` and in the links' egress."""

    @property
    def idempotency_secret(self) -> bytes:
        """What a node keys the digests with that it keeps of merchants' bodies. The only key that nodes are given."""
        ...

    async def check(self) -> None:
        """Returns when cards can be kept and opened now. Raises `StoreUnreachable`."""

    async def keep(self, project: str, card: CardDetails) -> KeptCard: ...
    async def seal_cvv(self, project: str, cvv: CVV) -> str: ...
    async def erase_cvv(self, sealed: str) -> None: ...

    async def old_cvv_slots(self, after: str) -> list[str]:
        """The next page of filled slots that are too old to belong to a row still to be committed."""
        ...

    async def erase_cvv_slots(self, names: Sequence[str]) -> None:
        """Erase these: no row names them. What came into a slot later is not touched, a name has the slot's id."""

    async def fill(self, request: Request) -> dict[str, str]: ...
    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]: ...
    async def left(self, request: Request) -> None: ...

    async def open_secrets(self, project: str, sealed: bytes) -> bytes:
        """What a project keeps secret. Raises `CannotOpen`, `StoreUnreachable`."""
        ...

    async def close(self) -> None:
        """Finish what was asked for."""


class NodeAudit(Protocol):
    """The audit log as a node writes into it: entries of its own, never those about cards."""

    async def write(self, act: Act) -> None:
        """Durable on return."""

    def note(self, act: Act) -> None:
        """Soon."""

    def deny(self, act: Act) -> None:
        """Soon, counted."""


class Recorder(Protocol):
    """The audit log as the vault itself writes into it."""

    async def write(self, act: Act) -> None:
        """Durable on return."""

    def begin(self, act: Act) -> asyncio.Future[None]:
        """The same for whoever has something else to do before it waits for the entry."""
        ...

    def note(self, act: Act) -> None:
        """With the next entries."""


async def sweep_cvvs(vault: NodeVault, is_live: IsLive, *, settle_seconds: float = SETTLE_SECONDS) -> int:
    """Erase the keys of CVVs that no row names any more; how many they were.

    The vault names slots that are old, the node alone sees its rows and says which live. A row is committed within
    seconds after its slot was written. But while a message is on its way no row names its code, and one that could not
    be sent gets it back, for half a minute at most: so a code is dead that no row names at two looks, longer apart.
    """
    dead = await _dead(vault, is_live)
    if not dead:
        return 0
    await asyncio.sleep(settle_seconds)
    still = sorted(dead & await _dead(vault, is_live))
    for begin in range(0, len(still), ERASED_AT_ONCE_MAX):
        await vault.erase_cvv_slots(still[begin : begin + ERASED_AT_ONCE_MAX])
    return len(still)


async def _dead(vault: NodeVault, is_live: IsLive) -> set[str]:
    dead, after = set[str](), ""
    while page := await vault.old_cvv_slots(after):
        after = page[-1]
        dead |= set(page) - set(await is_live(page))
    return dead
