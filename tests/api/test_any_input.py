"""Whatever is sent: never a 500, always the envelope, never a null, never a redirect, nothing of a card."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.client import CARD, PAYMENT, Answered, Shop
from tollhouse.api.sessions import METHODS

NAMES = st.sampled_from(
    [
        *PAYMENT,
        *CARD,
        *CARD["card"]["bank_card"],
        "session_id",
        "metadata",
        "payment_options",
        "return_url",
        "recurrent",
        "expiration_at",
        "participant_details",
        "sender",
        "contacts",
        "reference",
        "currency",
        "amount",
        "payment_metadata",
        "custom_routing",
        "tags",
        "payment_id",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["card", "bank_card", "4242424242424242", "08", "31", "eur", "ps_1", "recurrent", "", "\x00"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, TEXTS), inner, max_size=6)),
    max_leaves=20,
)
CALMLY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def answer_to(method: str, raw: bytes) -> Answered:
    """The answer to one call in a fresh world, with what it led to."""

    async def run() -> Answered:
        shop = Shop(KEY)
        answered = await shop.call(method, raw=raw, version=1 if len(raw) % 2 else 2)
        await shop.carry_on()
        return answered

    return asyncio.run(run())


def require_sound(answered: Answered) -> None:
    """The envelope of an answer, whatever it says."""
    shown = answered.json
    assert answered.status == 200 or 400 <= answered.status < 500, answered.body
    if answered.status == 200:
        assert shown["status"] == "ok"
        assert shown["session"]["id"]
    else:
        assert set(shown) == {"status", "error"}
        assert shown["status"] == "error"
        assert set(shown["error"]) == {"code", "description"}
        assert all(isinstance(text, str) and text for text in shown["error"].values())
        assert "424242424242" not in shown["error"]["description"]


@CALMLY
@given(method=st.sampled_from([method.name for method in METHODS]), value=VALUES)
def test_any_json(method: str, value: Any) -> None:
    """Random values with names of ours in them."""
    require_sound(answer_to(method, json.dumps(value).encode()))


@CALMLY
@given(method=st.sampled_from([method.name for method in METHODS]), raw=st.binary(max_size=300))
def test_any_bytes(method: str, raw: bytes) -> None:
    """Bytes of no form at all."""
    require_sound(answer_to(method, raw))


@CALMLY
@given(data=st.data(), value=VALUES)
def test_a_payment_with_one_member_spoiled(data: st.DataObject, value: Any) -> None:
    """A good request, with any value at any place of it."""
    members = json.loads(json.dumps({**PAYMENT, "metadata": {"a": 1}, "payment_options": {"recurrent": False}}))
    place = members
    while True:
        name = data.draw(st.sampled_from(sorted(place)))
        if isinstance(place[name], dict) and data.draw(st.booleans()):
            place = place[name]
            continue
        place[name] = value
        break
    require_sound(answer_to("session/init/payment", json.dumps(members).encode()))


@CALMLY
@given(cut=st.integers(0, 400), byte=st.integers(0, 255), at=st.integers(0, 400))
def test_a_payment_with_one_byte_spoiled_or_its_end_cut_off(cut: int, byte: int, at: int) -> None:
    """What a bad line makes of a good request."""
    body = bytearray(json.dumps(PAYMENT).encode())
    body[at % len(body)] = byte
    require_sound(answer_to("session/init/payment", bytes(body[: len(body) - cut % len(body)])))


@pytest.mark.parametrize("mark", [b'"', b'\\"', b"[", b"{", b'{"a":', b'["', b"\\", b'"\\'])
def test_hostile_repetitions_are_answered_in_a_breath(mark: bytes) -> None:
    """A quarter of a megabyte of the same: refused, and no check goes over it twice for each byte."""
    body = mark * (256 * 1024 // len(mark))
    answered = answer_to("session/create", body[: 256 * 1024])
    assert answered.status == 400
