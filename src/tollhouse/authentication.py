"""One attempt to find out who the payer is, by 3-D Secure: its states and what it proves (wire-api 12, EMV 3DS 2).

    opened ──asked──▶ asked ──finished──▶ finished
                        │ ──challenge──▶ challenged ──finished──▶ finished
                        └ ──decoupled──▶ decoupled  ──finished──▶ finished

An attempt that came to nothing *lapses*, and another may be opened. Only the directory server's answer and its
result message (server to server) finish one; what the payer's browser brings back is a signal and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

ACTION_SECONDS_MAX = 60 * 60
ATTEMPTS_MAX = 3  # authentication requests of one payment, while its link lives
ANSWER_SECONDS_MAX = 12  # so long the directory server's answer is awaited
VERSIONS = ("2.2.0", "2.3.1")  # spoken by us, oldest first


class State(StrEnum):
    """Where an authentication stands."""

    OPENED = "opened"  # its id is drawn, nobody was asked
    ASKED = "asked"  # the request may have reached the directory server
    CHALLENGED = "challenged"  # the issuer asks the payer
    DECOUPLED = "decoupled"  # the issuer asks the payer without a browser
    FINISHED = "finished"
    LAPSED = "lapsed"  # it came to nothing; another may follow


class Heard(StrEnum):
    """What an authentication is told."""

    ASKED = "asked"
    CHALLENGE = "challenge"
    DECOUPLED = "decoupled"
    FINISHED = "finished"
    LAPSED = "lapsed"


S, H = State, Heard

# The whole machine. A pair that is not here cannot happen. Final states are left by nothing.
TRANSITIONS: dict[tuple[State, Heard], State] = {
    (S.OPENED, H.ASKED): S.ASKED,
    (S.OPENED, H.LAPSED): S.LAPSED,
    (S.ASKED, H.CHALLENGE): S.CHALLENGED,
    (S.ASKED, H.DECOUPLED): S.DECOUPLED,
    (S.ASKED, H.FINISHED): S.FINISHED,
    (S.ASKED, H.LAPSED): S.LAPSED,
    (S.CHALLENGED, H.FINISHED): S.FINISHED,
    (S.CHALLENGED, H.LAPSED): S.LAPSED,
    (S.DECOUPLED, H.FINISHED): S.FINISHED,
    (S.DECOUPLED, H.LAPSED): S.LAPSED,
}
FINAL = frozenset({State.FINISHED, State.LAPSED})
WITH_ISSUER = frozenset({State.CHALLENGED, State.DECOUPLED})  # its result is awaited


class TransStatus(StrEnum):
    """The protocol's word for how an authentication stands."""

    AUTHENTICATED = "Y"
    ATTEMPTED = "A"
    NOT_AUTHENTICATED = "N"
    UNAVAILABLE = "U"
    REJECTED = "R"
    INFORMED = "I"
    CHALLENGE = "C"
    DECOUPLED = "D"


class Wish(StrEnum):
    """What we ask of the issuer: the protocol's challenge indicators that we use."""

    NO_PREFERENCE = "01"
    MANDATE = "04"  # after a soft decline: the issuer itself asked for it


class Cancelled(StrEnum):
    """Why a challenge ended without an answer of the payer: the protocol's codes that mean something to us."""

    BY_PAYER = "01"
    DECOUPLED_TIMEOUT = "03"
    ISSUER_TIMEOUT = "04"
    NEVER_BEGUN = "05"


# The payer was away, and may come back as long as the link lives.
RETRYABLE = frozenset({Cancelled.ISSUER_TIMEOUT, Cancelled.NEVER_BEGUN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """That a card takes part in 3-D Secure: the highest version all sides speak, and the issuer's method page."""

    version: str
    method_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the directory server said of an authentication, in its answer or in its result message."""

    status: TransStatus
    status_reason: str | None = None
    eci: str | None = None
    value: str | None = None  # authentication value: 28 characters of base64
    cancelled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """One attempt. `id` is the threeDSServerTransID; the directory server and the issuer add ids of their own."""

    id: str
    payment_id: str
    version: str
    wish: Wish
    opened_at: datetime
    state: State = State.OPENED
    asked_at: datetime | None = None
    ds_transaction_id: str | None = None
    acs_transaction_id: str | None = None
    acs_url: str | None = None
    result: Result | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def answer_due_at(self) -> datetime | None:
        """When the directory server's answer is overdue."""
        if self.state is not State.ASKED or self.asked_at is None:
            return None
        return self.asked_at + timedelta(seconds=ANSWER_SECONDS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What goes along with an authorization: who vouches for the payer, as the scheme spells it."""

    eci: str
    value: str | None = None
    ds_transaction_id: str | None = None
    version: str | None = None


class TransitionUnknown(AssertionError):
    """A pair of state and word that cannot happen: a bug of ours."""


def hear(authentication: Authentication, heard: Heard, now: datetime) -> Authentication:
    """As it becomes. A final state gets its time. Raises `TransitionUnknown`."""
    try:
        state = TRANSITIONS[authentication.state, heard]
    except KeyError:
        raise TransitionUnknown(f"authentication {authentication.state} cannot hear {heard}") from None
    after = replace(authentication, state=state)
    if state is State.ASKED:
        after = replace(after, asked_at=now)
    if state in FINAL:
        after = replace(after, finished_at=now)
    return after


def common_version(*spoken: tuple[str, ...]) -> str | None:
    """The highest version that we and every other side speak; None when there is none."""
    common = [version for version in VERSIONS if all(version in versions for versions in spoken)]
    return common[-1] if common else None
