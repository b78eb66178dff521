"""Names: one word for one thing, from docs/glossary.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.sources import RATCHET, SRC, TESTS, expect_none, given_names, ground_floor, python_files, shown

FILE_NAMES = frozenset(
    ("utils", "util", "helpers", "helper", "common", "misc", "base", "service", "manager", "handler", "processor")
) | {"core", "types", "constants"}

WIRE = ("src/tollhouse/api/wire",)
DATABASE = ("src/tollhouse/store", "src/tollhouse/vault", "tests/vault", "tests/contracts", *WIRE)
# Never said (one word, or several in a row), what is said instead, and the places where it means something else.
BANNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "auth": ("authorization, authentication, or access", WIRE),
    "authz": ("access or permission", ()),
    "authn": ("authentication or access", ()),
    "transaction": ("operation; `tx` for the database's", DATABASE),
    "transactions": ("operations; `tx` for the database's", DATABASE),
    "provider": ("acquirer", ("src/tollhouse/vault", *WIRE)),
    "psp": ("acquirer", ()),
    "connector": ("acquirer", ()),
    "cents": ("minor units: `amount_minor`", ()),
    "cvc": ("CVV", ()),
    "cvv2": ("CVV", ()),
    "iin": ("BIN", ()),
    "card number": ("PAN", WIRE),
    "expiration": ("expiry", WIRE),
    "auth code": ("approval code", WIRE),
    "cavv": ("authentication value", WIRE),
    "aav": ("authentication value", WIRE),
    "purchase": ("sale", ()),
    "withdrawal": ("payout", ()),
    "tries": ("attempts", ()),
    "notification": ("event, or delivery for one sending of it", ()),
    "posting": ("transfer", ()),
    "postings": ("transfers", ()),
    "secs": ("a duration in `_seconds`", ()),
}
# EMVCo's names of an authentication's ids at the directory server and at the issuer (house rules, "we say").
TRADE = (" ds transaction id ", " acs transaction id ")
# Files of the ground floor that hold values, or no rule of their own.
RULELESS = frozenset({"change", "draft", "event", "life", "ports", "routing"})
# Members that programs outside read by these names.
SPOKEN_OUTSIDE = frozenset({"provider_public_key"})
# Words of the wire API that live in api/wire and nowhere else in the gateway.
WIRE_WORDS = ("payment list", "payout list", "acquiring payments", "transaction info", "customer interaction")
WIRE_PLACES = ("src/tollhouse/api/wire", "src/tollhouse/cli", "tests/")


def _words(identifier: str) -> str:
    """`PaymentSession`, `payment_session` and `PAYMENT_SESSION` as `payment session`, with blanks around."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    words = f" {' '.join(part for part in apart.lower().split('_') if part)} "
    for said in TRADE:
        words = words.replace(said, " ")
    return words


def test_file_names_say_something() -> None:
    """No file or folder has a name under which anything could be put."""
    found = [
        f"{shown(path)}: name it after the noun it holds"
        for path in (*python_files(SRC), *python_files(TESTS))
        if {path.stem, path.stem.removeprefix("test_"), *path.relative_to(SRC.parents[1]).parts} & FILE_NAMES
    ]
    expect_none(found)


@pytest.mark.parametrize("word", BANNED)
def test_banned_words(word: str) -> None:
    """No name says what the glossary does not say; the message has the word to say instead."""
    instead, places = BANNED[word]
    found: dict[str, int] = {}
    for path in (*python_files(SRC), *python_files(TESTS)):
        if shown(path).startswith(places) or path == Path(__file__):
            continue
        for line, name in given_names(path):
            if f" {word} " in _words(name) and name not in SPOKEN_OUTSIDE:
                found[f"{shown(path)}::{name}"] = line
    excused = {name for name in RATCHET["names"] if f" {word} " in _words(name.rpartition("::")[2])}
    expect_none([f"{name} (line {line}): say {instead}" for name, line in found.items() if name not in excused])
    expect_none([f"ratchet.json: {name} is gone: remove it" for name in excused if name not in found])


@pytest.mark.parametrize("word", WIRE_WORDS)
def test_wire_words_stay_on_the_wire(word: str) -> None:
    """What only the wire API says is said in api/wire, and by those who play merchants."""
    found = [
        f"{shown(path)}:{line}: {name} is the wire's word; it lives in api/wire"
        for path in python_files(SRC)
        if not shown(path).startswith(WIRE_PLACES)
        for line, name in given_names(path)
        if f" {word} " in _words(name)
    ]
    expect_none(found)


def test_one_noun_one_name() -> None:
    """Each file of the ground floor has tests in a file of its name."""
    tested = {path.stem.removeprefix("test_") for path in python_files(TESTS)}
    expect_none(
        [f"{path.name} has no test_{path.name}" for path in ground_floor() if path.stem not in tested | RULELESS]
    )
