"""What nothing can need any more goes: in small batches, once a day, whole or not at all.

The gateway lets a card go first: its payments and tokens no longer name it, in one database transaction under the lock
that commits take. The vault erases it a minute later, after one more look whether a call that was on its way needs it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from tollhouse.audit import DONE, FAILED, GRANTED, Act
from tollhouse.ports import Log
from tollhouse.store.purge import (
    BATCH_SIZE,
    BY_AGE,
    PERSONAL,
    Card,
    Count,
    Cutoffs,
    PurgeStore,
    Retention,
    SessionKey,
    cutoffs_of,
    is_passing,
)
from tollhouse.vault.port import CardRows, KeptRow, NodeAudit

CARDS, RELEASED, SECONDS_LEFT = "cards", "cards let go", "seconds until cards are erased"
SETTLE_SECONDS = 60.0
# Payments come first: between two batches we rest as long as the last one took, and a moment.
REST_SECONDS = 0.01
AGAIN_MAX = 10
ERASE_ATTEMPTS_MAX, ERASE_AGAIN_SECONDS = 10, 0.2
# Nodes write by their own clocks when a session changed last, and a person's wish does not depend on it.
CLOCKS_DIFFER = timedelta(days=1)
FIRST_SECONDS, LOOK_SECONDS = 300.0, 3600.0
DAILY = timedelta(hours=23)
# A person may ask for the end of a card that was used yesterday, but not while money can still move with it. What was
# reversed may be approved late, and to reverse it once more takes the card.
MONEY_MAY_MOVE = frozenset({"unfinished", "refundable", "in doubt"})

T = TypeVar("T")
Told = Callable[[str, int], None]


@dataclass(slots=True)
class Erased:
    """What became of the erasure of single things: what is gone, and what stays for which reason."""

    gone: Counter[str] = field(default_factory=Counter)
    stays: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One database with its vault."""

    store: PurgeStore
    vault: CardRows
    retention: Retention
    now: Callable[[], datetime]
    told: Told = lambda kind, count: None
    settle_seconds: float = SETTLE_SECONDS

    async def plan(self, project: str | None = None) -> dict[str, Count]:
        """Every kind: how many go now, how many stay and why. Changes nothing."""
        cutoffs = cutoffs_of(self.retention, self.now())
        counts = {CARDS: Count()}
        async for rows in self._cards(project):
            reasons = await self.store.why_cards_stay([row[:2] for row in rows], cutoffs)
            for row in rows:
                is_young = row.created_at >= cutoffs.quiet
                counts[CARDS].add(reasons[row[:2]] or ("recent" if is_young else None), row.created_at)
        return counts | await self.store.count(cutoffs, project)

    async def run(self, project: str | None = None) -> Counter[str]:
        """Let everything go that may; how many of each kind are gone. May be ended at any moment and run again."""
        cutoffs = cutoffs_of(self.retention, self.now())
        gone: Counter[str] = Counter()
        await self._shred_released(cutoffs, gone)
        for kind in BY_AGE:
            await self._by_age(kind, cutoffs, project, gone)
        async for sessions in self.store.old_sessions(cutoffs, project):
            redacted = await _gently(lambda: self.store.redact(sessions, cutoffs.personal))  # noqa: B023 - awaited here
            self._count(gone, PERSONAL, len(redacted))
        async for rows in self._cards(project):
            old = [row[:2] for row in rows if row.created_at < cutoffs.quiet]
            reasons = await self.store.why_cards_stay(old, cutoffs)
            free = [card for card, why in reasons.items() if why is None]
            released = await _gently(lambda: self.store.let_go(free, cutoffs))  # noqa: B023 - awaited here
            self._count(gone, RELEASED, released)
        await self._settle()
        await self._shred_released(cutoffs, gone)
        return gone

    async def erase(self, sessions: Sequence[SessionKey], cards: Sequence[Card] = ()) -> Erased:
        """Erase what is known of the payers of these sessions, the cards they paid with, and these cards."""
        now, erased = self.now(), Erased()
        cutoffs = cutoffs_of(self.retention, now)
        unfinished = await self.store.unfinished(sessions)
        for (_, id), status in unfinished.items():
            erased.stays[id] = f"the session is {status}: money can still move in it"
        held: list[SessionKey] = []
        for batch in batched([session for session in sessions if session not in unfinished]):
            held += await self._redact(batch, erased)
        for _, id in held:
            erased.stays[id] = "the session is being changed at this moment: run this again"
        named = await self.store.cards_of_sessions([session for session in sessions if session not in held])
        named += cards
        reasons = await self.store.why_cards_stay(named, cutoffs)
        for some in batched(named):
            released = await _gently(lambda: self.store.let_go(some, cutoffs, unless=MONEY_MAY_MOVE))  # noqa: B023 - awaited here
            self._count(erased.gone, RELEASED, released)
        for (_, token), why in reasons.items():
            if why in MONEY_MAY_MOVE:
                erased.stays[token] = f"the card is {why}: a payment, its reversal or a refund can still need it"
        if erased.gone[RELEASED]:
            await self._settle()
            await self._shred_released(cutoffs, erased.gone)
        return erased

    async def _redact(self, sessions: list[SessionKey], erased: Erased) -> list[SessionKey]:
        """A session that somebody else holds is waited for a little; those that are still held."""
        left = sessions
        for _ in range(ERASE_ATTEMPTS_MAX):
            before = self.now() + CLOCKS_DIFFER
            redacted = await _gently(lambda: self.store.redact(left, before, erased=True))  # noqa: B023 - awaited here
            self._count(erased.gone, PERSONAL, len(redacted))
            left = [session for session in left if session not in redacted]
            if not left:
                break
            await asyncio.sleep(ERASE_AGAIN_SECONDS)
        return left

    async def _cards(self, project: str | None) -> AsyncIterator[list[KeptRow]]:
        after: Card = ("", "")
        while rows := await self.vault.next_cards(after, project):
            yield rows
            after = rows[-1].project, rows[-1].token

    async def _by_age(self, kind: str, cutoffs: Cutoffs, project: str | None, gone: Counter[str]) -> None:
        while count := await _gently(lambda: self.store.purge_by_age(kind, cutoffs, project)):
            self._count(gone, kind, count)

    async def _settle(self) -> None:
        """Until no call that took a card before it was let go can still be on its way."""
        while seconds := await self.store.seconds_to_settle(self.settle_seconds):
            self.told(SECONDS_LEFT, round(seconds))
            await asyncio.sleep(seconds)

    async def _shred_released(self, cutoffs: Cutoffs, gone: Counter[str]) -> None:
        """Erase what was let go, also by a run that was ended; a card that is needed again stays."""
        after: Card = ("", "")
        while cards := await self.store.released(after, settle_seconds=self.settle_seconds):
            after = cards[-1]
            reasons = await self.store.why_cards_stay(cards, cutoffs)
            free = [card for card, why in reasons.items() if why is None]
            count = await self.vault.shred(free, "no longer needed")
            await self.store.forget_released(free, erased=True)
            await self.store.forget_released([card for card in cards if card not in free], erased=False)
            self._count(gone, CARDS, count)

    def _count(self, gone: Counter[str], kind: str, count: int) -> None:
        if count:
            gone[kind] += count
            self.told(kind, gone[kind])


