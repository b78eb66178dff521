"""Everything that lies under a version of a key, pile by pile, and how a batch of it is moved to the current version.

Each row says itself under which version it lies, so a move that was interrupted needs no memory: whoever begins again
finds what is left. A row is replaced only if it is still the one that was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import asyncpg

from tollhouse.vault.box import CannotOpen
from tollhouse.vault.key_file import FileKeys
from tollhouse.vault.keys import KEK, ROOT, KeyProvider, KeysRefused, Wrapped
from tollhouse.vault.keyset import KeySet, held_place
from tollhouse.vault.registry import HOLD_AGAIN, KeyRow, load_rows
from tollhouse.vault.sealed import SealedCard, data_key_place, open_card
from tollhouse.vault.store import fingerprint_of

T = TypeVar("T")
Place = tuple[str, str]
FIRST: Place = ("", "")
COUNT_SECONDS_MAX = 3600.0  # every row is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a batch. `last` is where the next one begins; None: that was all."""

    last: Place | None
    moved: int = 0
    broken: tuple[str, ...] = ()


class Pile(Protocol):
    """One kind of things that lie under a key."""

    @property
    def name(self) -> str:
        """What they are, in the plural."""
        ...

    async def count(self) -> int:
        """How many lie under another version than the current one."""
        ...

    async def count_under(self, version: int) -> int:
        """How many lie under this version."""
        ...

    async def move(self, after: Place, limit: int) -> Moved:
        """Move the next so many to the current version."""
        ...


# A page is so many cards, moved or not: whoever looked for what is left would walk over all that is moved, each time.
CARDS_LEFT = "SELECT count(*) FROM vault.card WHERE key_version <> $1"
CARDS_UNDER = "SELECT count(*) FROM vault.card WHERE key_version = $1"
CARDS_NEXT = """
SELECT project, token, key_version, data_key FROM vault.card
WHERE (project, token) > ($1, $2) ORDER BY project, token LIMIT $3
"""
CARDS_MOVE = """
UPDATE vault.card SET key_version = $5, data_key = new.data_key
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS new (project, token, old_key, data_key)
WHERE card.project = new.project AND card.token = new.token AND card.data_key = new.old_key
    AND EXISTS (SELECT FROM vault.key WHERE purpose = 'kek' AND version = $5 AND retired_at IS NULL)
"""


class DataKeys:
    """The data keys of cards. No PAN is revealed to move one."""

    name = "cards"

    def __init__(self, keys: KeySet) -> None:
        self._pool, self._ring = keys.pool, keys.ring

    async def count(self) -> int:
        """How many lie under another version than the current one."""
        left: int = await self._pool.fetchval(CARDS_LEFT, self._ring.current, timeout=COUNT_SECONDS_MAX)
        return left

    async def count_under(self, version: int) -> int:
        """How many lie under this version."""
        found: int = await self._pool.fetchval(CARDS_UNDER, version, timeout=COUNT_SECONDS_MAX)
        return found

    async def move(self, after: Place, limit: int) -> Moved:
        """Unwrap and wrap the next so many data keys."""
        current = self._ring.current
        page = await self._pool.fetch(CARDS_NEXT, *after, limit)
        rows = [row for row in page if row["key_version"] != current]
        places = [data_key_place(row["project"], row["token"]) for row in rows]
        wrapped = [Wrapped(row["key_version"], row["data_key"]) for row in rows]
        again = await rewrap_all(self._ring, wrapped, places)
        fit = [(row, new) for row, new in zip(rows, again, strict=True) if new is not None and new.version == current]
        if fit:
            columns = [(row["project"], row["token"], row["data_key"], new.sealed) for row, new in fit]
            await self._pool.execute(CARDS_MOVE, *map(list, zip(*columns, strict=True)), current)
        broken = tuple(row["token"] for row, new in zip(rows, again, strict=True) if new is None)
        return Moved(last=_last(page), moved=len(fit), broken=broken)


PRINTS_LEFT = "SELECT count(*) FROM vault.card WHERE split_part(fingerprint, '.', 1) <> $1::text"
PRINTS_UNDER = "SELECT count(*) FROM vault.card WHERE split_part(fingerprint, '.', 1) = $1::text"
PRINTS_NEXT = """
SELECT project, token, key_version, data_key, pan_sealed, expiry_sealed, fingerprint FROM vault.card
WHERE (project, token) > ($1, $2) ORDER BY project, token LIMIT $3
"""
PRINTS_MOVE = """
UPDATE vault.card SET fingerprint = new.fingerprint
FROM unnest($1::text[], $2::text[], $3::text[]) AS new (project, token, fingerprint)
WHERE card.project = new.project AND card.token = new.token
    AND EXISTS (SELECT FROM vault.key WHERE purpose = 'fingerprint' AND version::text = $4 AND retired_at IS NULL)
"""


