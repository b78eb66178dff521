"""Idempotency keys: what is compared, and what a repeated call gets (wire-api 4)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from tollhouse.refusal import KeyUsed, KeyUsedDifferently

KEY_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedKey:
    """A key that a completed call has used up."""

    path: str
    body_hash: bytes
    session_id: str
    answer: bytes | None


def is_key(text: str) -> bool:
    """Whether the header's value may be a key: 1 to 255 printable ASCII characters."""
    return 1 <= len(text) <= KEY_LENGTH_MAX and all(" " <= character <= "~" for character in text)


def body_hash(server_secret: bytes, body: bytes) -> bytes:
    """A keyed hash, since bodies may hold card numbers: HMAC-SHA256 of the raw body."""
    return hmac.new(server_secret, body, hashlib.sha256).digest()


def answer_again(used: UsedKey, *, path: str, body_hash: bytes, replays: bool) -> bytes:
    """The first answer's bytes again, or the refusal: `KeyUsedDifferently`, or `KeyUsed` with the first session."""
    if used.path != path:
        raise KeyUsedDifferently(f"the idempotency key was used for {used.path}")
    if not hmac.compare_digest(used.body_hash, body_hash):
        raise KeyUsedDifferently("the idempotency key was used with another body")
    if replays and used.answer is not None:
        return used.answer
    raise KeyUsed(used.session_id)
