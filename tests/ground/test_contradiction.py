"""Contradictions and people: what acquirers take back, and what nobody can clear up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.ground.story import Story, confirmed, held, paid, unknown
from tollhouse import hearing
from tollhouse.operation import Kind, State
from tollhouse.outcome import Unknown, outcome_of_code
from tollhouse.session import Status


@pytest.mark.parametrize(
    ("tell", "kind", "code", "alarm", "reverses"),
    [
        (lambda: confirmed().answered("05"), Kind.SALE, "00", "approved after it was declined", True),
        (lambda: confirmed().answered("05"), Kind.SALE, "10", "approved after it was declined", True),
        (lambda: unknown().answered("00"), Kind.SALE, "00", "approved after it was reversed", True),
        (unknown, Kind.SALE, "00", "approved after its reversal had begun", False),
        (paid, Kind.SALE, "05", "declined after it was approved", False),
        (lambda: paid().refund().answered("05"), Kind.REFUND, "00", "approved after it was declined", True),
        (lambda: paid().refund().answered("").answered("00"), Kind.REFUND, "00", "after it was reversed", True),
        (lambda: held().capture().answered("05"), Kind.CAPTURE, "00", "approved after it was declined", True),
        (lambda: held().capture().answered("00"), Kind.CAPTURE, "05", "declined after it was approved", False),
        (lambda: held().cancel().answered("00"), Kind.AUTHORIZATION, "00", "again after its hold was released", True),
        (lambda: confirmed().not_sent().wait(30).not_sent(), Kind.SALE, "00", "approved after it was declined", True),
    ],
)
def test_late_contradiction(tell: Callable[[], Story], kind: Kind, code: str, alarm: str, reverses: bool) -> None:
    """A contrary late answer moves nothing that is final: it raises an alarm, and late money is reversed (P7)."""
    story = tell()
    before, announced = story.session, list(story.announced)
    story.hear(story.last(kind), outcome_of_code(code))
    assert alarm in story.alarms[-1].what
    assert (story.payment, story.announced) == (before.payments[0], announced)
    assert (story.session.status, story.session.finished_at) == (before.status, before.finished_at)
    late = story.session.reversal_of(story.last(kind).id)
    assert (len(story.session.operations) > len(before.operations)) == reverses
    if reverses:
        assert late is not None
        story.wait(65)
        story.submit(late)
        story.hear(late, Unknown(why="", response_code="25", is_not_found=True))
        assert story.session.operation(late.id).state is State.APPROVED
        assert story.transfers == [t for change in story.changes for t in change.transfers]
        assert story.session.status is before.status


def test_second_late_approval_is_reversed_once() -> None:
    """While a late approval's reversal is at work, the same approval again raises the alarm and reverses no more."""
    story = confirmed().answered("05").hear_late("00").hear_late("00")
    assert [operation.kind for operation in story.session.operations] == [Kind.SALE, Kind.REVERSAL]
    assert len(story.alarms) == 2


@pytest.mark.parametrize(
    ("tell", "kind"),
    [
        (confirmed, Kind.SALE),
        (lambda: held().capture(), Kind.CAPTURE),
        (lambda: held().cancel(), Kind.REVERSAL),
        (lambda: paid().refund(), Kind.REFUND),
    ],
)
def test_unclear_for_a_day_goes_before_a_person(tell: Callable[[], Story], kind: Kind) -> None:
    """After 24 hours without evidence the session is in error, once, with an alarm and no webhook; work goes on."""
    story = tell()
    announced = list(story.announced)
    story.answered("", kind).wait(24 * 3600 - 1).sweep()
    assert story.session.status is Status.IN_PROGRESS
    story.wait(1).sweep()
    assert (story.session.status, story.announced) == (Status.ERROR, announced)
    assert [alarm.what for alarm in story.alarms] == [
        f"{kind} has no clear outcome for a day: settle it with the acquirer"
    ]
    assert hearing.give_to_person(story.session, now=story.now, ids=story.ids) is None
    assert story.session.due_at is not None
    assert story.session.due_at < story.now + timedelta(days=1)
    story.answered("00")
    assert story.session.status in (Status.ACCEPTED, Status.CANCELLED)


def test_unreachable_acquirer_is_brought_before_a_person() -> None:
    """A capture that cannot even be sent for a day is nobody's secret (P13)."""
    story = held().capture().not_sent().wait(24 * 3600).sweep()
    assert story.session.status is Status.ERROR
