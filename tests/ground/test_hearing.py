"""What follows from what acquirers say and do not say: states, transfers, announcements, alarms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ground.promises import check_announcements
from tests.ground.story import TWO_STAGE, Story, confirmed, held, paid, unknown
from tollhouse.operation import State
from tollhouse.outcome import Approved, Declined, Outcome, Reason, Unknown
from tollhouse.payment import Phase

# What is told, and where that leads: phase, reason, states of the operations, transfers, announcements since confirm.
TABLE: dict[str, tuple[Callable[[], Story], Phase, Reason | None, str, str, str]] = {
    "sale approved": (paid, Phase.SUCCEEDED, None, "sale:approved", "posted 2590 posted 2590", "payment_finished"),
    "sale declined": (
        lambda: confirmed().answered("51"),
        Phase.FAILED,
        Reason.INSUFFICIENT_FUNDS,
        "sale:declined",
        "",
        "payment_finished",
    ),
    "sale partly approved": (
        lambda: confirmed().answered("10"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "sale partly approved and undone": (
        lambda: confirmed().answered("10").answered("00"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "sale unanswered": (unknown, Phase.UNKNOWN, None, "sale:reversing reversal:planned", "", ""),
    "sale answered unclearly": (
        lambda: confirmed().answered("68"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "sale undone": (
        lambda: unknown().answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "reversal unanswered": (
        lambda: unknown().answered(""),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "reversal refused": (
        lambda: unknown().answered("96"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "reversal not sent": (
        lambda: unknown().not_sent(),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:submitted",
        "",
        "",
    ),
    "approval after silence": (
        lambda: unknown().hear_late("00").answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "decline after silence": (
        lambda: unknown().hear_late("05").answered("00"),
        Phase.FAILED,
        Reason.ACQUIRER_TIMEOUT,
        "sale:reversed reversal:approved",
        "",
        "payment_finished",
    ),
    "authorization approved": (
        held,
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
        lambda: held().capture().answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2590 posted 2590",
        "ready_to_capture payment_finished",
    ),
    "captured in part": (
        lambda: held().capture(2000).answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2000 posted 2000",
        "ready_to_capture payment_finished",
    ),
    "capture unanswered": (
        lambda: held().capture().answered(""),
        Phase.UNKNOWN,
        None,
        "authorization:approved capture:submitted",
        "pending 2590",
        "ready_to_capture",
    ),
    "capture not sent": (
        lambda: held().capture().not_sent(),
        Phase.CAPTURING,
        None,
        "authorization:approved capture:submitted",
        "pending 2590",
        "ready_to_capture",
    ),
    "capture answered at the third attempt": (
        lambda: held().capture().answered("").answered("").answered("00"),
        Phase.SUCCEEDED,
        None,
        "authorization:approved capture:approved",
        "pending 2590 posted 2590 posted 2590",
        "ready_to_capture payment_finished",
    ),
    "capture declined": (
        lambda: held().capture().answered("05"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "authorization:approved capture:declined reversal:planned",
        "pending 2590",
        "ready_to_capture payment_finished",
    ),
    "capture declined and released": (
        lambda: held().capture().answered("05").answered("00"),
        Phase.FAILED,
        Reason.DECLINED_BY_ISSUER,
        "authorization:approved capture:declined reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "released": (
        lambda: held().cancel().answered("00"),
        Phase.FAILED,
        Reason.CANCELLED_BY_MERCHANT,
        "authorization:approved reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "release unanswered, then done": (
        lambda: held().cancel().answered("").answered("00"),
        Phase.FAILED,
        Reason.CANCELLED_BY_MERCHANT,
        "authorization:approved reversal:approved",
        "pending 2590 voided 2590",
        "ready_to_capture payment_finished",
    ),
    "refunded": (
        lambda: paid().refund(1000).answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:approved",
        "posted 2590 posted 2590 posted 1000 posted 1000",
        "payment_finished payment_refunded",
    ),
    "refund declined": (
        lambda: paid().refund(1000).answered("05"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:declined",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "refund unanswered": (
        lambda: paid().refund(1000).answered(""),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:reversing reversal:planned",
        "posted 2590 posted 2590",
        "payment_finished",
    ),
    "refund undone": (
        lambda: paid().refund(1000).answered("").answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:reversed reversal:approved",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "refund given up": (
        lambda: paid().refund(1000).not_sent().wait(30).not_sent(),
        Phase.SUCCEEDED,
        None,
        "sale:approved refund:declined",
        "posted 2590 posted 2590",
        "payment_finished payment_refunded",
    ),
    "not sent, long after it was planned": (
        lambda: confirmed().wait(90).not_sent(),
        Phase.CONFIRMED,
        None,
        "sale:planned",
        "",
        "",
    ),
    "not sent": (lambda: confirmed().not_sent(), Phase.CONFIRMED, None, "sale:planned", "", ""),
    "not sent, then approved": (
        lambda: confirmed().not_sent().wait(2).answered("00"),
        Phase.SUCCEEDED,
        None,
        "sale:approved",
        "posted 2590 posted 2590",
        "payment_finished",
    ),
    "given up": (
        lambda: confirmed().not_sent().wait(30).not_sent(),
        Phase.FAILED,
        Reason.ACQUIRER_INTERNAL,
        "sale:declined",
        "",
        "payment_finished",
    ),
    "approved although not sent": (
        lambda: confirmed().not_sent().hear_late("00"),
        Phase.UNKNOWN,
        None,
        "sale:reversing reversal:planned",
        "",
        "",
    ),
    "approved although not sent, undone": (
        lambda: confirmed().not_sent().hear_late("00").wait(65).answered("25"),
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
    """Whatever an operation is, hearing its own outcome once more neither moves, books nor announces anything.

    An approval after its release is other news: the acquirer holds money again (P7).
    """
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
        if operation.state in same and not story.session.is_undone(operation.id):
            story.hear(operation, same[operation.state])
    assert story.session is before
