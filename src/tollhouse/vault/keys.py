"""Words of the vault's keys: what wraps data keys, who keeps the key-encryption key, and how they say no.

A row's data key is wrapped by a `KeyProvider`. The one that runs is `ring.KeyRing`: it knows which version is current
and leaves the cryptography to a `Keyholder`, which has the key itself: a file, an HSM, a key server, or the memory of
this process. What another kind of keyholder needs is in this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tollhouse.vault.box import bind, keyed_digest

KEK, FINGERPRINT, IDEMPOTENCY, AUDIT, ROOT = "kek", "fingerprint", "idempotency", "audit", "root"
CARD_ID = "card_id"


class KeysRefused(Exception):
    """Keys cannot be used. The text is one line: which, what is wrong, what to do."""

    exit_code = 1


class KeysUnreachable(OSError):
    """Whoever keeps the keys does not answer, or not now. The text is one line and says who."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key sealed under version `version` of the key-encryption key."""

    version: int
    sealed: bytes = field(repr=False)


class KeyProvider(Protocol):
    """Wraps data keys. Binds context and key version: what is wrapped for one place unwraps only there."""

    async def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Seal a data key under the current version. Raises `KeysUnreachable`."""
        ...

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key. Raises `CannotOpen` for another context, version or bytes, and `KeysUnreachable`."""
        ...


class Keyholder(Protocol):
    """Keeps every version of the key-encryption key and uses it where it is. Never blocks the event loop.

    The versions are numbered by the registry (`vault.key`), so that all nodes agree. Each method may raise
    `KeysRefused` (something is set up wrong) and `KeysUnreachable` (it may pass).
    """

    @property
    def kind(self) -> str:
        """The word of TOLLHOUSE_VAULT_KEYS for it."""
        ...

    async def latest(self) -> int:
        """The greatest version it has; 0 when it has none."""
        ...

    async def make(self, version: int) -> bytes | None:
        """Have this version from now on, durable; it may be there already. What the registry is to keep of it."""
        ...

    async def check_value(self, version: int) -> bytes:
        """What lets `take_up` tell this key from others later, and says nothing about the key."""
        ...

    async def take_up(self, version: int, check_value: bytes, held: bytes | None) -> None:
        """Be ready to use this version. Raises `KeysRefused` when it is missing, or is not the one of this database."""
        ...

    async def seal(self, version: int, plain: bytes, context: bytes) -> bytes:
        """Seal under a version that was taken up, bound to the context."""
        ...

    async def unseal(self, version: int, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen`, also for a version that it does not have."""
        ...

    async def destroy(self, version: int) -> None:
        """Forget this version for ever; no error when it is gone already."""
        ...

    def forget(self, version: int) -> None:
        """Somebody destroyed this version: keep nothing of it in memory."""
        ...

    async def close(self) -> None:
        """Let go of files, sessions and connections."""
        ...


def digest_of(key: bytes) -> bytes:
    """The check value of a key that is at hand: the same in two homes with the same key, and nothing about the key."""
    return keyed_digest(key, bind("tollhouse key check"))
