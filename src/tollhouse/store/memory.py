"""The books in memory, for tests and simulation: the same port, the same rules and constraints as Postgres.

`MemoryBooks` is what is durable; each node has a `MemoryStore` on it. Nothing is awaited but the pauses that are put
in, so it runs with and without an event loop. What the database would refuse by a constraint is a `ConstraintBroken`
here: a bug of ours, never an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from tollhouse.authentication import TransStatus
from tollhouse.change import Alarm, Change, KeyClaim, Note, Step
from tollhouse.exemption import Exemption, LowValueUse
from tollhouse.idempotency import UsedKey
from tollhouse.ledger import Transfer, TransferPhase
from tollhouse.merchant import Project
from tollhouse.operation import CHARGES, Kind, State
from tollhouse.payment import Phase
from tollhouse.ports import ClaimedDelivery, KeyTaken, Stale
from tollhouse.session import PaymentSession
from tollhouse.webhook import Attempt, Delivery, DeliveryState, may_send

CLAIM_LEASE_SECONDS = 25
DELIVERY_LEASE_SECONDS = 15

SessionKey = tuple[str, str]  # project, session id
Pause = Callable[[str], Awaitable[None]]


class ConstraintBroken(AssertionError):
    """The database would have refused this commit: a bug of ours."""


class DatabaseClock(Protocol):
    """Time as the database tells it: leases are measured on it, whatever the nodes' own clocks say."""

    def now(self) -> datetime: ...


@dataclass(slots=True, kw_only=True)
class History:
    """What happened to one session, oldest first: shown by the operator's tools, never read by the rules."""

    steps: list[tuple[datetime, Step]] = field(default_factory=list)
    notes: list[tuple[datetime, Note]] = field(default_factory=list)
    alarms: list[tuple[datetime, Alarm]] = field(default_factory=list)
    attempts: list[tuple[str, Attempt]] = field(default_factory=list)  # by event id


