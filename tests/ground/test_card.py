"""Cards: numbers, brands, expiry, and secrets that refuse to be printed."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import digit_runs, pans
from tollhouse.card import (
    CVV,
    PAN,
    CardDetails,
    Expiry,
    PANInvalid,
    Secret,
    brand_of,
    is_luhn,
    luhn_digit,
    mask,
    parse_pan,
)


@given(digit_runs)
def test_check_digit(digits: str) -> None:
    """Exactly one last digit makes a run of digits pass the Luhn check."""
    passing = [check for check in "0123456789" if is_luhn(digits + check)]
    assert passing == [luhn_digit(digits)]


@given(pans, st.integers(0, 18), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(pan: PAN, place: int, shift: int) -> None:
    """Any single wrong digit fails the check."""
    digits = pan.reveal()
    place %= len(digits)
    wrong = digits[:place] + str((int(digits[place]) + shift) % 10) + digits[place + 1 :]
    assert not is_luhn(wrong)


@given(pans, st.integers(0, 17))
def test_swapped_neighbours_are_noticed(pan: PAN, place: int) -> None:
    """Two different neighbours swapped fail the check, except 09 and 90."""
    digits = pan.reveal()
    place %= len(digits) - 1
    pair = digits[place : place + 2]
    swapped = digits[:place] + pair[::-1] + digits[place + 2 :]
    assert is_luhn(swapped) == (pair[0] == pair[1] or set(pair) == {"0", "9"})


@given(pans)
def test_pan_read(pan: PAN) -> None:
    """Twelve to nineteen digits that pass are a PAN, equal to itself, with BIN and last four."""
    digits = pan.reveal()
    read = parse_pan(digits)
    assert read == pan
    assert hash(read) == hash(pan)
    assert (read.bin, read.last4) == (digits[:6], digits[-4:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "4242 4242 4242 4242",
        "42424242424",
        "0" * 20,
        "٤" * 16,
        "4242424242424242\n",
        "+4242424242424242",
        "9" * 10_000,
    ],
)
def test_pan_refused(text: str) -> None:
    """Anything else is refused by an exception that does not hold the number."""
    with pytest.raises(PANInvalid) as refused:
        parse_pan(text)
    assert refused.value.args == ()


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242424242424242", "visa"),
        ("4111111111111111", "visa"),
        ("5555555555554444", "mastercard"),
        ("2223003122003222", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("378282246310005", "american_express"),
        ("341111111111111", "american_express"),
        ("3566002020360505", "jcb"),
        ("6011111111111117", "discover"),
        ("6441111111111117", "discover"),
        ("6500000000000002", "discover"),
        ("30569309025904", "diners_club"),
        ("36227206271667", "diners_club"),
        ("38520000023237", "diners_club"),
        ("2200000000000004", "mir"),
        ("2204999999999996", "mir"),
        ("6200000000000005", "unionpay"),
        ("8171999927660000", "unionpay"),
        ("5018000000000009", "maestro"),
        ("6759649826438453", "maestro"),
        ("6390000000000000", "maestro"),
        ("2205000000000009", None),
        ("2220990000000000", None),
        ("1000000000000008", None),
        ("9999999999999995", None),
    ],
)
def test_brand(number: str, brand: str | None) -> None:
    """The brand follows from the leading digits, the longest range winning."""
    assert brand_of(PAN(number)) == brand


@pytest.mark.parametrize(
    ("now", "is_past"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), False),
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), False),
        (datetime(2026, 4, 1, 11, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 4, 1, 12, tzinfo=UTC), True),
        (datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=-11))), True),
        (datetime(2027, 1, 1, tzinfo=UTC), True),
        (datetime(2025, 12, 31, tzinfo=UTC), False),
    ],
)
def test_expiry(now: datetime, is_past: bool) -> None:
    """A card expires when its month is over twelve hours west of Greenwich."""
    assert Expiry(2026, 3).is_past(now) is is_past


def test_expiry_on_the_wire() -> None:
    """Field 14 has two digits of the year before the month."""
    assert Expiry(2031, 8).yymm == "3108"


@pytest.mark.parametrize(("year", "month"), [(2026, 0), (2026, 13), (26, 1), (2100, 1)])
def test_expiry_out_of_range_is_a_bug(year: int, month: int) -> None:
    """A month outside of 1 to 12 or a year outside of this century cannot be made."""
    with pytest.raises(AssertionError):
        Expiry(year, month)


@given(pans)
def test_mask(pan: PAN) -> None:
    """At most six leading and four trailing digits are shown."""
    digits = pan.reveal()
    shown = mask(digits)
    assert len(shown) == len(digits)
    assert shown[6:-4] == "*" * (len(digits) - 10)
    assert (shown[:6], shown[-4:]) == (digits[:6], digits[-4:])


def test_mask_of_something_short() -> None:
    """What is too short to be a PAN is masked whole."""
    assert mask("12345678901") == "*" * 11


SECRETS = [PAN("4242424242424242"), CVV("417"), Secret("whsec_0123")]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
def test_secrets_do_not_become_text(secret: Secret) -> None:
    """Text, formatting, pickling and copying of a secret raise; what they raise holds no secret."""
    for attempt in (str, format, "{}".format, pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as refused:
            attempt(secret)
        assert secret.reveal() not in str(refused.value)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
def test_secrets_are_masked_in_dumps(secret: Secret) -> None:
    """`repr`, which tracebacks and dataclasses use, shows no secret."""
    assert secret.reveal() not in f"{secret!r} {[secret]}"


def test_card_details_are_masked() -> None:
    """A dump of what the payer typed shows neither PAN nor CVV."""
    shown = repr(CardDetails(pan=PAN("4242424242424242"), expiry=Expiry(2031, 8), cvv=CVV("417")))
    assert "424242******4242" in shown
    assert "4242424242424242" not in shown
    assert "417" not in shown


def test_secrets_of_different_sorts_differ() -> None:
    """A CVV never equals another sort of secret with the same digits."""
    assert CVV("1234") != Secret("1234")
    assert CVV("1234") == CVV("1234")
    assert CVV("1234") != "1234"


@given(pans, st.lists(pans, max_size=20))
def test_place_among_bounds(pan: PAN, others: list[PAN]) -> None:
    """A number has as many bounds at or before it as there are shorter numbers and smaller ones of its length."""
    bounds = sorted(f"{len(other.reveal()):02d}{other.reveal()}" for other in others)
    place = (len(pan.reveal()), pan.reveal())
    assert pan.place_in(bounds) == sum((len(other.reveal()), other.reveal()) <= place for other in others)
    assert pan.place_in([f"{len(pan.reveal()):02d}{pan.reveal()}"]) == 1
