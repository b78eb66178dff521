"""A CVV while it waits for its authorization: sealed text for a row of the gateway, its key only in a slot.

The text is `cvv1.<address>.<ciphertext>`, both parts base64url. The middle part names the slot: it is what `sweep`
asks about, and in SQL it is `split_part(sealed_cvv, '.', 2)`.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Sequence

from tollhouse.card import CVV
from tollhouse.vault.box import Box, CannotOpen, bind, new_key, text_of
from tollhouse.vault.slots import Address, AddressBroken, SlotFolder

VERSION = "cvv1"

# A slot is written before the row that names it is committed: a sweep leaves young slots alone.
SWEEP_AFTER_SECONDS = 600.0

IsLive = Callable[[Sequence[str]], Awaitable[Collection[str]]]


class SealedCvvs:
    """Seals, opens and kills CVVs. Once its slot is erased, a sealed text is noise for ever."""

    def __init__(self, slots: SlotFolder) -> None:
        self._slots = slots

    async def seal(self, project: str, cvv: CVV) -> str:
        """The CVV as text under a key of its own; the key is durable on return. Raises `OSError`."""
        address, key = self._slots.reserve(), new_key()
        sealed = Box(key).seal(cvv.reveal().encode(), _place(project, address))
        await self._slots.write(address, key)
        return f"{VERSION}.{text_of(address.to_bytes())}.{text_of(sealed)}"

    async def check(self) -> None:
        """Returns when keys can be kept, as far as is known. Raises `OSError`."""
        await self._slots.check()

    def open(self, project: str, text: str) -> CVV | None:
        """The CVV; None when its key is gone. Raises `CannotOpen` for another project's text and for a changed one."""
        address, sealed = _parse(text)
        key = self._slots.read(address)
        if key is None:
            return None
        try:
            return CVV(Box(key).open(sealed, _place(project, address)).decode())
        except CannotOpen as problem:
            raise CannotOpen(f"a sealed CVV of project {project} does not open: {problem}") from None

    async def erase(self, text: str) -> None:
        """Overwrite the key; durable on return, and no error when it is gone already. Raises `CannotOpen` for noise."""
        address, _ = _parse(text)
        await self._slots.erase(address)

    async def old_slots(self, *, older_than_seconds: float = SWEEP_AFTER_SECONDS) -> list[str]:
        """Names of the filled slots that were written so long ago, sorted."""
        written_before = time.time() - older_than_seconds
        filled = await self._slots.filled()
        return sorted(text_of(slot.address.to_bytes()) for slot in filled if slot.written_at <= written_before)

    async def erase_slots(self, names: Sequence[str]) -> None:
        """Overwrite the keys in these slots; what came into a slot later stays. Raises `CannotOpen` for noise."""
        addresses = [_address(name) for name in names]
        await asyncio.gather(*(self._slots.erase(address) for address in addresses))


def slot_name(text: str) -> str:
    """The part of a sealed text that names its slot. Raises `CannotOpen` when it is no sealed text."""
    address, _ = _parse(text)
    return text_of(address.to_bytes())


def _parse(text: str) -> tuple[Address, bytes]:
    parts = text.split(".")
    try:
        if len(parts) != 3 or parts[0] != VERSION:
            raise AddressBroken("not a sealed CVV")
        return Address.from_bytes(_raw(parts[1])), _raw(parts[2])
    except ValueError:
        raise CannotOpen(f"not a sealed CVV of version {VERSION}") from None


def _address(name: str) -> Address:
    try:
        return Address.from_bytes(_raw(name))
    except ValueError:
        raise CannotOpen("not the name of a slot") from None


def _raw(text: str) -> bytes:
    raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if text_of(raw) != text:
        raise AddressBroken("bits without meaning are set: one slot would have two names")
    return raw


def _place(project: str, address: Address) -> bytes:
    return bind(f"tollhouse {VERSION}", project, address.to_bytes())
