"""A card as it lies in the vault: each field under the row's own data key, that key under the key-encryption key.

Every sealing is bound to its place. The data key binds project, token, field and the version of the key-encryption
key; the PAN and the expiry bind project, token and field. So nothing opens in another row, field or project or
under another version, and a rewrap under a new version need not reveal a PAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tollhouse.card import PAN, CardDetails, Expiry
from tollhouse.vault.box import Box, CannotOpen, bind, new_key
from tollhouse.vault.keys import KeyProvider, Wrapped

SCHEME = "tollhouse card 1"
NO_EXPIRY = "0000"  # as long as any: a row does not show that it holds a number alone


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCard:
    """The sealed columns of a row."""

    data_key: Wrapped
    pan: bytes = field(repr=False)
    expiry: bytes = field(repr=False)


async def seal_card(keys: KeyProvider, project: str, token: str, card: CardDetails) -> SealedCard:
    """Seal PAN and expiry under a new data key. The CVV is no part of it, and the holder's name is not kept."""
    data_key = new_key()
    box = Box(data_key)
    yymm = NO_EXPIRY if card.expiry is None else card.expiry.yymm
    return SealedCard(
        data_key=await keys.wrap(data_key, data_key_place(project, token)),
        pan=box.seal(card.pan.reveal().encode(), _place(project, token, "pan")),
        expiry=box.seal(yymm.encode(), _place(project, token, "expiry")),
    )


async def open_card(keys: KeyProvider, project: str, token: str, sealed: SealedCard) -> tuple[PAN, Expiry | None]:
    """PAN and expiry. Raises `CannotOpen` unless the row is whole and the one written for this project and token."""
    try:
        box = Box(await keys.unwrap(sealed.data_key, data_key_place(project, token)))
        pan = PAN(box.open(sealed.pan, _place(project, token, "pan")).decode())
        yymm = box.open(sealed.expiry, _place(project, token, "expiry")).decode()
    except CannotOpen as problem:
        raise CannotOpen(f"card {token} of project {project} does not open: {problem}") from None
    return pan, None if yymm == NO_EXPIRY else Expiry(2000 + int(yymm[:2]), int(yymm[2:]))


def data_key_place(project: str, token: str) -> bytes:
    """What a row's data key is bound to, besides the version of the key above it."""
    return _place(project, token, "data key")


def _place(project: str, token: str, name: str) -> bytes:
    return bind(SCHEME, project, token, name)
