"""A bank with honest books, in memory: the other side's truth, against which ours is compared.

It reads the ISO 8583 fields of a `Request` and answers as the sandbox's acquirer does. What happens on the way there
and back (loss, delay, repetition) is the business of whoever carries the messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tollhouse.acquirers.iso8583.fields import (
    PROCESSING_REFUND,
    TAG_AUTHENTICATION_VALUE,
    TAG_DS_TRANSACTION_ID,
    TAG_ECI,
    TAG_EXEMPTION,
    TAG_ORIGINAL_RRN,
    TAG_THREEDS_VERSION,
    unpack_tags,
)
from tollhouse.acquirers.message import Request, Response

ECHOED = ("3", "4", "7", "11", "37", "41", "42", "49")
APPROVED, PARTIAL, NOT_VALID, NOT_FOUND, TOO_MUCH, DUPLICATE = "00", "10", "12", "25", "61", "94"
SOFT_CODES = ("1A", "65")  # not without the payer's authentication
AUTHENTICATED = ("01", "02", "05", "06")  # ECI: authenticated or attempted

Key = tuple[str, str, str, str]  # RRN, STAN, transmission time, terminal


class Asked(StrEnum):
    """What a message wants."""

    SALE = "sale"
    AUTHORIZATION = "authorization"
    COMPLETION = "completion"
    REFUND = "refund"
    REVERSAL = "reversal"


class Standing(StrEnum):
    """How an entry of the books stands."""

    APPROVED = "approved"
    DECLINED = "declined"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a charge says in its field 48 of how its payer was authenticated."""

    eci: str | None = None
    value: str | None = None
    ds_transaction_id: str | None = None
    version: str | None = None
    exemption: str | None = None

    @property
    def is_authenticated(self) -> bool:
        """Whether it says that somebody vouches for the payer."""
        return self.value is not None or self.eci in AUTHENTICATED


class Issuer(Protocol):
    """Who issued the cards: asked about every charge."""

    def judge(self, payer: str, claim: Claim) -> str:
        """The code for a charge of this card with this claim."""


@dataclass(kw_only=True)
class Entry:
    """One operation as the bank has it. `payer` is the card that pays or is paid."""

    asked: Asked
    key: Key
    payer: str
    amount_minor: int
    requested_minor: int
    currency: str
    code: str
    approval_code: str | None
    standing: Standing
    claim: Claim = Claim()
    original: Entry | None = None
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def is_charge(self) -> bool:
        """Whether it takes or reserves a cardholder's money."""
        return self.asked in (Asked.SALE, Asked.AUTHORIZATION)

    @property
    def is_live(self) -> bool:
        """Whether the bank holds it for approved."""
        return self.standing is Standing.APPROVED


def asked_of(request: Request) -> Asked:
    """What the request's type and processing code ask for."""
    if request.mti.startswith("04"):
        return Asked.REVERSAL
    if request.mti.startswith("022"):
        return Asked.COMPLETION
    if request.mti == "0100":
        return Asked.AUTHORIZATION
    assert request.mti == "0200", f"no message of this dialect: {request.mti}"
    return Asked.REFUND if request.fields["3"] == PROCESSING_REFUND else Asked.SALE


def claim_of(request: Request) -> Claim:
    """The tags of a charge that speak of authentication."""
    tags = unpack_tags(request.fields.get("48", ""))
    return Claim(
        eci=tags.get(TAG_ECI),
        value=tags.get(TAG_AUTHENTICATION_VALUE),
        ds_transaction_id=tags.get(TAG_DS_TRANSACTION_ID),
        version=tags.get(TAG_THREEDS_VERSION),
        exemption=tags.get(TAG_EXEMPTION),
    )


def key_of(request: Request) -> Key:
    """The references of a request, as they stand in its fields."""
    fields = request.fields
    return fields["37"], fields["11"], fields["7"], fields["41"]


