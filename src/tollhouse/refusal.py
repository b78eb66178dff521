"""Every "no" of the gateway: one class a reason, its stable code, and its default message in the docstring.

    Refusal
    ├── access      ProjectUnknown SignatureWrong PublicTokenInvalid NotPermitted TooManyRequests GuessedTooOften
    ├── form        MethodUnknown MethodNotAllowed RequestTooLarge MediaTypeUnsupported RequestInvalid
    │               PANWrong CardHasExpired
    ├── repetition  KeyUsed KeyUsedDifferently KeyInFlight
    ├── state       SessionUnknown TokenUnknown StateForbids RefundExceedsCaptured CaptureExceedsHold
    └── ourselves   InternalFailure Unavailable

A bank's "no" is not here: that is an `Outcome`. HTTP statuses are not here either: `api/problems.py` has them.
"""

from __future__ import annotations


class Refusal(Exception):
    """The gateway does not do this."""

    code: str = "internal_error"

    def __init__(self, description: str | None = None) -> None:
        self.description = description or (type(self).__doc__ or "").strip().rstrip(".")
        super().__init__(self.description)


class ProjectUnknown(Refusal):
    """The header X-PARTNER-PROJECT is missing or names no project."""

    code = "identification_error"


class SignatureWrong(Refusal):
    """X-PARTNER-SIGN is missing or does not fit the body and the project's public keys."""

    code = "authentication_error"


class PublicTokenInvalid(Refusal):
    """X-PUBLIC-TOKEN: unknown, expired, used, or without the right to this."""

    code = "public_token_invalid"


class NotPermitted(Refusal):
    """The project has no right to this method or option."""

    code = "authorization_error"


class TooManyRequests(Refusal):
    """The project sends more requests a second than its rate limit allows."""

    code = "too_many_requests"


class GuessedTooOften(TooManyRequests):
    """Too many wrong signatures or tokens came from this address; wait as long as Retry-After says."""

    code = "too_many_requests"

    def __init__(self, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__()


class MethodUnknown(Refusal):
    """There is no such method."""

    code = "method_not_found"


class MethodNotAllowed(Refusal):
    """Methods are called by POST."""

    code = "method_not_allowed"


class RequestTooLarge(Refusal):
    """The body is larger than 256 KiB."""

    code = "request_too_large"


class MediaTypeUnsupported(Refusal):
    """The body must be application/json."""

    code = "unsupported_media_type"


class RequestInvalid(Refusal):
    """The request is malformed."""

    code = "invalid_request"

    def __init__(self, path: str, expected: str) -> None:
        self.path = path
        super().__init__(f"{path}: {expected}" if path else expected)


class PANWrong(Refusal):
    """payment_details.card.bank_card.number: the number fails the Luhn check."""

    code = "card_number_does_not_exist"


class CardHasExpired(Refusal):
    """payment_details.card.bank_card.expiration_year: the card has expired."""

    code = "bank_card_expired"


class KeyUsed(Refusal):
    """The idempotency key was used by a call that is completed."""

    code = "idempotency_key_already_exists"

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__()


class KeyUsedDifferently(Refusal):
    """The idempotency key was used with another path or body."""

    code = "idempotency_key_already_exists"


class KeyInFlight(Refusal):
    """A call with this idempotency key is still at work."""

    code = "idempotency_key_already_exists"


class SessionUnknown(Refusal):
    """session_id: no such session."""

    code = "session_not_found"


class TokenUnknown(Refusal):
    """token: no such token of this project, or its time is over."""

    code = "token_not_found"


class StateForbids(Refusal):
    """The operation is impossible in the session's present state."""

    code = "session_wrong_state"


class RefundExceedsCaptured(Refusal):
    """amount_details.amount: more than what is left to refund."""

    code = "refund_amount_too_large"


class CaptureExceedsHold(Refusal):
    """amount_details.amount: more than the amount held."""

    code = "capture_amount_too_large"


class InternalFailure(Refusal):
    """Our failure; retry later with the same idempotency key."""

    code = "internal_error"


class Unavailable(Refusal):
    """The gateway cannot take this request now; retry with the same idempotency key."""

    code = "service_unavailable"
