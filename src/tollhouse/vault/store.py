"""Rows of cards in the vault's schema; what waits while one statement is on its way goes with the next."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import asyncpg

from tollhouse.card import PAN, CardDetails, Expiry, KeptCard, brand_of
from tollhouse.grouping import Grouped
from tollhouse.vault.keys import Fingerprints, KeyProvider, Wrapped
from tollhouse.vault.sealed import SealedCard, open_card, seal_card

GROUP_SIZE_MAX = 200
TOKEN_RANDOM_BYTES = 24

INSERT = """
INSERT INTO vault.card
    (project, token, key_version, data_key, pan_sealed, expiry_sealed, fingerprint, bin, last4, brand)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[], $6::bytea[],
    $7::text[], $8::text[], $9::text[], $10::text[])
"""

SELECT = """
SELECT wanted.place, card.key_version, card.data_key, card.pan_sealed, card.expiry_sealed
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (project, token, place)
JOIN vault.card USING (project, token)
"""


class CardMissing(Exception):
    """The vault has no card under this token in this project."""


@dataclass(frozen=True, slots=True)
class _Row:
    kept: KeptCard
    project: str
    sealed: SealedCard


class CardStore:
    """Keeps cards and opens them again. Holds no card in memory longer than a call lasts."""

    def __init__(self, pool: asyncpg.Pool, keys: KeyProvider, fingerprints: Fingerprints) -> None:
        self._pool = pool
        self._keys = keys
        self._fingerprints = fingerprints
        self._inserts: Grouped[_Row, None] = Grouped(self._insert, group_size_max=GROUP_SIZE_MAX)
        self._selects: Grouped[tuple[str, str], SealedCard | None] = Grouped(
            self._select, group_size_max=GROUP_SIZE_MAX
        )

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Seal the card and write its row; durable on return. The same card again gets a token of its own."""
        token = f"card_{secrets.token_urlsafe(TOKEN_RANDOM_BYTES)}"
        kept = KeptCard(
            token=token,
            bin=card.pan.bin,
            last4=card.pan.last4,
            brand=brand_of(card.pan),
            fingerprint=self._fingerprints.of(project, card.pan.reveal()),
            expiry=card.expiry,
        )
        await self._inserts.ask(_Row(kept, project, await seal_card(self._keys, project, token, card)))
        return kept

    async def open(self, project: str, token: str) -> tuple[PAN, Expiry]:
        """PAN and expiry. Raises `CardMissing`, or `CannotOpen` when the row is not as it was written."""
        sealed = await self._selects.ask((project, token))
        if sealed is None:
            raise CardMissing(f"no card {token} in project {project}")
        return await open_card(self._keys, project, token, sealed)

    async def close(self) -> None:
        """Wait until what was asked for is done."""
        await self._inserts.close()
        await self._selects.close()

    async def _insert(self, rows: list[_Row]) -> list[None]:
        columns = zip(*[_columns(row) for row in rows], strict=True)
        await self._pool.execute(INSERT, *[list(column) for column in columns])
        return [None] * len(rows)

    async def _select(self, wanted: list[tuple[str, str]]) -> list[SealedCard | None]:
        found: list[SealedCard | None] = [None] * len(wanted)
        projects, tokens = [project for project, _ in wanted], [token for _, token in wanted]
        for record in await self._pool.fetch(SELECT, projects, tokens):
            place, version, data_key, pan, expiry = record
            found[place - 1] = SealedCard(data_key=Wrapped(version, data_key), pan=pan, expiry=expiry)
        return found


def _columns(row: _Row) -> tuple[object, ...]:
    kept, sealed = row.kept, row.sealed
    return (
        row.project,
        kept.token,
        sealed.data_key.version,
        sealed.data_key.sealed,
        sealed.pan,
        sealed.expiry,
        kept.fingerprint,
        kept.bin,
        kept.last4,
        kept.brand,
    )
