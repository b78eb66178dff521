"""What the payment form says: one JSON file per language with the same keys in each; en.json has the sense of each."""

from __future__ import annotations

from collections.abc import Mapping

from tollhouse.api.texts import direction_of, language_for, load_texts

__all__ = ["direction_of", "language_for", "texts_of"]

_TEXTS = load_texts(__name__)


def texts_of(language: str) -> Mapping[str, str]:
    """The form's texts in one of LANGUAGES."""
    return _TEXTS[language]
