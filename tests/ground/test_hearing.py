"""What follows from what acquirers say and do not say: states, transfers, announcements, alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ground.story import LIMITS, NOON, SEALED_CVV, TWO_STAGE, Story, check_announcements
from tollhouse import hearing
from tollhouse.hearing import ConcludeSilence, Send, next_step
from tollhouse.operation import Kind, Limits, References, State, TransitionUnknown
from tollhouse.outcome import Approved, Declined, Outcome, Reason, Unknown, outcome_of_code
from tollhouse.payment import Phase
from tollhouse.session import Status


def _confirmed() -> Story:
    return Story().start().confirm()


def _held() -> Story:
    return Story(TWO_STAGE).start().confirm().answered("00")


def _paid() -> Story:
    return _confirmed().answered("00")


def _unknown() -> Story:
    return _confirmed().answered("")


# What is told, and where that leads: phase, reason, states of the operations, transfers, announcements since confirm.
TABLE: dict[str, tuple[Callable[[], Story], Phase, Reason | None, str, str, str]] = {
    "sale approved": (_paid, Phase.SUCCEEDED, None, "sale:approved", "posted 2590 posted 2590", "payment_finished"),
    "sale declined": (
        lambda: _confirmed().answered("51"),
        Phase.FAILED,
        Reason.INSUFFICIENT_FUNDS,
        "sale:declined",
        "",
        "payment_finished",
    ),
    "sale partly approved": (
        lambda: _confirmed().answered("10"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "sale partly approved and undone": (
        lambda: _confirmed().answered("10").answered("00"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "sale unanswered": (_unknown, Phase.UNKNOWN, None, "sale:reversing reversal:planned", "", ""),
    "sale answered unclearly": (
        lambda: _confirmed().answered("68"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "sale undone": (
        lambda: _unknown().answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "reversal unanswered": (
        lambda: _unknown().answered(""),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "reversal refused": (
        lambda: _unknown().answered("96"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "reversal not sent": (
        lambda: _unknown().not_sent(),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "approval after silence": (
        lambda: _unknown().hear_late("00").answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "decline after silence": (
        lambda: _unknown().hear_late("05").answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "authorization approved": (
        _held,
        Phase.HELD,
        None,
        "authorization:approved",
        "pending 2590",
        "ready_to_capture",
    ),
    "authorization undone": (
        lambda: Story(TWO_STAGE).start().confirm().answered("").answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "authorization:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "captured": (
        lambda: _held().capture().answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2590 posted 2590",
        "ready_to_capture payment_finished",
    ),
    "captured in part": (
        lambda: _held().capture(2000).answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2000 posted 2000",
        "ready_to_capture payment_finished",
    ),
    "capture unanswered": (
        lambda: _held().capture().answered(""),
        Phase.UNKNOWN,
        None,
        "authorization:approved capture:submitted",
        "pending 2590",
        "ready_to_capture",
    ),
    "capture not sent": (
        lambda: _held().capture().not_sent(),
        Phase.CAPTURING,
        None,
        "authorization:approved capture:submitted",
        "pending 2590",
        "ready_to_capture",
    ),
    "capture answered at the third attempt": (
        lambda: _held().capture().answered("").answered("").answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2590 posted 2590",
        "ready_to_capture payment_finished",
    ),
    "capture declined": (
        lambda: _held().capture().answered("05"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "authorization:approved capture:declined reversal:planned",
        "pending 2590",
        "ready_to_capture payment_finished",
    ),
    "capture declined and released": (
        lambda: _held().capture().answered("05").answered("00"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "authorization:approved capture:declined reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "released": (
        lambda: _held().cancel().answered("00"),
        Phase.FAILED,
        Reason.CANCELLED_BY_MERCHANT,
        "authorization:approved reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "release unanswered, then done": (
        lambda: _held().cancel().answered("").answered("00"),
        Phase.FAILED,
        Reason.CANCELLED_BY_MERCHANT,
        "authorization:approved reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "refunded": (
        lambda: _paid().refund(1000).answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:approved",
        "posted 2590 posted 2590 posted 1000 posted 1000",
        "payment_finished payment_refunded",
    ),
    "refund declined": (
        lambda: _paid().refund(1000).answered("05"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:declined",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "refund unanswered": (
        lambda: _paid().refund(1000).answered(""),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:reversing reversal:planned",
        "posted 2590 posted 2590",
        "payment_finished",
    ),
    "refund undone": (
        lambda: _paid().refund(1000).answered("").answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:reversed reversal:approved",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "refund given up": (
        lambda: _paid().refund(1000).wait(30).not_sent(),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:declined",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "not sent": (lambda: _confirmed().not_sent(), Phase.CONFIRMED, None, "sale:planned", "", ""),
    "not sent, then approved": (
        lambda: _confirmed().not_sent().wait(2).answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved",
        "posted 2590 posted 2590",
        "payment_finished",
    ),
    "given up": (
        lambda: _confirmed().wait(30).not_sent(),
        Phase.FAILED,
        Reason.ACQUIRER_INTERNAL,
        "sale:declined",
        "",
        "payment_finished",
    ),
    "approved although not sent": (
        lambda: _confirmed().not_sent().hear_late("00"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "approved although not sent, undone": (
        lambda: _confirmed().not_sent().hear_late("00").wait(61).answered("25"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_follows(name: str) -> None:
    """Each story ends in its phase, with its reason, operations, transfers and announcements."""
    tell, phase, reason, operations, transfers, announced = TABLE[name]
    story = tell()
    assert (story.payment.phase, story.payment.reason) == (phase, reason)
    assert " ".join(f"{o.kind}:{o.state}" for o in story.session.operations) == operations
    assert " ".join(f"{t.phase} {t.amount_minor}" for t in story.transfers) == transfers
    assert " ".join(story.announced) == f"ready_to_confirm {announced}".strip()
    check_announcements(story)


def test_every_phase_is_met() -> None:
    """The table above ends in every phase that an acquirer's answer can lead to."""
    assert {row[1] for row in TABLE.values()} == {
        Phase.CONFIRMED,
        Phase.HELD,
        Phase.CAPTURING,
        Phase.UNKNOWN,
        Phase.SUCCEEDED,
        Phase.FAILED,
    }


