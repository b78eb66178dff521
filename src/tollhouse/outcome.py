"""What an acquirer answered: approved, declined, or unknown, and the reason a merchant is told.

Response codes are field 39 of ISO 8583; the table is wire-api 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an operation failed, as stable codes (wire-api 6)."""

    DECLINED_BY_ISSUER = "declined_by_issuer_bank"
    PAN_UNKNOWN = "card_number_does_not_exist"
    NOT_PERMITTED = "not_permitted_by_issuer_bank"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CARD_EXPIRED = "bank_card_expired"
    ACTIVITY_EXCEEDED = "activity_count_exceeded"
    AMOUNT_LIMIT = "provider_exceeds_amount_limit"
    ISSUER_UNAVAILABLE = "provider_issuer_unavailable"
    ACQUIRER_INTERNAL = "provider_internal_error"
    ACQUIRER_TIMEOUT = "provider_timeout"
    ROUTING = "routing_internal_error"
    CANCELLED_BY_MERCHANT = "session_cancelled_by_partner"
    CANCELLED = "session_cancelled"
    CONFIRM_TIMEOUT = "confirm_timeout"
    ACTION_TIMEOUT = "action_timeout"
    CAPTURE_TIMEOUT = "capture_timeout"
    NOT_AUTHENTICATED = "3DS_error"


DESCRIPTIONS: dict[Reason, str] = {
    Reason.DECLINED_BY_ISSUER: "Declined by the issuer",
    Reason.PAN_UNKNOWN: "Declined: no such card number",
    Reason.NOT_PERMITTED: "Declined: not permitted by the issuer",
    Reason.INSUFFICIENT_FUNDS: "Declined: insufficient funds",
    Reason.CARD_EXPIRED: "Declined: the card has expired",
    Reason.ACTIVITY_EXCEEDED: "Declined: activity limit exceeded",
    Reason.AMOUNT_LIMIT: "Declined: amount not allowed",
    Reason.ISSUER_UNAVAILABLE: "Declined: the issuer cannot be reached",
    Reason.ACQUIRER_INTERNAL: "The acquirer could not process the operation",
    Reason.ACQUIRER_TIMEOUT: "The acquirer did not answer; the operation was undone",
    Reason.ROUTING: "No acquirer is available for this payment",
    Reason.CANCELLED_BY_MERCHANT: "Cancelled by the merchant",
    Reason.CANCELLED: "Cancelled: the session was not started in time",
    Reason.CONFIRM_TIMEOUT: "Not confirmed in time",
    Reason.ACTION_TIMEOUT: "The payer did not act in time",
    Reason.NOT_AUTHENTICATED: "The payer was not authenticated",
    Reason.CAPTURE_TIMEOUT: "Not captured in time; the hold was released",
}
assert set(DESCRIPTIONS) == set(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The acquirer did it."""

    response_code: str
    approval_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartlyApproved:
    """Approved for less than asked (code 10): not what the payer agreed to, so it is undone."""

    response_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """The bank said no: a clear answer, final for this operation."""

    response_code: str
    reason: Reason
    is_soft: bool = False  # may be tried again after 3-D Secure


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No answer, or one that says nothing: never a decline. `is_not_found`: a reversal found no original."""

    why: str
    response_code: str | None = None
    is_not_found: bool = False


Outcome = Approved | PartlyApproved | Declined | Unknown

APPROVED_CODE = "00"
PARTLY_APPROVED_CODE = "10"
NOT_FOUND_CODE = "25"
UNCLEAR_CODES = frozenset({"09", "68", "94"})
VISA_SOFT_DECLINE = "1A"
SOFT_DECLINE_CODES = frozenset({"65", VISA_SOFT_DECLINE})
REASON_BY_CODE: dict[str, Reason] = {
    "14": Reason.PAN_UNKNOWN,
    **dict.fromkeys(("41", "43", "04", "07", "57", "62", "78"), Reason.NOT_PERMITTED),
    "51": Reason.INSUFFICIENT_FUNDS,
    "54": Reason.CARD_EXPIRED,
    **dict.fromkeys(("61", "65", "1A"), Reason.ACTIVITY_EXCEEDED),
    "13": Reason.AMOUNT_LIMIT,
    "91": Reason.ISSUER_UNAVAILABLE,
    "96": Reason.ACQUIRER_INTERNAL,
}


def is_soft_decline(outcome: Declined, brand: str | None) -> bool:
    """Whether the issuer asks for 3-D Secure: Visa says so by 1A alone, for others 65 says it too (wire-api 6.1)."""
    return outcome.is_soft and (outcome.response_code == VISA_SOFT_DECLINE or brand != "visa")


def outcome_of_code(code: str, *, approval_code: str | None = None) -> Outcome:
    """The outcome of a financial message by its response code (wire-api 6.1): 00 alone approves."""
    if code == APPROVED_CODE:
        return Approved(response_code=code, approval_code=approval_code)
    if code == PARTLY_APPROVED_CODE:
        return PartlyApproved(response_code=code)
    if code in UNCLEAR_CODES or len(code) != 2 or not (code.isascii() and code.isalnum()):
        return Unknown(why="the answer's response code is not clear", response_code=code[:2] or None)
    reason = REASON_BY_CODE.get(code, Reason.DECLINED_BY_ISSUER)
    return Declined(response_code=code, reason=reason, is_soft=code in SOFT_DECLINE_CODES)


def outcome_of_reversal(code: str) -> Outcome:
    """The outcome of a reversal: 00 done, 25 nothing found, anything else says only that it is not done yet."""
    if code == APPROVED_CODE:
        return Approved(response_code=code)
    return Unknown(
        why="original not found" if code == NOT_FOUND_CODE else "reversal refused",
        response_code=code[:2] or None,
        is_not_found=code == NOT_FOUND_CODE,
    )
