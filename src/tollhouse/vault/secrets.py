"""Secrets of projects (webhook keys), sealed like cards: under a data key of their own, bound to their project."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from tollhouse.vault.box import NONCE_BYTES, Box, CannotOpen, bind, new_key
from tollhouse.vault.keys import KEK, FileKeys, KeyProvider, Wrapped

SCHEME = "tollhouse project secret 1"
VERSION_BYTES = LENGTH_BYTES = 2


class ProjectSecrets:
    """Seals and opens what a project must keep secret. The sealed form is: key version, key length, key, content."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    @classmethod
    async def open_home(cls, pool: asyncpg.Pool, home: Path) -> ProjectSecrets:
        """With the home's key-encryption key. Raises `KeysRefused` when it is not the one of this database."""
        from tollhouse.vault.embedded import keys_of

        return cls(FileKeys(await keys_of(pool, home, KEK)))

    async def seal(self, project: str, plain: bytes) -> bytes:
        """Sealed bytes for a row."""
        key = new_key()
        wrapped = await self._keys.wrap(key, _place(project, "data key"))
        head = wrapped.version.to_bytes(VERSION_BYTES, "big") + len(wrapped.sealed).to_bytes(LENGTH_BYTES, "big")
        return head + wrapped.sealed + Box(key).seal(plain, _place(project, "content"))

    async def unseal(self, project: str, sealed: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen` for another project, other keys or changed bytes."""
        start = VERSION_BYTES + LENGTH_BYTES
        version, length = (
            int.from_bytes(sealed[:VERSION_BYTES], "big"),
            int.from_bytes(sealed[VERSION_BYTES:start], "big"),
        )
        if len(sealed) < start + length + NONCE_BYTES:
            raise CannotOpen(f"the secrets of project {project} are cut short")
        wrapped = Wrapped(version, sealed[start : start + length])
        key = await self._keys.unwrap(wrapped, _place(project, "data key"))
        return Box(key).open(sealed[start + length :], _place(project, "content"))


def _place(project: str, name: str) -> bytes:
    return bind(SCHEME, project, name)
