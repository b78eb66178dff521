"""The words of the wire API, and nowhere else: JSON in, the house's values, JSON out.

`document` reads JSON strictly, `shapes` says what a request may look like, `requests` makes values of it,
`answers` spells sessions, events and errors.
"""

from __future__ import annotations

from tollhouse.api.wire.answers import JsonWire

__all__ = ["JsonWire"]
