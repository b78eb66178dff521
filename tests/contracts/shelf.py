"""Where books stand: in memory or in Postgres, with the same handles, so that one suite tests both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

import asyncpg

from tests.ground.story import NOON, OFFER, Story
from tests.lives import told
from tests.worlds import FakeClock
from tollhouse.change import Alarm, Change, KeyClaim, Note, Step
from tollhouse.ledger import Transfer
from tollhouse.life import Announced
from tollhouse.merchant import Project
from tollhouse.ports import Store
from tollhouse.store.memory import MemoryBooks, MemoryStore
from tollhouse.store.postgres import PostgresStore
from tollhouse.store.projects import KnownProject, insert_project, update_project
from tollhouse.store.reads import find_life

SHOP = Project(name="shop", webhook_url="http://127.0.0.1:9/shop")
INN = Project(name="inn", webhook_url="http://127.0.0.1:9/inn", is_live=True)
QUIET = Project(name="quiet")
PROJECTS = (SHOP, INN, QUIET)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Everything that is kept about one session besides itself, oldest first."""

    change_ids: frozenset[str]
    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    events: tuple[Announced, ...] = ()


NOTHING = Kept(change_ids=frozenset())


class Shelf(Protocol):
    """Books that several nodes write in. Instants of leases pass only when told."""

    async def open(self, node: str = "n1") -> Store:
        """The books as a node sees them."""

    async def close(self, store: Store) -> None:
        """The node stops, as it should: what it was given is written down first."""

    async def keep(self, project: Project) -> None:
        """Keep a project, or put it as it is now."""

    async def let_pass(self, seconds: float) -> None:
        """Time passes for leases."""

    async def kept(self, project: str, session_id: str) -> Kept:
        """What is kept about a session."""


class MemoryShelf:
    """Books in memory."""

    def __init__(self) -> None:
        self._books = MemoryBooks()
        self._clock = FakeClock(NOON)

    async def open(self, node: str = "n1") -> Store:
        return MemoryStore(self._books, node=node, clock=self._clock)

    async def close(self, store: Store) -> None:
        """Nothing waits."""

    async def keep(self, project: Project) -> None:
        self._books.add_project(project)

    async def let_pass(self, seconds: float) -> None:
        self._clock.move(seconds)

    async def kept(self, project: str, session_id: str) -> Kept:
        key = (project, session_id)
        history = self._books.histories.get(key)
        if history is None:
            return NOTHING
        return Kept(
            change_ids=frozenset(id for owner, id in self._books.changes if owner == key),
            steps=tuple(step for _, step in history.steps),
            notes=tuple(note for _, note in history.notes),
            alarms=tuple(alarm for _, alarm in history.alarms),
            transfers=tuple(self._books.transfers_of(key)),
            events=tuple(
                Announced(
                    project=project,
                    session_id=session_id,
                    id=one.event_id,
                    type=one.type,
                    sequence=one.sequence,
                    created_at=NOON,
                    state=one.state,
                    next_attempt_at=one.next_attempt_at,
                    attempts=tuple(attempt for id, attempt in history.attempts if id == one.event_id),
                )
                for one in self._books.deliveries[key].values()
            ),
        )


class PostgresShelf:
    """Books in a database of their own."""

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self._dsn = dsn
        self._stack = stack
        self._pool: asyncpg.Pool | None = None

    async def pool(self) -> asyncpg.Pool:
        """Connections of the tests, none of a node's."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._dsn, min_size=1, max_size=2, server_settings={"timezone": "UTC"}
            )
            self._stack.push_async_callback(self._pool.close)
        return self._pool

    async def open(self, node: str = "n1") -> PostgresStore:
        store = await PostgresStore.open(self._dsn, node=node)
        self._stack.push_async_callback(store.close)
        return store

    async def close(self, store: Store) -> None:
        assert isinstance(store, PostgresStore)
        await store.close()

    async def keep(self, project: Project) -> None:
        pool = await self.pool()
        if not await update_project(pool, project):
            await insert_project(pool, known(project))

    async def let_pass(self, seconds: float) -> None:
        pool = await self.pool()
        for table in ("session", "event"):
            await pool.execute(f"update {table} set lease_until = lease_until - make_interval(secs => $1)", seconds)

    async def kept(self, project: str, session_id: str) -> Kept:
        life = await find_life(await self.pool(), project, session_id)
        if life is None:
            return NOTHING
        return Kept(
            change_ids=frozenset(past.change_id for past in life.history),
            steps=tuple(step for past in life.history for step in past.steps),
            notes=tuple(one.what for one in life.notes if isinstance(one.what, Note)),
            alarms=tuple(one.what for one in life.alarms if isinstance(one.what, Alarm)),
            transfers=tuple(one.what for one in life.transfers if isinstance(one.what, Transfer)),
            events=tuple(replace(event, created_at=NOON) for event in life.events),
        )


def known(project: Project) -> KnownProject:
    """A project's row, with stand-ins for its keys."""
    return KnownProject(
        project=project,
        sealed_secrets=b"sealed",
        webhook_public_pem="pem",
        webhook_public_ed25519="whpk_",
        created_at=NOON,
    )


def opened(number: int = 1, project: str = "shop") -> Change:
    """A new session: its first change."""
    return _owned(told(number), project, Story.create)


def started(number: int = 1, project: str = "shop") -> Change:
    """A new session whose payment waits to be confirmed: its first change, with an event."""
    return _owned(told(number), project, Story.start)


def _owned(story: Story, project: str, verb: Callable[..., Any]) -> Change:
    story.session = replace(story.session, project=project)
    verb(story, OFFER)
    return bodied(story.changes[-1])


def following(change: Change, name: str = "next") -> Change:
    """Some change after this one: the next version, a later instant, nothing else."""
    later = change.session.updated_at + timedelta(microseconds=1)
    session = replace(change.session, version=change.session.version + 1, updated_at=later)
    return Change(id=f"{change.id}-{name}", at=NOON, session=session, answer=session)


def bodied(change: Change) -> Change:
    """The change with its events' bodies rendered."""
    events = tuple(replace(event, body=f'{{"type":"{event.type}","é":1}}'.encode()) for event in change.events)
    return replace(change, events=events)


def claiming(change: Change, key: str, *, answer: bytes | None = None) -> Change:
    """The change with an idempotency key that it uses up."""
    claim = KeyClaim(
        key=key, path="/api/v2/session/create", body_hash=b"\0hash\xff", keeps_answer=answer is not None, answer=answer
    )
    return replace(change, claim=claim)


async def commit_all(store: Store, changes: list[Change]) -> None:
    """One after the other."""
    for change in changes:
        await store.commit(bodied(change))
