"""Public tokens and the tokens of cards in Postgres, both by their hash only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from tollhouse.payment import PayingCard
from tollhouse.ports import StoreUnreachable
from tollhouse.public_token import CardToken, FormOptions, PublicToken, token_id
from tollhouse.store.postgres import LOST
from tollhouse.store.queries import QUERIES
from tollhouse.store.rows import text_of

_decode_options = msgspec.json.Decoder(FormOptions).decode
_decode_card = msgspec.json.Decoder(PayingCard).decode


class PostgresTokens:
    """Implements the port `Tokens`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def keep_public(self, token: PublicToken) -> None:
        """Durable on return."""
        await self._row(
            "insert_public_token",
            token.project,
            token.id,
            token.session_id,
            token.may_tokenize,
            text_of(token.options),
            token.created_at,
        )

    async def find_public(self, id: str) -> PublicToken | None:
        """By its hash."""
        row = await self._row("find_public_token", id)
        return None if row is None else PublicToken(**{**row, "options": _decode_options(row["options"])})

    async def exchange(self, id: str, card: CardToken) -> bool:
        """Both or neither, in one statement."""
        columns = (card.project, token_id(card.token), text_of(card.card), card.sealed_cvv, card.created_at)
        return await self._row("exchange_token", id, *columns) is not None

    async def keep_cards(self, cards: Sequence[CardToken]) -> None:
        """All or none, in one statement."""
        columns = [(one.project, token_id(one.token), text_of(one.card), one.created_at) for one in cards]
        assert not any(one.sealed_cvv for one in cards), "a merchant's server tokenizes numbers alone"
        await self._row("insert_card_tokens", *map(list, zip(*columns, strict=True)))

    async def find_card(self, project: str, token: str) -> CardToken | None:
        """Of this project only."""
        return _card_token(token, await self._row("find_card_token", project, token_id(token)))

    async def take_card(self, project: str, token: str, now: datetime) -> CardToken | None:
        """As it was; whoever comes second finds no security code."""
        return _card_token(token, await self._row("take_card_token", project, token_id(token), now))

    async def _row(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        try:
            return await self._pool.fetchrow(QUERIES[name], *arguments)
        except LOST as lost:
            raise StoreUnreachable("the database does not answer") from lost


def _card_token(token: str, row: asyncpg.Record | None) -> CardToken | None:
    return None if row is None else CardToken(**{**row, "token": token, "card": _decode_card(row["card"])})
