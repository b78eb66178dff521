"""Rows of cards in the vault's schema; what waits while one statement is on its way goes with the next."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from tollhouse.audit import DONE, FAILED, GRANTED, Act
from tollhouse.card import PAN, CardDetails, CardId, Expiry, KeptCard, brand_of
from tollhouse.grouping import Grouped
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.card_ids import CardIds
from tollhouse.vault.fingerprints import Fingerprints
from tollhouse.vault.keys import KeysRefused, Wrapped
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.port import Recorder
from tollhouse.vault.sealed import SealedCard, open_card, seal_card

GROUP_SIZE_MAX = 200
TOKEN_RANDOM_BYTES = 24
KEEP_ATTEMPTS_MAX = 3

INSERT = """
INSERT INTO vault.card
    (project, token, key_version, data_key, pan_sealed, expiry_sealed, fingerprint, bin, last4, brand)
SELECT new.* FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[], $6::bytea[],
    $7::text[], $8::text[], $9::text[], $10::text[])
    AS new (project, token, key_version, data_key, pan, expiry, fingerprint, bin, last4, brand)
WHERE EXISTS (SELECT FROM vault.key WHERE purpose = 'kek' AND version = new.key_version AND retired_at IS NULL)
    AND EXISTS (SELECT FROM vault.key WHERE purpose = 'fingerprint' AND retired_at IS NULL
        AND version = split_part(new.fingerprint, '.', 1)::integer)
RETURNING token
"""

SELECT = """
SELECT wanted.place, card.key_version, card.data_key, card.pan_sealed, card.expiry_sealed
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (project, token, place)
JOIN vault.card USING (project, token)
"""

SAME = "SELECT token FROM vault.card WHERE project = $1 AND fingerprint = ANY($2::text[]) ORDER BY created_at, token"


T = TypeVar("T")


class CardMissing(Exception):
    """The vault has no card under this token in this project."""


@dataclass(frozen=True, slots=True)
class _Row:
    kept: KeptCard
    project: str
    sealed: SealedCard


class CardStore:
    """Keeps cards and opens them again. Holds no card in memory longer than a call lasts."""

    def __init__(self, keys: KeySet, audit: Recorder | None = None) -> None:
        self._pool = keys.pool
        self._audit = audit
        self._keyset = keys
        self._keys = keys.ring
        self._fingerprints = keys.fingerprints
        assert keys.card_ids is not None, "keys are opened before cards are kept"
        self._card_ids = keys.card_ids
        self._inserts: Grouped[_Row, bool] = Grouped(self._insert, group_size_max=GROUP_SIZE_MAX)
        self._selects: Grouped[tuple[str, str], SealedCard | None] = Grouped(
            self._select, group_size_max=GROUP_SIZE_MAX
        )

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Seal the card and write its row; durable on return. The same card again gets a token of its own.

        Under a key that was retired meanwhile nothing is written: then the card is sealed again under the current one.
        """
        why = "this process does not know the current keys"
        for _ in range(KEEP_ATTEMPTS_MAX):
            try:
                row = await self._sealed(project, card)
            except (CannotOpen, KeysRefused) as problem:
                row, why = None, str(problem)  # its keyholder may have destroyed that version
            if row is not None and await self._inserts.ask(row):
                if self._audit is not None:
                    self._audit.note(_act("card.keep", DONE, project, row.kept.token))
                return row.kept
            await self._keyset.refresh()
        raise KeysRefused(f"cards cannot be kept: {why}; start it again with the keys of this database")

    async def find_same(self, project: str, pan: PAN) -> list[str]:
        """Tokens under which the project has this card, oldest first, under whichever fingerprint key they are."""
        prints = self._fingerprints.all_of(project, pan.reveal())
        return [row["token"] for row in await self._pool.fetch(SAME, project, prints)]

    async def open(self, project: str, token: str, *, why: str = "") -> tuple[PAN, Expiry | None]:
        """PAN and expiry. Raises `CardMissing`, or `CannotOpen` when the row is not as it was written.

        `why` stands in the audit log, and nothing is given out before it does.
        """
        opening = self._open(project, token)
        try:
            return await self._recorded(opening, _act("card.reveal", GRANTED, project, token, why))
        except (CardMissing, CannotOpen) as problem:
            if self._audit is not None:
                await self._audit.write(_act("card.reveal", FAILED, project, token, f"{why} {problem}".strip()))
            raise
        except Exception as problem:  # that it was granted stands there already, or could not be written
            if self._audit is not None:
                self._audit.note(_act("card.reveal", FAILED, project, token, f"{why} {type(problem).__name__}".strip()))
            raise

    async def _open(self, project: str, token: str) -> tuple[PAN, Expiry | None]:
        sealed = await self._selects.ask((project, token))
        if sealed is None:
            raise CardMissing(f"no card {token} in project {project}")
        return await open_card(self._keys, project, token, sealed)

    async def _recorded(self, work: Awaitable[T], act: Act) -> T:
        """What the work gives, once it is in the audit log: both go on at the same time, and both must end well."""
        if self._audit is None:
            return await work
        recorded = self._audit.begin(act)
        try:
            done = await work
        except BaseException:
            recorded.add_done_callback(_leave)
            raise
        await recorded
        return done

    async def close(self) -> None:
        """Wait until what was asked for is done."""
        await self._inserts.close()
        await self._selects.close()

    async def _sealed(self, project: str, card: CardDetails) -> _Row:
        token = f"card_{secrets.token_urlsafe(TOKEN_RANDOM_BYTES)}"
        kept = KeptCard(
            token=token,
            bin=card.pan.bin,
            last4=card.pan.last4,
            brand=brand_of(card.pan),
            fingerprint=fingerprint_of(self._fingerprints, project, card.pan),
            expiry=card.expiry,
            ids=ids_of(self._card_ids, project, card),
        )
        return _Row(kept, project, await seal_card(self._keys, project, token, card))

    async def _insert(self, rows: list[_Row]) -> list[bool]:
        columns = zip(*[_columns(row) for row in rows], strict=True)
        written = {row["token"] for row in await self._pool.fetch(INSERT, *[list(column) for column in columns])}
        return [row.kept.token in written for row in rows]

    async def _select(self, wanted: list[tuple[str, str]]) -> list[SealedCard | None]:
        found: list[SealedCard | None] = [None] * len(wanted)
        projects, tokens = [project for project, _ in wanted], [token for _, token in wanted]
        for record in await self._pool.fetch(SELECT, projects, tokens):
            place, version, data_key, pan, expiry = record
            found[place - 1] = SealedCard(data_key=Wrapped(version, data_key), pan=pan, expiry=expiry)
        return found


def fingerprint_of(fingerprints: Fingerprints, project: str, pan: PAN) -> str:
    """The current fingerprint of a card."""
    return fingerprints.of(project, pan.reveal())


def ids_of(card_ids: CardIds, project: str, card: CardDetails) -> tuple[CardId, ...]:
    """A card's id in each scope; none for a number without an expiry."""
    return () if card.expiry is None else card_ids.of(project, card.pan.reveal(), card.expiry)


def _leave(recorded: asyncio.Future[None]) -> None:
    """Whatever became of the entry: the work itself failed, and that is told."""
    if not recorded.cancelled():
        recorded.exception()


def _act(what: str, outcome: str, project: str, token: str, details: str = "") -> Act:
    return Act(what=what, outcome=outcome, subject=f"{project}/{token}", details=details)


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
