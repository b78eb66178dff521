"""Promises under any order of words: merchants, acquirers and time say anything at any moment.

`Story.take` checks the promises after each change; what is checked here is that everything ends.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.ground.promises import check_announcements
from tests.ground.story import ENROLLED, LIMITS, ONE_STAGE, SEALED_CVV, TWO_STAGE, VALUE, Story, outcome_for
from tests.lives import life_of
from tests.strategies import guarded_walks, walks
from tollhouse.exemption import Exemption
from tollhouse.hearing import ConcludeSilence, Send, next_step
from tollhouse.merchant import Settings
from tollhouse.operation import INSISTENT, State
from tollhouse.outcome import Unknown
from tollhouse.proof import authenticated
from tollhouse.refusal import Refusal
from tollhouse.session import Status
from tollhouse.verdict import Policy

Word = tuple[str, str, int, int]
PROJECTS = (ONE_STAGE, TWO_STAGE, Settings(auto_confirm=True))
# Projects and cards that take part in 3-D Secure, and whether an exemption is claimed.
GUARDED = (
    (ONE_STAGE, None),
    (ONE_STAGE, Exemption.LOW_VALUE),
    (TWO_STAGE, Exemption.TRA),
    (Settings(auto_confirm=True, threeds=Policy.ALWAYS), None),
)
STATUSES = ("C", "C", "D", "Y", "A", "N", "U", "R", "I")


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
        case "ask" | "reply" | "result" | "broken_off" | "retry" if story.session.authentications:
            _authenticate(story, name, number)


def _authenticate(story: Story, name: str, number: int) -> None:
    """The payer, the directory server or the issuer says something, maybe of an attempt that is long over."""
    attempts = story.session.authentications
    chosen = attempts[number % len(attempts)] if number % 5 == 0 else attempts[-1]
    status = STATUSES[number % len(STATUSES)]
    match name:
        case "reply":
            story.reply(status if number % 10 else "", chosen)
        case "result" if chosen.asked_at is not None and status not in ("C", "D", "I"):
            cancelled = {0: "01", 1: "04", 2: "05"}.get(number % 7) if status in ("N", "U") else None
            story.result(status, chosen, cancelled=cancelled, value=None if number % 11 == 0 else VALUE)
        case "broken_off":
            story.broken_off(chosen)
        case "ask" | "retry":
            getattr(story, name)()


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
    _say_all(story, walk)
    return story


def _say_all(story: Story, walk: list[Word]) -> None:
    for word in walk:
        with suppress(Refusal):
            _say(story, word)


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(GUARDED), guarded_walks)
def test_promises_hold_with_3d_secure(guarded: tuple[Settings, Exemption | None], walk: list[Word]) -> None:
    """Nor with payers, directory servers and issuers among those who say anything at any moment."""
    project, exemption = guarded
    story = Story(project).start(ENROLLED, exemption)
    if not project.auto_confirm:
        story.confirm()
    _say_all(story, walk)
    _end(story)
    assert story.session.status in (Status.ACCEPTED, Status.CANCELLED)
    assert story.payment.sealed_cvv is None
    check_announcements(story)
    assert list(authenticated(life_of(story))) == []


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
