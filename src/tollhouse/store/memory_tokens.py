"""Public tokens and the tokens of cards in memory: the port's second implementation, for tests and simulations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tollhouse.public_token import CardToken, PublicToken


class MemoryTokens:
    """Implements the port `Tokens`."""

    def __init__(self) -> None:
        self._public: dict[str, PublicToken] = {}
        self._cards: dict[tuple[str, str], CardToken] = {}

    async def keep_public(self, token: PublicToken) -> None:
        """Kept as long as this object lives."""
        assert token.id not in self._public, "a public token is random: no two are the same"
        self._public[token.id] = token

    async def find_public(self, id: str) -> PublicToken | None:
        """By its hash."""
        return self._public.get(id)

    async def exchange(self, id: str, card: CardToken) -> bool:
        """Both or neither."""
        token = self._public.get(id)
        if token is None or token.used_at is not None or token.project != card.project:
            return False
        self._public[id] = replace(token, used_at=card.created_at)
        self._cards[card.project, card.token] = card
        return True

    async def keep_cards(self, cards: Sequence[CardToken]) -> None:
        """All of them: nothing can go wrong in between."""
        self._cards.update({(one.project, one.token): one for one in cards})

    async def find_card(self, project: str, token: str) -> CardToken | None:
        """Of this project only."""
        return self._cards.get((project, token))

    async def take_card(self, project: str, token: str, now: datetime) -> CardToken | None:
        """As it was; whoever comes second finds no security code."""
        was = self._cards.get((project, token))
        if was is not None:
            self._cards[project, token] = replace(was, used_at=was.used_at or now, sealed_cvv=None)
        return was
