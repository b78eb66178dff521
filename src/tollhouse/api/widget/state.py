"""How a payment stands, as the form is told."""

from __future__ import annotations

from typing import Any

from tollhouse.progress import FINAL, Progress, Stage


def state_of(progress: Progress, public_url: str) -> dict[str, Any]:
    """The state on the wire; what is not known is left out."""
    state: dict[str, Any] = {"stage": progress.stage.value}
    if progress.stage is Stage.ACTION:
        assert progress.action_link is not None, "an action has its page"
        action: dict[str, Any] = {"url": f"{public_url}/3ds/{progress.action_link}"}
        if progress.seconds_left is not None:
            action["seconds_left"] = progress.seconds_left
        state["action"] = action
    if progress.stage is Stage.FAILED:
        assert progress.code, "a failure has its reason"
        state["error"] = {"code": str(progress.code), "description": progress.description or str(progress.code)}
    if progress.return_url is not None:
        state["return_url"] = progress.return_url
    return state


def without_clock(state: dict[str, Any]) -> dict[str, Any]:
    """The state without the time left, which alone is no change."""
    action = state.get("action")
    return state if action is None else {**state, "action": action["url"]}


def is_final(progress: Progress) -> bool:
    """Whether nothing will change any more."""
    return progress.stage in FINAL
