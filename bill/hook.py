"""Puts the bill into a wheel, under `.dist-info/sboms/`, where tools look for it; `make dist` names it by SBOM_FILE."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BillHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by the build of each wheel. Without SBOM_FILE the wheel has no bill."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file that was just written."""
        file = os.environ.get("SBOM_FILE")
        if version == "standard" and file:
            build_data["sbom_files"].append(file)
