"""A decision as a value: all of it becomes true at once, or none of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollhouse.event import Event
from tollhouse.ledger import Transfer
from tollhouse.session import Lease, PaymentSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One transition, named: what moved, from where, what it heard, to where."""

    subject: str
    before: str
    heard: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something worth showing in the session's life that is no transition: a request, an acquirer message."""

    kind: str  # request | message_out | message_in | threeds
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something a person must know: a contradiction, a late approval, an operation that stays unclear."""

    subject: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClaim:
    """The idempotency key that this change uses up, with what later calls compare and are answered."""

    key: str
    path: str
    body_hash: bytes
    keeps_answer: bool
    answer: bytes | None = None  # rendered before the commit when the project replays answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes true. `id` is unique in history, so that after a lost answer one can look whether it did.

    `session` is how everything becomes (its version is the one committed over plus one); `answer` is what the caller
    is shown, which may be a moment earlier than the end of the change.
    """

    id: str
    at: datetime
    session: PaymentSession
    answer: PaymentSession
    payment_ids: frozenset[str] = frozenset()
    operation_ids: frozenset[str] = frozenset()
    authentication_ids: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[Note, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    claim: KeyClaim | None = None
    goes_on: bool = False  # there is something to do at once, by whoever commits this
    lease: Lease | None = None  # None gives the session free
    erased_cvvs: tuple[str, ...] = ()

    @property
    def is_new_session(self) -> bool:
        return self.session.version == 1
