"""What a charge proves about its payer: tags 42 to 46 of field 48, checked as an issuer checks them.

| tag | holds                                                         |
|-----|---------------------------------------------------------------|
| 42  | ECI                                                           |
| 43  | authentication value, 28 characters of base64                 |
| 44  | DS transaction id                                             |
| 45  | protocol version                                              |
| 46  | exemption claimed: 05 low risk, 10 low value, 11 corporate    |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tollhouse.sandbox.threeds.values import Indicators, Strength, Values, indicators_of

TAG_ECI, TAG_VALUE, TAG_AUTHENTICATION, TAG_VERSION, TAG_EXEMPTION = "42", "43", "44", "45", "46"
NEEDED_WITH_ECI = {TAG_VALUE: "authentication value", TAG_AUTHENTICATION: "DS transaction id", TAG_VERSION: "version"}
VERSIONS = ("2.2.0", "2.3.1")
EXEMPTIONS: Mapping[str, str] = {"05": "low risk", "10": "low value", "11": "corporate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is proved, or why it is not: `problem` is the reason to decline, for the books."""

    strength: Strength | None = None
    authentication_id: str | None = None  # the DS transaction id, where the value is verified
    exemption: str | None = None
    problem: str | None = None


UNPROVED = Proof()


def judge(values: Values, pan: str, tags: Mapping[str, str]) -> Proof:
    """What the tags of a charge with this card prove. Texts name tags and never hold the PAN."""
    exemption = tags.get(TAG_EXEMPTION)
    if exemption is not None and exemption not in EXEMPTIONS:
        return Proof(problem=f"tag 46: {' or '.join(EXEMPTIONS)} expected")
    indicators = indicators_of(pan)
    problem = _problem(indicators, tags)
    if problem is not None:
        return Proof(exemption=exemption, problem=problem)
    claimed = indicators.strength(tags.get(TAG_ECI, ""))
    if claimed is None:
        return Proof(exemption=exemption)
    authentication_id = tags[TAG_AUTHENTICATION].lower()
    found = values.strength_of(tags[TAG_VALUE], pan=pan, authentication_id=authentication_id)
    if found is None:
        problem = "tag 43: not the authentication value of this card and DS transaction id"
    elif found is not claimed:
        problem = f"tag 42: the authentication value is one for ECI {indicators.of(found)}"
    if problem is not None:
        return Proof(exemption=exemption, problem=problem)
    return Proof(strength=found, authentication_id=authentication_id, exemption=exemption)


def _problem(indicators: Indicators, tags: Mapping[str, str]) -> str | None:
    """What is wrong before the value itself is looked at."""
    eci = tags.get(TAG_ECI)
    if eci is None:
        return "tag 42: ECI missing where there is an authentication value" if TAG_VALUE in tags else None
    if not indicators.knows(eci):
        return "tag 42: not an ECI of this card's scheme"
    if indicators.strength(eci) is None:
        return "tag 42: this ECI goes without authentication value" if TAG_VALUE in tags else None
    for tag, name in NEEDED_WITH_ECI.items():
        if not tags.get(tag):
            return f"tag {tag}: {name} missing where the ECI says authenticated or attempted"
    if tags[TAG_VERSION] not in VERSIONS:
        return f"tag 45: {' or '.join(VERSIONS)} expected"
    return None
