"""What the payer's page says: in every language, and in the one that the browser asks for."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from tests.api.test_widget_texts import PLACEHOLDER, is_in_script, letters_of
from tollhouse.api.payer.page import end_page, notice_page, signal_page
from tollhouse.api.payer.policy import SCRIPT
from tollhouse.api.payer.texts import BY_LANGUAGE, ENGLISH, RUSSIAN, SCRIPT_TEXTS, Texts, texts_for
from tollhouse.api.widget.texts import texts_of
from tollhouse.money import Money
from tollhouse.public_token import LANGUAGES

NUMBERS = frozenset({"decimal_point", "thousands_mark"})
NAMES = sorted({field.name for field in fields(Texts)} - NUMBERS - {"language"})
OTHERS = [language for language in LANGUAGES if language != "en"]
# Words that mean "the payment went well". The page's end does not know that.
SUCCESS = {
    "en": r"\bdone\b|success|thank|\bpaid\b",
    "ru": r"готов|успешн|спасибо|оплачен",
    "de": r"erledigt|erfolg|danke|\bbezahlt\b|fertig",
    "fr": r"réussi|succès|merci|\bpayé",
    "es": r"\blisto|éxito|gracias|pagado|correctamente",
    "it": r"\bfatto\b|buon fine|grazie|\bpagato\b|riuscit",
    "pt": r"\bpronto\b|sucesso|obrigad|\bpago\b",
    "nl": r"\bklaar\b|gelukt|geslaagd|bedankt|\bbetaald\b",
    "pl": r"\bgotowe|powiodł|sukces|dzięku|zapłacono",
    "uk": r"готов|успішн|дяку|сплачено",
    "tr": r"\btamam\b|başarı|teşekkür|\bödendi",
    "kk": r"дайын|сәтті|рақмет|рахмет|төленді",
    "ar": r"نجاح|نجح|شكر|تم الدفع",
    "he": r"הצלח|בוצע|תודה|שולם",
    "zh": r"成功|谢谢|感谢|已付款|已支付|完成",
    "ja": r"成功|完了|ありがとう|支払い済み",
}


def test_there_is_every_language() -> None:
    """The page speaks each language of the payment form, in the same order."""
    assert tuple(BY_LANGUAGE) == LANGUAGES
    assert [texts.language for texts in BY_LANGUAGE.values()] == list(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_text_says_something(language: str) -> None:
    """It is there, without blanks around, without HTML, and with the same places to fill in as in English."""
    for name in NAMES:
        text, english = getattr(BY_LANGUAGE[language], name), getattr(ENGLISH, name)
        assert text.strip() == text != "", name
        assert not re.search(r"[<>&]", text), name
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(english)), name
        assert re.findall(r"\d+", text) == re.findall(r"\d+", english), name


@pytest.mark.parametrize("language", OTHERS)
def test_each_text_is_translated(language: str) -> None:
    """No text is left in English, and each is in the letters of its language."""
    for name in NAMES:
        text = getattr(BY_LANGUAGE[language], name)
        assert text != getattr(ENGLISH, name), name
        assert is_in_script(text, language), (name, letters_of(text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_end_does_not_sound_like_success(language: str) -> None:
    """A payer whose payment failed ends on the same words: none of them may say that it went well."""
    texts = BY_LANGUAGE[language]
    assert re.search(
        SUCCESS[language], f"{texts_of(language)['succeeded']} {texts_of(language)['succeededText']}", re.IGNORECASE
    )
    for name in ("returned", "over", "late", "signal", "end_title", "end"):
        assert not re.search(SUCCESS[language], getattr(texts, name), re.IGNORECASE), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_button_is_called_by_its_name(language: str) -> None:
    """A text that asks to press Continue says what stands on that button."""
    texts = BY_LANGUAGE[language]
    assert texts.go_on in texts.begin_plain
    assert texts.go_on in texts.challenge_plain


def test_the_script_has_its_texts() -> None:
    """Each text that the script names is given to it, and it is given no other."""
    named = set(re.findall(r"\btexts\.(\w+)", SCRIPT)) | {"begin", "wait", "decoupled"}  # these by the state's name
    assert named == SCRIPT_TEXTS == set(ENGLISH.for_script())


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en-GB,en;q=0.9,ru;q=0.8", "en"),
        ("de,fr;q=0.9", "de"),
        ("fr;q=0.9,de", "de"),
        ("sv, ru;q=0.1", "ru"),
        ("sv,fi;q=0.9", "en"),
        ("en;q=0.2,RU;q=0.7", "ru"),
        ("ru;q=0,sv", "en"),
        ("ru;q=x", "en"),
        ("pt-BR,pt;q=0.9", "pt"),
        ("zh-Hant-TW", "zh"),
        ("iw-IL", "he"),
        (";;,,q=1", "en"),
        ("*", "en"),
        *((language, language) for language in LANGUAGES),
    ],
)
def test_the_language_asked_for(asked: str, language: str) -> None:
    """The best that we have; English when we have none of them."""
    assert texts_for(asked).language == language


@pytest.mark.parametrize(
    ("money", "english", "russian"),
    [
        (Money(4990, "eur"), "49.90 EUR", "49,90 EUR"),
        (Money(5, "eur"), "0.05 EUR", "0,05 EUR"),
        (Money(123_456_789, "usd"), "1,234,567.89 USD", "1\u00a0234\u00a0567,89 USD"),
        (Money(1500, "jpy"), "1,500 JPY", "1\u00a0500 JPY"),
        (Money(1500, "kwd"), "1.500 KWD", "1,500 KWD"),
    ],
)
def test_amounts(money: Money, english: str, russian: str) -> None:
    """With as many decimals as the currency has, written as the language writes numbers."""
    assert ENGLISH.money(money) == english
    assert RUSSIAN.money(money) == russian


@pytest.mark.parametrize(
    ("languages", "written"),
    [
        (("en", "zh", "ja"), "1,234,567.89 EUR"),
        (("de", "es", "it", "pt", "nl", "tr"), "1.234.567,89 EUR"),
        (("ru", "pl", "uk", "kk"), "1\u00a0234\u00a0567,89 EUR"),
        (("fr",), "1\u202f234\u202f567,89 EUR"),
        (("ar", "he"), "\u20661,234,567.89 EUR\u2069"),
    ],
)
def test_amounts_in_every_language(languages: tuple[str, ...], written: str) -> None:
    """Western digits everywhere; in a line that runs to the left the amount is one piece that runs to the right."""
    for language in languages:
        assert BY_LANGUAGE[language].money(Money(123_456_789, "eur")) == written


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_say_how_their_lines_run(language: str) -> None:
    """Each page names its language; Arabic and Hebrew pages run to the left, the others as pages do by default."""
    texts = BY_LANGUAGE[language]
    direction = ' dir="rtl"' if language in ("ar", "he") else ""
    for page in (end_page(texts), notice_page(texts, texts.busy_title, texts.busy), signal_page(texts, "l", "method")):
        assert page.startswith(f'<!doctype html>\n<html lang="{language}"{direction}><head>')
