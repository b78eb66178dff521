"""Hypothesis strategies: money, cards, messages, and what merchants and acquirers may say in any order."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from tollhouse.acquirers.iso8583.fields import SPEC
from tollhouse.card import PAN, luhn_digit
from tollhouse.money import AMOUNT_MINOR_MAX, CURRENCIES, Money

DIGITS = string.digits
ALPHANUMERICS = string.ascii_uppercase + string.digits


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


currencies = st.sampled_from(sorted(CURRENCIES))
moneys = st.builds(Money, st.integers(1, AMOUNT_MINOR_MAX), currencies)
digit_runs = st.text(DIGITS, min_size=1, max_size=24)
pans = st.text(DIGITS, min_size=11, max_size=18).map(lambda digits: PAN(digits + luhn_digit(digits)))

tags = st.dictionaries(
    st.text(ALPHANUMERICS, min_size=2, max_size=2), st.text(string.printable, max_size=40), max_size=6
)

MTIS = ("0100", "0110", "0200", "0210", "0220", "0221", "0230", "0400", "0410", "0420", "0421", "0430", "0800", "0810")
_FIELDS: dict[str, st.SearchStrategy[str]] = {
    "2": pans.map(lambda pan: pan.reveal()),
    "3": st.sampled_from(("000000", "200000")),
    "4": st.integers(1, AMOUNT_MINOR_MAX).map(lambda minor: f"{minor:012d}"),
    "7": _digits(10),
    "11": _digits(6),
    "12": _digits(6),
    "13": _digits(4),
    "14": _digits(4),
    "22": _digits(3),
    "25": _digits(2),
    "37": st.text(ALPHANUMERICS, min_size=12, max_size=12),
    "38": st.text(ALPHANUMERICS, min_size=6, max_size=6),
    "39": st.text(ALPHANUMERICS, min_size=2, max_size=2),
    "41": st.text(ALPHANUMERICS, min_size=8, max_size=8),
    "42": st.text(ALPHANUMERICS + " ", min_size=15, max_size=15),
    "48": tags.map(lambda found: "".join(f"{tag}{len(value):02d}{value}" for tag, value in found.items())),
    "49": st.sampled_from([currency.number for currency in CURRENCIES.values()]),
    "70": _digits(3),
    "90": _digits(42),
}
assert _FIELDS.keys() <= SPEC.keys()

messages = st.tuples(st.sampled_from(MTIS), st.fixed_dictionaries({}, optional=_FIELDS))

# What a session may be told, by anybody, in any order. Each word is a method of `tests.ground.story.Story`.
MERCHANT_WORDS = ("confirm", "cancel", "capture", "refund")
WORLD_WORDS = ("send", "lose", "not_send", "answer", "repeat_answer", "wait", "sweep")
ANSWER_CODES = ("00", "00", "00", "05", "10", "25", "51", "68", "94", "96", "zz")

words = st.tuples(
    st.sampled_from((*MERCHANT_WORDS, *WORLD_WORDS, *WORLD_WORDS)),
    st.sampled_from(ANSWER_CODES),
    st.integers(1, 2_590),  # an amount, or a choice among operations
    st.sampled_from((1, 16, 61, 300, 3_600, 15_000, 90_000, 400_000)),  # seconds that pass
)
walks = st.lists(words, max_size=40)
