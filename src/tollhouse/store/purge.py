"""What of the gateway's rows is kept no longer than it is needed: who needs a card, and what goes by its age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from tollhouse.public_token import CARD_TOKEN_SECONDS_MAX, PUBLIC_TOKEN_SECONDS_MAX, token_id
from tollhouse.store.postgres import AGAIN
from tollhouse.store.queries import QUERIES

BATCH_SIZE = 200
BEGIN = (datetime.fromisoformat("0001-01-01T00:00:00+00:00"), "", "")
# So long after its last change a session may still hear of its acquirer, and a call with a token may be under way.
QUIET_DAYS = 7
GRACE = timedelta(days=1)
# A security code in a token of a card is used within 50 minutes or never.
CVV_AGE = timedelta(hours=2)

Card = tuple[str, str]  # project and the vault's token
SessionKey = tuple[str, str]  # project and id


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days what is kept after it was last needed."""

    cards_days: int
    personal_days: int
    events_days: int
    books_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoffs:
    """What is older than these instants may go."""

    quiet: datetime
    cards: datetime
    personal: datetime
    events: datetime
    books: datetime
    card_tokens: datetime
    public_tokens: datetime
    cvvs: datetime


def cutoffs_of(retention: Retention, now: datetime) -> Cutoffs:
    """The instants as they are now."""
    return Cutoffs(
        quiet=now - timedelta(days=QUIET_DAYS),
        cards=now - timedelta(days=retention.cards_days),
        personal=now - timedelta(days=retention.personal_days),
        events=now - timedelta(days=retention.events_days),
        books=now - timedelta(days=retention.books_days),
        card_tokens=now - timedelta(seconds=CARD_TOKEN_SECONDS_MAX) - GRACE,
        public_tokens=now - timedelta(seconds=PUBLIC_TOKEN_SECONDS_MAX) - GRACE,
        cvvs=now - CVV_AGE,
    )


@dataclass(slots=True)
class Count:
    """How many of one kind go, from when to when they are, and how many stay for which reason."""

    goes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    stays: dict[str, int] = field(default_factory=dict)

    def add(self, why: str | None, at: datetime, *, count: int = 1, newest: datetime | None = None) -> None:
        """Count some; without a reason they go."""
        if why:
            self.stays[why] = self.stays.get(why, 0) + count
            return
        self.goes += count
        self.oldest = min(self.oldest or at, at)
        self.newest = max(self.newest or at, newest or at)


# What goes by its age alone, batch by batch: the kind, and which of the cutoffs it has. Queries are named after it.
BY_AGE: dict[str, tuple[str, str, str]] = {
    "card tokens": ("delete_card_tokens", "count_card_tokens", "card_tokens"),
    "sealed security codes": ("clear_sealed_cvvs", "count_sealed_cvvs", "cvvs"),
    "public tokens": ("delete_public_tokens", "count_public_tokens", "public_tokens"),
    "events": ("delete_events", "count_events", "events"),
    "answers to idempotency keys": ("clear_answers", "count_answers", "personal"),
}
PERSONAL, BOOKS = "personal data", "books"


