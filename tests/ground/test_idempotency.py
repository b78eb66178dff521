"""Idempotency keys: what a repeated call gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.idempotency import UsedKey, answer_again, body_hash, is_key
from tollhouse.refusal import KeyUsed, KeyUsedDifferently

PATH, OTHER_PATH = "/api/v2/session/init/payment", "/api/v1/session/init/payment"
HASH, OTHER_HASH = body_hash(b"secret", b"{}"), body_hash(b"secret", b"[]")


def _used(answer: bytes | None) -> UsedKey:
    return UsedKey(path=PATH, body_hash=HASH, session_id="ps_1", answer=answer)


@pytest.mark.parametrize(
    ("path", "hashed", "answer", "replays", "got"),
    [
        (PATH, HASH, b"first", True, b"first"),
        (PATH, HASH, b"first", False, KeyUsed),
        (PATH, HASH, None, True, KeyUsed),
        (PATH, HASH, None, False, KeyUsed),
        (PATH, OTHER_HASH, b"first", True, KeyUsedDifferently),
        (PATH, OTHER_HASH, b"first", False, KeyUsedDifferently),
        (OTHER_PATH, HASH, b"first", True, KeyUsedDifferently),
        (OTHER_PATH, HASH, b"first", False, KeyUsedDifferently),
    ],
)
def test_repeated_call(path: str, hashed: bytes, answer: bytes | None, replays: bool, got: bytes | type) -> None:
    """The same call gets the first answer or a refusal naming the session; another body or path is always refused."""
    if isinstance(got, bytes):
        assert answer_again(_used(answer), path=path, body_hash=hashed, replays=replays) == got
        return
    with pytest.raises(got) as refused:
        answer_again(_used(answer), path=path, body_hash=hashed, replays=replays)
    assert getattr(refused.value, "session_id", None) == ("ps_1" if got is KeyUsed else None)


def test_refusal_says_what_differs() -> None:
    """Path and body are told apart, since the caller has to look in the right place."""
    with pytest.raises(KeyUsedDifferently, match=f"was used for {PATH}"):
        answer_again(_used(None), path=OTHER_PATH, body_hash=OTHER_HASH, replays=False)
    with pytest.raises(KeyUsedDifferently, match="another body"):
        answer_again(_used(None), path=PATH, body_hash=OTHER_HASH, replays=False)


@given(st.binary(), st.binary(), st.binary(min_size=1), st.binary(min_size=1))
def test_hash_is_keyed(body: bytes, other: bytes, secret: bytes, other_secret: bytes) -> None:
    """Equal bodies have equal hashes under one secret only: a stored hash cannot be searched for a card number."""
    assert (body_hash(secret, body) == body_hash(secret, other)) == (body == other)
    if secret.rstrip(b"\0") != other_secret.rstrip(b"\0"):
        assert body_hash(secret, body) != body_hash(other_secret, body)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a", True),
        ("order 5512/1", True),
        (" ~", True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("", False),
        ("a\tb", False),
        ("ä", False),
        ("a\x7f", False),
        ("a\n", False),
    ],
)
def test_key_shape(text: str, fits: bool) -> None:
    """A key is 1 to 255 printable ASCII characters."""
    assert is_key(text) is fits
