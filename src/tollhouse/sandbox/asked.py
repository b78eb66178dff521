"""One request as the acquirer understands it, read from the fields of its message.

The PAN is looked at here and goes no further: what stays of it is its mask and what it asks the sandbox to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tollhouse.acquirers.iso8583.fields import PROCESSING_REFUND, PROCESSING_SALE, Garbled, unpack_tags
from tollhouse.card import PAN, PAN_DIGITS_MAX, PAN_DIGITS_MIN, brand_of, mask
from tollhouse.money import CODE_BY_NUMBER
from tollhouse.sandbox.cards import PLAIN, Behaviour, behaviour_of
from tollhouse.sandbox.proofs import UNPROVED, Proof, judge
from tollhouse.sandbox.threeds.values import Values

TAG_ORIGINAL_RRN = "37"  # of field 48: which sale or completion is refunded, which authorization is captured

SOFT_DECLINE_VISA, SOFT_DECLINE = "1A", "65"


class Kind(StrEnum):
    """What is asked, or was done."""

    SALE = "sale"
    AUTHORIZATION = "authorization"
    COMPLETION = "completion"
    REFUND = "refund"
    REVERSAL = "reversal"


KIND_BY_MESSAGE: Mapping[str, Kind] = {"022": Kind.COMPLETION, "040": Kind.REVERSAL, "042": Kind.REVERSAL}
KIND_BY_PROCESSING: Mapping[tuple[str, str], Kind] = {
    ("010", PROCESSING_SALE): Kind.AUTHORIZATION,
    ("020", PROCESSING_SALE): Kind.SALE,
    ("020", PROCESSING_REFUND): Kind.REFUND,
}


class FormatError(ValueError):
    """A field is missing or does not fit; the text names the field and never its value."""


class Key(NamedTuple):
    """The references that make two messages the same request: DE37, DE11, DE7, DE41."""

    rrn: str
    stan: str
    transmitted_at: str
    terminal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `card` is masked; `original_key` is what a reversal names."""

    kind: Kind
    mti: str
    key: Key
    acceptor: str
    amount_minor: int
    currency: str
    card: str = ""
    behaviour: Behaviour = PLAIN
    soft_decline_code: str = SOFT_DECLINE
    proof: Proof = UNPROVED
    original_rrn: str | None = None
    original_key: Key | None = None


def read_request(fields: Mapping[str, str], values: Values) -> Asked:
    """The request in a message, judged with `values`. Raises `FormatError` naming the field that is wrong."""
    kind = _kind(fields)
    rrn, terminal = _text(fields, "37"), _text(fields, "41")
    key = Key(rrn, _digits(fields, "11", 6), _digits(fields, "7", 10), terminal)
    currency = CODE_BY_NUMBER.get(fields.get("49", ""))
    if currency is None:
        raise FormatError("field 49: a currency's ISO 4217 number expected")
    tags = _tags(fields)
    pan = _pan(fields, kind)
    original_rrn = tags.get(TAG_ORIGINAL_RRN)
    if kind in (Kind.COMPLETION, Kind.REFUND) and original_rrn is None:
        raise FormatError("field 48: tag 37 with the original's RRN expected")
    return Asked(
        kind=kind,
        mti=fields["t"],
        key=key,
        acceptor=fields.get("42", ""),
        amount_minor=int(_digits(fields, "4", 12)),
        currency=currency,
        card=mask(pan),
        behaviour=behaviour_of(pan) if pan else PLAIN,
        soft_decline_code=SOFT_DECLINE_VISA if pan and brand_of(PAN(pan)) == "visa" else SOFT_DECLINE,
        proof=judge(values, pan, tags) if kind in (Kind.SALE, Kind.AUTHORIZATION) else UNPROVED,
        original_rrn=rrn if kind is Kind.REVERSAL else original_rrn,
        original_key=_original_key(fields, rrn, terminal) if kind is Kind.REVERSAL else None,
    )


def _kind(fields: Mapping[str, str]) -> Kind:
    message = fields["t"][:3]
    kind = KIND_BY_MESSAGE.get(message) or KIND_BY_PROCESSING.get((message, fields.get("3", "")))
    if kind is None:
        raise FormatError("field 3: not a processing code of this message")
    return kind


def _text(fields: Mapping[str, str], field: str) -> str:
    text = fields.get(field, "").strip()
    if not text:
        raise FormatError(f"field {field}: missing")
    return text


def _digits(fields: Mapping[str, str], field: str, length: int) -> str:
    text = fields.get(field, "")
    if len(text) != length or not (text.isascii() and text.isdigit()):
        raise FormatError(f"field {field}: {length} digits expected")
    return text


def _pan(fields: Mapping[str, str], kind: Kind) -> str:
    """The PAN; empty where only a charge needs one."""
    pan = fields.get("2", "")
    if not pan and kind not in (Kind.SALE, Kind.AUTHORIZATION):
        return ""
    if not PAN_DIGITS_MIN <= len(pan) <= PAN_DIGITS_MAX or not (pan.isascii() and pan.isdigit()):
        raise FormatError("field 2: a PAN expected")
    return pan


def _tags(fields: Mapping[str, str]) -> dict[str, str]:
    try:
        return unpack_tags(fields.get("48", ""))
    except Garbled as problem:
        raise FormatError(str(problem)) from None


def _original_key(fields: Mapping[str, str], rrn: str, terminal: str) -> Key:
    """Field 90: MTI 4, STAN 6, DE7 10. The MTI only repeats what the references say, since an RRN is used once."""
    original = fields.get("90", "")
    if len(original) != 42 or not (original.isascii() and original.isdigit()):
        raise FormatError("field 90: 42 digits expected")
    return Key(rrn, original[4:10], original[10:20], terminal)
