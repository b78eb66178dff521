"""Outcomes: every response code of field 39, each reason with its words."""

from __future__ import annotations

import itertools
import string

import pytest

from tollhouse.outcome import (
    DESCRIPTIONS,
    Approved,
    Declined,
    PartlyApproved,
    Reason,
    Unknown,
    outcome_of_code,
    outcome_of_reversal,
)

# The whole table of wire-api 6.1; every other code is "declined by the issuer".
REASONS = {
    "14": "card_number_does_not_exist",
    "41": "not_permitted_by_issuer_bank",
    "43": "not_permitted_by_issuer_bank",
    "04": "not_permitted_by_issuer_bank",
    "07": "not_permitted_by_issuer_bank",
    "57": "not_permitted_by_issuer_bank",
    "62": "not_permitted_by_issuer_bank",
    "78": "not_permitted_by_issuer_bank",
    "51": "insufficient_funds",
    "54": "bank_card_expired",
    "61": "activity_count_exceeded",
    "65": "activity_count_exceeded",
    "1A": "activity_count_exceeded",
    "13": "provider_exceeds_amount_limit",
    "91": "provider_issuer_unavailable",
    "96": "provider_internal_error",
}
UNCLEAR = {"09", "68", "94"}
SOFT = {"65", "1A"}
ALL_CODES = ["".join(pair) for pair in itertools.product(string.digits + string.ascii_uppercase, repeat=2)]


@pytest.mark.parametrize(("code", "reason"), REASONS.items())
def test_reason_of_code(code: str, reason: str) -> None:
    """A code of the table declines with its reason; only 65 and 1A may be tried again after 3-D Secure."""
    assert outcome_of_code(code) == Declined(response_code=code, reason=Reason(reason), is_soft=code in SOFT)


def test_every_code_has_an_outcome() -> None:
    """00 alone approves, 10 approves partly, three are unclear, and whatever is not in the table declines."""
    for code in ALL_CODES:
        match outcome_of_code(code, approval_code="7K20QX"):
            case Approved(approval_code=approval_code):
                assert (code, approval_code) == ("00", "7K20QX")
            case PartlyApproved():
                assert code == "10"
            case Unknown(response_code=response_code, is_not_found=is_not_found):
                assert code in UNCLEAR
                assert response_code == code
                assert not is_not_found
            case Declined(response_code=response_code, reason=reason, is_soft=is_soft):
                assert response_code == code
                assert reason == REASONS.get(code, "declined_by_issuer_bank")
                assert is_soft == (code in SOFT)


@pytest.mark.parametrize("code", ["", "0", "000", "0 ", "  ", "٠٠", "-1", "00\n"])
def test_unreadable_code_is_unknown(code: str) -> None:
    """A code that is not two ASCII letters or digits says nothing: neither approved nor declined."""
    assert isinstance(outcome_of_code(code), Unknown)


def test_reversal_is_done_by_00_alone() -> None:
    """A reversal is done by 00, finds nothing by 25, and is merely not done yet by any other code."""
    for code in [*ALL_CODES, "", "000"]:
        match outcome_of_reversal(code):
            case Approved():
                assert code == "00"
            case Unknown(is_not_found=is_not_found):
                assert code != "00"
                assert is_not_found == (code == "25")
            case other:
                pytest.fail(f"{code} became {other}")


def test_every_reason_has_words() -> None:
    """Each reason has a description of its own for the merchant, without a response code in it."""
    assert set(DESCRIPTIONS) == set(Reason)
    assert len(set(DESCRIPTIONS.values())) == len(DESCRIPTIONS)
    assert not any(character.isdigit() for text in DESCRIPTIONS.values() for character in text)


def test_reason_codes_are_stable() -> None:
    """The codes are the wire's: a changed one breaks merchants."""
    assert sorted(Reason) == [
        "3DS_error",
        "action_timeout",
        "activity_count_exceeded",
        "bank_card_expired",
        "capture_timeout",
        "card_number_does_not_exist",
        "confirm_timeout",
        "declined_by_issuer_bank",
        "insufficient_funds",
        "not_permitted_by_issuer_bank",
        "provider_exceeds_amount_limit",
        "provider_internal_error",
        "provider_issuer_unavailable",
        "provider_timeout",
        "routing_internal_error",
        "session_cancelled",
        "session_cancelled_by_partner",
    ]
