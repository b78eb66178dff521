"""How an answer travels, or fails to: the faults of the wire, apart from what is booked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from tollhouse.sandbox.cards import Fault


class Delivery(StrEnum):
    """What becomes of an answer on its way."""

    PROMPT = "prompt"
    LOST = "lost"
    LATE = "late"
    TWICE = "twice"
    DROPPED = "dropped"  # the connection goes instead of an answer
    SLOW = "slow"
    GARBAGE = "garbage"
    REFUSED = "refused"  # the connection goes, and the terminal is refused for a while


DELIVERY_OF: Mapping[Fault, Delivery] = MappingProxyType(
    {
        Fault.NONE: Delivery.PROMPT,
        Fault.ANSWER_LOST: Delivery.LOST,
        Fault.REQUEST_LOST: Delivery.LOST,
        Fault.ANSWER_LATE: Delivery.LATE,
        Fault.ANSWER_TWICE: Delivery.TWICE,
        Fault.CONNECTION_DROPPED: Delivery.DROPPED,
        Fault.SLOW: Delivery.SLOW,
        Fault.GARBAGE: Delivery.GARBAGE,
        Fault.SOFT_DECLINE: Delivery.PROMPT,
        Fault.TERMINAL_REFUSED: Delivery.REFUSED,
    }
)

GARBAGE = b"\xff\xfe" * 24  # no message of any dialect begins so


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long the faults of time last. Tests shorten them."""

    late_seconds: float
    slow_seconds: float = 2
    refused_seconds: float = 10
    approved_again_seconds: float = 1


def delays_for(answer_limit_seconds: float) -> Delays:
    """The usual delays: a late answer comes two seconds after the gateway stopped waiting."""
    return Delays(late_seconds=answer_limit_seconds + 2)
