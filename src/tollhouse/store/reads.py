"""What the command line reads: sessions with their lives, events with their deliveries, evidence for `verify`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from tollhouse.change import Alarm, Note, Step
from tollhouse.ledger import Account, Transfer, TransferPhase
from tollhouse.life import Announced, Kept, Life, Past
from tollhouse.proof import KeyUse
from tollhouse.session import PaymentSession
from tollhouse.store.queries import QUERIES
from tollhouse.store.rows import session_of
from tollhouse.webhook import Attempt, DeliveryState

BATCH_SIZE = 200
_decode_steps = msgspec.json.Decoder(tuple[Step, ...]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A session whose rows are not those of any session: something wrote what the rules forbid."""

    session_id: str
    why: str


async def projects_of_session(pool: asyncpg.Pool, session_id: str) -> list[str]:
    """The projects that have a session of this id."""
    return [row["name"] for row in await pool.fetch(QUERIES["projects_of_session"], session_id)]


async def projects_of_event(pool: asyncpg.Pool, event_id: str) -> list[str]:
    """The projects that have an event of this id."""
    return [row["name"] for row in await pool.fetch(QUERIES["projects_of_event"], event_id)]


async def list_sessions(
    pool: asyncpg.Pool, *, project: str | None, status: str | None, limit: int
) -> list[PaymentSession]:
    """The newest sessions, newest first."""
    return [session_of(row) for row in await pool.fetch(QUERIES["list_sessions"], project, status, limit)]


async def find_life(pool: asyncpg.Pool, project: str, session_id: str) -> Life | None:
    """Everything that happened to one session."""
    row = await pool.fetchrow(QUERIES["list_lives"], project, session_id, "", 1)
    return None if row is None else _life_of(row)


async def walk_lives(pool: asyncpg.Pool, project: str) -> AsyncIterator[list[Life | Unreadable]]:
    """Every session of a project, batch by batch; each session is seen as it is at one instant."""
    after = ""
    while rows := await pool.fetch(QUERIES["list_lives"], project, None, after, BATCH_SIZE):
        yield [_life_or_why(row) for row in rows]
        after = rows[-1]["id"]


async def list_events(
    pool: asyncpg.Pool, *, project: str | None, session_id: str | None, state: str | None, limit: int
) -> list[Announced]:
    """The newest events, newest first, without their bodies."""
    rows = await pool.fetch(QUERIES["list_events"], project, session_id, state, limit)
    return [_event_of(tuple(row)[:-1], row["deliveries"]) for row in rows]


async def find_event(pool: asyncpg.Pool, project: str, event_id: str) -> Announced | None:
    """One event with its body."""
    row = await pool.fetchrow(QUERIES["find_event"], project, event_id)
    return None if row is None else _event_of(tuple(row)[:-1], row["deliveries"])


async def resend_event(pool: asyncpg.Pool, project: str, event_id: str, now: datetime) -> bool:
    """Let an event go out again, at once, with the same id and body; False when there is none of this id."""
    return await pool.fetchval(QUERIES["resend_event"], project, event_id, now) is not None


async def projects_with_rows(pool: asyncpg.Pool) -> dict[str, int]:
    """How many sessions each project has."""
    return {row["name"]: row["sessions"] for row in await pool.fetch(QUERIES["projects_with_rows"])}


async def stray_transfers(pool: asyncpg.Pool, project: str) -> list[tuple[str, str, str]]:
    """Transfers without the operation they name: their id, that operation's, their session's."""
    return [tuple(row) for row in await pool.fetch(QUERIES["stray_transfers"], project)]


async def walk_used_keys(pool: asyncpg.Pool, project: str) -> AsyncIterator[list[KeyUse]]:
    """Every idempotency key of a project, batch by batch."""
    after = ""
    while rows := await pool.fetch(QUERIES["list_used_keys"], project, after, BATCH_SIZE):
        yield [KeyUse(**row) for row in rows]
        after = rows[-1]["key"]


async def shared_creations(pool: asyncpg.Pool, project: str) -> list[tuple[str, int]]:
    """What is claimed more than once although it may be once: a session by several keys, a key by several rows."""
    return [tuple(row) for row in await pool.fetch(QUERIES["shared_creations"], project)]


async def find_by_rrn(pool: asyncpg.Pool, rrn: str) -> tuple[str, str] | None:
    """Project and session of the operation with this RRN."""
    row = await pool.fetchrow(QUERIES["find_by_rrn"], rrn)
    return None if row is None else tuple(row)


def _life_or_why(row: asyncpg.Record) -> Life | Unreadable:
    try:
        return _life_of(row)
    except (ValueError, AssertionError, msgspec.MsgspecError) as problem:
        return Unreadable(session_id=row["id"], why=f"{type(problem).__name__}: {problem}")


def _life_of(row: asyncpg.Record) -> Life:
    deliveries = row["deliveries"]
    return Life(
        session=session_of(row),
        history=tuple(_past_of(one) for one in row["history"]),
        notes=tuple(Kept(at=one["at"], what=Note(kind=one["kind"], data=_data(one["data"]))) for one in row["notes"]),
        alarms=tuple(Kept(at=one["at"], what=Alarm(subject=one["subject"], what=one["what"])) for one in row["alarms"]),
        transfers=tuple(Kept(at=one["at"], what=_transfer_of(one)) for one in row["transfers"]),
        events=tuple(_event_of(one, [d for d in deliveries if d["event_id"] == one[2]]) for one in row["events"]),
    )


def _past_of(row: asyncpg.Record) -> Past:
    return Past(
        change_id=row["change_id"],
        version=row["version"],
        at=row["at"],
        node=row["node"],
        steps=_decode_steps(row["steps"]),
    )


def _data(text: str) -> Any:
    return msgspec.json.decode(text)


def _transfer_of(row: asyncpg.Record) -> Transfer:
    return Transfer(
        id=row["id"],
        operation_id=row["operation_id"],
        phase=TransferPhase(row["phase"]),
        debit=Account(row["debit"]),
        credit=Account(row["credit"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        resolves_id=row["resolves_id"],
    )


def _event_of(columns: Sequence[Any], deliveries: Sequence[asyncpg.Record]) -> Announced:
    """From the columns that the queries above give in this order; the body is the last, where it is asked for."""
    project, session_id, id, type, sequence, created_at, state, next_attempt_at, *body = columns
    return Announced(
        project=project,
        session_id=session_id,
        id=id,
        type=type,
        sequence=sequence,
        created_at=created_at,
        state=DeliveryState(state),
        next_attempt_at=next_attempt_at,
        attempts=tuple(
            Attempt(
                number=one["number"],
                at=one["at"],
                status=one["status"],
                error=one["error"],
                excerpt=one["excerpt"],
                duration_seconds=one["duration_ms"] / 1000,
            )
            for one in deliveries
        ),
        body=body[0] if body else "",
    )
