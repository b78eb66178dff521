"""One instruction to an acquirer, and every state it may be in (money-safety 2).

    planned ──leaving──▶ submitted ──approval──▶ approved
       ▲                    │  │ ───decline───▶ declined
       └──── not sent ──────┘  └─ silence ────▶ reversing ──undone──▶ reversed

Two characters of operation share the machine. *Undoable* ones (sale, authorization, refund) are sent once;
without an answer a reversal undoes them. *Insistent* ones (capture, reversal) are safe to repeat under the same
references, so without an answer they are repeated until there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tollhouse.exemption import Exemption
from tollhouse.outcome import Approved, Declined, Outcome, PartlyApproved, Reason, Unknown


class Kind(StrEnum):
    """What the acquirer is asked to do."""

    SALE = "sale"
    AUTHORIZATION = "authorization"
    CAPTURE = "capture"
    REFUND = "refund"
    REVERSAL = "reversal"


UNDOABLE = frozenset({Kind.SALE, Kind.AUTHORIZATION, Kind.REFUND})
INSISTENT = frozenset({Kind.CAPTURE, Kind.REVERSAL})
CHARGES = frozenset({Kind.SALE, Kind.AUTHORIZATION})
assert set(Kind) == UNDOABLE | INSISTENT


class State(StrEnum):
    """Where an operation stands."""

    PLANNED = "planned"  # written down, nothing sent
    SUBMITTED = "submitted"  # may have reached the acquirer: never assume it has not
    REVERSING = "reversing"  # its fate is unclear and a reversal is on its way
    APPROVED = "approved"
    DECLINED = "declined"
    REVERSED = "reversed"


FINAL = frozenset({State.APPROVED, State.DECLINED, State.REVERSED})


class Heard(StrEnum):
    """What an operation is told."""

    LEAVING = "leaving"
    NOT_SENT = "not_sent"
    GIVEN_UP = "given_up"
    APPROVAL = "approval"
    PARTIAL_APPROVAL = "partial_approval"
    DECLINE = "decline"
    SILENCE = "silence"
    UNDONE = "undone"


S, H = State, Heard

# The whole machine. A pair that is not here cannot happen. Final states hear without moving.
UNDOABLE_TRANSITIONS: dict[tuple[State, Heard], State] = {
    (S.PLANNED, H.LEAVING): S.SUBMITTED,
    (S.PLANNED, H.GIVEN_UP): S.DECLINED,
    (S.SUBMITTED, H.NOT_SENT): S.PLANNED,
    (S.SUBMITTED, H.APPROVAL): S.APPROVED,
    (S.SUBMITTED, H.PARTIAL_APPROVAL): S.REVERSING,
    (S.SUBMITTED, H.DECLINE): S.DECLINED,
    (S.SUBMITTED, H.SILENCE): S.REVERSING,
    (S.REVERSING, H.NOT_SENT): S.REVERSING,
    (S.REVERSING, H.APPROVAL): S.REVERSING,
    (S.REVERSING, H.PARTIAL_APPROVAL): S.REVERSING,
    (S.REVERSING, H.DECLINE): S.REVERSING,
    (S.REVERSING, H.SILENCE): S.REVERSING,
    (S.REVERSING, H.UNDONE): S.REVERSED,
    (S.PLANNED, H.APPROVAL): S.REVERSING,  # an answer to an attempt that was believed not sent
    (S.PLANNED, H.PARTIAL_APPROVAL): S.REVERSING,
    (S.PLANNED, H.DECLINE): S.PLANNED,
    (S.PLANNED, H.NOT_SENT): S.PLANNED,
    (S.PLANNED, H.SILENCE): S.PLANNED,
    **{
        (final, heard): final
        for final in FINAL
        for heard in (H.NOT_SENT, H.APPROVAL, H.PARTIAL_APPROVAL, H.DECLINE, H.SILENCE)
    },
    (S.APPROVED, H.UNDONE): S.APPROVED,  # a void gives back an approved authorization; the approval stays a fact
    (S.DECLINED, H.UNDONE): S.DECLINED,
    (S.REVERSED, H.UNDONE): S.REVERSED,
}
INSISTENT_TRANSITIONS: dict[tuple[State, Heard], State] = {
    (S.PLANNED, H.LEAVING): S.SUBMITTED,
    (S.SUBMITTED, H.LEAVING): S.SUBMITTED,
    (S.SUBMITTED, H.NOT_SENT): S.SUBMITTED,
    (S.SUBMITTED, H.SILENCE): S.SUBMITTED,
    (S.SUBMITTED, H.PARTIAL_APPROVAL): S.SUBMITTED,
    (S.SUBMITTED, H.APPROVAL): S.APPROVED,
    (S.SUBMITTED, H.DECLINE): S.DECLINED,
    **{
        (final, heard): final
        for final in (S.APPROVED, S.DECLINED)
        for heard in (H.NOT_SENT, H.APPROVAL, H.PARTIAL_APPROVAL, H.DECLINE, H.SILENCE)
    },
    (S.DECLINED, H.UNDONE): S.DECLINED,  # a capture that was approved after it was declined, and then reversed
}

ATTEMPT_GAPS_SECONDS = (5, 30, 120, 600, 3600)  # then five times a day
ATTEMPT_GAP_SECONDS_LAST = 24 * 3600 // 5
NOT_SENT_SECONDS_MAX = 30  # so long a refused connection is tried again
NOT_SENT_GAP_SECONDS, NOT_SENT_GAP_SECONDS_MAX = 2, 300
SEND_SECONDS_MAX = 5  # after the commit of *submitted* began; later, nothing is written
STUCK_AFTER_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """How an operation is named towards its acquirer: fixed with *submitted*, the same on every repetition."""

    rrn: str  # DE37, 12 alphanumerics, unique for 13 months
    stan: str  # DE11, 6 digits, unique among the messages in flight of the terminal
    terminal: str  # DE41, 8 characters
    transmitted_at: datetime  # DE7, to the second, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long an answer is awaited, and how long a request may still be on its way."""

    answer_seconds: float = 15
    in_flight_seconds: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One instruction. `target_id` is what it acts on: the charge of a capture or refund, what a reversal undoes.

    `authentication_id` is the authentication that a charge uses up, `exemption` what it claims instead of one.
    """

    id: str
    kind: Kind
    payment_id: str
    amount_minor: int
    planned_at: datetime
    target_id: str | None = None
    state: State = State.PLANNED
    references: References | None = None
    attempts: int = 0
    submitted_at: datetime | None = None
    next_attempt_at: datetime | None = None
    unclear_since: datetime | None = None
    is_stuck: bool = False
    response_code: str | None = None
    approval_code: str | None = None
    reason: Reason | None = None
    finished_at: datetime | None = None
    metadata: Any = None
    authentication_id: str | None = None
    exemption: Exemption | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


class TransitionUnknown(AssertionError):
    """A pair of state and word that cannot happen: a bug of ours."""


def next_state(kind: Kind, state: State, heard: Heard) -> State:
    """The state after hearing. Raises `TransitionUnknown` for a pair outside the table."""
    table = INSISTENT_TRANSITIONS if kind in INSISTENT else UNDOABLE_TRANSITIONS
    try:
        return table[state, heard]
    except KeyError:
        raise TransitionUnknown(f"{kind} {state} cannot hear {heard}") from None


def leave(operation: Operation, references: References, now: datetime, limits: Limits) -> Operation:
    """As it becomes immediately before its bytes may leave: *submitted*, with references that never change again."""
    fixed = operation.references if operation.kind in INSISTENT and operation.references else references
    return replace(
        operation,
        state=next_state(operation.kind, operation.state, Heard.LEAVING),
        references=fixed,
        attempts=operation.attempts + 1,
        submitted_at=(operation.submitted_at if operation.kind in INSISTENT else None) or now,
        next_attempt_at=now + timedelta(seconds=SEND_SECONDS_MAX + limits.answer_seconds),
    )


def hear(operation: Operation, heard: Heard, outcome: Outcome | None, now: datetime) -> Operation:
    """As it becomes after hearing. What it already knows is not overwritten by a repetition."""
    state = next_state(operation.kind, operation.state, heard)
    after = replace(operation, state=state)
    if state is not operation.state:
        match outcome:
            case Approved(response_code=code, approval_code=approval):
                after = replace(after, response_code=code, approval_code=approval)
            case Declined(response_code=code, reason=reason):
                after = replace(after, response_code=code, reason=reason)
            case PartlyApproved(response_code=code):
                after = replace(after, response_code=code, reason=Reason.DECLINED_BY_ISSUER)
            case Unknown(response_code=code):
                after = replace(after, response_code=code)
            case None:
                pass
        if state in FINAL:
            after = replace(after, finished_at=now, next_attempt_at=None, is_stuck=False)
    if state is State.REVERSING:
        after = replace(after, next_attempt_at=None)
    if state is State.REVERSED and after.reason is None:
        after = replace(after, reason=Reason.ACQUIRER_TIMEOUT)
    if state in (State.SUBMITTED, State.REVERSING) and operation.unclear_since is None:
        after = replace(after, unclear_since=now)
    return after


def heard_of(outcome: Outcome) -> Heard:
    """The word of the machine for an answer."""
    match outcome:
        case Approved():
            return Heard.APPROVAL
        case PartlyApproved():
            return Heard.PARTIAL_APPROVAL
        case Declined():
            return Heard.DECLINE
        case Unknown():
            return Heard.SILENCE


def next_gap_seconds(attempts: int) -> int:
    """How long until an insistent operation is repeated, after so many attempts."""
    place = max(attempts, 1) - 1
    return ATTEMPT_GAPS_SECONDS[place] if place < len(ATTEMPT_GAPS_SECONDS) else ATTEMPT_GAP_SECONDS_LAST


def not_sent_gap_seconds(refused_for: timedelta) -> float:
    """How long until an insistent operation that cannot be written is tried again, refused for so long already."""
    return min(max(refused_for.total_seconds() / 4, NOT_SENT_GAP_SECONDS), NOT_SENT_GAP_SECONDS_MAX)


def is_in_flight(target: Operation, now: datetime, limits: Limits) -> bool:
    """Whether the target may still be on its way, so that "never heard of it" proves nothing yet."""
    assert target.submitted_at is not None
    return now < target.submitted_at + timedelta(seconds=limits.in_flight_seconds)


def is_overdue(operation: Operation, now: datetime) -> bool:
    """Whether an unclear operation has been so for a day and belongs before a person."""
    since = operation.unclear_since
    return since is not None and not operation.is_stuck and now >= since + timedelta(seconds=STUCK_AFTER_SECONDS)
