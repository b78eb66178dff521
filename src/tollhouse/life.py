"""Everything the rows tell of one session, in the order it happened: what `session show` draws and `proof` checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollhouse.change import Alarm, Note, Step
from tollhouse.ledger import Transfer
from tollhouse.session import PaymentSession
from tollhouse.webhook import Attempt, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One committed change: a row of the history."""

    change_id: str
    version: int
    at: datetime
    node: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A note, an alarm or a transfer with its instant."""

    at: datetime
    what: Note | Alarm | Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """An event with every attempt to deliver it. `body` is empty where nobody asked for it."""

    project: str
    session_id: str
    id: str
    type: str
    sequence: int
    created_at: datetime
    state: DeliveryState
    next_attempt_at: datetime | None
    attempts: tuple[Attempt, ...]
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One session as its rows are at one instant, each list oldest first."""

    session: PaymentSession
    history: tuple[Past, ...]
    notes: tuple[Kept, ...]
    alarms: tuple[Kept, ...]
    transfers: tuple[Kept, ...]
    events: tuple[Announced, ...]

    def messages_of(self, operation_id: str, kind: str) -> list[dict[str, Any]]:
        """What was exchanged with the acquirer for an operation: `message_out` or `message_in`."""
        notes = [kept.what for kept in self.notes]
        return [
            note.data
            for note in notes
            if isinstance(note, Note) and note.kind == kind and _operation_of(note) == operation_id
        ]


def _operation_of(note: Note) -> object:
    return note.data.get("operation") if isinstance(note.data, dict) else None
