"""The keyholder that is this process's memory: a joined key that custodians entered opens keys of the registry.

Each version of the key-encryption key lies in the registry, sealed under the joined key (the root). So the key can be
rotated without the custodians, and the custodians can have new parts without a rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg

from tollhouse.vault.box import Box, CannotOpen, bind, new_key
from tollhouse.vault.keys import KEK, ROOT, KeysRefused, digest_of
from tollhouse.vault.registry import (
    DESTROY,
    HOLD,
    RETIRE,
    KeyRow,
    Rows,
    alone,
    current_of,
    insert_row,
    load_rows,
    next_version,
    of_purpose,
    refuse_other_kind,
)

KIND = "components"


class JoinedKeys:
    """Keys in memory alone. Its `repr` shows none of them."""

    kind = KIND

    def __init__(self, root: bytes) -> None:
        self._root = Box(root)
        self._keys: dict[int, bytes] = {}

    async def latest(self) -> int:
        """None besides those of the registry."""
        return max(self._keys, default=0)

    async def make(self, version: int) -> bytes:
        """A new key, sealed under the root for the registry."""
        self._keys[version] = new_key()
        return self._root.seal(self._keys[version], _place(version))

    async def check_value(self, version: int) -> bytes:
        """A digest under the key."""
        return digest_of(self._keys[version])

    async def take_up(self, version: int, check_value: bytes, held: bytes | None) -> None:
        """Open what the registry has. Raises `KeysRefused`."""
        try:
            key = self._root.open(held or b"", _place(version))
        except CannotOpen:
            raise KeysRefused(
                f"key version {version} was sealed under another joined key than the one entered here;"
                " start this process again and enter the newest parts"
            ) from None
        if digest_of(key) != check_value:
            raise KeysRefused(f"key version {version} is not the one that was written down; restore the database")
        self._keys[version] = key

    async def seal(self, version: int, plain: bytes, context: bytes) -> bytes:
        """Seal under a version."""
        return Box(self._key(version)).seal(plain, context)

    async def unseal(self, version: int, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen`."""
        return Box(self._key(version)).open(sealed, context)

    async def destroy(self, version: int) -> None:
        """Forget it; the registry forgets what it holds."""
        self.forget(version)

    def forget(self, version: int) -> None:
        """Keep nothing of it."""
        self._keys.pop(version, None)

    async def close(self) -> None:
        """Forget everything."""
        self._keys.clear()

    def _key(self, version: int) -> bytes:
        if version not in self._keys:
            raise CannotOpen(f"there is no key of version {version}")
        return self._keys[version]


def root_of(rows: Rows) -> KeyRow:
    """What the registry says of the joined key. Raises `KeysRefused` when there are no components yet."""
    row = current_of(rows, ROOT)
    if row is None:
        raise KeysRefused(
            "TOLLHOUSE_VAULT_KEYS=components: this database has no components yet;"
            " make them first: `tollhouse vault key components --split 3 --to FOLDER`"
        )
    return row


async def change_root(
    pool: asyncpg.Pool,
    *,
    parts: int,
    old: bytes | None,
    keep: Callable[[bytes], None],
    kinds: Sequence[str] = (KIND,),
) -> None:
    """A new joined key, from now on the only one that opens this registry. `old` is the one before, if there was one.

    `keep` hands the new one to the custodians, before it counts. Running processes go on with the keys that they have;
    a version that is made later needs the new root, so they are to be started again before the next rotation.
    `kinds`: besides custodians, who may have keys of this database until they have moved.
    """
    root = new_key()
    keep(root)
    async with alone(pool) as connection:
        rows = await load_rows(connection)
        refuse_other_kind(rows, kinds)
        before = current_of(rows, ROOT)
        assert (before is None) == (old is None)
        version = await next_version(connection, ROOT)
        for row in [row for row in of_purpose(rows, KEK) if row.kind == KIND]:
            assert old is not None
            key = Box(old).open(row.held or b"", _place(row.version))
            await connection.execute(HOLD, KEK, row.version, Box(root).seal(key, _place(row.version)), version)
        if before is not None:
            await connection.execute(RETIRE, ROOT, before.version)
            await connection.execute(DESTROY, ROOT, before.version)
        await insert_row(
            connection, KeyRow(purpose=ROOT, version=version, kind=KIND, check_value=digest_of(root), parts=parts)
        )


def _place(version: int) -> bytes:
    return bind("tollhouse key under the joined key", str(version))
