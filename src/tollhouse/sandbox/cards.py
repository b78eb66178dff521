"""What a card's number asks the sandbox to do: composable numbers and familiar ones (aliases).

A composable number is `BIN (6) a m c rr f o free (2) check digit`; American Express has one free digit. Aliases
win over composition. Every other number is approved and takes no part in 3-D Secure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Self, TypeVar

from tollhouse.card import is_luhn, luhn_digit


class Digit(IntEnum):
    """One digit of a composable number, with what it means."""

    text: str

    def __new__(cls, value: int, text: str) -> Self:
        """A member that knows its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class Authentication(Digit):
    """Digit a: the first answer of 3-D Secure (ARes)."""

    NONE = 0, "takes no part in 3DS"
    FRICTIONLESS = 1, "Y, frictionless"
    ATTEMPTED = 2, "A, attempt"
    NOT_AUTHENTICATED = 3, "N, not authenticated"
    UNAVAILABLE = 4, "U, unavailable"
    REJECTED = 5, "R, rejected"
    INFORMED = 6, "I, informational"
    CHALLENGE = 7, "C, challenge"
    UNANSWERED = 8, "the directory server does not answer"
    DECOUPLED = 9, "D, decoupled"


class Method(Digit):
    """Digit m: the 3DS method page."""

    PROMPT = 0, "present and prompt"
    NONE = 1, "none"
    UNANSWERED = 2, "never answers"


class Challenge(Digit):
    """Digit c: what becomes of a challenge."""

    PAGE = 0, "a page, the payer decides"
    PASSES = 1, "passes by itself"
    FAILS = 2, "fails by itself"
    CANCELLED = 3, "the payer cancels"
    ENDLESS = 4, "never ends"
    OUT_OF_BAND = 5, "out of band (app)"
    BROWSER_FIRST = 6, "the browser returns before the result"
    BROWSER_LOST = 7, "the result arrives, the browser never returns"
    ERROR = 8, "an error message instead of a result"
    TWICE = 9, "the result arrives twice"


class Fault(Digit):
    """Digit f: what goes wrong at the authorization."""

    NONE = 0, "none"
    ANSWER_LOST = 1, "done, the answer is lost"
    REQUEST_LOST = 2, "the request is lost, nothing is done"
    ANSWER_LATE = 3, "the answer comes later than our limit"
    ANSWER_TWICE = 4, "the answer comes twice"
    CONNECTION_DROPPED = 5, "done, the connection is dropped instead of an answer"
    SLOW = 6, "the answer takes 2 seconds"
    GARBAGE = 7, "done, garbage instead of an answer"
    SOFT_DECLINE = 8, "soft decline until authenticated (1A for Visa, 65 for others)"
    TERMINAL_REFUSED = 9, "nothing is done; the terminal's connection is dropped and refused for 10 seconds"


class Later(Digit):
    """Digit o: what goes wrong later on. The last two wait for the signed callback and are only recorded."""

    NONE = 0, "none"
    REFUND_DECLINED = 1, "a refund is declined"
    REFUND_ANSWER_LOST = 2, "a refund is done, its answer is lost"
    CAPTURE_DECLINED = 3, "a capture is declined"
    CAPTURE_ANSWER_LOST = 4, "a capture is done, its answer is lost"
    REVERSAL_REFUSED_TWICE = 5, "a reversal is refused twice, then taken"
    REVERSAL_UNANSWERED = 6, "a reversal is never answered and never done"
    APPROVED_AFTER_REVERSAL = 7, "after the reversal an approval arrives late; approved until reversed again"
    CHARGEBACK = 8, "chargeback 10 seconds after success (so far only recorded)"
    PAYOUT_RETURNED = 9, "a payout is returned 10 seconds after success (so far only recorded)"


APPROVED, PARTLY_APPROVED = "00", "10"
RESPONSE_CODES: Mapping[str, str] = MappingProxyType(
    {
        APPROVED: "approved",
        "05": "declined by the issuer",
        PARTLY_APPROVED: "approved for half of the amount",
        "12": "not a valid operation",
        "13": "amount not valid",
        "14": "no such card",
        "25": "original not found",
        "30": "format error",
        "41": "lost card",
        "43": "stolen card",
        "51": "insufficient funds",
        "54": "expired card",
        "57": "not permitted to the cardholder",
        "58": "not permitted to the terminal",
        "61": "exceeds the amount limit",
        "62": "restricted card",
        "65": "activity limit exceeded; soft decline",
        "91": "issuer cannot be reached",
        "94": "duplicate",
        "96": "processing error",
        "1A": "soft decline: authentication wanted",
        "N7": "wrong CVV",
    }
)

