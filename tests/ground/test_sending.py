"""Sending: references, the security code, what is tried again, what is repeated, what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ground.story import LIMITS, NOON, SEALED_CVV, TWO_STAGE, Story, confirmed, held, paid, unknown
from tollhouse import hearing
from tollhouse.hearing import ConcludeSilence, Send, find_silence, next_step
from tollhouse.operation import Kind, Limits, References, State, TransitionUnknown
from tollhouse.outcome import Reason, Unknown
from tollhouse.payment import Phase


@pytest.mark.parametrize("kind", [Kind.SALE, Kind.AUTHORIZATION, Kind.REFUND])
def test_reversal_names_its_target(kind: Kind) -> None:
    """A reversal bears the RRN and terminal of what it undoes and a STAN of its own, on every attempt."""
    story = {Kind.SALE: confirmed, Kind.REFUND: lambda: paid().refund()}.get(
        kind, lambda: Story(TWO_STAGE).start().confirm()
    )()
    target = story.send(kind)
    story.hear(target, Unknown(why="no answer"))
    attempts = [story.send(Kind.REVERSAL) for _ in range(3)]
    named = {attempt.references for attempt in attempts}
    assert len(named) == 1
    (own,) = named
    assert own is not None
    assert target.references is not None
    assert (own.rrn, own.terminal) == (target.references.rrn, target.references.terminal)
    assert own.stan != target.references.stan


def test_what_never_left_is_not_reversed() -> None:
    """A reversal of something without references is a bug."""
    story = unknown()
    story.session = story.session.with_operation(replace(story.last(Kind.SALE), references=None))
    with pytest.raises(AssertionError):
        story.send(Kind.REVERSAL)


def test_payment_shows_the_charges_references() -> None:
    """RRN and approval code of the charge are what the merchant sees, also after capture and refund."""
    story = held()
    charge = story.last(Kind.AUTHORIZATION)
    assert charge.references is not None
    story.capture().answered("00").refund().answered("00")
    assert (story.payment.rrn, story.payment.approval_code) == (charge.references.rrn, "7K20QX")


def test_security_code_leaves_with_the_charge() -> None:
    """The row loses the sealed code in the commit before the first byte leaves; its key is the egress's to erase."""
    story = confirmed()
    story.send()
    assert (story.payment.sealed_cvv, story.erased) == (None, [])


def test_security_code_comes_back_if_nothing_was_written() -> None:
    """While attempts go on the sealed code is kept; when they are given up it is erased."""
    story = confirmed().not_sent()
    assert (story.payment.sealed_cvv, story.erased) == (SEALED_CVV, [])
    story.wait(30).not_sent()
    assert (story.payment.sealed_cvv, story.erased) == (None, [SEALED_CVV])


def test_security_code_is_erased_when_the_charge_had_left_after_all() -> None:
    """An approval of what was believed not sent erases the sealed code: no second attempt will need it."""
    story = confirmed().not_sent().hear_late("00")
    assert (story.payment.sealed_cvv, story.erased) == (None, [SEALED_CVV])


def test_not_sent_is_tried_again_for_thirty_seconds() -> None:
    """Refused connections are tried again every two seconds until thirty have passed, then given up for certain."""
    story = confirmed()
    attempts = 0
    while not story.payment.is_final:
        story.not_sent()
        attempts += 1
        story.wait(2)
    assert attempts == 16
    assert story.last(Kind.SALE).finished_at == NOON + timedelta(seconds=30)


def test_not_sent_of_what_was_answered_is_ignored() -> None:
    """Once an operation has left *submitted*, the news that it was not sent changes nothing."""
    story = paid()
    before = story.session
    story.was_not_sent(story.last(Kind.SALE), SEALED_CVV)
    assert story.session is before


@pytest.mark.parametrize(
    ("story", "kind"), [(lambda: held().capture(), Kind.CAPTURE), (lambda: held().cancel(), Kind.REVERSAL)]
)
def test_insistent_operations_are_repeated(story: Callable[[], Story], kind: Kind) -> None:
    """Captures and reversals are repeated at growing gaps, for ever, until there is an answer."""
    told = story()
    gaps = []
    for _ in range(7):
        told.answered("", kind)
        due_at = told.last(kind).next_attempt_at
        assert due_at is not None
        gaps.append((due_at - told.now).total_seconds())
        told.now = due_at
    assert gaps == [5, 30, 120, 600, 3600, 17280, 17280]


