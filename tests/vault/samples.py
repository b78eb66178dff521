"""Cards, requests and vault parts the tests of this folder are made of."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies

from tollhouse.acquirers.message import CardUse, References, Request, Slot
from tollhouse.card import PAN, CardDetails, Expiry, luhn_digit, parse_pan
from tollhouse.vault.key_file import FileKeys, KeyFile
from tollhouse.vault.ring import KeyRing

PAN_TEXT = "4000056655665556"
CARD = CardDetails(pan=parse_pan(PAN_TEXT), expiry=Expiry(2031, 12))
REFERENCES = References(
    rrn="600112345678", stan="000042", terminal="TERM0001", transmitted_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
)
CARD_SLOTS = {"2": Slot.PAN, "14": Slot.EXPIRY, "48": Slot.CVV}

pans = strategies.integers(10**10, 10**18 - 1).map(lambda body: PAN(f"{body}{luhn_digit(str(body))}"))
expiries = strategies.builds(Expiry, year=strategies.integers(2000, 2099), month=strategies.integers(1, 12))
cards = strategies.builds(CardDetails, pan=pans, expiry=expiries)
names = strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def key_file(*keys: bytes) -> KeyFile:
    """Keys in memory, versions from 1; the last is current."""
    return KeyFile(Path("kek.json"), len(keys), dict(enumerate(keys, 1)))


def file_keys(*keys: bytes) -> KeyRing:
    """A ring over keys in memory."""
    file = key_file(*keys or (bytes(32),))
    return KeyRing(FileKeys(file), current=file.current, ready=file.versions)


def request(
    project: str,
    token: str,
    sealed_cvv: str | None = None,
    *,
    fields: Mapping[str, str] | None = None,
    slots: Mapping[str, Slot] = CARD_SLOTS,
) -> Request:
    """An authorization with card slots."""
    return Request(
        mti="0100",
        fields={"3": "000000", "4": "000000002590"} | dict(fields or {}),
        slots=slots,
        card=CardUse(project=project, card_token=token, sealed_cvv=sealed_cvv),
        references=REFERENCES,
    )


@contextmanager
def a_full_disk(file_bytes_max: int) -> Iterator[None]:
    """No file of this process gets longer than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
