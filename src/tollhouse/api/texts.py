"""What payers read: a folder with one JSON file per language, and the choice of a language among ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

import msgspec

from tollhouse.public_token import LANGUAGES

ENGLISH_TAG = "en"
RIGHT_TO_LEFT = frozenset({"ar", "he"})
FORMER_TAGS = {"iw": "he"}  # some systems still say so

_FILE = msgspec.json.Decoder(dict[str, str])


def load_texts(package: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of every language, from the `<language>.json` beside a package's code."""
    folder = files(package)
    return {
        language: MappingProxyType(_FILE.decode(folder.joinpath(f"{language}.json").read_bytes()))
        for language in LANGUAGES
    }


def direction_of(language: str) -> Literal["ltr", "rtl"]:
    """How lines of this language run."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def known_language(asked: str) -> str | None:
    """Our language for a BCP 47 tag in any case, such as pt for pt-BR. None when we do not speak it."""
    tag = asked.strip().lower().replace("_", "-").partition("-")[0]
    language = FORMER_TAGS.get(tag, tag)
    return language if language in LANGUAGES else None


def language_for(asked: str) -> str:
    """The same, and English for those we do not speak."""
    return known_language(asked) or ENGLISH_TAG
