"""What lies under the keys, in the vault and outside of it: the secrets of projects are rows of the gateway."""

from __future__ import annotations

import asyncpg

from tollhouse.store.projects import KnownProject, list_projects, replace_secrets
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.keys import FINGERPRINT
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.piles import CardPrints, DataKeys, HeldKeys, Moved, Pile, Place
from tollhouse.vault.secrets import ProjectSecrets, key_version_of


def piles_of(keys: KeySet, purpose: str) -> list[Pile]:
    """Everything that may lie under a key of this purpose."""
    if purpose == FINGERPRINT:
        return [CardPrints(keys)]
    return [HeldKeys(keys), SealedProjects(keys), DataKeys(keys)]


class SealedProjects:
    """The secrets of projects."""

    name = "projects"

    def __init__(self, keys: KeySet) -> None:
        self._pool = keys.pool
        self._ring = keys.ring
        self._secrets = ProjectSecrets(keys.ring)

    async def count(self) -> int:
        """How many lie under another version than the current one."""
        return len(await self._left())

    async def count_under(self, version: int) -> int:
        """How many lie under this version."""
        return (await versions_of_projects(self._pool)).count(version)

    async def move(self, after: Place, limit: int) -> Moved:
        """All at once: there are never many."""
        moved, broken = 0, []
        for known in await self._left():
            name = known.project.name
            try:
                again = await self._secrets.rewrap(name, known.sealed_secrets)
            except CannotOpen:
                broken.append(name)
                continue
            moved += await replace_secrets(self._pool, name, known.sealed_secrets, again)
        return Moved(last=None, moved=moved, broken=tuple(broken))

    async def _left(self) -> list[KnownProject]:
        current = self._ring.current
        return [known for known in await list_projects(self._pool) if key_version_of(known.sealed_secrets) != current]


async def versions_of_projects(pool: asyncpg.Pool) -> list[int]:
    """For each project, under which version of the key-encryption key its secrets lie."""
    return [key_version_of(known.sealed_secrets) for known in await list_projects(pool)]