@pytest.mark.parametrize("name", TABLE)
def test_same_news_again_changes_nothing(name: str) -> None:
    """Whatever an operation is, hearing its own outcome once more neither moves, books nor announces anything."""
    story = TABLE[name][0]()
    silence = Unknown(why="no answer")
    same: dict[State, Outcome] = {
        State.APPROVED: Approved(response_code="00"),
        State.DECLINED: Declined(response_code="05", reason=Reason.DECLINED_BY_ISSUER),
        State.REVERSED: silence,
        State.REVERSING: silence,
    }
    before = story.session
    for operation in story.session.operations:
        if operation.state in same:
            story.hear(operation, same[operation.state])
    assert story.session is before


# --- references -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.SALE, Kind.AUTHORIZATION, Kind.REFUND])
def test_reversal_names_its_target(kind: Kind) -> None:
    """A reversal bears the RRN and terminal of what it undoes and a STAN of its own, on every attempt."""
    story = {Kind.SALE: _confirmed, Kind.REFUND: lambda: _paid().refund()}.get(
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
    story = _unknown()
    story.session = story.session.with_operation(replace(story.last(Kind.SALE), references=None))
    with pytest.raises(AssertionError):
        story.send(Kind.REVERSAL)


def test_payment_shows_the_charges_references() -> None:
    """RRN and approval code of the charge are what the merchant sees, also after capture and refund."""
    story = _held()
    charge = story.last(Kind.AUTHORIZATION)
    assert charge.references is not None
    story.capture().answered("00").refund().answered("00")
    assert (story.payment.rrn, story.payment.approval_code) == (charge.references.rrn, "7K20QX")


# --- security code ----------------------------------------------------------------------------------------------------


def test_security_code_leaves_with_the_charge() -> None:
    """The row loses the sealed code in the commit before the first byte leaves; its key is the egress's to erase."""
    story = _confirmed()
    story.send()
    assert (story.payment.sealed_cvv, story.erased) == (None, [])


def test_security_code_comes_back_if_nothing_was_written() -> None:
    """While attempts go on the sealed code is kept; when they are given up it is erased."""
    story = _confirmed().not_sent()
    assert (story.payment.sealed_cvv, story.erased) == (SEALED_CVV, [])
    story.wait(30).not_sent()
    assert (story.payment.sealed_cvv, story.erased) == (None, [SEALED_CVV])


def test_security_code_is_erased_when_the_charge_had_left_after_all() -> None:
    """An approval of what was believed not sent erases the sealed code: no second attempt will need it."""
    story = _confirmed().not_sent().hear_late("00")
    assert (story.payment.sealed_cvv, story.erased) == (None, [SEALED_CVV])


# --- not sent ---------------------------------------------------------------------------------------------------------


def test_not_sent_is_tried_again_for_thirty_seconds() -> None:
    """Refused connections are tried again every two seconds until thirty have passed, then given up for certain."""
    story = _confirmed()
    attempts = 0
    while not story.payment.is_final:
        story.not_sent()
        attempts += 1
        story.wait(2)
    assert attempts == 16
    assert story.last(Kind.SALE).finished_at == NOON + timedelta(seconds=30)


def test_not_sent_of_what_was_answered_is_ignored() -> None:
    """Once an operation has left *submitted*, the news that it was not sent changes nothing."""
    story = _paid()
    before = story.session
    story.was_not_sent(story.last(Kind.SALE), SEALED_CVV)
    assert story.session is before


# --- insistence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "kind"), [(lambda: _held().capture(), Kind.CAPTURE), (lambda: _held().cancel(), Kind.REVERSAL)]
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


@pytest.mark.parametrize(("seconds", "state"), [(0, State.SUBMITTED), (59, State.SUBMITTED), (60, State.APPROVED)])
def test_not_found_counts_after_the_in_flight_limit(seconds: int, state: State) -> None:
    """ "Original not found" proves nothing while the original may still be on its way; afterwards nothing is to undo."""
    story = _unknown().wait(seconds).answered("25")
    assert story.last(Kind.REVERSAL).state is state
    if state is State.SUBMITTED:
        assert story.last(Kind.REVERSAL).next_attempt_at == NOON + timedelta(seconds=60)
        assert story.payment.phase is Phase.UNKNOWN
    else:
        assert story.payment.reason is Reason.ACQUIRER_TIMEOUT


def test_not_found_for_an_approved_hold_raises_an_alarm() -> None:
    """An acquirer that does not know what it had approved releases the hold, and a person is told."""
    story = _held().wait(3600).cancel().answered("25")
    assert story.payment.phase is Phase.FAILED
    assert [alarm.what for alarm in story.alarms] == ["the acquirer does not know an authorization it had approved"]


# --- contradictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tell", "kind", "code", "alarm", "reverses"),
    [
        (lambda: _confirmed().answered("05"), Kind.SALE, "00", "approved after it was declined", True),
        (lambda: _confirmed().answered("05"), Kind.SALE, "10", "approved after it was declined", True),
        (lambda: _unknown().answered("00"), Kind.SALE, "00", "approved after it was reversed", True),
        (_unknown, Kind.SALE, "00", "approved after its reversal had begun", False),
        (_paid, Kind.SALE, "05", "declined after it was approved", False),
        (lambda: _paid().refund().answered("05"), Kind.REFUND, "00", "approved after it was declined", True),
        (lambda: _paid().refund().answered("").answered("00"), Kind.REFUND, "00", "after it was reversed", True),
        (lambda: _held().capture().answered("05"), Kind.CAPTURE, "00", "approved after it was declined", True),
        (lambda: _held().capture().answered("00"), Kind.CAPTURE, "05", "declined after it was approved", False),
        (lambda: _confirmed().wait(30).not_sent(), Kind.SALE, "00", "approved after it was declined", True),
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
        story.wait(61)
        story.submit(late)
        story.hear(late, Unknown(why="", response_code="25", is_not_found=True))
        assert story.session.operation(late.id).state is State.APPROVED
        assert story.transfers == [t for change in story.changes for t in change.transfers]
        assert story.session.status is before.status


def test_second_late_approval_is_reversed_once() -> None:
    """While a late approval's reversal is at work, the same approval again raises the alarm and reverses no more."""
    story = _confirmed().answered("05").hear_late("00").hear_late("00")
    assert [operation.kind for operation in story.session.operations] == [Kind.SALE, Kind.REVERSAL]
    assert len(story.alarms) == 2


# --- what is next -----------------------------------------------------------------------------------------------------


def test_next_step() -> None:
    """Planned operations are sent, unanswered ones concluded at the limit, insistent ones sent again when due."""
    story = _confirmed()
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
    story = _confirmed()
    sent = story.send()
    with pytest.raises(TransitionUnknown):
        story.submit(sent)


def test_in_flight_limit_is_a_setting() -> None:
    """The limits of the configuration are what counts."""
    story = _unknown()
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
    assert change.session.operation(reversal.id).state is State.SUBMITTED


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tell", "kind"),
    [
        (_confirmed, Kind.SALE),
        (lambda: _held().capture(), Kind.CAPTURE),
        (lambda: _held().cancel(), Kind.REVERSAL),
        (lambda: _paid().refund(), Kind.REFUND),
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
    story = _held().capture().not_sent().wait(24 * 3600).sweep()
    assert story.session.status is Status.ERROR