@dataclass(slots=True)
class MemoryBooks:
    """Everything that is durable, shared by the nodes."""

    projects: dict[str, Project] = field(default_factory=dict)
    sessions: dict[SessionKey, PaymentSession] = field(default_factory=dict)
    changes: set[tuple[SessionKey, str]] = field(default_factory=set)
    keys: dict[tuple[str, str], UsedKey] = field(default_factory=dict)
    transfers: dict[str, tuple[SessionKey, Transfer]] = field(default_factory=dict)
    deliveries: dict[SessionKey, dict[str, Delivery]] = field(default_factory=dict)
    histories: dict[SessionKey, History] = field(default_factory=dict)
    leased_until: dict[SessionKey, datetime] = field(default_factory=dict)
    delivery_leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    due_at: dict[SessionKey, datetime] = field(default_factory=dict)
    references: dict[tuple[str, str, str], tuple[str, str, str]] = field(default_factory=dict)
    links: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    authentications: dict[str, SessionKey] = field(default_factory=dict)
    rrns: dict[str, str] = field(default_factory=dict)
    resolved: set[str] = field(default_factory=set)

    def add_project(self, project: Project) -> None:
        """Register a project, or put it as it is now."""
        self.projects[project.name] = project

    def transfers_of(self, key: SessionKey) -> list[Transfer]:
        """The ledger transfers of one session, in order."""
        return [transfer for owner, transfer in self.transfers.values() if owner == key]

    def write(self, change: Change) -> None:
        """All of a change or nothing. Raises `Stale`, `KeyTaken`, `ConstraintBroken`."""
        session = change.session
        key = (session.project, session.id)
        before = self.sessions.get(key)
        if session.version != (before.version if before else 0) + 1:
            raise Stale
        if change.claim is not None and (session.project, change.claim.key) in self.keys:
            raise KeyTaken
        self._require(change, key)
        self._write_session(change, key)
        self.changes.add((key, change.id))
        if change.claim is not None:
            self.remember(change.claim, session)
        for transfer in change.transfers:
            self.transfers[transfer.id] = (key, transfer)
            if transfer.resolves_id is not None:
                self.resolved.add(transfer.resolves_id)
        self._announce(change, key)
        history = self.histories.setdefault(key, History())
        history.notes += [(change.at, note) for note in change.notes]
        history.steps += [(change.at, step) for step in change.steps]
        history.alarms += [(change.at, alarm) for alarm in change.alarms]

    def remember(self, claim: KeyClaim, session: PaymentSession) -> None:
        """The key is used up by a call for this session."""
        self.keys[session.project, claim.key] = UsedKey(
            path=claim.path, body_hash=claim.body_hash, session_id=session.id, answer=claim.answer
        )

    def _write_session(self, change: Change, key: SessionKey) -> None:
        owner = change.lease.owner if change.lease else None
        self.sessions[key] = replace(change.session, lease_owner=owner)
        self._note_due(key)
        self.leased_until.pop(key, None)
        for operation in change.session.operations:
            if operation.references is not None:
                named = operation.references
                self.references[named.rrn, named.stan, named.terminal] = (*key, operation.id)
        for payment in change.session.payments:
            if payment.action_link is not None:
                self.links[payment.action_link] = (*key, payment.id)
        self.authentications.update({one.id: key for one in change.session.authentications})
        self.rrns.update({rrn: operation_id for operation_id, rrn in _named(change.session)})

    def _note_due(self, key: SessionKey) -> None:
        due_at = self.sessions[key].due_at
        if due_at is None:
            self.due_at.pop(key, None)
        else:
            self.due_at[key] = due_at

    def _announce(self, change: Change, key: SessionKey) -> None:
        project = self.projects.get(key[0])
        is_silent = project is None or project.webhook_url is None
        waiting = self.deliveries.setdefault(key, {})
        for event in change.events:
            waiting[event.id] = Delivery(
                project=key[0],
                session_id=key[1],
                event_id=event.id,
                type=event.type,
                sequence=event.sequence,
                body=event.body,
                state=DeliveryState.SILENT if is_silent else DeliveryState.WAITING,
                next_attempt_at=event.created_at,
            )

    def _require(self, change: Change, key: SessionKey) -> None:
        """The database's constraints. Raises `Stale` for an RRN that names another operation, as the database does."""
        session = change.session
        if any(self.rrns.get(rrn, operation_id) != operation_id for operation_id, rrn in _named(session)):
            raise Stale
        if any(self.authentications.get(one.id, key) != key for one in session.authentications):
            raise Stale
        _refuse((key, change.id) in self.changes, f"change {change.id} stands already")
        _require_listed(change, self.sessions.get(key))
        _require_payments(session)
        _require_operations(session)
        self._require_transfers(change, key)
        sequences = {delivery.sequence for delivery in self.deliveries.get(key, {}).values()}
        for event in change.events:
            _refuse(event.sequence in sequences, f"a second event {event.sequence} of session {key[1]}")
            sequences.add(event.sequence)

    def _require_transfers(self, change: Change, key: SessionKey) -> None:
        operation_ids = {operation.id for operation in change.session.operations}
        resolved = set(self.resolved)
        for transfer in change.transfers:
            _refuse(transfer.id in self.transfers, f"transfer {transfer.id} stands already")
            _refuse(transfer.operation_id not in operation_ids, f"transfer {transfer.id} names no operation")
            if transfer.resolves_id is None:
                continue
            owner, pending = self.transfers.get(transfer.resolves_id, (None, None))
            is_pending = pending is not None and pending.phase is TransferPhase.PENDING and owner == key
            _refuse(not is_pending, f"transfer {transfer.id} resolves what is not pending")
            _refuse(transfer.resolves_id in resolved, f"pending transfer {transfer.resolves_id} is resolved twice")
            assert pending is not None
            _refuse(transfer.amount_minor > pending.amount_minor, f"transfer {transfer.id} posts more than pending")
            resolved.add(transfer.resolves_id)


def _named(session: PaymentSession) -> list[tuple[str, str]]:
    """Operations and their RRNs; a reversal bears that of what it undoes."""
    return [(o.id, o.references.rrn) for o in session.operations if o.references and o.kind is not Kind.REVERSAL]


def _require_listed(change: Change, before: PaymentSession | None) -> None:
    """Only the payments and operations that a change lists are written; another that changed would be lost."""
    if before is None:
        return
    payments = {payment.id: payment for payment in before.payments}
    operations = {operation.id: operation for operation in before.operations}
    for payment in change.session.payments:
        is_lost = payment.id not in change.payment_ids and payments.get(payment.id) != payment
        _refuse(is_lost, f"payment {payment.id} changed and is not listed")
    for operation in change.session.operations:
        is_lost = operation.id not in change.operation_ids and operations.get(operation.id) != operation
        _refuse(is_lost, f"operation {operation.id} changed and is not listed")
    authentications = {one.id: one for one in before.authentications}
    for one in change.session.authentications:
        is_lost = one.id not in change.authentication_ids and authentications.get(one.id) != one
        _refuse(is_lost, f"authentication {one.id} changed and is not listed")


