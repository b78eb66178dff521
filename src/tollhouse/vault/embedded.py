"""The vault inside the gateway's process: what flows see as their vault, and the link as its egress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tollhouse.acquirers.message import CardUse, Request, Slot
from tollhouse.card import CVV, CardDetails, KeptCard
from tollhouse.vault.cvv import SWEEP_AFTER_SECONDS, IsLive, SealedCvvs
from tollhouse.vault.egress import CardEgress, Filled
from tollhouse.vault.keys import FINGERPRINT, KEK, FileKeys, Fingerprints, KeyFile, KeysRefused, open_key_file
from tollhouse.vault.slots import SlotFolder
from tollhouse.vault.store import CardStore

KEYS_FOLDER, CVV_FOLDER = "keys", "cvv-keys"
CONNECTIONS_MAX = 2  # one for writing, one for reading: each writes or reads in groups


class EmbeddedVault:
    """Keeps cards in Postgres and their keys in files of the home. Open it with `open`."""

    def __init__(self, *, cards: CardStore, slots: SlotFolder, own_pool: asyncpg.Pool | None) -> None:
        self._cards = cards
        self._slots = slots
        self._own_pool = own_pool
        self._cvvs = SealedCvvs(slots)
        self._egress = CardEgress(cards, self._cvvs)

    @classmethod
    async def open(cls, database: asyncpg.Pool | str, home: Path, node: str) -> EmbeddedVault:
        """A vault on a pool, or on a pool of its own to this address. Raises `KeysRefused` with one clear line."""
        own_pool = None
        if isinstance(database, str):
            own_pool = await asyncpg.create_pool(
                database, min_size=1, max_size=CONNECTIONS_MAX, server_settings={"synchronous_commit": "on"}
            )
        pool = database if own_pool is None else own_pool
        try:
            kek = await keys_of(pool, home, KEK)
            cards = CardStore(pool, FileKeys(kek), Fingerprints(await keys_of(pool, home, FINGERPRINT)))
            slots = SlotFolder.open(home / CVV_FOLDER, node)
        except BaseException:
            if own_pool is not None:
                await own_pool.close()
            raise
        return cls(cards=cards, slots=slots, own_pool=own_pool)

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Take a card over; sealed and durable on return. The CVV is not kept: see `seal_cvv`."""
        return await self._cards.keep(project, card)

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
        if self._own_pool is not None:
            await self._own_pool.close()


async def keys_of(pool: asyncpg.Pool, home: Path, purpose: str) -> KeyFile:
    """The home's keys, once it is certain that they are those of this database."""
    path = home / KEYS_FOLDER / f"{purpose}.json"
    known = await pool.fetchval("SELECT count(*) FROM vault.key WHERE purpose = $1", purpose)
    if known and not path.exists():
        raise KeysRefused(f"{path}: is missing, but this database knows its keys; restore it from a backup")
    keys = open_key_file(path.parent, purpose)
    for version, check_value in keys.check_values().items():
        await pool.execute(
            "INSERT INTO vault.key (purpose, version, check_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            purpose,
            version,
            check_value,
        )
    for row in await pool.fetch("SELECT version, check_value FROM vault.key WHERE purpose = $1", purpose):
        if keys.check_values().get(row["version"]) != row["check_value"]:
            raise KeysRefused(
                f"{path}: key version {row['version']} is not the one of this database; "
                "copy the file from the home that made the database, or use another database"
            )
    return keys
