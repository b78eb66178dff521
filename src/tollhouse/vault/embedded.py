"""The vault inside the gateway's process: what flows see as their vault, and the link as its egress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tollhouse.acquirers.message import CardUse, Request, Slot
from tollhouse.card import CVV, PAN, CardDetails, KeptCard
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.cvv import SWEEP_AFTER_SECONDS, IsLive, SealedCvvs
from tollhouse.vault.egress import CardEgress, Filled
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.slots import SlotFolder
from tollhouse.vault.store import CardStore

CVV_FOLDER = "cvv-keys"
CONNECTIONS_MAX = 2  # one for writing, one for reading: each writes or reads in groups


class EmbeddedVault:
    """Keeps cards in Postgres under keys of a `KeySet`. Open it with `open`."""

    def __init__(
        self, *, cards: CardStore, slots: SlotFolder, own_pool: asyncpg.Pool | None, own_keys: KeySet | None
    ) -> None:
        self._cards = cards
        self._own_keys = own_keys
        self._slots = slots
        self._own_pool = own_pool
        self._cvvs = SealedCvvs(slots)
        self._egress = CardEgress(cards, self._cvvs)

    @classmethod
    async def open(
        cls,
        database: asyncpg.Pool | str,
        home: Path,
        node: str,
        *,
        keys: KeySet | None = None,
        audit: AuditLog | None = None,
    ) -> EmbeddedVault:
        """A vault on a pool, or on a pool of its own to this address; without keys it takes those in files of the home.

        Every card that is revealed stands in `audit` first.

        Raises `KeysRefused` with one clear line.
        """
        own_pool = None
        if isinstance(database, str):
            own_pool = await asyncpg.create_pool(
                database, min_size=1, max_size=CONNECTIONS_MAX, server_settings={"synchronous_commit": "on"}
            )
        pool = database if own_pool is None else own_pool
        try:
            used = keys or await KeySet.of_home(pool, home)
            cards = CardStore(used, audit)
            slots = SlotFolder.open(home / CVV_FOLDER, node)
        except BaseException:
            if own_pool is not None:
                await own_pool.close()
            raise
        own_keys = used if keys is None else None
        return cls(cards=cards, slots=slots, own_pool=own_pool, own_keys=own_keys)

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Take a card over; sealed and durable on return. The CVV is not kept: see `seal_cvv`.

        Raises `StoreUnreachable` when whoever keeps the keys does not answer, or refuses.
        """
        try:
            return await self._cards.keep(project, card)
        except (KeysRefused, KeysUnreachable) as problem:
            raise StoreUnreachable(str(problem)) from None

    async def find_same(self, project: str, pan: PAN) -> list[str]:
        """Tokens under which the project has this card, oldest first."""
        return await self._cards.find_same(project, pan)

    async def seal_cvv(self, project: str, cvv: CVV) -> str:
        """Opaque text for a row of the gateway; its key is durable on return and is nowhere but in the slot file."""
        return await self._cvvs.seal(project, cvv)

    async def erase_cvv(self, sealed: str) -> None:
        """Make the text noise for ever: on cancel, on timeout. Durable on return; twice is no error."""
        await self._cvvs.erase(sealed)

    async def sweep_cvvs(self, is_live: IsLive, *, older_than_seconds: float = SWEEP_AFTER_SECONDS) -> int:
        """Erase the keys of CVVs that no row names any more; see `SealedCvvs.sweep`."""
        return await self._cvvs.sweep(is_live, older_than_seconds=older_than_seconds)

    async def fill(self, request: Request) -> dict[str, str]:
        """All fields of the request with its card slots filled. Raises `NotSent`, never with card data in it."""
        return await self._egress.fill(request)

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Filled:
        """The values of these slots alone, by their names. Raises `NotSent`, never with card data in it."""
        return await self._egress.fill_text(card, slots)

    async def left(self, request: Request) -> None:
        """The bytes of the request were written: its CVV dies here."""
        await self._egress.left(request)

    async def close(self) -> None:
        """Finish what was asked for, and let go of files and connections."""
        await self._cards.close()
        await self._slots.close()
        if self._own_keys is not None:
            await self._own_keys.close()
        if self._own_pool is not None:
            await self._own_pool.close()
