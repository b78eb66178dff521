"""Promises under any order of words: merchants, acquirers and time say anything at any moment.

`Story.take` checks the promises after each change; what is checked here is that everything ends.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.ground.story import LIMITS, ONE_STAGE, SEALED_CVV, TWO_STAGE, Story, check_announcements, outcome_for
from tests.strategies import walks
from tollhouse.hearing import ConcludeSilence, Send, next_step
from tollhouse.merchant import Settings
from tollhouse.operation import INSISTENT, State
from tollhouse.outcome import Unknown
from tollhouse.refusal import Refusal
from tollhouse.session import Status

Word = tuple[str, str, int, int]
PROJECTS = (ONE_STAGE, TWO_STAGE, Settings(auto_confirm=True))


def _say(story: Story, word: Word) -> None:
    """Say one word where it can be said; a refusal is an answer too."""
    name, code, number, seconds = word
    operations = story.session.operations
    known = [operation for operation in operations if operation.references is not None]
    match name:
        case "confirm" | "cancel":
            getattr(story, name)()
        case "capture" | "refund":
            getattr(story, name)(number if number % 2 else None)
        case "wait":
            story.wait(seconds)
        case "sweep":
            story.sweep()
        case "answer" | "repeat_answer" if known:
            chosen = known[number % len(known)]
            story.hear(chosen, outcome_for(chosen, code))
        case "send" | "lose" | "not_send":
            _carry(story, name, code)


def _carry(story: Story, name: str, code: str) -> None:
    """Do what is due, as the driver would, and let the wire do to it what the word says."""
    match next_step(story.session, story.now):
        case Send(operation_id=operation_id):
            sealed_cvv = story.payment.sealed_cvv
            sent = story.submit(story.session.operation(operation_id))
            if name == "send":
                story.hear(sent, outcome_for(sent, code))
            if name == "not_send":
                story.was_not_sent(sent, sealed_cvv)
        case ConcludeSilence(operation_id=operation_id):
            story.hear(story.session.operation(operation_id), Unknown(why="no answer"))
        case None:
            return


def _end(story: Story) -> None:
    """The storm is over: everything due is done at its time, every acquirer answers, every merchant is content."""
    for _ in range(100):
        due_at = story.session.due_at
        if due_at is None:
            return
        story.now = max(story.now, due_at)
        story.sweep()
        while (step := next_step(story.session, story.now)) is not None:
            operation = story.session.operation(step.operation_id)
            if isinstance(step, ConcludeSilence):
                story.hear(operation, Unknown(why="no answer"))
            else:
                story.submit(operation)
                story.hear(operation, outcome_for(operation, "00"))
    raise AssertionError("it does not end")


def _walk(project: Settings, walk: list[Word]) -> Story:
    story = Story(project).start()
    for word in walk:
        with suppress(Refusal):
            _say(story, word)
    return story


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PROJECTS), walks)
@example(ONE_STAGE, [("confirm", "", 1, 1), ("not_send", "", 1, 1), ("answer", "00", 0, 1), ("send", "25", 1, 1)])
@example(TWO_STAGE, [("confirm", "", 1, 1), ("send", "00", 1, 1), ("capture", "", 1, 1), ("send", "10", 1, 1)])
def test_promises_hold_and_everything_ends(project: Settings, walk: list[Word]) -> None:
    """No order of words breaks a promise, and once faults stop every session comes to its end (P1, P3, P7, P8, P13)."""
    story = _walk(project, walk)
    _end(story)
    assert story.session.status in (Status.ACCEPTED, Status.CANCELLED)
    assert all(operation.is_final for operation in story.session.operations)
    check_announcements(story)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PROJECTS), walks)
def test_security_code_is_left_or_erased(project: Settings, walk: list[Word]) -> None:
    """At the end the sealed code has left with a charge or been erased; no row holds it (P11)."""
    story = _walk(project, walk)
    _end(story)
    assert story.payment.sealed_cvv is None
    left = any(operation.submitted_at is not None for operation in story.session.operations)
    assert left or SEALED_CVV in story.erased


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PROJECTS), walks)
def test_silence_is_never_an_end(project: Settings, walk: list[Word]) -> None:
    """As long as the acquirer is silent, what was submitted stays open, whatever time passes (P6)."""
    story = _walk(project, walk)
    unclear = [o.id for o in story.session.operations if o.state in (State.SUBMITTED, State.REVERSING)]
    for _ in range(30):
        story.wait(timedelta(days=1).total_seconds()).sweep()
        for operation_id in unclear:
            story.hear(story.session.operation(operation_id), Unknown(why="no answer"))
    for operation_id in unclear:
        assert not story.session.operation(operation_id).is_final
    if unclear:
        assert story.alarms or story.session.due_at is not None


@pytest.mark.parametrize("project", PROJECTS, ids=["one stage", "two stages", "confirms itself"])
def test_walks_meet_every_state(project: Settings) -> None:
    """The words are strong enough: some walk meets each state an operation of this project can be in."""
    met: set[tuple[str, State]] = set()
    for code in ("00", "05", "10", ""):
        story = Story(project).start()
        if not project.auto_confirm:
            story.confirm()
        for _ in range(4):
            met |= {(operation.kind, operation.state) for operation in story.session.operations}
            step = next_step(story.session, story.now)
            if step is None:
                break
            sent = story.submit(story.session.operation(step.operation_id))
            met.add((sent.kind, sent.state))
            story.hear(sent, outcome_for(sent, code))
            story.wait(LIMITS.in_flight_seconds)
    kinds = {kind for kind, _ in met} - INSISTENT
    wanted = {State.PLANNED, State.SUBMITTED, State.APPROVED, State.DECLINED, State.REVERSING}
    assert all({state for of, state in met if of == kind} >= wanted for kind in kinds)
