"""Data inside a page, for its script."""

from __future__ import annotations

from typing import Any

import msgspec


def inert_json(data: dict[str, Any]) -> str:
    """JSON inside a script element: nothing in it can end the element or begin another."""
    text = msgspec.json.encode(data).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