@dataclass
class Bank:
    """The books, and the answers that follow from them. Without an issuer nobody asks for authentication."""

    issuer: Issuer | None = None
    entries: dict[Key, Entry] = field(default_factory=dict)
    by_rrn: dict[str, Entry] = field(default_factory=dict)

    def decide(self, request: Request, *, code: str = APPROVED) -> Response:
        """Book a request and answer it. `code` is what the issuer says, where it is asked."""
        asked = asked_of(request)
        if asked is Asked.REVERSAL:
            return answer(request, self._reverse(request, code))
        known = self.entries.get(key_of(request))
        if known is not None:
            return answer(request, known.code, known.approval_code)
        if request.fields["37"] in self.by_rrn:
            return answer(request, DUPLICATE)
        entry = self._entry(request, asked, code)
        self.entries[entry.key] = entry
        self.by_rrn[entry.key[0]] = entry
        return answer(request, entry.code, entry.approval_code)

    def approve_again(self, entry: Entry) -> None:
        """What was reversed stands approved again: a bank's mistake that gateways must live with."""
        assert entry.is_charge
        assert entry.standing is Standing.REVERSED
        entry.standing = Standing.APPROVED
        entry.captured_minor = entry.amount_minor if entry.asked is Asked.SALE else 0

    def _entry(self, request: Request, asked: Asked, code: str) -> Entry:
        amount_minor = int(request.fields["4"])
        original = self._original_of(request, asked)
        payer = request.card.card_token if request.card else ""
        claim = claim_of(request)
        if asked in (Asked.SALE, Asked.AUTHORIZATION) and self.issuer is not None and code in (APPROVED, PARTIAL):
            said = self.issuer.judge(payer, claim)
            code = code if said == APPROVED else said
        if asked in (Asked.COMPLETION, Asked.REFUND) and code == APPROVED:
            code = self._code_of_follower(asked, original, amount_minor)
        is_approved = code in (APPROVED, PARTIAL)
        entry = Entry(
            asked=asked,
            key=key_of(request),
            payer=payer,
            claim=claim,
            amount_minor=max(1, amount_minor // 2) if code == PARTIAL else amount_minor,
            requested_minor=amount_minor,
            currency=request.fields["49"],
            code=code,
            approval_code=f"{len(self.entries) + 1:06d}" if is_approved else None,
            standing=Standing.APPROVED if is_approved else Standing.DECLINED,
            original=original,
        )
        if is_approved and asked is Asked.SALE:
            entry.captured_minor = entry.amount_minor
        if is_approved and original is not None:
            _draw(entry, original, amount_minor)
        return entry

    def _original_of(self, request: Request, asked: Asked) -> Entry | None:
        if asked not in (Asked.COMPLETION, Asked.REFUND):
            return None
        return self.by_rrn.get(unpack_tags(request.fields["48"])[TAG_ORIGINAL_RRN])

    def _code_of_follower(self, asked: Asked, original: Entry | None, amount_minor: int) -> str:
        wanted = (Asked.AUTHORIZATION,) if asked is Asked.COMPLETION else (Asked.SALE, Asked.COMPLETION)
        if original is None or original.asked not in wanted or not original.is_live:
            return NOT_VALID
        if asked is Asked.COMPLETION:
            left_minor = original.amount_minor - original.captured_minor
        else:
            left_minor = original.captured_minor - original.refunded_minor
        return TOO_MUCH if amount_minor > left_minor else APPROVED

    def _reverse(self, request: Request, code: str) -> str:
        """Undo what DE90 names. Any other code than 00 refuses."""
        if code != APPROVED:
            return code
        named = request.fields["90"]
        original = self.entries.get((request.fields["37"], named[4:10], named[10:20], request.fields["41"]))
        if original is None:
            return NOT_FOUND
        if original.standing is not Standing.APPROVED:
            return APPROVED
        if original.requested_minor != int(request.fields["4"]):
            return NOT_VALID
        if original.refunded_minor or (original.asked is Asked.AUTHORIZATION and original.captured_minor):
            return NOT_VALID
        original.standing = Standing.REVERSED
        original.captured_minor = 0
        if original.original is not None:
            _draw(original, original.original, -original.amount_minor)
        return APPROVED


def _draw(entry: Entry, original: Entry, amount_minor: int) -> None:
    if entry.asked is Asked.COMPLETION:
        original.captured_minor += amount_minor
        entry.captured_minor = max(0, amount_minor)
    else:
        original.refunded_minor += amount_minor


def answer(request: Request, code: str, approval_code: str | None = None) -> Response:
    """The answer to a request: its echoed fields, the code, the approval code."""
    fields = {number: request.fields[number] for number in ECHOED if number in request.fields}
    fields["39"] = code
    if approval_code is not None:
        fields["38"] = approval_code
    return Response(mti=f"{request.mti[:2]}{int(request.mti[2]) + 1}0", fields=fields)