class PurgeStore:
    """The gateway's rows as a purge sees them. Each method is one short database transaction, whole or not at all."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def why_cards_stay(self, cards: Sequence[Card], cutoffs: Cutoffs) -> dict[Card, str | None]:
        """For each card the reason why it stays; None: nothing can need it any more."""
        return await _why_cards_stay(self._pool, cards, cutoffs)

    async def let_go(self, cards: Sequence[Card], cutoffs: Cutoffs, *, unless: frozenset[str] | None = None) -> int:
        """Take those cards that nothing needs out of payments and tokens; from then on no call finds them.

        A refund that begins at the same time is either here before us, then its card stays; or it finds the session
        moved and decides again, and sees that the card is gone. `unless`: only these reasons count.
        """
        if not cards:
            return 0
        # One snapshot for the look and what follows: a payment that begins meanwhile makes this fail and be done again.
        async with self._transaction(isolation="repeatable_read") as connection:
            await connection.execute(QUERIES["lock_sessions_of_cards"], *_columns(cards))
            reasons = await _why_cards_stay(connection, cards, cutoffs)
            going = [card for card, why in reasons.items() if not _holds(why, unless)]
            if going:
                await connection.execute(QUERIES["let_cards_go"], *_columns(going), cutoffs.card_tokens)
            return len(going)

    async def released(self, after: Card, *, settle_seconds: float) -> list[Card]:
        """Cards that were let go so long ago that the vault may erase them."""
        rows = await self._pool.fetch(QUERIES["released_cards"], settle_seconds, *after, BATCH_SIZE)
        return [(row["project"], row["token"]) for row in rows]

    async def seconds_to_settle(self, settle_seconds: float) -> float:
        """How long until everything that was let go may be erased; 0 when nothing waits."""
        age = await self._pool.fetchval(QUERIES["newest_release_age"])
        return 0.0 if age is None else max(0.0, settle_seconds - age)

    async def forget_released(self, cards: Sequence[Card], *, erased: bool) -> None:
        """They are erased, or needed again."""
        if not cards:
            return
        async with self._transaction() as connection:
            if erased:
                await connection.execute(QUERIES["forget_tokens_of_cards"], *_columns(cards))
            await connection.execute(QUERIES["forget_released_cards"], *_columns(cards))

    async def purge_by_age(self, kind: str, cutoffs: Cutoffs, project: str | None) -> int:
        """The next batch of a kind; 0 when nothing is left."""
        query, _, cutoff = BY_AGE[kind]
        arguments = (getattr(cutoffs, cutoff), project, BATCH_SIZE)
        if kind == "events":
            gone: int = await self._pool.fetchval(QUERIES[query], *arguments)
            return gone
        return _affected(await self._pool.execute(QUERIES[query], *arguments))

    async def old_sessions(self, cutoffs: Cutoffs, project: str | None) -> AsyncIterator[list[SessionKey]]:
        """Sessions with personal data that is old, batch by batch, oldest first."""
        after: tuple[Any, ...] = BEGIN
        while True:
            rows = await self._pool.fetch(QUERIES["personal_sessions"], cutoffs.personal, project, *after, BATCH_SIZE)
            if not rows:
                return
            after = tuple(rows[-1])
            yield [(row["project"], row["id"]) for row in rows]

    async def redact(
        self, sessions: Sequence[SessionKey], before: datetime, *, erased: bool = False
    ) -> list[SessionKey]:
        """Take the payer out of those that are finished and unchanged since; which they were.

        `erased`: also the merchant's own reference of the customer, and kept answers at once.
        """
        async with self._transaction() as connection:
            rows = await connection.fetch(QUERIES["lock_quiet_sessions"], *_columns(sessions), before)
            found = [(row["project"], row["id"]) for row in rows]
            if found:
                await connection.execute(QUERIES["redact_sessions"], *_columns(found), "erased" if erased else None)
            if found and erased:
                await connection.execute(QUERIES["clear_answers_of_sessions"], *_columns(found))
            return found

    async def unfinished(self, sessions: Sequence[SessionKey]) -> dict[SessionKey, str]:
        """Which of these sessions are not finished, and their status."""
        rows = await self._pool.fetch(QUERIES["why_sessions_stay"], *_columns(sessions))
        return {(row["project"], row["id"]): row["status"] for row in rows}

    async def sessions_of_customer(self, project: str, reference: str) -> list[SessionKey]:
        """Where a merchant named this customer."""
        rows = await self._pool.fetch(QUERIES["sessions_of_customer"], project, reference)
        return [(row["project"], row["id"]) for row in rows]

    async def cards_of_sessions(self, sessions: Sequence[SessionKey]) -> list[Card]:
        """The vault's cards that these sessions paid with."""
        rows = await self._pool.fetch(QUERIES["cards_of_sessions"], *_columns(sessions))
        return [(row["project"], row["token"]) for row in rows]

    async def card_of_token(self, project: str, token: str) -> str | None:
        """The vault's card behind a token that a merchant has."""
        found: str | None = await self._pool.fetchval(QUERIES["card_of_token"], project, token_id(token))
        return found

    async def count(self, cutoffs: Cutoffs, project: str | None) -> dict[str, Count]:
        """Every kind but cards: how many go, how many stay and why."""
        wanted = [(kind, query, getattr(cutoffs, cutoff)) for kind, (_, query, cutoff) in BY_AGE.items()]
        wanted += [(PERSONAL, "count_personal", cutoffs.personal), (BOOKS, "count_books", cutoffs.books)]
        counts: dict[str, Count] = {}
        for kind, query, cutoff in wanted:
            count = counts[kind] = Count()
            for row in await self._pool.fetch(QUERIES[query], cutoff, project):
                count.add(row["why"], row["oldest"], count=row["count"], newest=row["newest"])
        return counts

    async def is_due(self, since: datetime | None) -> bool:
        """Whether no run has ended since then; one that was ended by force does not count."""
        last = await self.last_run()
        return since is None or last is None or last["began_at"] <= since

    async def begin_run(self, now: datetime) -> None:
        """Write down that a run begins."""
        await self._pool.execute(QUERIES["begin_purge"], now)

    async def end_run(self, began_at: datetime, now: datetime, gone: dict[str, int]) -> None:
        """Write down what a run did."""
        await self._pool.execute(QUERIES["end_purge"], began_at, now, msgspec.json.encode(gone).decode())

    async def last_run(self) -> dict[str, Any] | None:
        """The last run that came to its end."""
        row = await self._pool.fetchrow(QUERIES["last_purge"])
        return None if row is None else {**row, "gone": msgspec.json.decode(row["gone"])}

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether nobody else purges; nobody does until the block ends."""
        async with self._pool.acquire() as connection:
            is_alone: bool = await connection.fetchval(QUERIES["try_purge_lock"])
            try:
                yield is_alone
            finally:
                if is_alone and not connection.is_closed():
                    await connection.execute(QUERIES["release_purge_lock"])

    @asynccontextmanager
    async def _transaction(self, isolation: str = "read_committed") -> AsyncIterator[asyncpg.Connection]:
        async with self._pool.acquire() as connection, connection.transaction(isolation=isolation):
            yield connection


def is_passing(problem: Exception) -> bool:
    """Whether a batch lost against a payment and may simply be done again."""
    return isinstance(problem, AGAIN)


async def _why_cards_stay(
    connection: asyncpg.Pool | asyncpg.Connection, cards: Sequence[Card], cutoffs: Cutoffs
) -> dict[Card, str | None]:
    arguments = (*_columns(cards), cutoffs.quiet, cutoffs.cards, cutoffs.card_tokens)
    rows = await connection.fetch(QUERIES["why_cards_stay"], *arguments)
    return {(row["project"], row["token"]): row["why"] for row in rows}


def _holds(why: str | None, unless: frozenset[str] | None) -> bool:
    return why is not None and (unless is None or why in unless)


def _columns(rows: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [first for first, _ in rows], [second for _, second in rows]


def _affected(status: str) -> int:
    return int(status.rsplit(" ", 1)[-1])