BINS: Mapping[str, str] = MappingProxyType(
    {
        "visa": "400012",
        "mastercard": "545454",
        "mastercard_2": "222300",
        "jcb": "356600",
        "discover": "601100",
        "american_express": "371449",
    }
)
_BIN_SET = frozenset(BINS.values())
_AMERICAN_EXPRESS = BINS["american_express"]
D = TypeVar("D", bound=Digit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the sandbox does with a card."""

    authentication: Authentication = Authentication.NONE
    method: Method = Method.PROMPT
    challenge: Challenge = Challenge.PAGE
    response_code: str = APPROVED
    fault: Fault = Fault.NONE
    later: Later = Later.NONE


PLAIN = Behaviour()
_ASKS, _A = Behaviour, Authentication
ALIASES: Mapping[str, Behaviour] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "4242424242424242",
                "4111111111111111",
                "5555555555554444",
                "5454545454545454",
                "2223003122003222",
                "378282246310005",
                "371449635398431",
                "3566002020360505",
                "6011111111111117",
                "6011000990139424",
            ),
            PLAIN,
        ),
        "4000000000000002": _ASKS(response_code="05"),
        "4000000000009995": _ASKS(response_code="51"),
        "4000000000009987": _ASKS(response_code="41"),
        "4000000000009979": _ASKS(response_code="43"),
        "4000000000000069": _ASKS(response_code="54"),
        "4000000000000127": _ASKS(response_code="N7"),
        "4000000000000119": _ASKS(response_code="96"),
        "4000002760003184": _ASKS(authentication=_A.CHALLENGE),
        "4000008260003178": _ASKS(authentication=_A.CHALLENGE, response_code="51"),
        "4000008400001629": _ASKS(authentication=_A.CHALLENGE, response_code="05"),
        "4000008400001280": _ASKS(authentication=_A.UNANSWERED),
        "4000000000002701": _ASKS(authentication=_A.FRICTIONLESS),
        "4000000000002925": _ASKS(authentication=_A.NOT_AUTHENTICATED),
        "4000000000002719": _ASKS(authentication=_A.ATTEMPTED),
        "4000000000002313": _ASKS(authentication=_A.UNAVAILABLE),
        "4000000000002503": _ASKS(authentication=_A.CHALLENGE, challenge=Challenge.PASSES),
        "4000000000002370": _ASKS(authentication=_A.CHALLENGE, challenge=Challenge.FAILS),
    }
)


class NotComposable(ValueError):
    """No number can be built from these digits; the text says which one is wrong and what it may be."""


def behaviour_of(pan: str) -> Behaviour:
    """What a number asks for. Aliases win; a number that is not composable is approved without 3DS."""
    return ALIASES.get(pan) or composed_behaviour(pan) or PLAIN


def composed_behaviour(pan: str) -> Behaviour | None:
    """What a composable number asks for by its digits; None when it is not composable. Knows no aliases."""
    length = 15 if pan.startswith(_AMERICAN_EXPRESS) else 16
    if pan[:6] not in _BIN_SET or len(pan) != length or not (pan.isascii() and pan.isdigit()) or not is_luhn(pan):
        return None
    if int(pan[7]) >= len(Method):
        return None
    return Behaviour(
        authentication=_meaning(Authentication, pan[6]),
        method=_meaning(Method, pan[7]),
        challenge=_meaning(Challenge, pan[8]),
        response_code=pan[9:11],
        fault=_meaning(Fault, pan[11]),
        later=_meaning(Later, pan[12]),
    )


def compose(
    *,
    brand: str = "visa",
    answer: str = APPROVED,
    fault: int = 0,
    later: int = 0,
    authentication: int = 0,
    method: int = 0,
    challenge: int = 0,
    free: str | None = None,
) -> str:
    """A number that behaves so. Raises `NotComposable`, whose text names the value and what it may be."""
    if brand not in BINS:
        raise NotComposable(f"brand {brand!r}: one of {', '.join(BINS)} expected")
    if not _is_digits(answer, 2):
        raise NotComposable(f"answer {answer!r}: two digits expected, such as 51 (letters only exist as aliases)")
    free_length = 1 if brand == "american_express" else 2
    free = "0" * free_length if free is None else free
    if not _is_digits(free, free_length):
        raise NotComposable(f"free {free!r}: {free_length} digit(s) expected for {brand}")
    digits = (
        BINS[brand]
        + _digit(Authentication, authentication)
        + _digit(Method, method)
        + _digit(Challenge, challenge)
        + answer
        + _digit(Fault, fault)
        + _digit(Later, later)
        + free
    )
    pan = digits + luhn_digit(digits)
    if pan in ALIASES:
        raise NotComposable(f"free {free!r}: this makes a familiar number, which behaves otherwise; choose others")
    return pan


def _meaning(meanings: type[D], digit: str) -> D:
    return list(meanings)[int(digit)]  # the meanings count from 0 without gaps


def _digit(meanings: type[Digit], value: int) -> str:
    if not 0 <= value < len(meanings):
        name = meanings.__name__.lower()
        raise NotComposable(f"{name} {value}: 0 to {max(meanings)} expected")
    return str(int(value))


def _is_digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdigit()
