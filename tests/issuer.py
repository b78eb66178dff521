"""The other side of 3-D Secure in memory: a directory server with an issuer behind it that does as it is told.

directory.enrolled["4000120000000008"] = Enrolment(version="2.2.0")    # which cards take part
directory.script += [SILENT, answering("C")]                            # what happens to the next requests
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tollhouse.acquirers.message import NoAnswer, NotSent
from tollhouse.authentication import Enrolment
from tollhouse.card import PAN
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.translate import Inquiry
from tollhouse.threeds.writing import compose

VALUE = "AAABBWcSNIdjeUZThmNHAAAAAAA="
ACS_URL = "https://acs.test/challenge"
ACS_ID = "acc00000-0000-4000-8000-000000000001"
DS_ID = "d5000000-0000-4000-8000-000000000001"
REASONED = ("N", "U", "R")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What happens to one authentication request. `body` replaces the answer by these bytes."""

    status: str = "Y"
    eci: str | None = "05"
    is_sent: bool = True
    is_answered: bool = True
    body: bytes | None = None
    meanwhile: Callable[[], Awaitable[None]] | None = None  # while the answer is awaited


SILENT = Turn(is_answered=False)
NOT_SENT = Turn(is_sent=False)


def answering(status: str, *, eci: str | None = None) -> Turn:
    """An answer with this outcome, its ECI that of Visa unless told."""
    return Turn(status=status, eci=eci or {"Y": "05", "A": "06"}.get(status))


def outcome_members(status: str, eci: str | None) -> dict[str, Any]:
    """What an answer or a result says of its outcome."""
    has_value = status in ("Y", "A")
    return {
        "transStatus": status,
        "authenticationValue": VALUE if has_value else None,
        "eci": eci,
        "transStatusReason": "01" if status in REASONED else None,
    }


def answer(asked: Mapping[str, Any], turn: Turn) -> dict[str, Any]:
    """The ARes to an AReq."""
    challenges = turn.status in ("C", "D")
    version = asked["messageVersion"]
    offered = {
        "threeDSServerTransID": asked["threeDSServerTransID"],
        "acsTransID": ACS_ID,
        "dsTransID": DS_ID,
        "acsReferenceNumber": "ACS-1",
        "dsReferenceNumber": "DS-1",
        "acsOperatorID": "ISSUER",
        "acsURL": ACS_URL if turn.status == "C" else None,
        "acsChallengeMandated": "Y" if challenges else None,
        "authenticationType": "02" if challenges else None,
        "authenticationMethod": ["02"] if challenges else None,
        "acsDecConInd": "Y" if turn.status == "D" else None,
        **outcome_members(turn.status, turn.eci),
    }
    return compose(MessageType.ARES, version, offered)


def result(asked: Mapping[str, Any], status: str, *, cancelled: str | None = None, **changed: Any) -> bytes:
    """The RReq that follows a challenge, as bytes; members can be changed."""
    offered = {
        "threeDSServerTransID": asked["threeDSServerTransID"],
        "acsTransID": ACS_ID,
        "dsTransID": DS_ID,
        "messageCategory": "01",
        "authenticationType": "02",
        "authenticationMethod": ["02"],
        "interactionCounter": "01",
        "challengeCancel": cancelled,
        **outcome_members(status, {"Y": "05", "A": "06"}.get(status)),
    }
    message = compose(MessageType.RREQ, asked["messageVersion"], offered)
    return json.dumps({**message, **changed}).encode()


@dataclass
class FakeDirectory:
    """`ports.Directory`. Requests take their turns from the script; without one they are answered Y."""

    enrolled: dict[str, Enrolment] = field(default_factory=dict)
    script: deque[Turn] = field(default_factory=deque)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    told: list[Mapping[str, Any]] = field(default_factory=list)
    knows_ranges: bool = True

    def find_enrolment(self, pan: PAN) -> Enrolment | None:
        """By the whole number."""
        return next((one for number, one in self.enrolled.items() if PAN(number) == pan), None)

    async def ask(self, inquiry: Inquiry) -> bytes:
        """As `ports.Directory` promises."""
        turn = self.script.popleft() if self.script else Turn()
        if not turn.is_sent:
            raise NotSent("the script says so")
        self.asked.append(inquiry.message)
        if turn.meanwhile is not None:
            await turn.meanwhile()
        if not turn.is_answered:
            raise NoAnswer("the script says so")
        return turn.body if turn.body is not None else json.dumps(answer(inquiry.message, turn)).encode()

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Keep what we complained of."""
        self.told.append(message)
