"""Secrets of projects (webhook keys), sealed like cards: under a data key of their own, bound to their project."""

from __future__ import annotations

from tollhouse.vault.box import NONCE_BYTES, Box, CannotOpen, bind, new_key
from tollhouse.vault.keys import KeyProvider, Wrapped

SCHEME = "tollhouse project secret 1"
VERSION_BYTES = LENGTH_BYTES = 2


class ProjectSecrets:
    """Seals and opens what a project must keep secret. The sealed form is: key version, key length, key, content."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    async def seal(self, project: str, plain: bytes) -> bytes:
        """Sealed bytes for a row."""
        key = new_key()
        wrapped = await self._keys.wrap(key, _place(project, "data key"))
        return _head(wrapped) + Box(key).seal(plain, _place(project, "content"))

    async def unseal(self, project: str, sealed: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen` for another project, other keys or changed bytes."""
        wrapped, content = _parts(project, sealed)
        key = await self._keys.unwrap(wrapped, _place(project, "data key"))
        return Box(key).open(content, _place(project, "content"))

    async def rewrap(self, project: str, sealed: bytes) -> bytes:
        """The same under the current key-encryption key; what is inside is not looked at. Raises `CannotOpen`."""
        wrapped, content = _parts(project, sealed)
        key = await self._keys.unwrap(wrapped, _place(project, "data key"))
        return _head(await self._keys.wrap(key, _place(project, "data key"))) + content


def key_version_of(sealed: bytes) -> int:
    """Under which version of the key-encryption key it lies."""
    return int.from_bytes(sealed[:VERSION_BYTES], "big")


def _head(wrapped: Wrapped) -> bytes:
    version, length = wrapped.version, len(wrapped.sealed)
    return version.to_bytes(VERSION_BYTES, "big") + length.to_bytes(LENGTH_BYTES, "big") + wrapped.sealed


def _parts(project: str, sealed: bytes) -> tuple[Wrapped, bytes]:
    start = VERSION_BYTES + LENGTH_BYTES
    length = int.from_bytes(sealed[VERSION_BYTES:start], "big")
    if len(sealed) < start + length + NONCE_BYTES:
        raise CannotOpen(f"the secrets of project {project} are cut short")
    return Wrapped(key_version_of(sealed), sealed[start : start + length]), sealed[start + length :]


def _place(project: str, name: str) -> bytes:
    return bind(SCHEME, project, name)