@pytest.mark.parametrize(("seconds", "is_proof"), [(0, False), (64, False), (65, True), (3600, True)])
def test_not_found_counts_after_the_in_flight_limit(seconds: int, is_proof: bool) -> None:
    """That nothing was found is proof only if the reversal left when the original could no longer be on its way."""
    story = unknown().wait(seconds).answered("25")
    if is_proof:
        assert story.payment.reason is Reason.ACQUIRER_TIMEOUT
        return
    another = story.last(Kind.REVERSAL)
    assert [o.state for o in story.session.operations] == [State.REVERSING, State.DECLINED, State.PLANNED]
    assert (another.next_attempt_at, story.payment.phase) == (NOON + timedelta(seconds=65), Phase.UNKNOWN)


def test_early_reversal_proves_nothing_later() -> None:
    """An answer that is heard an hour after an early reversal left may be old: another reversal leaves at once."""
    story = unknown().answered("").wait(3600).answered("25")
    assert story.payment.phase is Phase.UNKNOWN
    assert story.last(Kind.REVERSAL).next_attempt_at == story.now
    assert story.answered("25").payment.reason is Reason.ACQUIRER_TIMEOUT


def test_not_found_for_an_approved_hold_raises_an_alarm() -> None:
    """An acquirer that does not know what it had approved releases the hold, and a person is told."""
    story = held().wait(3600).cancel().answered("25")
    assert story.payment.phase is Phase.FAILED
    assert [alarm.what for alarm in story.alarms] == ["the acquirer does not know an authorization it had approved"]


def test_next_step() -> None:
    """Planned operations are sent, unanswered ones concluded at the limit, insistent ones sent again when due."""
    story = confirmed()
    planned = story.last(Kind.SALE)
    assert next_step(story.session, story.now) == Send(operation_id=planned.id)
    story.send()
    assert next_step(story.session, story.now) is None
    story.wait(20)
    assert next_step(story.session, story.now) == ConcludeSilence(operation_id=planned.id)
    story.hear(planned, Unknown(why="no answer"))
    reversal = story.last(Kind.REVERSAL)
    assert next_step(story.session, story.now) == Send(operation_id=reversal.id)
    story.send()
    story.wait(20)
    assert next_step(story.session, story.now) == Send(operation_id=reversal.id)
    story.answered("00")
    assert next_step(story.session, story.now + timedelta(days=9)) is None


def test_silence_is_found_when_the_answer_is_overdue() -> None:
    """Only what was sent once and not answered in time is concluded; insistent operations never are."""
    story = confirmed()
    sale = story.send()
    assert find_silence(story.session, story.now) is None
    assert find_silence(story.session, story.now + timedelta(seconds=20)) == ConcludeSilence(operation_id=sale.id)
    capture = held().capture()
    capture.send()
    assert find_silence(capture.session, capture.now + timedelta(days=9)) is None


def test_change_says_whether_to_go_on() -> None:
    """What leaves something to do at once says so, so that whoever commits it goes on without waiting."""
    story = Story().start()
    assert not story.changes[-1].goes_on
    assert story.confirm().changes[-1].goes_on
    assert story.not_sent().changes[-2].goes_on
    assert not story.changes[-1].goes_on
    assert story.wait(2).answered("").changes[-1].goes_on
    assert not story.answered("").changes[-1].goes_on


def test_twice_submitted_is_a_bug() -> None:
    """A charge that may have left cannot be submitted again."""
    story = confirmed()
    sent = story.send()
    with pytest.raises(TransitionUnknown):
        story.submit(sent)


def test_in_flight_limit_is_a_setting() -> None:
    """The limits of the configuration are what counts."""
    story = unknown()
    references = References(rrn="1" * 12, stan="1" * 6, terminal="TERM0001", transmitted_at=NOON)
    reversal = story.last(Kind.REVERSAL)
    story.take(hearing.submit(story.session, reversal.id, references, now=story.now, ids=story.ids, limits=LIMITS))
    change = hearing.hear_outcome(
        story.session,
        reversal.id,
        Unknown(why="", response_code="25", is_not_found=True),
        now=story.now + timedelta(seconds=61),
        ids=story.ids,
        limits=Limits(in_flight_seconds=600),
    )
    assert change is not None
    another = change.session.operations[-1]
    assert (another.kind, another.next_attempt_at) == (Kind.REVERSAL, NOON + timedelta(seconds=605))
