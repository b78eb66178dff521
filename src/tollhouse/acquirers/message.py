"""What goes to an acquirer and what comes back, before bytes and after: fields and card slots.

A request never holds a card number. Where one belongs it holds a `Slot`, which the vault's egress fills
on the way out; nothing on this side of the vault sees the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tollhouse.operation import References


class Slot(StrEnum):
    """A place in a request that only the vault can fill."""

    PAN = "pan"
    EXPIRY = "expiry"  # YYMM
    CVV = "cvv"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardUse:
    """Which card fills the slots of a request."""

    project: str
    card_token: str
    sealed_cvv: str | None = None
    demands_cvv: bool = False  # without the code the request must not leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message to an acquirer. `slots` maps a field to the slot whose value the vault puts there."""

    mti: str
    fields: Mapping[str, str]
    slots: Mapping[str, Slot]
    card: CardUse | None
    references: References


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One message from an acquirer, fields as text; field 2 and every slot already masked."""

    mti: str
    fields: Mapping[str, str]


class NotSent(Exception):
    """Nothing was written: it is certain that the acquirer knows nothing of this request."""


class CVVGone(NotSent):
    """Nothing was written, and nothing ever will be: the security code that is demanded is gone for good."""


class NoAnswer(Exception):
    """Something may have been written and no usable answer came: the outcome is unknown."""


__all__ = ["CVVGone", "CardUse", "NoAnswer", "NotSent", "References", "Request", "Response", "Slot"]
