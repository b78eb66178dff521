"""Core files: none."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """A core file of this process would hold keys, and card data on its way through."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
