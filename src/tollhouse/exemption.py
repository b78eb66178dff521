"""When a payment may go without authentication under PSD2 (Regulation (EU) 2018/389), as a table of rules.

A project switches exemptions on (`threeds_exemptions`); the issuer has the last word and may decline softly, which
steps the payment up to 3-D Secure. Amounts are in euro, so only payments in euro can be exempt by amount.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Exemption(StrEnum):
    """The exemptions we claim, and the one that needs no claim."""

    MERCHANT_INITIATED = "merchant_initiated"  # out of scope by nature: no payer is present
    LOW_VALUE = "low_value"
    TRA = "tra"
    CORPORATE = "corporate"


LOW_VALUE_MINOR_MAX = 3000  # below 30 euro (article 16): so much and not a cent less is not low
LOW_VALUE_COUNT_MAX = 5  # payments in a row without authentication
LOW_VALUE_SUM_MINOR_MAX = 10_000  # or 100 euro together

# Transaction risk analysis (article 18): up to which amount, by the acquirer's fraud rate in hundredths of a percent.
TRA_TIERS = ((1, 50_000), (6, 25_000), (13, 10_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class LowValueUse:
    """How often a card went without authentication as low value since its payer was last authenticated."""

    count: int = 0
    sum_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules look at."""

    amount_minor: int
    currency: str
    is_merchant_initiated: bool = False
    is_company: bool = False  # the merchant says that the payer is one
    fraud_basis_points: int = 100  # the acquirer's, 1 is 0.01 %
    low_value_use: LowValueUse = LowValueUse()


def _is_low_value(facts: Facts) -> bool:
    use = facts.low_value_use
    return (
        facts.currency == "eur"
        and facts.amount_minor < LOW_VALUE_MINOR_MAX
        and use.count < LOW_VALUE_COUNT_MAX
        and use.sum_minor + facts.amount_minor <= LOW_VALUE_SUM_MINOR_MAX
    )


def _is_low_risk(facts: Facts) -> bool:
    limits = [limit for basis_points, limit in TRA_TIERS if facts.fraud_basis_points <= basis_points]
    return facts.currency == "eur" and facts.amount_minor <= max(limits, default=0)


# In this order the first that is switched on and applies is claimed.
RULES: tuple[tuple[Exemption, Callable[[Facts], bool]], ...] = (
    (Exemption.MERCHANT_INITIATED, lambda facts: facts.is_merchant_initiated),
    (Exemption.LOW_VALUE, _is_low_value),
    (Exemption.TRA, _is_low_risk),
    (Exemption.CORPORATE, lambda facts: facts.is_company),
)
ALWAYS_ON = frozenset({Exemption.MERCHANT_INITIATED})


def find_exemption(facts: Facts, switched_on: frozenset[Exemption]) -> Exemption | None:
    """The exemption to claim; None when the payer has to be authenticated."""
    return next((name for name, applies in RULES if name in switched_on | ALWAYS_ON and applies(facts)), None)
