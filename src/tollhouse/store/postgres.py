"""The books in Postgres: changes that wait while one group is on its way are committed together by the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tollhouse.change import Change, Note
from tollhouse.exemption import LowValueUse
from tollhouse.grouping import Grouped
from tollhouse.idempotency import UsedKey
from tollhouse.ports import ClaimedDelivery, CommitUnclear, KeyTaken, Stale, StoreUnreachable
from tollhouse.public_token import CARD_TOKEN_CVV_SECONDS_MAX
from tollhouse.session import PaymentSession
from tollhouse.store import rows
from tollhouse.store.queries import QUERIES
from tollhouse.webhook import Attempt, Delivery

CONNECTIONS_MAX = 6
GROUP_SIZE_MAX = 64
LEASE_SECONDS = 25
DELIVERY_LEASE_SECONDS = 15
NOTES_WAITING_MAX = 10_000
COMMAND_SECONDS_MAX = 30
# Every query of this pool looks rows up by an index. Plans are kept from when the tables were empty and a scan cheap:
# without this a young database is four times slower until its first statistics.
POINT_LOOKUPS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
REFUSED: dict[str, type[Exception]] = {"stale": Stale, "key_taken": KeyTaken}
# What somebody else wrote first: to be read and decided again, a double reference with a new one.
KEY_ROW = "idempotency_key_pkey"
SAME_ROW = frozenset(
    {"session_pkey", "history_pkey", "rrn_names_one_operation", "payment_pkey", "operation_pkey", "authentication_pkey"}
)
# The database is away, or cannot work for a reason that passes: nothing that a caller did.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it starts, stops or crashes
    asyncpg.InsufficientResourcesError,  # disk, memory or connections are used up
    asyncpg.ReadOnlySQLTransactionError,  # a replica that is not yet promoted
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's word for a connection that dies while it is taken into use
    OSError,
    TimeoutError,
)
AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

Changed = Callable[[Change], None]


class Connection(asyncpg.Connection):
    """A connection that is not reset at each release: nothing here sets, listens or locks beyond a statement."""

    def get_reset_query(self) -> str:
        return ""


async def open_pool(dsn: str, *, connections_max: int = CONNECTIONS_MAX) -> asyncpg.Pool:
    """A pool whose commits are on disk before they are answered."""
    return await asyncpg.create_pool(
        dsn,
        connection_class=Connection,
        min_size=1,
        max_size=connections_max,
        command_timeout=COMMAND_SECONDS_MAX,
        server_settings={"synchronous_commit": "on", "timezone": "UTC", "jit": "off", **POINT_LOOKUPS},
    )


@dataclass(frozen=True, slots=True)
class _Note:
    project: str
    session_id: str
    id: str
    at: datetime
    note: Note


def _refusal_of(problem: asyncpg.PostgresError) -> Exception:
    """What a failed statement says of its only change: a rival's row was there first, or a constraint was broken."""
    if isinstance(problem, AGAIN):
        return Stale()
    if isinstance(problem, asyncpg.UniqueViolationError):
        if problem.constraint_name in SAME_ROW:
            return Stale()
        if problem.constraint_name == KEY_ROW:
            return KeyTaken()
    return problem


