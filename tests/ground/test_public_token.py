"""Public tokens and the tokens of cards: what they look like, and how long they are good for."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ground.story import CARD, NOON
from tollhouse.public_token import (
    LANGUAGES,
    PUBLIC_TOKEN_BYTES,
    CardToken,
    FormOptions,
    PublicToken,
    RedirectTarget,
    is_token,
    token_id,
)

DAY = timedelta(hours=24)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0123456789abcdef" * 4, True),
        ("0123456789ABCDEF" * 4, False),
        ("a" * 63, False),
        ("a" * 65, False),
        ("a" * 64 + "\n", False),
        ("\n" + "a" * 63, False),
        (" " * 64, False),
        ("٣" * 64, False),
        ("", False),
    ],
)
def test_form_of_a_token(text: str, is_one: bool) -> None:
    """64 lower-case hexadecimal digits, and nothing before or after them."""
    assert is_token(text) is is_one


@given(st.binary(min_size=PUBLIC_TOKEN_BYTES, max_size=PUBLIC_TOKEN_BYTES))
def test_a_token_is_kept_by_its_hash(drawn: bytes) -> None:
    """The id is the SHA-256 of the token's text; it has the same form and says nothing of the token."""
    token = drawn.hex()
    id = token_id(token)
    assert id == hashlib.sha256(token.encode()).hexdigest()
    assert is_token(token)
    assert is_token(id)
    assert id != token
    assert token_id(id) != id


@pytest.mark.parametrize("text", ["", "no token", "ключ", "a" * 10_000, "\udcff"])
def test_a_strange_text_has_an_id_too(text: str) -> None:
    """Whatever a browser sends is looked up like a token, so that nothing is told by the time it takes."""
    if text == "\udcff":
        with pytest.raises(UnicodeEncodeError):  # no header can hold it
            token_id(text)
    else:
        assert is_token(token_id(text))


def test_a_token_lives_for_a_day() -> None:
    """Until the last instant before 24 hours are over; being used changes nothing of that."""
    token = PublicToken(id="0" * 64, project="shop", created_at=NOON, session_id="ps_1")
    assert token.ends_at == NOON + DAY
    assert not token.is_over(NOON)
    assert not token.is_over(NOON + DAY - INSTANT)
    assert token.is_over(NOON + DAY)


def card_token(**given: object) -> CardToken:
    """A token of a card with a security code."""
    parts = {"sealed_cvv": "sealed", **given}
    return CardToken(token="tc_1", project="shop", card=CARD, created_at=NOON, **parts)  # type: ignore[arg-type]


def test_a_card_token_waits_a_day_for_its_first_use() -> None:
    """Used in time it can be used for ever."""
    assert card_token().is_usable(NOON + DAY - INSTANT)
    assert not card_token().is_usable(NOON + DAY)
    assert card_token(used_at=NOON).is_usable(NOON + 365 * DAY)


def test_a_security_code_waits_less_than_an_hour() -> None:
    """50 minutes, so that the sweep that comes by every ten has erased it within the hour."""
    assert card_token().has_cvv(NOON + timedelta(minutes=50) - INSTANT)
    assert not card_token().has_cvv(NOON + timedelta(minutes=50))
    assert not card_token(sealed_cvv=None).has_cvv(NOON)


def test_no_token_shows_its_security_code() -> None:
    """Also not by its name: a sealed code is not for logs."""
    assert "sealed" not in repr(card_token())


def test_languages_are_sixteen() -> None:
    """English first: it is what everybody else gets."""
    assert len(set(LANGUAGES)) == len(LANGUAGES) == 16
    assert LANGUAGES[0] == FormOptions().language == "en"


def test_defaults_of_a_form() -> None:
    """No checkbox, no addresses, success at the end only, and the payer's authentication in the whole window."""
    options = FormOptions()
    assert (options.shows_recurrent, options.succeeds_on_hold) == (False, False)
    assert (options.success_return_url, options.failure_return_url) == (None, None)
    assert options.redirect_target is RedirectTarget.TOP
    assert [target.value for target in RedirectTarget] == ["_top", "_self", "_parent", "_blank", "modal"]
