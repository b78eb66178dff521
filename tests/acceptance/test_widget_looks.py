"""The form for everybody: every state in every theme and language, small screens, both directions, with axe."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files

import pytest

from tests.acceptance.browsers import Windows, barriers_in, is_overflowing
from tests.acceptance.form_states import DECLINES, STATES, hold
from tests.acceptance.forms import Form, Opened, forgive
from tollhouse.public_token import LANGUAGES

THEMES = ("light", "dark", "plain")
SOON = (("de", "dark"), ("ar", "light"))
LOOKS = [
    pytest.param(language, theme, marks=[] if (language, theme) in SOON else pytest.mark.full)
    for language, theme in itertools.product(LANGUAGES, THEMES)
]
SMALL = {"width": 320, "height": 640}
MADE_UP = ("Failed to load resource", "net::ERR_INTERNET_DISCONNECTED")
SPOKEN = """() => [document.body.innerText, document.title,
  ...[...document.querySelectorAll("[aria-label],[placeholder]")].flatMap((one) =>
    [one.getAttribute("aria-label") ?? "", one.getAttribute("placeholder") ?? ""])].join("\\n")"""
# Fields whose digits would run backwards, and texts that are cut off.
CUT_OFF = """() => [...document.querySelectorAll("button, label, p, h2, li, span")].filter((one) =>
  !one.classList.contains("unseen") && one.clientWidth && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.outerHTML)"""


def texts_of(language: str) -> dict[str, str]:
    """The words of a language, as they are shown."""
    found: dict[str, str] = json.loads(files("tollhouse.api.widget").joinpath(f"texts/{language}.json").read_text())
    return found


def foreign_words(language: str, said: str) -> list[str]:
    """English that is left in a text of another language."""
    own, english = texts_of(language), texts_of("en")
    known = "\n".join(own.values())
    return [text for key, text in english.items() if own[key] != text and text not in known and text in said]


def expect_no_barriers(form: Form, state: str) -> None:
    """axe finds nothing, nothing sticks out, nothing is cut off."""
    frame = form.inside
    assert barriers_in(frame, is_part=True) == [], state
    assert not is_overflowing(frame), state
    assert frame.evaluate(CUT_OFF) == [], state


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_every_state(language: str, theme: str, opened: Opened, windows: Windows) -> None:
    """At 320 pixels each state is without barriers and speaks the payer's language only."""
    scheme = "dark" if theme == "dark" else "light"
    window = {"viewport": SMALL, "color_scheme": scheme}
    _, form = opened(widget={"locale": language}, window=window, appearance={"theme": theme})
    root = form.inside.locator("html")
    assert root.get_attribute("lang") == language
    assert root.get_attribute("dir") == ("rtl" if language in ("ar", "he") else "ltr")
    for state in STATES:
        hold(form, state)
        expect_no_barriers(form, state)
        said = form.inside.evaluate(SPOKEN)
        assert language == "en" or foreign_words(language, said) == [], state
        assert "{" not in said, state
    for code in DECLINES[1:]:
        hold(form, "declined", code=code)
        said = form.inside.evaluate(SPOKEN)
        assert language == "en" or foreign_words(language, said) == [], code
    forgive(windows, *MADE_UP)
