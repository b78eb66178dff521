"""Operations: both machines walked pair by pair, references, attempts, and when a person is called."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tollhouse.operation import (
    CHARGES,
    FINAL,
    INSISTENT,
    UNDOABLE,
    Heard,
    Kind,
    Limits,
    Operation,
    References,
    State,
    TransitionUnknown,
    hear,
    heard_of,
    is_in_flight,
    is_overdue,
    leave,
    next_gap_seconds,
    next_state,
    not_sent_gap_seconds,
)
from tollhouse.outcome import Approved, Declined, PartlyApproved, Reason, Unknown

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits()
HEARD = "          leaving   not_sent  given_up approval  partial_approval decline   silence   undone"
UNDOABLE_TABLE = """
planned   submitted planned   declined reversing reversing        planned   planned   -
submitted -         planned   -        approved  reversing        declined  reversing -
reversing -         reversing -        reversing reversing        reversing reversing reversed
approved  -         approved  -        approved  approved         approved  approved  approved
declined  -         declined  -        declined  declined         declined  declined  declined
reversed  -         reversed  -        reversed  reversed         reversed  reversed  reversed
"""
INSISTENT_TABLE = """
planned   submitted -         -        -         -                -         -         -
submitted submitted submitted -        approved  submitted        declined  submitted -
reversing -         -         -        -         -                -         -         -
approved  -         approved  -        approved  approved         approved  approved  -
declined  -         declined  -        declined  declined         declined  declined  declined
reversed  -         -         -        -         -                -         -         -
"""
ANSWERS = {
    Heard.APPROVAL: Approved(response_code="00", approval_code="7K20QX"),
    Heard.PARTIAL_APPROVAL: PartlyApproved(response_code="10"),
    Heard.DECLINE: Declined(response_code="51", reason=Reason.INSUFFICIENT_FUNDS),
    Heard.SILENCE: Unknown(why="no answer"),
}


def _pairs(table: str) -> dict[tuple[State, Heard], State | None]:
    heards = [Heard(word) for word in HEARD.split()]
    assert set(heards) == set(Heard)
    rows = {State(words[0]): words[1:] for words in map(str.split, table.strip().splitlines())}
    assert set(rows) == set(State)
    return {
        (state, heard): None if after == "-" else State(after)
        for state, row in rows.items()
        for heard, after in zip(heards, row, strict=True)
    }


def _operation(kind: Kind, state: State = State.PLANNED) -> Operation:
    return Operation(id="op_1", kind=kind, payment_id="pm_1", amount_minor=2590, planned_at=NOON, state=state)


def _references(number: int) -> References:
    return References(rrn=f"{number:012d}", stan=f"{number:06d}", terminal="TERM0001", transmitted_at=NOON)


@pytest.mark.parametrize("kind", Kind)
def test_every_pair_is_decided(kind: Kind) -> None:
    """Each pair of state and word leads where the table says, and raises where it says nothing."""
    for (state, heard), after in _pairs(INSISTENT_TABLE if kind in INSISTENT else UNDOABLE_TABLE).items():
        if after is None:
            with pytest.raises(TransitionUnknown):
                next_state(kind, state, heard)
        else:
            assert next_state(kind, state, heard) is after, (kind, state, heard)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", sorted(FINAL))
def test_final_states_stay(kind: Kind, state: State) -> None:
    """Whatever a final operation hears, nothing of it changes."""
    final = replace(_operation(kind, state), reason=Reason.ACQUIRER_TIMEOUT, finished_at=NOON)
    for heard in Heard:
        try:
            assert hear(final, heard, ANSWERS.get(heard), NOON + timedelta(days=1)) == final
        except TransitionUnknown:
            assert (state, heard) not in _stays(kind)


def _stays(kind: Kind) -> set[tuple[State, Heard]]:
    table = _pairs(INSISTENT_TABLE if kind in INSISTENT else UNDOABLE_TABLE)
    return {pair for pair, after in table.items() if after is pair[0]}


def test_kinds_are_sorted() -> None:
    """When its fate is unclear, each kind is either undone or insisted upon; what takes money is undone."""
    assert set(Kind) == UNDOABLE | INSISTENT
    assert not UNDOABLE & INSISTENT
    assert {Kind.SALE, Kind.AUTHORIZATION} == CHARGES


@pytest.mark.parametrize(
    ("heard", "code", "approval_code", "reason"),
    [
        (Heard.APPROVAL, "00", "7K20QX", None),
        (Heard.PARTIAL_APPROVAL, "10", None, Reason.DECLINED_BY_ISSUER),
        (Heard.DECLINE, "51", None, Reason.INSUFFICIENT_FUNDS),
        (Heard.SILENCE, None, None, None),
    ],
)
def test_what_is_remembered(heard: Heard, code: str | None, approval_code: str | None, reason: Reason | None) -> None:
    """The operation keeps the response code, the approval code and the reason of the answer that moved it."""
    after = hear(_operation(Kind.SALE, State.SUBMITTED), heard, ANSWERS[heard], NOON)
    assert (after.response_code, after.approval_code, after.reason) == (code, approval_code, reason)
    assert (after.finished_at is not None) == (after.state in FINAL)


def test_words_of_outcomes() -> None:
    """Each outcome is one word of the machine."""
    assert {heard: heard_of(outcome) for heard, outcome in ANSWERS.items()} == {heard: heard for heard in ANSWERS}


def test_silence_undone_is_a_time_out() -> None:
    """A charge undone after silence failed for want of an answer; one undone after a partial approval was declined."""
    silent = hear(_operation(Kind.SALE, State.SUBMITTED), Heard.SILENCE, ANSWERS[Heard.SILENCE], NOON)
    partial = hear(
        _operation(Kind.SALE, State.SUBMITTED), Heard.PARTIAL_APPROVAL, ANSWERS[Heard.PARTIAL_APPROVAL], NOON
    )
    assert hear(silent, Heard.UNDONE, None, NOON).reason is Reason.ACQUIRER_TIMEOUT
    assert hear(partial, Heard.UNDONE, None, NOON).reason is Reason.DECLINED_BY_ISSUER


@pytest.mark.parametrize("kind", sorted(INSISTENT))
def test_repeats_bear_the_same_references(kind: Kind) -> None:
    """An insistent operation keeps its references and its first time of submission on every repetition."""
    first = leave(_operation(kind), _references(1), NOON, LIMITS)
    again = leave(first, _references(2), NOON + timedelta(seconds=20), LIMITS)
    assert again.references == first.references == _references(1)
    assert again.submitted_at == NOON
    assert (first.attempts, again.attempts) == (1, 2)


@pytest.mark.parametrize("kind", sorted(UNDOABLE))
def test_submitted_is_never_submitted_again(kind: Kind) -> None:
    """A charge or refund that may have left does not leave a second time."""
    first = leave(_operation(kind), _references(1), NOON, LIMITS)
    with pytest.raises(TransitionUnknown):
        leave(first, _references(2), NOON, LIMITS)


def test_not_sent_leaves_under_new_references() -> None:
    """What was certainly not written is sent under new references, so that no answer can be mistaken."""
    first = leave(_operation(Kind.SALE), _references(1), NOON, LIMITS)
    again = leave(hear(first, Heard.NOT_SENT, None, NOON), _references(2), NOON + timedelta(seconds=2), LIMITS)
    assert again.references == _references(2)
    assert again.submitted_at == NOON + timedelta(seconds=2)


def test_answer_is_awaited_for_the_answer_limit() -> None:
    """A submitted operation is looked at again when it may no longer be sent and the answer limit is over."""
    assert leave(_operation(Kind.SALE), _references(1), NOON, LIMITS).next_attempt_at == NOON + timedelta(seconds=20)


def test_gaps_between_attempts() -> None:
    """Insistent operations are repeated after 5 s, 30 s, 2 min, 10 min, 1 h, then five times a day for ever."""
    assert [next_gap_seconds(attempts) for attempts in range(1, 8)] == [5, 30, 120, 600, 3600, 17280, 17280]
    assert next_gap_seconds(1_000_000) * 5 == 24 * 3600


def test_gaps_after_refused_connections() -> None:
    """An insistent operation that cannot be written waits longer the longer it lasts, at most five minutes."""
    waited = [not_sent_gap_seconds(timedelta(seconds=seconds)) for seconds in (0, 8, 40, 400, 1200, 86_400)]
    assert waited == [2, 2, 10, 100, 300, 300]


def test_in_flight_limit() -> None:
    """A request may be on its way until sixty seconds after it was submitted."""
    submitted = leave(_operation(Kind.SALE), _references(1), NOON, LIMITS)
    assert is_in_flight(submitted, NOON + timedelta(seconds=59.9), LIMITS)
    assert not is_in_flight(submitted, NOON + timedelta(seconds=60), LIMITS)


@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        (Kind.SALE, Heard.SILENCE),
        (Kind.SALE, Heard.PARTIAL_APPROVAL),
        (Kind.CAPTURE, Heard.SILENCE),
        (Kind.CAPTURE, Heard.NOT_SENT),
        (Kind.CAPTURE, Heard.PARTIAL_APPROVAL),
        (Kind.REVERSAL, Heard.SILENCE),
        (Kind.REVERSAL, Heard.NOT_SENT),
    ],
)
def test_a_day_without_a_clear_answer(kind: Kind, heard: Heard) -> None:
    """Whatever keeps an operation open, a day after it was first heard it is overdue for a person."""
    unclear = hear(_operation(kind, State.SUBMITTED), heard, ANSWERS.get(heard), NOON)
    again = hear(unclear, heard, ANSWERS.get(heard), NOON + timedelta(hours=23))
    assert again.unclear_since == NOON
    assert not is_overdue(again, NOON + timedelta(hours=24, seconds=-1))
    assert is_overdue(again, NOON + timedelta(hours=24))
    assert not is_overdue(replace(again, is_stuck=True), NOON + timedelta(hours=24))


def test_a_planned_operation_is_not_unclear() -> None:
    """What was not sent has no unclear outcome."""
    planned = hear(_operation(Kind.SALE, State.SUBMITTED), Heard.NOT_SENT, None, NOON)
    assert planned.unclear_since is None
    assert not is_overdue(planned, NOON + timedelta(days=30))
