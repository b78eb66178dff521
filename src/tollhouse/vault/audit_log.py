"""Writes the audit log: a chain of this process, one link for all entries of a commit, checkpoints, and anchors.

What is to be granted waits until its entry is durable. Entries that wait while others are written go with the next
link, so a busy process pays for few commits.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tollhouse.audit import (
    BEGINNING,
    CHECKPOINT,
    DONE,
    FAILED,
    Act,
    Anchor,
    Entry,
    Head,
    anchor_line,
    checkpoint,
    clean,
    link_digest,
    storable,
)
from tollhouse.grouping import Grouped
from tollhouse.vault.denials import Denials
from tollhouse.vault.keys import KeysRefused, KeysUnreachable

GROUP_SIZE_MAX = 500
CHAIN_RANDOM_BYTES = 6
CHECKPOINT_SECONDS = 5.0
ANCHOR_SECONDS = 300.0
TELL_SECONDS = 5.0
NOTES_SECONDS = 0.1
# When a link follows the one before at once, the process is busy: then a commit costs more than a moment's wait.
BUSY_SECONDS, PAUSE_SECONDS = 0.0005, 0.008
DENIALS_SECONDS = 1.0
UNFIT = (asyncpg.DataError, UnicodeError)  # the database will never take this entry, however often it is asked
UNWRITABLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Tell = Callable[[str], None]
KeepAnchor = Callable[[str], None]

INSERT = """
WITH link AS (INSERT INTO vault.audit_link (chain, number, last, acts, digest) VALUES ($1, $2, $3, $4, $5))
INSERT INTO vault.audit_entry (chain, number, link, at, what, outcome, subject, who, origin, details)
SELECT $1, new.number, $2, $6, new.what, new.outcome, new.subject, new.who, new.origin, new.details
FROM unnest($7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
    AS new (number, what, outcome, subject, who, origin, details)
"""
OWN_HEAD = """
SELECT number, last, digest FROM vault.audit_link WHERE chain = $1
UNION ALL SELECT number, last, digest FROM vault.audit_retirement WHERE chain = $1
ORDER BY number DESC LIMIT 1
"""
# A process whose clock was ahead wrote some that are still to come: then nothing would be vouched for until they are.
LAST_CHECKPOINT = """
SELECT max(at) FROM vault.audit_entry WHERE what = 'audit.checkpoint' AND at <= clock_timestamp()
"""
# Commits come a little out of order, so each look begins well before the one before it. Links with nothing but a
# checkpoint are not looked at, or two idle nodes would vouch for each other for ever.
OVERLAP = timedelta(seconds=60)
HEADS_SINCE = """
SELECT DISTINCT ON (chain) chain, number, digest, clock_timestamp() AS now FROM vault.audit_link
WHERE at > $1 AND acts > 0 ORDER BY chain, number DESC
"""
EVER = datetime(2000, 1, 1, tzinfo=UTC)


class AuditLog:
    """One process's chain. `who` and `origin` stand in the entries that name nobody else."""

    def __init__(self, pool: asyncpg.Pool, *, process: str, who: str, origin: str, tell: Tell) -> None:
        self._pool = pool
        self._tell = tell
        self.chain = f"{process}-{secrets.token_hex(CHAIN_RANDOM_BYTES)}"
        self._who, self._origin = who, origin
        self._head: Head | None = Head(0, BEGINNING)  # None: unknown since a commit whose answer was lost
        self._last = 0
        self._written_at = 0.0
        self._told_at = -TELL_SECONDS
        self._writes: Grouped[Act | None, Exception | None] = Grouped(self._write_all, group_size_max=GROUP_SIZE_MAX)
        self._notes: deque[Act] = deque()
        self._noting: asyncio.TimerHandle | None = None
        self._denials = Denials()
        self._vouched: dict[str, Head] = {}
        self._anchored: dict[str, Head] = {}
        self._keep_anchor: KeepAnchor | None = None
        self._looked_at: datetime | None = None
        self._beside: list[asyncio.Task[None]] = []

    async def write(self, act: Act) -> None:
        """Durable on return. Raises the database's errors: then what was to be written down must not be done."""
        refused = await self._writes.ask(act)
        if refused is not None:
            raise refused

    def begin(self, act: Act) -> asyncio.Future[None]:
        """The same for whoever has something else to do before it waits for the entry."""
        return asyncio.ensure_future(self.write(act))

    def note(self, act: Act) -> None:
        """Write this down with the next entries, at most a moment later: for what gives nothing out."""
        self._notes.append(act)
        if self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(NOTES_SECONDS, self._write_notes)

    def deny(self, act: Act) -> None:
        """Write a refused access down within a second; the same one many times in it is one entry that counts."""
        self._denials.add(act)

    async def write_denials(self) -> None:
        """What was refused since the last time."""
        denials = self._denials.take()
        counted = [
            Act(
                what=act.what,
                outcome=act.outcome,
                subject=clean(act.subject),
                who=clean(act.who),
                origin=clean(act.origin),
                details=f"{act.details} {count} times".strip() if count > 1 else act.details,
            )
            for act, count in denials.items()
        ]
        try:
            ended = await asyncio.gather(*(self.write(act) for act in counted), return_exceptions=True)
        except BaseException:
            self._denials.put_back(denials)  # for the next time; one that was written after all counts twice
            raise
        problems = {act: one for act, one in zip(denials, ended, strict=True) if one is not None}
        self._denials.put_back({act: denials[act] for act, one in problems.items() if not isinstance(one, UNFIT)})
        for problem in problems.values():
            raise problem

    async def vouch(self, key: Ed25519PrivateKey) -> None:
        """Write a checkpoint if anything but checkpoints was added to any chain since the last one."""
        since = self._looked_at or await self._pool.fetchval(LAST_CHECKPOINT) or EVER
        rows = await self._pool.fetch(HEADS_SINCE, since - OVERLAP)
        heads = {row["chain"]: Head(row["number"], row["digest"]) for row in rows}
        news = {chain: head for chain, head in heads.items() if self._vouched.get(chain) != head}
        if news:
            details = checkpoint(news, chain=self.chain, key=key)
            await self.write(Act(what=CHECKPOINT, outcome=DONE, details=details))
            self._vouched |= news
            self._looked_at = rows[0]["now"]

    async def anchor(self, key: Ed25519PrivateKey) -> None:
        """Have an anchor kept outside: the chains that have grown since the last one, this one with its checkpoint."""
        heads = dict(self._vouched)
        if self._head is not None and self._head.number:
            heads[self.chain] = self._head
        news = {chain: head for chain, head in heads.items() if self._anchored.get(chain) != head}
        if not news or self._keep_anchor is None:
            return
        line = anchor_line(Anchor(at=datetime.now(UTC), heads=news), key=key)
        try:
            await asyncio.to_thread(self._keep_anchor, line)
        except OSError as problem:
            self._tell(f"anchors of the audit log cannot be kept: {problem.strerror}")
            return
        self._anchored |= news

    def follow(self, key: Ed25519PrivateKey, *, keep_anchor: KeepAnchor | None = None) -> None:
        """From now on write denials every second, checkpoints every five, and have an anchor kept every 300."""
        self._keep_anchor = keep_anchor
        self._beside = [
            asyncio.create_task(self._repeat(DENIALS_SECONDS, self.write_denials)),
            asyncio.create_task(self._repeat(CHECKPOINT_SECONDS, lambda: self.vouch(key))),
            asyncio.create_task(self._repeat(ANCHOR_SECONDS, lambda: self.anchor(key), first=2 * CHECKPOINT_SECONDS)),
        ]

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Around the opening of the keys: that a process could not start because of them is written down."""
        try:
            yield
        except (KeysRefused, KeysUnreachable) as problem:
            act = Act(what="process.start", outcome=FAILED, details=clean(str(problem)))
            await self._carefully(lambda: self.write(act))
            await self.close()
            raise

    async def close(self, key: Ed25519PrivateKey | None = None, *, last: Act | None = None) -> None:
        """Write what waits and the last act, with a checkpoint where there is a key to sign it."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._noting is not None:
            self._noting.cancel()
            self._write_notes()
        await self._carefully(self.write_denials)
        if last is not None:
            await self._carefully(lambda: self.write(last))
        if key is not None:
            await self._carefully(lambda: self.vouch(key))
            await self._carefully(lambda: self.anchor(key))
        await self._writes.close()

    async def _repeat(self, seconds: float, work: Callable[[], Awaitable[None]], *, first: float | None = None) -> None:
        wait_seconds = seconds if first is None else first
        while True:
            await asyncio.sleep(wait_seconds)
            wait_seconds = seconds
            try:
                await self._carefully(work)
            except Exception as problem:  # noqa: BLE001 - whatever it was, the log is kept on, and it is told (10.7)
                self._tell(f"the audit log is not kept as it should be: {type(problem).__name__}")

    async def _carefully(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except UNWRITABLE as lost:
            self._tell_unwritable(lost)

    def _tell_unwritable(self, problem: BaseException) -> None:
        """An alarm (PCI DSS 10.7), not one for every payment that is refused meanwhile."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(f"the audit log cannot be written: {type(problem).__name__}")

    def _write_notes(self) -> None:
        """When nothing came that they could have gone with."""
        self._noting = None
        if self._notes:
            self._writes.put(None).add_done_callback(self._tell_of_notes)

    def _tell_of_notes(self, written: asyncio.Future[Exception | None]) -> None:
        """Notes that could not be written wait for the next entries."""
        if not written.cancelled() and (problem := written.exception()) is not None:
            self._tell_unwritable(problem)

    async def _write_all(self, acts: list[Act | None]) -> list[Exception | None]:
        loop = asyncio.get_running_loop()
        if loop.time() - self._written_at < BUSY_SECONDS:
            await asyncio.sleep(PAUSE_SECONDS)  # so that the next link has more entries
        notes, self._notes = self._notes, deque()
        try:
            await self._write_link([*notes, *(act for act in acts if act is not None)])
        except UNFIT:
            return await self._write_apart(notes, acts)
        except BaseException as problem:
            self._notes.extendleft(reversed(notes))
            if isinstance(problem, UNWRITABLE):
                self._tell_unwritable(problem)
            raise
        self._written_at = loop.time()
        return [None] * len(acts)

    async def _write_apart(self, notes: deque[Act], acts: list[Act | None]) -> list[Exception | None]:
        """Each alone, as one of them is refused for ever: the others are written, and a note like that is dropped."""
        while notes:
            try:
                await self._write_link([notes[0]])
            except UNFIT as problem:
                self._tell(f"an entry of the audit log is refused and lost: {notes[0].what}: {type(problem).__name__}")
            except BaseException:
                self._notes.extendleft(reversed(notes))
                raise
            notes.popleft()
        verdicts = list[Exception | None]()
        for act in acts:
            try:
                await self._write_link([] if act is None else [act])
                verdicts.append(None)
            except UNFIT as problem:
                self._tell_unwritable(problem)
                verdicts.append(problem)
        return verdicts

    async def _write_link(self, acts: list[Act]) -> None:
        if not acts:
            return  # the notes went with others before
        head = self._head or await self._look_up()
        at, number = datetime.now(UTC), head.number + 1
        entries = [
            Entry(number=self._last + place, at=at, act=self._signed(act)) for place, act in enumerate(acts, start=1)
        ]
        digest = link_digest(self.chain, number, head.digest, entries)
        columns = zip(*[_columns(entry) for entry in entries], strict=True)
        count = sum(act.what != CHECKPOINT for act in acts)
        last = entries[-1].number
        self._head = None  # until the answer comes
        await self._pool.execute(INSERT, self.chain, number, last, count, digest, at, *map(list, columns))
        self._head, self._last = Head(number, digest), last

    def _signed(self, act: Act) -> Act:
        return storable(replace(act, who=act.who or self._who, origin=act.origin or self._origin))

    async def _look_up(self) -> Head:
        row = await self._pool.fetchrow(OWN_HEAD, self.chain)
        if row is None:
            self._last = 0
            return Head(0, BEGINNING)
        self._last = row["last"]
        return Head(row["number"], row["digest"])


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """The key that signs checkpoints."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def _columns(entry: Entry) -> tuple[object, ...]:
    return (entry.number, *entry.act.words)
