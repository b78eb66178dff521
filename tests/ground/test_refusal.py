"""Refusals: their codes are the wire's and never change; their docstrings are what people read."""

from __future__ import annotations

import pytest

from tollhouse import refusal
from tollhouse.refusal import KeyUsed, Refusal, RequestInvalid

CODES = {
    "ProjectUnknown": "identification_error",
    "SignatureWrong": "authentication_error",
    "PublicTokenInvalid": "public_token_invalid",
    "NotPermitted": "authorization_error",
    "TooManyRequests": "too_many_requests",
    "MethodUnknown": "method_not_found",
    "MethodNotAllowed": "method_not_allowed",
    "RequestTooLarge": "request_too_large",
    "MediaTypeUnsupported": "unsupported_media_type",
    "GuessedTooOften": "too_many_requests",
    "RequestInvalid": "invalid_request",
    "PANWrong": "card_number_does_not_exist",
    "CardHasExpired": "bank_card_expired",
    "KeyUsed": "idempotency_key_already_exists",
    "KeyUsedDifferently": "idempotency_key_already_exists",
    "KeyInFlight": "idempotency_key_already_exists",
    "SessionUnknown": "session_not_found",
    "TokenUnknown": "token_not_found",
    "StateForbids": "session_wrong_state",
    "RefundExceedsCaptured": "refund_amount_too_large",
    "CaptureExceedsHold": "capture_amount_too_large",
    "InternalFailure": "internal_error",
    "Unavailable": "service_unavailable",
}
CLASSES = {
    name: found
    for name, found in vars(refusal).items()
    if isinstance(found, type) and issubclass(found, Refusal) and found is not Refusal
}


def test_codes_are_stable() -> None:
    """Each refusal has its code of wire-api 6: a changed one breaks merchants."""
    assert {name: found.code for name, found in CLASSES.items()} == CODES


@pytest.mark.parametrize("name", sorted(CODES.keys() - {"RequestInvalid", "KeyUsed", "GuessedTooOften"}))
def test_default_description(name: str) -> None:
    """Without words of its own a refusal describes itself by its docstring, without the full stop."""
    plain, worded = CLASSES[name](), CLASSES[name]("session_id: other words")
    assert plain.description == (CLASSES[name].__doc__ or "").strip().rstrip(".")
    assert str(worded) == worded.description == "session_id: other words"


def test_malformed_request_names_the_field() -> None:
    """The description begins with the path of the field at fault, where there is one."""
    assert RequestInvalid("customer.reference", "required").description == "customer.reference: required"
    assert RequestInvalid("", "not JSON").description == "not JSON"


def test_used_key_names_the_session() -> None:
    """The first call's session is kept apart from the words, for its header."""
    assert (KeyUsed("ps_1").session_id, "ps_1" in KeyUsed("ps_1").description) == ("ps_1", False)


def test_map_in_the_module_is_whole() -> None:
    """The tree on top of the module names every refusal."""
    assert all(name in (refusal.__doc__ or "") for name in CODES)
