"""What the payer's page says: in both languages, and in the one that the browser asks for."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from tollhouse.api.payer.policy import SCRIPT
from tollhouse.api.payer.texts import ENGLISH, RUSSIAN, SCRIPT_TEXTS, Texts, texts_for
from tollhouse.money import Money

NAMES = [field.name for field in fields(Texts)]
SAME_ANYWHERE = frozenset({"language", "decimal_point", "thousands_mark"})


@pytest.mark.parametrize("name", sorted(set(NAMES) - SAME_ANYWHERE))
def test_each_text_exists_in_both(name: str) -> None:
    """It is there, it is another one, in its own letters, and with the same places to fill in."""
    english, russian = getattr(ENGLISH, name), getattr(RUSSIAN, name)
    assert english.strip() == english != ""
    assert russian.strip() == russian != ""
    assert not re.search("[а-яё]", english, re.IGNORECASE)
    assert not re.search("[a-z]", re.sub(r"\{\w+\}", "", russian), re.IGNORECASE)
    assert re.findall(r"\{\w+\}", english) == re.findall(r"\{\w+\}", russian)


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
        ("de,fr;q=0.9", "en"),
        ("de, ru;q=0.1", "ru"),
        ("en;q=0.2,RU;q=0.7", "ru"),
        ("ru;q=0,de", "en"),
        ("ru;q=x", "en"),
        (";;,,q=1", "en"),
        ("*", "en"),
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
