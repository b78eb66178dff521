"""The page of the docs is what the tables say."""

from __future__ import annotations

from pathlib import Path

from tollhouse.threeds.reference import reference
from tollhouse.threeds.tables import NAMES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "threeds-messages.md"


def test_the_page_is_printed_from_the_tables() -> None:
    """`docs/reference/threeds-messages.md` equals what `python -m tollhouse.threeds.reference` prints."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_field_is_on_the_page() -> None:
    """Each name that a table has, at any depth, is on the page."""
    page = reference()
    assert [name for name in sorted(NAMES) if f"| `{name}` |" not in page] == []