def _require_payments(session: PaymentSession) -> None:
    for payment in session.payments:
        _refuse(payment.held_minor not in (0, payment.money.minor), f"payment {payment.id} holds what was not asked")
        _refuse(not 0 <= payment.captured_minor <= payment.held_minor, f"payment {payment.id} captured above held")
        _refuse(not 0 <= payment.refunded_minor <= payment.captured_minor, f"payment {payment.id} refunded too much")
        has_reason = payment.phase is not Phase.FAILED or payment.reason is not None
        _refuse(not has_reason, f"payment {payment.id} failed without a reason")
        may_have_cvv = payment.phase in (Phase.ROUTING, Phase.AWAIT_CONFIRM, Phase.CONFIRMED, Phase.AWAIT_ACTION)
        _refuse(not may_have_cvv and payment.sealed_cvv is not None, f"payment {payment.id} still has its CVV")
        has_link = payment.phase is not Phase.AWAIT_ACTION or payment.action_link is not None
        _refuse(not has_link, f"payment {payment.id} awaits its payer without a link")
        open_attempts = [one for one in session.authentications_of(payment.id) if not one.is_final]
        _refuse(len(open_attempts) > 1, f"payment {payment.id} has two open authentications")


def _require_operations(session: PaymentSession) -> None:
    live: Counter[tuple[str, str]] = Counter()
    for operation in session.operations:
        is_named = operation.references is not None or operation.state in (State.PLANNED, State.DECLINED)
        _refuse(not is_named, f"operation {operation.id} was submitted without references")
        if operation.kind in (*CHARGES, Kind.CAPTURE) and operation.state not in (State.DECLINED, State.REVERSED):
            live[operation.payment_id, "charge" if operation.kind in CHARGES else "capture"] += 1
    used = Counter(operation.authentication_id for operation in session.operations)
    for authentication_id, count in used.items():
        _refuse(authentication_id is not None and count > 1, f"authentication {authentication_id} is used twice")
    for (payment_id, what), count in live.items():
        _refuse(count > 1, f"payment {payment_id} has a second live {what}")


def _refuse(is_broken: bool, what: str) -> None:
    if is_broken:
        raise ConstraintBroken(what)


