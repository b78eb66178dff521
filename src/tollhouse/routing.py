"""Which acquirer takes a payment."""

from __future__ import annotations

from tollhouse.merchant import Project

SANDBOX = "sandbox"


def route(project: Project) -> str | None:
    """The acquirer's name; None when no acquirer may take it. Test projects go to the sandbox, live ones never do."""
    return None if project.is_live else SANDBOX
