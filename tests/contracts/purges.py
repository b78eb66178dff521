"""Books with a vault, as a purge finds them: lives of sessions with cards of their own, and the days after them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from tests.contracts.shelf import SHOP, PostgresShelf
from tests.ground.story import NOON, Story
from tests.lives import answered, keep, paid, told
from tollhouse import decision
from tollhouse.card import CardDetails, Expiry, parse_pan
from tollhouse.change import Change
from tollhouse.money import Money
from tollhouse.payment import PayingCard
from tollhouse.ports import Stale
from tollhouse.public_token import CardToken
from tollhouse.session import PaymentSession
from tollhouse.store.postgres import PostgresStore
from tollhouse.store.purge import PurgeStore, Retention
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.shredding import Shredder
from tollhouse.worker.purging import Purge

RETENTION = Retention(cards_days=540, personal_days=540, events_days=90, books_days=3650)
CARD = CardDetails(pan=parse_pan("4000056655665556"), expiry=Expiry(2099, 12))


class Killed(BaseException):
    """Like a kill -9: nothing is cleaned up by us."""


class DyingPool:
    """Connections of a process that is killed before or after its next statement but so many."""

    def __init__(self, pool: asyncpg.Pool, *, after: int, is_after: bool, how: type[BaseException] = Killed) -> None:
        self._pool, self._left, self._is_after, self._how = pool, after, is_after, how

    def __getattr__(self, name: str) -> Any:
        work = getattr(self._pool, name)
        if name == "acquire":  # a database transaction: it is there as a whole or not at all
            self._count()
            return work

        async def run(*arguments: Any) -> Any:
            if not self._is_after:
                self._count()
            found = await work(*arguments)
            if self._is_after:
                self._count()
            return found

        return run

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._how


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Everything that a purge touches, in a database of the test's own."""

    dsn: str
    pool: asyncpg.Pool
    vault: EmbeddedVault
    audit: AuditLog

    @classmethod
    async def open(cls, shelf: PostgresShelf, dsn: str, home: Path, stack: AsyncExitStack) -> Archive:
        """On the books of the shelf. Tests close it with the stack."""
        pool = await shelf.pool()
        vault = await EmbeddedVault.open(dsn, home, "n1")
        stack.push_async_callback(vault.close)
        audit = AuditLog(pool, process="test", who="test", origin="here", tell=print)
        stack.push_async_callback(audit.close)
        return cls(dsn=dsn, pool=pool, vault=vault, audit=audit)

    async def card(self, project: str = "shop") -> str:
        """A card in the vault since the beginning of all stories."""
        kept = await self.vault.keep(project, CARD)
        await self.pool.execute("update vault.card set created_at = $2 where token = $1", kept.token, NOON)
        return kept.token

    async def live(self, story: Story, card: str | None = None) -> str:
        """Write a story down, paid with this card or with one of its own; which it was."""
        await keep(self.dsn, story)
        token = card or await self.card()
        for table, column in (("payment", "card"), ("session", "offer")):
            path, key = ("{token}", "session_id") if table == "payment" else ("{card,token}", "id")
            await self.pool.execute(
                f"update {table} set {column} = jsonb_set({column}::jsonb, '{path}', to_jsonb($2::text))::text"
                f" where {key} = $1 and {column}::jsonb #>> '{path}' is not null",
                *(story.session.id, token),
            )
        return token

    def purge(self, days: float, *, settle_seconds: float = 0, pool: Any = None) -> Purge:
        """A purge so many days after the stories."""
        return Purge(
            store=PurgeStore(pool or self.pool),
            vault=Shredder(pool or self.pool, self.audit),
            retention=RETENTION,
            now=lambda: NOON + timedelta(days=days),
            settle_seconds=settle_seconds,
        )

    async def cards(self) -> set[str]:
        """The cards that are in the vault."""
        return {row["token"] for row in await self.pool.fetch("select token from vault.card")}

    async def one(self, query: str, *arguments: object) -> Any:
        """A single value."""
        return await self.pool.fetchval(query, *arguments)


def paid_back(number: int = 1) -> Story:
    """A sale that was given back whole."""
    return answered(paid(number).refund(2590), "00")


def opened(number: int = 1) -> Story:
    """A session with a card that was never started."""
    return told(number).create()


def token_for(card: str, *, sealed: str | None = None) -> CardToken:
    """The token tc_1 of this card."""
    paying = PayingCard(token=card, bin="400005", last4="5556", brand="visa", expiry=None)
    return CardToken(token="tc_1", project="shop", card=paying, created_at=NOON, sealed_cvv=sealed)


async def read(node: PostgresStore, id: str = "ps_001") -> PaymentSession:
    """The session as it stands."""
    session = await node.find_session("shop", id)
    assert session is not None
    return session


def refund_of(session: PaymentSession) -> Change:
    """A refund of one cent, decided on this session."""
    story = Story(ids=told(900 + int(session.id[3:])).ids)
    return decision.refund(
        session, Money(1, "eur"), SHOP, payment_id=None, metadata=None, now=NOON + timedelta(days=541), ids=story.ids
    )


async def committed(node: PostgresStore, change: Change) -> bool:
    """Whether it became true."""
    try:
        await node.commit(change)
    except Stale:
        return False
    return True
