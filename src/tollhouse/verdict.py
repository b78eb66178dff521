"""What an authentication's outcome means for the payment, and how it is told to the acquirer.

Sources: EMV 3DS `transStatus`; the schemes' rules for ECI and liability; wire-api 16 for `threeds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tollhouse.authentication import Authentication, Proof, TransStatus


class Policy(StrEnum):
    """A project's setting `threeds`."""

    ALWAYS = "always"
    AUTO = "auto"
    NEVER = "never"


class Verdict(StrEnum):
    """What follows from an outcome."""

    PROCEED = "proceed"  # with the issuer's proof
    UNPROVEN = "proceed_unproven"  # without proof: the merchant keeps the liability
    FAIL = "fail"  # 3DS_error


class Ending(StrEnum):
    """How an authentication may end, the protocol's outcomes and two of our own."""

    AUTHENTICATED = TransStatus.AUTHENTICATED
    ATTEMPTED = TransStatus.ATTEMPTED
    NOT_AUTHENTICATED = TransStatus.NOT_AUTHENTICATED
    UNAVAILABLE = TransStatus.UNAVAILABLE
    REJECTED = TransStatus.REJECTED
    INFORMED = TransStatus.INFORMED
    NO_ANSWER = "no_answer"  # the directory server was silent, or broke the protocol
    NOT_ENROLLED = "not_enrolled"  # the card takes no part: nobody could be asked


P, V, E = Policy, Verdict, Ending

# `MANDATED` is the row of a step-up: the issuer itself asked for authentication, so nothing less will do.
MANDATED = "mandated"
VERDICTS: dict[tuple[str, Ending], Verdict] = {
    (P.ALWAYS, E.AUTHENTICATED): V.PROCEED,
    (P.ALWAYS, E.ATTEMPTED): V.PROCEED,
    (P.ALWAYS, E.NOT_AUTHENTICATED): V.FAIL,
    (P.ALWAYS, E.UNAVAILABLE): V.FAIL,
    (P.ALWAYS, E.REJECTED): V.FAIL,
    (P.ALWAYS, E.INFORMED): V.FAIL,
    (P.ALWAYS, E.NO_ANSWER): V.FAIL,
    (P.ALWAYS, E.NOT_ENROLLED): V.UNPROVEN,
    (P.AUTO, E.AUTHENTICATED): V.PROCEED,
    (P.AUTO, E.ATTEMPTED): V.PROCEED,
    (P.AUTO, E.NOT_AUTHENTICATED): V.FAIL,
    (P.AUTO, E.UNAVAILABLE): V.UNPROVEN,
    (P.AUTO, E.REJECTED): V.FAIL,
    (P.AUTO, E.INFORMED): V.UNPROVEN,
    (P.AUTO, E.NO_ANSWER): V.UNPROVEN,
    (P.AUTO, E.NOT_ENROLLED): V.UNPROVEN,
    (MANDATED, E.AUTHENTICATED): V.PROCEED,
    (MANDATED, E.ATTEMPTED): V.PROCEED,
    (MANDATED, E.NOT_AUTHENTICATED): V.FAIL,
    (MANDATED, E.UNAVAILABLE): V.FAIL,
    (MANDATED, E.REJECTED): V.FAIL,
    (MANDATED, E.INFORMED): V.FAIL,
    (MANDATED, E.NO_ANSWER): V.FAIL,
    (MANDATED, E.NOT_ENROLLED): V.FAIL,
}
assert set(VERDICTS) == {(row, ending) for row in (P.ALWAYS, P.AUTO, MANDATED) for ending in Ending}


@dataclass(frozen=True, slots=True)
class Indicators:
    """A scheme's electronic commerce indicators: authenticated, attempted, neither."""

    full: str
    attempt: str
    none: str


_MASTERCARD = Indicators("02", "01", "00")
_OTHERS = Indicators("05", "06", "07")
ECI_BY_BRAND: dict[str, Indicators] = {"mastercard": _MASTERCARD, "maestro": _MASTERCARD}


def indicators_of(brand: str | None) -> Indicators:
    """The ECI values of a scheme: Mastercard has its own, all others have Visa's."""
    return ECI_BY_BRAND.get(brand or "", _OTHERS)


def ending_of(status: TransStatus) -> Ending:
    """The ending for an outcome of the protocol. A challenge or a decoupled authentication is not over yet."""
    assert status not in (TransStatus.CHALLENGE, TransStatus.DECOUPLED), "not over yet"
    return Ending(status.value)


def verdict_of(policy: Policy, ending: Ending, *, is_mandated: bool) -> Verdict:
    """Whether the payment goes on. `never` asks nobody, so only a mandate can bring it here."""
    if not is_mandated and policy is Policy.NEVER:
        return Verdict.UNPROVEN
    return VERDICTS[MANDATED if is_mandated else policy, ending]


def proof_of(authentication: Authentication | None, brand: str | None) -> Proof:
    """What the acquirer is told: the issuer's proof where there is one, else that there is none.

    An outcome that should have an authentication value and has none proves nothing. The issuer's own ECI counts where
    it says something special; one that means another outcome does not, so that no more is claimed than happened.
    """
    indicators = indicators_of(brand)
    result = authentication.result if authentication else None
    expected = {TransStatus.AUTHENTICATED: indicators.full, TransStatus.ATTEMPTED: indicators.attempt}
    eci = expected.get(result.status) if result else None
    if authentication is None or result is None or eci is None or result.value is None:
        return Proof(eci=indicators.none)
    told = result.eci or ""
    usual = (indicators.full, indicators.attempt, indicators.none)
    is_special = told.isascii() and told.isalnum() and told not in usual
    return Proof(
        eci=told if is_special else eci,
        value=result.value,
        ds_transaction_id=authentication.ds_transaction_id,
        version=authentication.version,
    )
