"""The way out: card slots of a request filled immediately before its bytes are written, and nowhere else.

What cannot be filled is `NotSent`: it is certain that no money moved. A CVV whose key is gone is left out instead,
unless the route demands one.
"""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from tollhouse.acquirers.iso8583.fields import TAG_CVV, pack_tags, unpack_tags
from tollhouse.acquirers.message import CardUse, CVVGone, NotSent, Request, Slot
from tollhouse.card import Secret
from tollhouse.grouping import Closed
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.cvv import SealedCvvs
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.store import CardMissing, CardStore

UNREADABLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, Closed)


class Filled(dict[str, str]):
    """Fields with card data in them: their `repr` shows the names only."""

    def __repr__(self) -> str:
        return f"Filled({', '.join(self)})"


class CardEgress:
    """Fills card slots. In ISO 8583 the CVV is a tag of field 48, beside the tags that are there already."""

    def __init__(self, cards: CardStore, cvvs: SealedCvvs) -> None:
        self._cards = cards
        self._cvvs = cvvs

    async def fill(self, request: Request) -> dict[str, str]:
        """All fields of the request, slots filled. Raises `NotSent`, never with card data in it."""
        filled = Filled(request.fields)
        if not request.slots:
            return filled
        if request.card is None:
            raise NotSent(f"the {request.mti} has card slots and names no card")
        if request.card.demands_cvv and not self._has_cvv(request.card):
            raise CVVGone(f"the security code of the {request.mti} is gone, and its route demands one")
        values = await self._values(request.card, set(request.slots.values()), _why(request))
        for number, slot in request.slots.items():
            value = values.get(slot)
            if slot is Slot.CVV and number == "48":
                _put_tag(filled, number, TAG_CVV, value)
            elif value is not None:
                filled[number] = value.reveal()
            else:
                filled.pop(number, None)
        return filled

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Filled:
        """The value of each slot by its name; a CVV whose key is gone is left out. Raises `NotSent` as `fill` does."""
        values = await self._values(card, set(slots.values()), "3-D Secure")
        return Filled({name: values[slot].reveal() for name, slot in slots.items() if slot in values})

    async def left(self, request: Request) -> None:
        """The bytes were written: the CVV must not outlive them."""
        if request.card is not None and request.card.sealed_cvv is not None:
            await self._cvvs.erase(request.card.sealed_cvv)

    def _has_cvv(self, card: CardUse) -> bool:
        """Whether it can still be opened. Raises `NotSent` when that cannot be told."""
        try:
            return card.sealed_cvv is not None and self._cvvs.open(card.project, card.sealed_cvv) is not None
        except CannotOpen as problem:
            raise NotSent(str(problem)) from None
        except UNREADABLE as problem:
            raise NotSent(f"the vault cannot be read: {type(problem).__name__}") from problem

    async def _values(self, card: CardUse, wanted: set[Slot], why: str) -> dict[Slot, Secret]:
        """Wrapped until the last moment, so that an exception on the way has nothing to show, even with locals."""
        values: dict[Slot, Secret] = {}
        try:
            if Slot.CVV in wanted and card.sealed_cvv is not None:
                cvv = self._cvvs.open(card.project, card.sealed_cvv)
                if cvv is not None:
                    values[Slot.CVV] = cvv
            if wanted - {Slot.CVV}:
                pan, expiry = await self._cards.open(card.project, card.card_token, why=why)
                if expiry is None and Slot.EXPIRY in wanted:
                    raise NotSent("the card's number was kept without its expiry")
                values |= {Slot.PAN: pan} | ({} if expiry is None else {Slot.EXPIRY: Secret(expiry.yymm)})
        except (CardMissing, CannotOpen, KeysRefused) as problem:
            raise NotSent(str(problem)) from None
        except UNREADABLE as problem:
            raise NotSent(f"the vault cannot be read: {type(problem).__name__}") from problem
        return values


def _why(request: Request) -> str:
    return f"{request.mti} rrn {request.references.rrn}"


def _put_tag(fields: dict[str, str], number: str, tag: str, value: Secret | None) -> None:
    tags = unpack_tags(fields.get(number, ""))
    if value is not None:
        tags[tag] = value.reveal()
    else:
        tags.pop(tag, None)
    if tags:
        fields[number] = pack_tags(tags)
    else:
        fields.pop(number, None)
