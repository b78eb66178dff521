"""A box: bytes sealed under one key (AES-256-GCM) and bound to their place, so that they open nowhere else."""

from __future__ import annotations

import hmac
import os
from base64 import b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class CannotOpen(Exception):
    """Sealed bytes do not open: another key, another place, or changed bytes. The text says what, never a value."""


class Box:
    """Seals and opens under one key. A fresh random nonce goes before each ciphertext."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Nonce and ciphertext. `context` is not in them, yet must be the same to open them; make it with `bind`."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen`."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CannotOpen("wrong key, wrong place or changed bytes") from None


def new_key() -> bytes:
    """A random key for one box."""
    return os.urandom(KEY_BYTES)


def bind(*parts: str | bytes) -> bytes:
    """Parts as one context. Each has its length in front, so that no two lists of parts give the same bytes."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in raw])


def keyed_digest(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(key, content, "sha256")


def text_of(raw: bytes) -> str:
    """Bytes as base64url without padding. Not hex: a run of digits there may look like a card number."""
    return b64encode(raw, altchars=b"-_").rstrip(b"=").decode()
