"""What the issuer keeps of an authentication: in memory, for a day, and without the PAN."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tollhouse.card import mask
from tollhouse.masking import mask_cards
from tollhouse.money import CODE_BY_NUMBER
from tollhouse.sandbox.cards import Behaviour, Challenge
from tollhouse.sandbox.threeds.values import Indicators, Strength, Values, indicators_of
from tollhouse.threeds.message import Members

KEPT_MAX = 10_000
WRONG_CODES_MAX = 3
PASSED = ("Y", "A")
UNPROVEN_REASONS = {"N": "01", "U": "22", "R": "11"}  # card authentication failed, the issuer's system failed, fraud


class Stage(StrEnum):
    """Where an authentication stands."""

    WAITING = "waiting"  # for the payer's browser
    OPEN = "open"  # the payer is asked
    DECOUPLED = "decoupled"  # the issuer finds out without a browser
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How it ended."""

    status: str
    reason: str | None = None
    cancel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the payer is shown of the payment."""

    merchant: str
    amount_minor: int | None = None
    currency: str | None = None
    exponent: int = 2


@dataclass(slots=True, kw_only=True, eq=False)
class Dossier:
    """One authentication that asks the payer, as far as it has come."""

    server_id: str
    issuer_id: str
    directory_id: str
    version: str
    category: str
    return_url: str | None
    card: str  # masked
    behaviour: Behaviour
    bill: Bill
    indicators: Indicators
    values: dict[Strength, str]
    stage: Stage = Stage.WAITING
    session_data: str | None = None
    wrong_codes: int = 0
    interactions: int = 0
    due_at: float | None = None  # on the loop's clock: when the payer has waited too long
    result: Result | None = None
    sending: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    is_decoupled: bool = False
    results_status: str | None = None  # what the 3DS server said to the result
    kept_at: float = field(default_factory=time.monotonic)

    @property
    def ids(self) -> dict[str, str]:
        """Its ids as all messages bear them."""
        return {
            "threeDSServerTransID": self.server_id,
            "acsTransID": self.issuer_id,
            "dsTransID": self.directory_id,
        }

    def finish(self, status: str, *, reason: str | None = None, cancel: str | None = None) -> None:
        """It ended so; nothing changes that any more."""
        assert self.result is None
        self.result = Result(status=status, reason=reason or UNPROVEN_REASONS.get(status), cancel=cancel)
        self.stage = Stage.ENDED

    @property
    def method(self) -> dict[str, str]:
        """How the payer is authenticated, as either version says it: without a browser, the bank's app, or a code."""
        if self.is_decoupled:
            return {"authenticationType": "04", "authenticationMethod": "12"}
        if self.behaviour.challenge is Challenge.OUT_OF_BAND:
            return {"authenticationType": "03", "authenticationMethod": "09"}
        return {"authenticationType": "02", "authenticationMethod": "02"}

    def vouched(self, status: str) -> dict[str, str]:
        """ECI and authentication value that go with a status."""
        return vouched(status, self.indicators, self.values)


def open_dossier(request: Members, behaviour: Behaviour, values: Values, *, issuer_id: str) -> Dossier:
    """What is kept of an AReq as the directory server hands it on."""
    pan = request["acctNumber"]
    return Dossier(
        server_id=request["threeDSServerTransID"],
        issuer_id=issuer_id,
        directory_id=request["dsTransID"],
        version=request["messageVersion"],
        category=request["messageCategory"],
        return_url=request.get("notificationURL"),
        card=mask(pan),
        behaviour=behaviour,
        bill=_bill_of(request),
        indicators=indicators_of(pan),
        values={
            strength: values.make(strength, pan=pan, authentication_id=request["dsTransID"]) for strength in Strength
        },
    )


def vouched(status: str, indicators: Indicators, values: dict[Strength, str]) -> dict[str, str]:
    """ECI and authentication value that go with a status; empty where nothing is vouched for."""
    if status not in PASSED:
        return {"eci": indicators.none} if status == "I" else {}
    strength = Strength.FULL if status == "Y" else Strength.ATTEMPT
    return {"eci": indicators.of(strength), "authenticationValue": values[strength]}


def _bill_of(request: Members) -> Bill:
    amount = request.get("purchaseAmount")
    number = request.get("purchaseCurrency") or ""
    return Bill(
        merchant=mask_cards(request.get("merchantName") or request["threeDSRequestorName"]),
        amount_minor=int(amount) if amount else None,
        currency=(CODE_BY_NUMBER.get(number) or number).upper() or None,
        exponent=int(request.get("purchaseExponent") or 0),
    )


class Dossiers:
    """The newest authentications, by acsTransID."""

    def __init__(self, kept_seconds: float) -> None:
        self._kept_seconds = kept_seconds
        self._kept: OrderedDict[str, Dossier] = OrderedDict()

    def keep(self, dossier: Dossier) -> None:
        """Keep it, and forget what is too old or too many."""
        self._kept[dossier.issuer_id] = dossier
        while self._kept and (len(self._kept) > KEPT_MAX or self._is_old(next(iter(self._kept.values())))):
            self._kept.popitem(last=False)

    def find(self, issuer_id: Any) -> Dossier | None:
        """The authentication with this acsTransID."""
        return self._kept.get(issuer_id.lower()) if isinstance(issuer_id, str) else None

    def under_way(self) -> Iterator[Dossier]:
        """Those that have not ended, oldest first."""
        return (one for one in self._kept.values() if one.stage is not Stage.ENDED)

    def all(self) -> tuple[Dossier, ...]:
        """All of them, oldest first."""
        return tuple(self._kept.values())

    def _is_old(self, dossier: Dossier) -> bool:
        return time.monotonic() - dossier.kept_at > self._kept_seconds
