"""A part of the bill and what hangs on it; and the words for its licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cyclonedx.model.component import Component
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from license_expression import get_spdx_licensing

License = LicenseExpression | DisjunctiveLicense

# How packages say it that do not say it in SPDX's words.
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "MIT License": "MIT",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_KNOWN = get_spdx_licensing()


@dataclass(frozen=True, slots=True)
class Part:
    """A component and the references of those it needs."""

    component: Component
    needs: frozenset[str] = field(default=frozenset())

    @property
    def reference(self) -> str:
        """The name by which others need it."""
        return str(self.component.bom_ref.value)


def license_of(words: str) -> License:
    """A licence as SPDX writes it where it can be, else by the words its package has."""
    expression = SPDX.get(words, words)
    if _KNOWN.validate(expression).errors:
        return DisjunctiveLicense(name=words)
    return LicenseExpression(expression)


def python_license(metadata: Mapping[str, Any]) -> License | None:
    """What a Python package says of its licence: in the field of today, the field of before, or a classifier."""
    said = metadata.get("license_expression") or metadata.get("license")
    if said and "\n" not in said:
        return license_of(said)
    named = [one for one in metadata.get("classifier", []) if one.startswith("License ::")]
    return license_of(named[0]) if named else None
