"""Authentication values: made by the issuer, checked by the acquirer, with a key instead of a table between them.

A value is 20 bytes: one for how strongly it vouches, 19 of a keyed hash over that byte, the DS transaction id and the
PAN. So it is worth nothing with another card or another authentication, and survives a restart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tollhouse.card import PAN, brand_of

KEY_BYTES = 32
VALUE_BYTES = 20
VALUE_LENGTH = 28  # of its base64


class Strength(Enum):
    """What the issuer vouches for; the value is the first byte of an authentication value."""

    FULL = 1  # it knows the payer
    ATTEMPT = 2  # it was asked and could not say


@dataclass(frozen=True, slots=True)
class Indicators:
    """ECI values of a scheme: for each strength, for neither, and those that need no authentication value."""

    full: str
    attempt: str
    none: str
    others: frozenset[str] = frozenset()

    def of(self, strength: Strength) -> str:
        """The ECI for a strength."""
        return self.full if strength is Strength.FULL else self.attempt

    def strength(self, eci: str) -> Strength | None:
        """The strength an ECI claims; None where it claims none."""
        return {self.full: Strength.FULL, self.attempt: Strength.ATTEMPT}.get(eci)

    def knows(self, eci: str) -> bool:
        """Whether it is an ECI of this scheme."""
        return eci in (self.full, self.attempt, self.none) or eci in self.others


# Mastercard's others: data only, exempt, recurring, and both kinds without payment.
_MASTERCARD = Indicators("02", "01", "00", frozenset({"04", "06", "07", "N0", "N2"}))
_VISA = Indicators("05", "06", "07")
_BY_BRAND: Mapping[str, Indicators] = {"mastercard": _MASTERCARD, "maestro": _MASTERCARD}


def indicators_of(pan: str) -> Indicators:
    """The ECI values of a card's scheme: Mastercard has its own, all others have Visa's."""
    return _BY_BRAND.get(brand_of(PAN(pan)) or "", _VISA)


class Values:
    """Makes authentication values and knows its own again."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._key = key

    def make(self, strength: Strength, *, pan: str, authentication_id: str) -> str:
        """The value for one card and one authentication (its DS transaction id)."""
        vouched = bytes([strength.value])
        text = vouched + f"{authentication_id.lower()}|{pan}".encode()
        digest = hmac.new(self._key, text, hashlib.sha256).digest()
        return base64.b64encode(vouched + digest[: VALUE_BYTES - 1]).decode()

    def strength_of(self, value: str, *, pan: str, authentication_id: str) -> Strength | None:
        """How strongly a value vouches for this card in this authentication; None when it is not ours for both."""
        for strength in Strength:
            expected = self.make(strength, pan=pan, authentication_id=authentication_id)
            if hmac.compare_digest(value.encode(), expected.encode()):
                return strength
        return None


class KeyUnusable(Exception):
    """The key cannot be read or written; the text is one line for a person."""


def load_key(path: Path) -> bytes:
    """The key in a file that only its owner may read, drawn where there is none. Raises `KeyUnusable`."""
    try:
        if not path.exists():
            _draw_key(path)
        key = path.read_bytes()
    except OSError as problem:
        raise KeyUnusable(f"{path}: cannot be opened ({problem.strerror}); check TOLLHOUSE_HOME") from None
    if len(key) != KEY_BYTES:
        raise KeyUnusable(f"{path}: {KEY_BYTES} bytes expected; remove it and a new key is drawn")
    return key


def _draw_key(path: Path) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, secrets.token_bytes(KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.rename(path)