async def _gently(work: Callable[[], Awaitable[T]]) -> T:
    """The work, then a rest. What lost against a payment is done again."""
    began, attempts = time.monotonic(), 0
    while True:
        try:
            done = await work()
        except Exception as problem:
            attempts += 1
            if not is_passing(problem) or attempts == AGAIN_MAX:
                raise
            continue
        await asyncio.sleep(REST_SECONDS + time.monotonic() - began)
        return done


def batched(rows: Sequence[T]) -> list[list[T]]:
    """The same in pieces that one database transaction takes."""
    return [list(rows[begin : begin + BATCH_SIZE]) for begin in range(0, len(rows), BATCH_SIZE)]


def numbers(gone: Mapping[str, int]) -> str:
    """How many of each kind are gone, as one line."""
    return ", ".join(f"{count} {kind}" for kind, count in gone.items()) or "nothing"


async def purge_once(purge: Purge, *, audit: NodeAudit, unless_since: datetime | None = None) -> Counter[str] | None:
    """A run of everything that stands in the books and in the audit log; None when it is not its time."""
    async with purge.store.alone() as is_alone:
        if not is_alone or not await purge.store.is_due(unless_since):
            return None
        await audit.write(Act(what="purge.run", outcome=GRANTED))
        try:
            gone = await run_written(purge)
        except Exception as problem:
            await audit.write(Act(what="purge.run", outcome=FAILED, details=type(problem).__name__))
            raise
        await audit.write(Act(what="purge.run", outcome=DONE, details=numbers(gone)))
        return gone


async def run_written(purge: Purge, project: str | None = None) -> Counter[str]:
    """A run; one of everything stands in the books, so that others know that today's is done."""
    now = purge.now()
    if project is None:
        await purge.store.begin_run(now)
    gone = await purge.run(project)
    if project is None:
        await purge.store.end_run(now, purge.now(), dict(gone))
    return gone


async def purge_daily(purge: Purge, *, audit: NodeAudit, log: Log, first_seconds: float = FIRST_SECONDS) -> None:
    """Once a day, whichever node comes first, until cancelled."""
    await asyncio.sleep(first_seconds)
    while True:
        try:
            gone = await purge_once(purge, audit=audit, unless_since=purge.now() - DAILY)
        except Exception as problem:  # noqa: BLE001 - it is tried again in an hour, whatever it was
            log.warning("old data is purged later", why=type(problem).__name__)
            gone = None
        if gone is not None:
            log.info("old data purged", gone=numbers(gone))
        await asyncio.sleep(LOOK_SECONDS)
