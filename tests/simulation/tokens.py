"""The tokens of a simulated world: kept as in memory, over a connection that gets lost, and watched over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulation.scheduler import Pause
from tests.simulation.truth import Violation
from tollhouse.ports import StoreUnreachable
from tollhouse.public_token import (
    CARD_TOKEN_SECONDS_MAX,
    PUBLIC_TOKEN_SECONDS_MAX,
    CardToken,
    FormOptions,
    PublicToken,
    token_id,
)
from tollhouse.store.memory_tokens import MemoryTokens

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

DATABASE_SECONDS = 0.002


@dataclass(frozen=True, kw_only=True)
class Issued:
    """What is true of a public token, noted when it was issued."""

    project: str
    session_id: str | None
    options: FormOptions
    created_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether its day was over by this clock."""
        return now >= self.created_at + timedelta(seconds=PUBLIC_TOKEN_SECONDS_MAX)


class Tokens(MemoryTokens):
    """A lost connection leaves open whether something was written."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation
        self._exchanged: set[str] = set()
        self._made: dict[str, CardToken] = {}
        self._given: dict[str, int] = {}  # how often the security code of a card's token went out
        self._issued: dict[str, Issued] = {}

    def issued(self, text: str) -> Issued:
        """What is true of this token."""
        return self._issued[token_id(text)]

    async def keep_public(self, token: PublicToken) -> None:
        """Keep it, or lose the connection around that."""
        is_lost = await self._reach("commit_lost")
        if not is_lost or self._simulation.random.random() < 0.5:
            await super().keep_public(token)
            self._issued[token.id] = Issued(
                project=token.project,
                session_id=token.session_id,
                options=token.options,
                created_at=token.created_at,
            )
        _raise_if(is_lost)

    async def find_public(self, id: str) -> PublicToken | None:
        """Read it, or not."""
        _raise_if(await self._reach("read_lost"))
        return await super().find_public(id)

    async def exchange(self, id: str, card: CardToken) -> bool:
        """Exchange it, or lose the connection around that."""
        is_lost = await self._reach("commit_lost")
        is_first = False
        if not is_lost or self._simulation.random.random() < 0.5:
            is_first = await super().exchange(id, card)
            if is_first and id in self._exchanged:
                raise Violation("P5", "a public token is exchanged for two cards")
            if is_first:
                self._exchanged.add(id)
                self._made[card.token] = card
        _raise_if(is_lost)
        return is_first

    async def find_card(self, project: str, token: str) -> CardToken | None:
        """Read it, or not; what belongs to another project is never found."""
        _raise_if(await self._reach("read_lost"))
        found = await super().find_card(project, token)
        self._belongs(project, token, found)
        return found

    async def take_card(self, project: str, token: str, now: datetime) -> CardToken | None:
        """Take it, or lose the connection around that; its security code goes out once."""
        is_lost = await self._reach("commit_lost")
        found = None
        if not is_lost or self._simulation.random.random() < 0.5:
            found = await super().take_card(project, token, now)
            self._belongs(project, token, found)
            if found is not None and found.sealed_cvv is not None:
                self._given[token] = self._given.get(token, 0) + 1
                if self._given[token] > 1:
                    raise Violation("P11", f"the security code of {token} is given away twice")
            if found is not None and found.used_at is None and _is_late(found, now):
                raise Violation("P12", f"{token} is first used after its day")
        _raise_if(is_lost)
        return found

    def waiting_cvvs(self) -> set[str]:
        """Security codes of card tokens that nobody has used; the vault's sweep ends them, and is not played here."""
        return {one.sealed_cvv for one in self._cards.values() if one.sealed_cvv is not None}

    def _belongs(self, project: str, token: str, found: CardToken | None) -> None:
        if found is not None and self._made[token].project != project:
            raise Violation("P12", f"{project} finds the card token {token} of {self._made[token].project}")

    async def _reach(self, fault: str) -> bool:
        await Pause(DATABASE_SECONDS)
        return self._simulation.chance(fault)


def _is_late(token: CardToken, now: datetime) -> bool:
    return now >= token.created_at + timedelta(seconds=CARD_TOKEN_SECONDS_MAX)


def _raise_if(is_lost: bool) -> None:
    if is_lost:
        raise StoreUnreachable("the connection was lost")