class CardPrints:
    """The fingerprints of cards. They are made of the PAN, which is revealed inside the vault and goes nowhere."""

    name = "fingerprints"

    def __init__(self, keys: KeySet) -> None:
        self._pool, self._keys = keys.pool, keys

    async def count(self) -> int:
        """How many were made under another version than the current one."""
        left: int = await self._pool.fetchval(
            PRINTS_LEFT, str(self._keys.fingerprints.current), timeout=COUNT_SECONDS_MAX
        )
        return left

    async def count_under(self, version: int) -> int:
        """How many were made under this version."""
        found: int = await self._pool.fetchval(PRINTS_UNDER, str(version), timeout=COUNT_SECONDS_MAX)
        return found

    async def move(self, after: Place, limit: int) -> Moved:
        """Make the next so many anew."""
        current = self._keys.fingerprints.current
        page = await self._pool.fetch(PRINTS_NEXT, *after, limit)
        rows = [row for row in page if row["fingerprint"].partition(".")[0] != str(current)]
        made = await gathered([self._made(row) for row in rows])
        fit = [(row["project"], row["token"], new) for row, new in zip(rows, made, strict=True) if new is not None]
        if fit:
            await self._pool.execute(PRINTS_MOVE, *map(list, zip(*fit, strict=True)), str(current))
        broken = tuple(row["token"] for row, new in zip(rows, made, strict=True) if new is None)
        return Moved(last=_last(page), moved=len(fit), broken=broken)

    async def _made(self, row: asyncpg.Record) -> str:
        sealed = SealedCard(
            data_key=Wrapped(row["key_version"], row["data_key"]), pan=row["pan_sealed"], expiry=row["expiry_sealed"]
        )
        pan, _ = await open_card(self._keys.ring, row["project"], row["token"], sealed)
        return fingerprint_of(self._keys.fingerprints, row["project"], pan)


class HeldKeys:
    """The keys that lie in the registry under the key-encryption key, and those in files that belong there.

    Keys in files belong there once a keyholder of another kind makes the versions: no key is to stay in the home.
    """

    name = "keys of the registry"

    def __init__(self, keys: KeySet) -> None:
        self._pool, self._keys, self._ring = keys.pool, keys, keys.ring

    async def count(self) -> int:
        """How many lie under another version than the current one."""
        return len(await self._left())

    async def count_under(self, version: int) -> int:
        """How many lie under this version, or still in files."""
        return len([row for row in await self._rows() if row.held_version == version or self._strays(row)])

    async def move(self, after: Place, limit: int) -> Moved:
        """All at once: there are never many."""
        moved, broken = 0, []
        for row in await self._left():
            try:
                key = await self._keys.secrets.load(row)
            except KeysRefused:
                broken.append(f"{row.purpose} version {row.version}")
                continue
            new = await self._ring.wrap(key, held_place(row.purpose, row.version))
            place = (row.purpose, row.version, new.sealed, new.version, self._ring.holder.kind, row.held)
            if await self._pool.fetchval(HOLD_AGAIN, *place) is not None:
                moved += 1
                if row.held is None:
                    await self._keys.secrets.destroy(row.purpose, row.version)
        return Moved(last=None, moved=moved, broken=tuple(broken))

    async def _left(self) -> list[KeyRow]:
        current = self._ring.current
        return [
            row
            for row in await self._rows()
            if self._strays(row) or (row.held is not None and row.held_version != current)
        ]

    async def _rows(self) -> list[KeyRow]:
        return [row for row in await load_rows(self._pool) if row.purpose not in (KEK, ROOT)]

    def _strays(self, row: KeyRow) -> bool:
        return row.held is None and self._ring.holder.kind != FileKeys.kind


async def rewrap_all(keys: KeyProvider, wrapped: Sequence[Wrapped], places: Sequence[bytes]) -> list[Wrapped | None]:
    """Each key under the current version; None for one that does not open. All at once, so that they go in groups."""
    plain = await gathered([keys.unwrap(one, place) for one, place in zip(wrapped, places, strict=True)])
    known = [(key, place) for key, place in zip(plain, places, strict=True) if key is not None]
    again = iter(await asyncio.gather(*(keys.wrap(key, place) for key, place in known)))
    return [None if key is None else next(again) for key in plain]


async def gathered(openings: Sequence[Coroutine[Any, Any, T]]) -> list[T | None]:
    """What each gives; None for one that cannot be opened."""

    async def one(opening: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await opening
        except CannotOpen:
            return None

    return await asyncio.gather(*map(one, openings))


def _last(rows: Sequence[asyncpg.Record]) -> Place | None:
    return (rows[-1]["project"], rows[-1]["token"]) if rows else None