class PostgresStore:
    """Implements the port `Store` for one node."""

    def __init__(self, pool: asyncpg.Pool, *, node: str, changed: Changed | None = None) -> None:
        self._pool = pool
        self._node = node
        self._changed = changed
        self._commits: Grouped[Change, Exception | None] = Grouped(self._commit_group, group_size_max=GROUP_SIZE_MAX)
        self._finishes: Grouped[tuple[Any, Any], None] = Grouped(self._finish_group, group_size_max=GROUP_SIZE_MAX)
        self._notes: Grouped[_Note, None] = Grouped(self._insert_notes, group_size_max=GROUP_SIZE_MAX)
        self._noting: set[asyncio.Task[None]] = set()
        self._notes_count = 0

    @classmethod
    async def open(cls, dsn: str, *, node: str, changed: Changed | None = None) -> PostgresStore:
        """A store on a pool of its own."""
        return cls(await open_pool(dsn), node=node, changed=changed)

    @property
    def pool(self) -> asyncpg.Pool:
        return self._pool

    async def close(self) -> None:
        """Finish what was given, then let the connections go."""
        await self._commits.close()
        await self._finishes.close()
        if self._noting:
            await asyncio.wait(self._noting)
        await self._notes.close()
        await self._pool.close()

    async def commit(self, change: Change) -> None:
        """Durable on return. Raises `Stale`, `KeyTaken`, `CommitUnclear`."""
        refused = await self._commits.ask(change)
        if refused is not None:
            raise refused
        if self._changed is not None:
            self._changed(change)

    async def _commit_group(self, changes: list[Change]) -> list[Exception | None]:
        """A verdict each. A session or key that stands twice in the group goes into a statement of its own."""
        verdicts: list[Exception | None] = [None] * len(changes)
        waiting = list(range(len(changes)))
        while waiting:
            seen: set[tuple[str, ...]] = set()
            together: list[int] = []
            for place in waiting:
                change = changes[place]
                session = change.session
                names = {("session", session.project, session.id)}
                if change.claim is not None:
                    names.add(("key", session.project, change.claim.key))
                if not names & seen:
                    seen |= names
                    together.append(place)
            waiting = [place for place in waiting if place not in together]
            found = await self._commit_statement([changes[place] for place in together])
            for place, verdict in zip(together, found, strict=True):
                verdicts[place] = verdict
        return verdicts

    async def _commit_statement(self, changes: list[Change]) -> list[Exception | None]:
        """All of them together; when some are refused nothing was written, and the others are committed without."""
        try:
            verdicts = await self._pool.fetchval(QUERIES["commit_changes"], *rows.group_rows(changes, self._node))
        except LOST as lost:
            return [CommitUnclear(str(lost)) for _ in changes]
        except asyncpg.PostgresError as problem:
            if len(changes) > 1:  # one spoils the group: each alone, so that the others commit
                return [(await self._commit_statement([change]))[0] for change in changes]
            return [_refusal_of(problem)]
        if verdicts is None:
            return [None] * len(changes)
        refused: list[Exception | None] = [REFUSED[verdict]() if verdict in REFUSED else None for verdict in verdicts]
        accepted = [change for change, refusal in zip(changes, refused, strict=True) if refusal is None]
        again = iter(await self._commit_statement(accepted) if accepted else ())
        return [next(again) if refusal is None else refusal for refusal in refused]

    async def find_change(self, project: str, session_id: str, change_id: str) -> bool:
        """Whether the change became true. Raises `StoreUnreachable`."""
        found = await self._read_row("find_change", project, session_id, change_id)
        return bool(found and found[0])

    async def find_session(self, project: str, session_id: str) -> PaymentSession | None:
        """The session as it is now. Raises `StoreUnreachable`."""
        row = await self._read_row("find_session", project, session_id)
        return rows.session_of(row) if row is not None else None

    async def find_key(self, project: str, key: str) -> UsedKey | None:
        """What the idempotency key was used for. Raises `StoreUnreachable`."""
        row = await self._read_row("find_key", project, key)
        if row is None:
            return None
        answer = row["answer"].encode() if row["answer"] is not None else None
        return UsedKey(path=row["path"], body_hash=row["body_hash"], session_id=row["session_id"], answer=answer)

    async def find_operation(self, *, rrn: str, stan: str, terminal: str) -> tuple[str, str, str] | None:
        """Project, session and operation that sent under these references. Raises `StoreUnreachable`."""
        row = await self._read_row("find_operation", rrn, stan, terminal)
        return None if row is None else (row["project"], row["session_id"], row["id"])

    async def find_link(self, link: str) -> tuple[str, str, str] | None:
        """Project, session and payment that a payer's link belongs to. Raises `StoreUnreachable`."""
        row = await self._read_row("find_link", link)
        return None if row is None else (row["project"], row["session_id"], row["id"])

    async def find_authentication(self, authentication_id: str) -> tuple[str, str] | None:
        """Project and session of an authentication. Raises `StoreUnreachable`."""
        row = await self._read_row("find_authentication", authentication_id)
        return None if row is None else (row["project"], row["session_id"])

    async def low_value_use(self, project: str, card_fingerprint: str) -> LowValueUse:
        """How often this card went without authentication as low value since its payer was last authenticated."""
        row = await self._read_row("low_value_use", project, card_fingerprint)
        assert row is not None, "counts have a row always"
        return LowValueUse(count=row["count"], sum_minor=row["sum_minor"])

    async def claim_due(self, now: datetime, *, limit: int) -> list[tuple[str, str]]:
        """Sessions with something due and no live lease, now leased to this node."""
        found = await self._read("claim_due", now, self._node, LEASE_SECONDS, limit)
        return [(row["project"], row["id"]) for row in found]

    async def claim_deliveries(
        self, now: datetime, *, sessions: Sequence[tuple[str, str]] | None, limit: int, busy: Sequence[str] = ()
    ) -> list[ClaimedDelivery]:
        """Events that may go out now, leased to this node; in order within each session."""
        projects = None if sessions is None else [project for project, _ in sessions]
        ids = None if sessions is None else [id for _, id in sessions]
        found = await self._read(
            "claim_deliveries", now, self._node, DELIVERY_LEASE_SECONDS, projects, ids, limit, list(busy)
        )
        claimed = [rows.claimed_of(row) for row in found]
        return sorted(claimed, key=lambda one: (one.delivery.session_id, one.delivery.sequence))

    async def finish_delivery(self, delivery: Delivery, attempt: Attempt) -> None:
        """Write down one attempt of a webhook and where its delivery stands."""
        await self._finishes.ask(rows.finished_rows(delivery, attempt))

    def note(self, project: str, session_id: str, note: Note, at: datetime) -> None:
        """Keep a note with the next group. Past a bound of waiting notes the newest are dropped: they are no books."""
        if len(self._noting) >= NOTES_WAITING_MAX:
            return
        self._notes_count += 1
        id = f"{self._node}-{at.timestamp():.6f}-{self._notes_count}"
        task = asyncio.ensure_future(self._notes.ask(_Note(project, session_id, id, at, note)))
        self._noting.add(task)
        task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._noting.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or each lost note would be a traceback; of the outage others tell

    async def _insert_notes(self, notes: list[_Note]) -> list[None]:
        columns = zip(
            *[(n.project, n.session_id, n.id, n.at, n.note.kind, rows.text_of(n.note.data)) for n in notes],
            strict=True,
        )
        try:
            await self._pool.execute(QUERIES["insert_notes"], *[list(column) for column in columns])
        except LOST as lost:
            raise StoreUnreachable("notes were not kept") from lost
        return [None] * len(notes)

    async def _finish_group(self, finished: list[tuple[Any, Any]]) -> list[None]:
        made, standings = zip(*finished, strict=True)
        try:
            await self._pool.execute(QUERIES["finish_deliveries"], list(made), list(standings), self._node)
        except LOST as lost:
            raise StoreUnreachable("attempts were not written down; they will be made again") from lost
        return [None] * len(finished)

    async def live_cvv_slots(self, slots: Sequence[str]) -> set[str]:
        """Which of these slots of security codes some row still names."""
        return {row["slot"] for row in await self._read("live_cvv_slots", list(slots), CARD_TOKEN_CVV_SECONDS_MAX)}

    async def _read(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(QUERIES[name], *arguments)
        except LOST as lost:
            raise StoreUnreachable("the database does not answer") from lost

    async def _read_row(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        try:
            return await self._pool.fetchrow(QUERIES[name], *arguments)
        except LOST as lost:
            raise StoreUnreachable("the database does not answer") from lost
