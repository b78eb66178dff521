"""The vault itself: what flows see as their vault, and the link as its egress.

It runs inside the gateway's process, or behind a `VaultServer` in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

from tollhouse.acquirers.message import CardUse, Request, Slot
from tollhouse.card import CVV, PAN, CardDetails, KeptCard
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.box import KEY_BYTES, CannotOpen, bind
from tollhouse.vault.cvv import SWEEP_AFTER_SECONDS, SealedCvvs
from tollhouse.vault.egress import CardEgress, Filled
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.port import KeptRow, Recorder
from tollhouse.vault.secrets import ProjectSecrets
from tollhouse.vault.shredding import Shredder
from tollhouse.vault.slots import SlotFolder
from tollhouse.vault.store import CardStore

CVV_FOLDER = "cvv-keys"
SLOTS_PAGE = 2000
CHECKED = bind("tollhouse check")
CONNECTIONS_MAX = 2  # one for writing, one for reading: each writes or reads in groups
# The database is away for a reason that passes.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class EmbeddedVault:
    """Keeps cards in Postgres under keys of a `KeySet`. Open it with `open`."""

    def __init__(
        self,
        *,
        keys: KeySet,
        cards: CardStore,
        shredder: Shredder,
        slots: SlotFolder,
        own_pool: asyncpg.Pool | None,
        owns_keys: bool,
        sweep_after_seconds: float,
    ) -> None:
        self._cards = cards
        self._shredder = shredder
        self._keys = keys
        self._owns_keys = owns_keys
        self._slots = slots
        self._own_pool = own_pool
        self._sweep_after_seconds = sweep_after_seconds
        self._secrets = ProjectSecrets(keys.ring)
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
        audit: Recorder | None = None,
        sweep_after_seconds: float = SWEEP_AFTER_SECONDS,
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
        return cls(
            keys=used,
            cards=cards,
            shredder=Shredder(used.pool, audit),
            slots=slots,
            own_pool=own_pool,
            owns_keys=keys is None,
            sweep_after_seconds=sweep_after_seconds,
        )

    @property
    def idempotency_secret(self) -> bytes:
        """What a node keys the digests with that it keeps of merchants' bodies."""
        return self._keys.idempotency_secret

    async def check(self) -> None:
        """Returns when the database answers, whoever keeps the keys seals and opens, and codes can be kept.

        Raises `StoreUnreachable`.
        """
        try:
            await self._keys.pool.fetchval("select true")
            wrapped = await self._keys.ring.wrap(bytes(KEY_BYTES), CHECKED)
            await self._keys.ring.unwrap(wrapped, CHECKED)
        except (KeysRefused, KeysUnreachable, CannotOpen) as problem:
            raise StoreUnreachable(str(problem)) from None
        except LOST as lost:
            raise StoreUnreachable(f"the vault's database does not answer: {type(lost).__name__}") from lost
        try:
            await self._cvvs.check()
        except OSError as problem:
            raise StoreUnreachable(self._unkept(problem)) from None

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Take a card over; sealed and durable on return. The CVV is not kept: see `seal_cvv`.

        Raises `StoreUnreachable` when the database or whoever keeps the keys does not answer, or refuses.
        """
        try:
            return await self._cards.keep(project, card)
        except (KeysRefused, KeysUnreachable) as problem:
            raise StoreUnreachable(str(problem)) from None
        except LOST as lost:
            raise StoreUnreachable(f"the vault's database does not answer: {type(lost).__name__}") from lost

    async def find_same(self, project: str, pan: PAN) -> list[str]:
        """Tokens under which the project has this card, oldest first."""
        return await self._cards.find_same(project, pan)

    async def seal_cvv(self, project: str, cvv: CVV) -> str:
        """Opaque text for a row of the gateway; its key is durable on return and is nowhere but in the slot file.

        Raises `StoreUnreachable` when the disk does not take it.
        """
        try:
            return await self._cvvs.seal(project, cvv)
        except OSError as problem:
            raise StoreUnreachable(self._unkept(problem)) from None

    def _unkept(self, problem: OSError) -> str:
        return f"the keys of security codes cannot be written to {self._slots.folder}: {problem.strerror}"

    async def erase_cvv(self, sealed: str) -> None:
        """Make the text noise for ever: on cancel, on timeout. Durable on return; twice is no error."""
        await self._cvvs.erase(sealed)

    async def old_cvv_slots(self, after: str) -> list[str]:
        """The next page of slots that are too old to belong to a row still to be committed."""
        old = await self._cvvs.old_slots(older_than_seconds=self._sweep_after_seconds)
        return [name for name in old if name > after][:SLOTS_PAGE]

    async def erase_cvv_slots(self, names: Sequence[str]) -> None:
        """Erase these; what came into a slot later is not touched."""
        await self._cvvs.erase_slots(names)

    async def next_cards(self, after: tuple[str, str], project: str | None) -> list[KeptRow]:
        """The next page of all cards by name. Raises `StoreUnreachable`."""
        try:
            return await self._shredder.next_cards(after, project)
        except LOST as lost:
            raise StoreUnreachable(f"the vault's database does not answer: {type(lost).__name__}") from lost

    async def shred(self, cards: Sequence[tuple[str, str]], why: str) -> int:
        """Erase these, all or none; how many there were. Raises `StoreUnreachable`."""
        try:
            return await self._shredder.shred(cards, why)
        except LOST as lost:
            raise StoreUnreachable(f"the vault's database does not answer: {type(lost).__name__}") from lost

    async def open_secrets(self, project: str, sealed: bytes) -> bytes:
        """What a project keeps secret. Raises `CannotOpen`, `StoreUnreachable`."""
        try:
            return await self._secrets.unseal(project, sealed)
        except (KeysRefused, KeysUnreachable) as problem:
            raise StoreUnreachable(str(problem)) from None

    async def seal_secrets(self, project: str, plain: bytes) -> bytes:
        """The same for a row. Raises `StoreUnreachable`."""
        try:
            return await self._secrets.seal(project, plain)
        except (KeysRefused, KeysUnreachable) as problem:
            raise StoreUnreachable(str(problem)) from None

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
        if self._owns_keys:
            await self._keys.close()
        if self._own_pool is not None:
            await self._own_pool.close()
