"""3-D Secure, again: repetitions, contradictions, attempts that came to nothing and those that follow them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ground.authenticated import HOUR, challenged, charges, fails, goes_on
from tests.ground.story import (
    asked_for,
)
from tollhouse.authentication import State
from tollhouse.outcome import Reason


def test_repetitions_change_nothing() -> None:
    """The same answer, result or error twice, and asking twice, are heard once."""
    story = challenged()
    version = story.session.version
    assert story.ask().reply("C").reply("Y").session.version == version
    story.result("Y")
    version = story.session.version
    story.result("Y").result("Y").broken_off().reply("N").ask().retry()
    assert story.session.version == version
    assert story.alarms == []
    goes_on(story, proven=True)


@pytest.mark.parametrize(("first", "then"), [("Y", "N"), ("N", "Y"), ("Y", "U"), ("A", "Y")])
def test_a_contradiction_is_an_alarm(first: str, then: str) -> None:
    """The issuer's first word stands; the other is told to a person and moves nothing."""
    story = challenged().result(first)
    payment, operations = story.payment, story.session.operations
    story.result(then)
    assert [alarm.what for alarm in story.alarms] == [
        f"the issuer first said {first} and then {then}; the first word stands"
    ]
    assert (story.payment, story.session.operations) == (payment, operations)
    assert story.announced[-1] == ("action_required" if first in ("Y", "A") else "payment_finished")


def test_a_contradiction_of_the_answer_is_an_alarm_too() -> None:
    """Finished without a challenge, and then a result that says otherwise."""
    story = asked_for().ask().reply("Y").result("N")
    assert len(story.alarms) == 1
    goes_on(story, proven=True)


@pytest.mark.parametrize("cancelled", ["04", "05"])
def test_a_challenge_nobody_came_to_is_asked_again(cancelled: str) -> None:
    """The issuer's page timed out or was never opened: another attempt waits for the payer, up to three in all."""
    story = asked_for()
    link, deadline_at = story.payment.action_link, story.payment.action_deadline_at
    for number in (1, 2):
        first = story.ask().reply("C").attempt
        story.wait(600).result("N", cancelled=cancelled)
        assert story.session.authentication(first.id).state is State.LAPSED
        assert (story.attempt.state, len(story.session.authentications)) == (State.OPENED, number + 1)
    assert (story.payment.action_link, story.payment.action_deadline_at) == (link, deadline_at)
    fails(story.ask().reply("C").result("N", cancelled=cancelled))


@pytest.mark.parametrize("cancelled", ["01", "03", "06", "07", "08"])
def test_other_cancellations_are_the_end(cancelled: str) -> None:
    """The payer's own no, and errors, fail the payment at once."""
    fails(challenged().result("N", cancelled=cancelled))


@pytest.mark.parametrize("begun", ["C", "D"])
def test_the_payer_begins_anew(begun: str) -> None:
    """A stuck challenge can be left for another attempt; the result of the one that was left counts no more."""
    story = asked_for().ask().reply(begun)
    left = story.attempt
    story.wait(60).retry()
    assert (story.attempt.state, story.attempt.id != left.id) == (State.OPENED, True)
    version = story.session.version
    assert story.result("Y", left).session.version == version
    assert story.broken_off(left).reply("Y", left).session.version == version
    goes_on(story.ask().reply("Y"), proven=True)
    assert charges(story)[0].authentication_id != left.id


@pytest.mark.parametrize("left", ["by the payer", "by the issuer"])
@pytest.mark.parametrize("status", ["U", "I", ""])
def test_who_leaves_a_challenge_does_not_get_round_it(left: str, status: str) -> None:
    """The issuer wanted the payer: what `auto` would let pass at the first attempt fails at the next one."""
    story = challenged()
    story.retry() if left == "by the payer" else story.result("N", cancelled="05")
    fails(story.ask().reply(status))


def test_three_attempts_and_no_more() -> None:
    """After the third request the payer can only finish or let the time pass."""
    story = asked_for()
    for _ in range(2):
        story.ask().reply("C").retry()
    version = story.ask().reply("C").session.version
    assert story.retry().session.version == version
    fails(story.wait(HOUR).sweep(), Reason.ACTION_TIMEOUT)


@pytest.mark.parametrize("place", ["opened", "asked"])
def test_only_a_challenge_can_be_left(place: str) -> None:
    """Before it there is nothing to leave."""
    story = asked_for() if place == "opened" else asked_for().ask()
    version = story.session.version
    assert story.retry().session.version == version


def test_the_open_attempt_counts_whatever_the_clocks_say() -> None:
    """An attempt that a slower clock dated before its predecessor is still the present one."""
    story = challenged().wait(-600).retry()
    first, second = story.session.authentications
    story.session = replace(story.session, authentications=(second, first))
    assert story.attempt == second
    fails(story.wait(2 * HOUR).sweep(), Reason.ACTION_TIMEOUT)
