"""How banks talk: pure translation. An acquirer is two functions; it never sends, waits, retries or sees a PAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tollhouse.acquirers.iso8583 import translate
from tollhouse.acquirers.message import Request, Response
from tollhouse.operation import Operation
from tollhouse.outcome import Outcome
from tollhouse.session import PaymentSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Under which numbers the acquirer is known to the schemes, and its fraud rate in hundredths of a percent."""

    acquirer_bin: str
    country: str  # ISO 3166 numeric
    category_code: str  # MCC of its merchants
    fraud_basis_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquirer:
    """A bank we talk to: operation to request, response to outcome, and how directory servers know it."""

    name: str
    registration: Registration
    request: Callable[[PaymentSession, Operation], Request]
    outcome: Callable[[Operation, Response], Outcome]


SANDBOX = Registration(acquirer_bin="400012", country="276", category_code="5999", fraud_basis_points=6)
ACQUIRERS: Mapping[str, Acquirer] = {
    "sandbox": Acquirer(name="sandbox", registration=SANDBOX, request=translate.request, outcome=translate.outcome),
}
