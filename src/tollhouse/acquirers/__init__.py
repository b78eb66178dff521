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
class Acquirer:
    """A bank we talk to: operation to request, response to outcome."""

    name: str
    request: Callable[[PaymentSession, Operation], Request]
    outcome: Callable[[Operation, Response], Outcome]


ACQUIRERS: Mapping[str, Acquirer] = {
    "sandbox": Acquirer(name="sandbox", request=translate.request, outcome=translate.outcome),
}
