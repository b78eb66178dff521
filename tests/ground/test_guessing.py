"""How often somebody may guess wrong: bounded in every minute, in a table of bounded size, never to honest people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.guessing import LOCK_SECONDS, Allowance, Familiar, Guesses

ALLOWANCE = Allowance(burst=5, per_minute=3)
PAUSES = st.floats(min_value=0, max_value=90, allow_nan=False)


def looked_at(guesses: Guesses, source: str, now: float) -> bool:
    """One wrong guess, as a door handles it."""
    if guesses.wait_seconds(source, now) > 0:
        return False
    guesses.count(source, now)
    return True


@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 1), PAUSES), max_size=200))
def test_never_more_than_so_many_in_any_minute(pauses: list[float]) -> None:
    """However a source spreads its guesses, in no 60 seconds more than the allowance are looked at."""
    guesses, now, times = Guesses(ALLOWANCE), 1000.0, []
    for pause in pauses:
        now += pause
        if looked_at(guesses, "a", now):
            times.append(now)
    for start in times:
        assert sum(start <= one < start + 60 for one in times) <= ALLOWANCE.most


@given(st.lists(st.tuples(st.sampled_from("abc"), PAUSES), max_size=100))
def test_the_honest_are_never_refused(steps: list[tuple[str, float]]) -> None:
    """Whatever others do, who never guesses wrong never waits."""
    guesses, now = Guesses(ALLOWANCE), 0.0
    for source, pause in steps:
        now += pause
        looked_at(guesses, source, now)
        assert guesses.wait_seconds("honest", now) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=200))
def test_no_more_is_kept_than_there_is_room_for(steps: list[tuple[int, float]]) -> None:
    """The tables never grow beyond their size, and what was touched last is there."""
    guesses, familiar, now = Guesses(ALLOWANCE, sources_max=7), Familiar(size_max=5), 0.0
    for source, pause in steps:
        now += pause
        looked_at(guesses, str(source), now)
        familiar.remember(str(source), "this")
        assert len(guesses) <= 7
        assert len(familiar) <= 5
        assert (str(source), "this") in familiar


@given(st.lists(PAUSES, max_size=100))
def test_each_lock_out_is_told_once(pauses: list[float]) -> None:
    """`count` says yes once for each time that a source is shut out."""
    guesses, now, told, ends = Guesses(ALLOWANCE), 0.0, 0, 0.0
    shut_out = 0
    for pause in pauses:
        now += pause
        if guesses.wait_seconds("a", now) == 0:
            told += guesses.count("a", now)
            if guesses.wait_seconds("a", now) > 0 and now >= ends:
                shut_out, ends = shut_out + 1, now + LOCK_SECONDS
    assert told == shut_out


def test_a_source_is_listened_to_again() -> None:
    """After a minute the lock is over, and the debt with it."""
    guesses = Guesses(ALLOWANCE)
    assert [looked_at(guesses, "a", 10.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert guesses.wait_seconds("a", 10.0) == LOCK_SECONDS
    assert guesses.wait_seconds("a", 69.0) == 1.0
    assert [looked_at(guesses, "a", 70.0) for _ in range(7)] == [True] * 5 + [False] * 2


def test_what_is_forgiven() -> None:
    """Few wrong guesses now and then never lock anybody out."""
    guesses = Guesses(ALLOWANCE)
    assert all(looked_at(guesses, "a", 20.0 * number) for number in range(100))


def test_familiar_by_both() -> None:
    """Who was right about one thing is not familiar with another, nor is somebody else with it."""
    familiar = Familiar()
    familiar.remember("a", "x")
    assert ("a", "x") in familiar
    assert ("a", "y") not in familiar
    assert ("b", "x") not in familiar
