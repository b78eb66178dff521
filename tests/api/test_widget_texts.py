"""What the payment form says: the same in every language, each in its own letters."""

from __future__ import annotations

import json
import re
import unicodedata
from importlib.resources import files

import pytest

from tollhouse.api.texts import known_language
from tollhouse.api.widget.texts import direction_of, language_for, texts_of
from tollhouse.public_token import LANGUAGES

PLACEHOLDER = re.compile(r"\{\w+\}")
# Of each language that is not written in Latin letters, the start of its letters' names in Unicode.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "kk": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "he": ("HEBREW",),
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC"),
}

ENGLISH = texts_of("en")
OTHERS = [language for language in LANGUAGES if language != "en"]
# What is the same word as in English, or the same letters.
SAME_AS_ENGLISH = {("de", "optional")}
# Examples and hints may write numbers as their language does.
HINTS = frozenset({"expiryHint", "codeHint", "codeHintFront"})
# "Nothing was charged", as it is said to those who wonder.
NOTHING_CHARGED = {
    "en": "Nothing was charged",
    "ru": "Деньги не списаны",
    "de": "Es wurde nichts abgebucht",
    "fr": "Aucun montant n’a été débité",
    "es": "No se ha realizado ningún cargo",
    "it": "Non è stato addebitato nulla",
    "pt": "Nada foi cobrado",
    "nl": "Er is niets afgeschreven",
    "pl": "Nic nie zostało pobrane",
    "uk": "Кошти не списано",
    "tr": "Hiçbir tutar çekilmedi",
    "kk": "Ақша алынған жоқ",
    "ar": "لم يُخصم أي مبلغ",
    "he": "לא בוצע חיוב",
    "zh": "未扣款",
    "ja": "請求は行われていません",
}


def letters_of(text: str) -> str:
    """Its letters, without those of the places to fill in."""
    return "".join(letter for letter in PLACEHOLDER.sub("", text) if letter.isalpha())


def is_in_script(text: str, language: str) -> bool:
    """Whether it has letters, and none of another script than the language's."""
    # The mark that lengthens a Japanese vowel is named for both of its scripts.
    names = [unicodedata.name(letter).removeprefix("KATAKANA-") for letter in letters_of(text)]
    return bool(names) and all(name.startswith(SCRIPTS.get(language, ("LATIN",))) for name in names)


def test_there_is_every_language() -> None:
    """Each language of public tokens has a file, and no file is left over."""
    found = {entry.name for entry in files("tollhouse.api.widget.texts").iterdir() if entry.name.endswith(".json")}
    assert found == {f"{language}.json" for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_key_once(language: str) -> None:
    """A language has every key of English and no other, in the same order, and none of them twice."""
    file = files("tollhouse.api.widget.texts").joinpath(f"{language}.json")
    pairs = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=list)
    assert [key for key, _ in pairs] == list(ENGLISH)
    assert dict(pairs) == texts_of(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_text_says_something(language: str) -> None:
    """It is not empty, has no blanks around, no HTML, and the same places to fill in as in English."""
    for key, text in texts_of(language).items():
        assert text.strip() == text != "", key
        assert not re.search(r"[<>&]", text), key
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(ENGLISH[key])), key
        assert text.count("{") == text.count("}") == len(PLACEHOLDER.findall(text)), key


@pytest.mark.parametrize("language", OTHERS)
def test_numbers_are_those_of_english(language: str) -> None:
    """A translation says no other number than English does."""
    for key, text in texts_of(language).items():
        if key not in HINTS:
            assert re.findall(r"\d+", text) == re.findall(r"\d+", ENGLISH[key]), key


@pytest.mark.parametrize("language", OTHERS)
def test_each_text_is_translated(language: str) -> None:
    """No text is left in English but the few words that are the same there."""
    same = {(language, key) for key, text in texts_of(language).items() if text == ENGLISH[key]}
    assert same == {pair for pair in SAME_AS_ENGLISH if pair[0] == language}


@pytest.mark.parametrize("language", LANGUAGES)
def test_letters_are_the_languages_own(language: str) -> None:
    """Every letter belongs to the language's script, so that no Latin letter hides in a Cyrillic word."""
    for key, text in texts_of(language).items():
        assert is_in_script(text, language), (key, letters_of(text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_failures_say_that_nothing_was_charged(language: str) -> None:
    """Wherever English promises that nothing was charged, each language promises it, in the same words each time."""
    for key, text in texts_of(language).items():
        assert (NOTHING_CHARGED[language] in text) == ("Nothing was charged" in ENGLISH[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_failure_is_not_taken_for_success(language: str) -> None:
    """Not paid does not read as paid, and no failure has the words of success."""
    texts = texts_of(language)
    failures = [text for key, text in texts.items() if key.startswith("failed")]
    assert texts["failed"] != texts["succeeded"]
    assert not any(text.startswith(texts["succeeded"]) or texts["succeededText"] in text for text in failures)


@pytest.mark.parametrize("language", LANGUAGES)
def test_direction(language: str) -> None:
    """Arabic and Hebrew run from right to left, all others from left to right."""
    assert direction_of(language) == ("rtl" if language in ("ar", "he") else "ltr")


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        *((language, language) for language in LANGUAGES),
        ("pt-BR", "pt"),
        ("PT-br", "pt"),
        ("pt_BR", "pt"),
        ("zh-Hans-CN", "zh"),
        ("kk-Cyrl", "kk"),
        ("EN-gb", "en"),
        ("iw", "he"),
        ("IW-IL", "he"),
        (" de ", "de"),
    ],
)
def test_the_language_asked_for(asked: str, language: str) -> None:
    """A tag of BCP 47 leads to its language, whatever its case, region and script; iw is Hebrew's former name."""
    assert known_language(asked) == language_for(asked) == language


@pytest.mark.parametrize("asked", ["", "sv", "x-klingon", "-", "*", "ger", "english", "../ru", "ru.json", "д"])
def test_languages_we_do_not_speak(asked: str) -> None:
    """What is not ours, or no tag at all, leads to English."""
    assert known_language(asked) is None
    assert language_for(asked) == "en"


def test_texts_cannot_be_changed() -> None:
    """What was read at the start stays: the mapping takes no new text."""
    with pytest.raises(TypeError):
        texts_of("en")["title"] = "?"  # type: ignore[index]
