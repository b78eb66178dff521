"""The ring: all versions of the key-encryption key that rows may be wrapped under, and which of them is current."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import asyncpg

from tollhouse.vault.box import CannotOpen, bind
from tollhouse.vault.keys import KEK, Keyholder, KeysRefused, Wrapped
from tollhouse.vault.registry import (
    KeyRow,
    Rows,
    alone,
    current_of,
    insert_row,
    load_rows,
    next_version,
    of_purpose,
    refuse_other_kind,
    require_never,
)


class KeyRing:
    """The `KeyProvider` that runs: takes the versions from the registry and has their keyholders use them.

    `holder` makes new versions. `others` have those from before the keys moved to another kind of keyholder.
    """

    def __init__(
        self,
        holder: Keyholder,
        *,
        current: int,
        ready: Collection[int],
        pool: asyncpg.Pool | None = None,
        others: Sequence[Keyholder] = (),
    ) -> None:
        self.holder = holder
        self.holders = {one.kind: one for one in (holder, *others)}
        self.current = current
        self._ready = dict.fromkeys(ready, holder)
        self._pool = pool

    @classmethod
    async def open(cls, pool: asyncpg.Pool, holder: Keyholder, others: Sequence[Keyholder] = ()) -> KeyRing:
        """With every version of the registry; the first one is made when there is none. Raises `KeysRefused`."""
        rows = await load_rows(pool)
        if current_of(rows, KEK) is None:
            await _found(pool, holder)
            rows = await load_rows(pool)
        ring = cls(holder, current=0, ready=(), pool=pool, others=others)
        refuse_other_kind(rows, list(ring.holders))
        for row in of_purpose(rows, KEK):
            await ring._take_up_unless_ending(row)
        current = current_of(rows, KEK)
        assert current is not None
        ring.current = current.version
        return ring

    async def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Seal a data key under the current version. Raises `KeysUnreachable`."""
        version = self.current
        return Wrapped(version, await self.holder_of(version).seal(version, key, bind(context, str(version))))

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key. Raises `CannotOpen` for another context, version or bytes, and `KeysUnreachable`."""
        if wrapped.version not in self._ready:
            await self._look(wrapped.version)
        holder = self.holder_of(wrapped.version)
        return await holder.unseal(wrapped.version, wrapped.sealed, bind(context, str(wrapped.version)))

    def holder_of(self, version: int) -> Keyholder:
        """Who keeps this version. Raises `CannotOpen` when nobody here does."""
        if version not in self._ready:
            raise CannotOpen(f"there is no version {version} of the key-encryption key")
        return self._ready[version]

    async def refresh(self, rows: Rows) -> None:
        """Take up what is new in the registry, forget what was destroyed. Raises `KeysRefused`, `KeysUnreachable`.

        A version that this node does not have yet (a key file that was not copied) leaves the one before current.
        """
        known = of_purpose(rows, KEK)
        for version in self._ready.keys() - {row.version for row in known}:
            self._ready.pop(version).forget(version)
        try:
            for row in known:
                if row.version not in self._ready:
                    await self._take_up_unless_ending(row)
        finally:
            usable = [row.version for row in known if row.version in self._ready and not row.is_retired]
            self.current = max(usable, default=self.current)

    async def _look(self, version: int) -> None:
        rows = await load_rows(self._pool) if self._pool is not None else []
        row = next((row for row in of_purpose(rows, KEK) if row.version == version), None)
        if row is None:
            raise CannotOpen(f"there is no version {version} of the key-encryption key")
        try:
            await self._take_up(row)
        except KeysRefused as problem:
            raise CannotOpen(str(problem)) from None

    async def _take_up_unless_ending(self, row: KeyRow) -> None:
        """A retired version may be destroyed already: whoever did it died before its row went. Nothing is under it."""
        try:
            await self._take_up(row)
        except KeysRefused:
            if not row.is_retired:
                raise

    async def _take_up(self, row: KeyRow) -> None:
        refuse_other_kind([row], list(self.holders))
        holder = self.holders[row.kind]
        await holder.take_up(row.version, row.check_value, row.held)
        self._ready[row.version] = holder


async def _found(pool: asyncpg.Pool, holder: Keyholder) -> None:
    """The first version of a database: what the keyholder has already, else a new one."""
    async with alone(pool) as connection:
        rows = await load_rows(connection)
        if current_of(rows, KEK) is None:
            require_never(rows, KEK)
            version = max(await holder.latest(), await next_version(connection, KEK))
            await insert_row(connection, await made(holder, version))


async def made(holder: Keyholder, version: int) -> KeyRow:
    """The registry's row for a version that its keyholder has from now on."""
    held = await holder.make(version)
    return KeyRow(
        purpose=KEK, version=version, kind=holder.kind, check_value=await holder.check_value(version), held=held
    )
