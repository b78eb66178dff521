"""Ids of cards for merchants: the same card, the same id, in one project or in all of them (wire-api 10.5, 16).

Their key is one of its own and has one version for ever: merchants keep these ids, so they must outlive every rotation
of the fingerprint key. Nobody who has ids, rows or both finds a card with them: that takes the key.
"""

from __future__ import annotations

from tollhouse.card import CardId, CardIdScope, Expiry
from tollhouse.vault.box import bind, keyed_digest

SCHEME = "tollhouse card id 1"


class CardIds:
    """HMAC-SHA256 of number and expiry, as 64 hexadecimal digits. Its `repr` shows no key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, project: str, digits: str, expiry: Expiry) -> tuple[CardId, ...]:
        """The id within the project, and the one that all projects share."""
        return (
            self._id(CardIdScope.PROJECT, project, digits, expiry),
            self._id(CardIdScope.SHARED, "", digits, expiry),
        )

    def _id(self, scope: CardIdScope, project: str, digits: str, expiry: Expiry) -> CardId:
        digest = keyed_digest(self._key, bind(SCHEME, scope.value, project, digits, expiry.yymm))
        return CardId(scope=scope, text=digest.hex())