class MemoryStore:
    """`ports.Store` of one node. `pause` is awaited around everything, with the name of the moment.

    A pause may raise: at `commit` nothing was written, at `committed` all of it was.
    """

    def __init__(self, books: MemoryBooks, *, node: str, clock: DatabaseClock, pause: Pause | None = None) -> None:
        self.books = books
        self.node = node
        self._clock = clock
        self._pause = pause or _no_pause

    async def commit(self, change: Change) -> None:
        """Write a change. Raises `Stale`, `KeyTaken`."""
        await self._pause("commit")
        self.write(change)
        await self._pause("committed")

    def write(self, change: Change) -> None:
        """`commit` without its pauses."""
        self.books.write(change)
        if change.lease is not None:
            key = (change.session.project, change.session.id)
            self.books.leased_until[key] = self._clock.now() + timedelta(seconds=change.lease.seconds)

    async def find_change(self, project: str, session_id: str, change_id: str) -> bool:
        """Whether the change became true."""
        await self._pause("find_change")
        return ((project, session_id), change_id) in self.books.changes

    async def find_session(self, project: str, session_id: str) -> PaymentSession | None:
        """The session as last committed."""
        await self._pause("find_session")
        return self.books.sessions.get((project, session_id))

    async def find_key(self, project: str, key: str) -> UsedKey | None:
        """The used key of this project."""
        await self._pause("find_key")
        return self.books.keys.get((project, key))

    async def find_operation(self, *, rrn: str, stan: str, terminal: str) -> tuple[str, str, str] | None:
        """Project, session and operation that sent under these references."""
        await self._pause("find_operation")
        return self.books.references.get((rrn, stan, terminal))

    async def find_link(self, link: str) -> tuple[str, str, str] | None:
        """Project, session and payment that a payer's link belongs to."""
        await self._pause("find_link")
        return self.books.links.get(link)

    async def find_authentication(self, authentication_id: str) -> tuple[str, str] | None:
        """Project and session of an authentication."""
        await self._pause("find_authentication")
        return self.books.authentications.get(authentication_id)

    async def low_value_use(self, project: str, card_fingerprint: str) -> LowValueUse:
        """How often this card went without authentication as low value since its payer was last authenticated."""
        await self._pause("low_value_use")
        sessions = [session for (owner, _), session in self.books.sessions.items() if owner == project]
        paid = [
            (session, p) for session in sessions for p in session.payments if p.card.fingerprint == card_fingerprint
        ]
        proven = [
            one.finished_at
            for session, payment in paid
            for one in session.authentications_of(payment.id)
            if one.result is not None and one.result.status is TransStatus.AUTHENTICATED and one.finished_at is not None
        ]
        since = max(proven, default=None)
        used = [
            payment.money.minor
            for _, payment in paid
            if payment.exemption is Exemption.LOW_VALUE
            and payment.phase is not Phase.FAILED
            and (since is None or payment.created_at > since)
        ]
        return LowValueUse(count=len(used), sum_minor=sum(used))

    async def claim_due(self, now: datetime, *, limit: int) -> list[SessionKey]:
        """Sessions with something due and no live lease, now leased to this node."""
        await self._pause("claim_due")
        today = self._clock.now()
        due = sorted(
            (at, key) for key, at in self.books.due_at.items() if at <= now and not self._is_leased(key, today)
        )
        claimed = [key for _, key in due[:limit]]
        for key in claimed:
            session = self.books.sessions[key]
            self.books.sessions[key] = replace(session, version=session.version + 1, lease_owner=self.node)
            self.books.leased_until[key] = today + timedelta(seconds=CLAIM_LEASE_SECONDS)
        await self._pause("claimed")
        return claimed

    def _is_leased(self, key: SessionKey, today: datetime) -> bool:
        until = self.books.leased_until.get(key)
        return until is not None and until > today

    async def claim_deliveries(
        self, now: datetime, *, sessions: Sequence[SessionKey] | None, limit: int, busy: Sequence[str] = ()
    ) -> list[ClaimedDelivery]:
        """Events that may go out now, in the order of their project, leased to this node."""
        await self._pause("claim_deliveries")
        keys = self.books.deliveries.keys() if sessions is None else sessions
        claimed: list[ClaimedDelivery] = []
        for key in [key for key in keys if key[0] not in busy]:
            claimed += self._claim_of(key, now)[: limit - len(claimed)]
        until = self._clock.now() + timedelta(seconds=DELIVERY_LEASE_SECONDS)
        for claim in claimed:
            self.books.delivery_leases[claim.delivery.event_id] = (self.node, until)
        await self._pause("claimed")
        return claimed

    def _claim_of(self, key: SessionKey, now: datetime) -> list[ClaimedDelivery]:
        project = self.books.projects.get(key[0])
        if project is None or project.webhook_url is None:
            return []
        ordered = sorted(self.books.deliveries.get(key, {}).values(), key=lambda delivery: delivery.sequence)
        return [
            ClaimedDelivery(
                delivery=delivery,
                url=project.webhook_url,
                is_live=project.is_live,
                window_seconds=project.settings.webhook_retry_window,
            )
            for place, delivery in enumerate(ordered)
            if may_send(delivery, ordered[:place], project.settings.webhook_order, now)
            and not self._is_being_sent(delivery.event_id)
        ]

    def _is_being_sent(self, event_id: str) -> bool:
        lease = self.books.delivery_leases.get(event_id)
        return lease is not None and lease[1] > self._clock.now()

    async def finish_delivery(self, delivery: Delivery, attempt: Attempt) -> None:
        """Write down an attempt; the state moves only while the event still waits, and only to a later attempt.

        So a node that slept over its lease cannot take back what another has delivered meanwhile.
        """
        await self._pause("finish_delivery")
        key = (delivery.project, delivery.session_id)
        known = self.books.deliveries[key][delivery.event_id]
        attempts = self.books.histories[key].attempts
        if all((id, one.number) != (delivery.event_id, attempt.number) for id, one in attempts):
            attempts.append((delivery.event_id, attempt))
        owner, _ = self.books.delivery_leases.get(delivery.event_id, (None, None))
        if owner == self.node:
            del self.books.delivery_leases[delivery.event_id]
        is_later = delivery.attempts > known.attempts or delivery.state is DeliveryState.DELIVERED
        if known.state is DeliveryState.WAITING and is_later:
            self.books.deliveries[key][delivery.event_id] = delivery
        await self._pause("finished")

    def note(self, project: str, session_id: str, note: Note, at: datetime) -> None:
        """Keep a note."""
        self.books.histories.setdefault((project, session_id), History()).notes.append((at, note))


async def _no_pause(moment: str) -> None:
    return None
