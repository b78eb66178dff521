"""Authentications: the whole machine, pair by pair, and which version is spoken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ground.story import NOON
from tollhouse.authentication import (
    ANSWER_SECONDS_MAX,
    FINAL,
    RETRYABLE,
    VERSIONS,
    WITH_ISSUER,
    Authentication,
    Heard,
    State,
    TransitionUnknown,
    Wish,
    common_version,
    hear,
)

TABLE = """
opened      asked=asked lapsed=lapsed
asked       challenge=challenged decoupled=decoupled finished=finished lapsed=lapsed
challenged  finished=finished lapsed=lapsed
decoupled   finished=finished lapsed=lapsed
"""
EXPECTED = {
    (State(row.split()[0]), Heard(word.split("=")[0])): State(word.split("=")[1])
    for row in TABLE.strip().splitlines()
    for word in row.split()[1:]
}
OPENED = Authentication(id="a", payment_id="pm_1", version="2.2.0", wish=Wish.NO_PREFERENCE, opened_at=NOON)
LATER = NOON + timedelta(seconds=5)


@pytest.mark.parametrize(("state", "heard"), list(product(State, Heard)))
def test_every_pair(state: State, heard: Heard) -> None:
    """A pair of the table leads where the table says; any other is a bug, also every word to a final state."""
    before = replace(OPENED, state=state)
    if (state, heard) not in EXPECTED:
        with pytest.raises(TransitionUnknown, match=f"{state} cannot hear {heard}"):
            hear(before, heard, LATER)
        return
    after = hear(before, heard, LATER)
    assert after.state is EXPECTED[state, heard]
    assert after.asked_at == (LATER if after.state is State.ASKED else None)
    assert after.finished_at == (LATER if after.is_final else None)
    assert replace(after, state=state, asked_at=None, finished_at=None) == before


def test_states_are_divided() -> None:
    """Each state is ours, the issuer's, or final."""
    assert FINAL | WITH_ISSUER | {State.OPENED, State.ASKED} == set(State)
    assert not FINAL & WITH_ISSUER


@pytest.mark.parametrize("state", State)
def test_only_the_asked_await_an_answer(state: State) -> None:
    """The directory server's answer is overdue 12 seconds after it was asked, and in no other state."""
    one = replace(OPENED, state=state, asked_at=NOON)
    expected = NOON + timedelta(seconds=ANSWER_SECONDS_MAX) if state is State.ASKED else None
    assert one.answer_due_at == expected
    assert ANSWER_SECONDS_MAX == 12


def test_who_may_try_again() -> None:
    """Only a challenge that timed out or never began is asked again by itself."""
    assert set(RETRYABLE) == {"04", "05"}


@pytest.mark.parametrize(
    ("spoken", "version"),
    [
        ([("2.2.0", "2.3.1")], "2.3.1"),
        ([("2.3.1", "2.2.0")], "2.3.1"),
        ([("2.2.0",)], "2.2.0"),
        ([("2.1.0",)], None),
        ([("2.1.0", "2.2.0", "2.3.0")], "2.2.0"),
        ([()], None),
        ([("2.3.1",), ("2.2.0",)], None),
        ([("2.2.0", "2.3.1"), ("2.2.0",)], "2.2.0"),
        ([], "2.3.1"),
    ],
)
def test_common_version(spoken: list[tuple[str, ...]], version: str | None) -> None:
    """The highest version that all sides speak; what only others speak does not count."""
    assert common_version(*spoken) == version


@given(st.lists(st.lists(st.sampled_from(("2.1.0", *VERSIONS, "2.4.0"))).map(tuple), max_size=4))
def test_common_version_is_spoken_by_all(spoken: list[tuple[str, ...]]) -> None:
    """Whatever is chosen everybody speaks, and none that everybody speaks is higher."""
    chosen = common_version(*spoken)
    shared = [version for version in VERSIONS if all(version in versions for versions in spoken)]
    assert chosen == (max(shared) if shared else None)
