"""The keys of one process, followed as they change: the ring, the fingerprint keys, the idempotency key.

Fingerprint and idempotency keys must be at hand, so no keyholder can use them for us. With keys in files each lies in
a file of its own. Else they lie in the registry, sealed under the key-encryption key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tollhouse.vault.audit_log import signing_key
from tollhouse.vault.box import CannotOpen, bind, new_key
from tollhouse.vault.card_ids import CardIds
from tollhouse.vault.fingerprints import Fingerprints
from tollhouse.vault.key_file import FileKeys, add_version, open_key_file, refuse_lost, remove_version
from tollhouse.vault.keys import (
    AUDIT,
    CARD_ID,
    FINGERPRINT,
    IDEMPOTENCY,
    KEK,
    Keyholder,
    KeysRefused,
    KeysUnreachable,
    Wrapped,
    digest_of,
)
from tollhouse.vault.registry import (
    KeyRow,
    Rows,
    alone,
    current_of,
    insert_row,
    load_rows,
    next_version,
    of_purpose,
    require_never,
)
from tollhouse.vault.ring import KeyRing

KEYS_FOLDER = "keys"
LOOK_SECONDS = 1.0
UNREADABLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Tell = Callable[[str], None]


class KeySet:
    """All keys of the vault as this process may use them. Open it with `open`, close it after everything else."""

    def __init__(self, pool: asyncpg.Pool, ring: KeyRing, secrets: SecretKeys) -> None:
        self.pool = pool
        self.ring = ring
        self.secrets = secrets
        self.fingerprints = Fingerprints({}, 0)
        self.card_ids: CardIds | None = None
        self.idempotency_secret = b""
        self.audit_key: Ed25519PrivateKey | None = None
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, pool: asyncpg.Pool, holder: Keyholder, home: Path, *, others: Sequence[Keyholder] = ()
    ) -> KeySet:
        """With the keys of this database, made at the very first start; `others` have versions from before a move.

        Raises `KeysRefused`, `KeysUnreachable`.
        """
        ring = await KeyRing.open(pool, holder, others)
        keys = cls(pool, ring, SecretKeys(ring, home / KEYS_FOLDER))
        for purpose in (FINGERPRINT, IDEMPOTENCY, AUDIT, CARD_ID):
            await keys.secrets.found(pool, purpose)
        rows = await load_rows(pool)
        await keys.refresh(rows)
        keys.idempotency_secret = await keys.secrets.load_current(rows, IDEMPOTENCY)
        keys.card_ids = CardIds(await keys.secrets.load_current(rows, CARD_ID))
        keys.audit_key = signing_key(await keys.secrets.load_current(rows, AUDIT))
        return keys

    @classmethod
    async def of_home(cls, pool: asyncpg.Pool, home: Path) -> KeySet:
        """With keys in files of the home. Raises `KeysRefused` when they are not those of the database."""
        is_known = bool(of_purpose(await load_rows(pool), KEK))
        return await cls.open(pool, await FileKeys.open(home / KEYS_FOLDER, is_known=is_known), home)

    async def refresh(self, rows: Rows | None = None) -> None:
        """Everything as the registry has it now. Raises `KeysRefused`, `KeysUnreachable` and the database's errors."""
        rows = rows or await load_rows(self.pool)
        await self.ring.refresh(rows)
        known = [row for row in of_purpose(rows, FINGERPRINT) if not row.is_retired]  # the key may be gone already
        if {row.version for row in known} != self.fingerprints.versions:
            current = current_of(rows, FINGERPRINT)
            assert current is not None
            self.fingerprints.change({row.version: await self.secrets.load(row) for row in known}, current.version)

    def follow(self, tell: Tell) -> None:
        """Look into the registry every second from now on; `tell` hears what does not go well, once."""
        self._following = asyncio.create_task(self._follow(tell))

    async def close(self) -> None:
        """Look no more and let the keyholders go."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for holder in self.ring.holders.values():
            await holder.close()

    async def _follow(self, tell: Tell) -> None:
        told = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            problem = ""
            try:
                await self.refresh()
            except (KeysRefused, KeysUnreachable, CannotOpen) as refused:
                problem = str(refused)
            except UNREADABLE as lost:
                problem = f"keys cannot be looked up: {type(lost).__name__}"
            if problem and problem != told:
                tell(problem)
            told = problem


class SecretKeys:
    """Fingerprint and idempotency keys: in files of the home, or in the registry under the key-encryption key."""

    def __init__(self, ring: KeyRing, folder: Path) -> None:
        self._ring = ring
        self._folder = folder

    async def found(self, pool: asyncpg.Pool, purpose: str) -> None:
        """Make the first version, unless there is one; of several starts one does it."""
        if current_of(await load_rows(pool), purpose) is not None:
            return
        async with alone(pool) as connection:
            rows = await load_rows(connection)
            if current_of(rows, purpose) is None:
                require_never(rows, purpose)
                await self._ring.refresh(rows)  # nothing is to be sealed under a version that ended meanwhile
                await insert_row(connection, await self.made(purpose, await next_version(connection, purpose)))

    async def made(self, purpose: str, version: int) -> KeyRow:
        """The registry's row for a new key of this purpose. Whoever calls it does so alone."""
        kind = self._ring.holder.kind
        if kind == FileKeys.kind:
            first = await asyncio.to_thread(open_key_file, self._folder, purpose)
            if version == 1:
                version = first.current  # a home that had a database before keeps its keys
            file = await asyncio.to_thread(add_version, first.path, version)
            return KeyRow(purpose=purpose, version=version, kind=kind, check_value=digest_of(file.key(version)))
        key = new_key()
        wrapped = await self._ring.wrap(key, held_place(purpose, version))
        return KeyRow(
            purpose=purpose,
            version=version,
            kind=kind,
            check_value=digest_of(key),
            held=wrapped.sealed,
            held_version=wrapped.version,
        )

    async def destroy(self, purpose: str, version: int) -> None:
        """Have no key of this version any more; the registry forgets what it holds by itself."""
        path = self._folder / f"{purpose}.json"
        if await asyncio.to_thread(path.exists):
            await asyncio.to_thread(remove_version, path, version)

    async def load_current(self, rows: Rows, purpose: str) -> bytes:
        """The key that is in use. Raises `KeysRefused` as `load` does."""
        current = current_of(rows, purpose)
        assert current is not None, "it was made before"
        return await self.load(current)

    async def load(self, row: KeyRow) -> bytes:
        """The key. Raises `KeysRefused` when it is not the one that the registry names."""
        if row.held is None:
            refuse_lost(self._folder, row.purpose)
            file = await asyncio.to_thread(open_key_file, self._folder, row.purpose)
            return file.verified(row.version, row.check_value)
        assert row.held_version is not None
        try:
            key = await self._ring.unwrap(Wrapped(row.held_version, row.held), held_place(row.purpose, row.version))
        except CannotOpen as problem:
            raise KeysRefused(f"the {row.purpose} key, version {row.version}, does not open: {problem}") from None
        if digest_of(key) != row.check_value:
            raise KeysRefused(f"the {row.purpose} key, version {row.version}, is not the one that was written down")
        return key


def held_place(purpose: str, version: int) -> bytes:
    """What a key in the registry is bound to."""
    return bind("tollhouse held key", purpose, str(version))
