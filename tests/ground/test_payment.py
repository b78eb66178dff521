"""Payments: every pair of phase and word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ground.story import CARD, NOON
from tollhouse.money import Money
from tollhouse.outcome import Reason
from tollhouse.payment import FINAL, TRANSITIONS, Details, Payment, Phase, PhaseUnknown, Told, may_tell, tell

# wire-api 8.2: phase, then each word it takes with where that leads.
TABLE = """
routing        routed=await_confirm auto_confirmed=confirmed rejected=failed
await_confirm  confirm=confirmed cancel=cancelling decision_over=failed
confirmed      leaving=authorizing given_up=failed action_required=await_action
await_action   authenticated=confirmed not_authenticated=failed action_over=failed
authorizing    not_sent=confirmed charged=succeeded held=held declined=failed silence=unknown step_up=await_action
held           capture=capturing cancel=cancelling hold_over=cancelling
capturing      captured=succeeded capture_refused=failed silence=unknown
cancelling     released=failed silence=unknown
unknown        silence=unknown undone=failed captured=succeeded capture_refused=failed released=failed
succeeded
failed
"""
EXPECTED = {
    (Phase(phase), Told(told)): Phase(after)
    for phase, *words in map(str.split, TABLE.strip().splitlines())
    for told, after in (word.split("=") for word in words)
}
PAIRS = [(phase, told) for phase in Phase for told in Told]


def _payment(phase: Phase) -> Payment:
    return Payment(
        id="pm_1",
        phase=phase,
        money=Money(2590, "eur"),
        card=CARD,
        details=Details(),
        acquirer="sandbox",
        created_at=NOON,
        decision_deadline_at=NOON,
        hold_deadline_at=NOON,
    )


@pytest.mark.parametrize(("phase", "told"), PAIRS)
def test_every_pair_is_decided(phase: Phase, told: Told) -> None:
    """A phase moves by the words of its line and takes no other."""
    payment = _payment(phase)
    assert may_tell(payment, told) == ((phase, told) in EXPECTED)
    if (phase, told) not in EXPECTED:
        with pytest.raises(PhaseUnknown):
            tell(payment, told, NOON, reason=Reason.CANCELLED)
        return
    after = tell(payment, told, NOON, reason=Reason.CANCELLED)
    assert after.phase is EXPECTED[phase, told]
    assert (after.finished_at is not None) == after.is_final
    assert (after.reason is not None) == (after.phase is Phase.FAILED)
    if after.is_final:
        assert after == replace(after, decision_deadline_at=None, hold_deadline_at=None)


def test_table_is_whole() -> None:
    """The lines above are the machine, no more and no less, and name every phase."""
    assert EXPECTED == TRANSITIONS
    assert {line.split()[0] for line in TABLE.strip().splitlines()} == set(Phase)


def test_every_word_is_used() -> None:
    """No word is left that nobody can say."""
    assert {told for _, told in EXPECTED} == set(Told)


def test_final_phases_take_nothing() -> None:
    """Succeeded and failed are the ends."""
    assert {phase for phase in Phase if not any(pair[0] is phase for pair in EXPECTED)} == FINAL


def test_every_phase_can_end() -> None:
    """From every phase a final one can be reached."""
    ending = set(FINAL)
    for _ in Phase:
        ending |= {phase for (phase, _), after in EXPECTED.items() if after in ending}
    assert ending == set(Phase)


def test_failure_needs_a_reason() -> None:
    """A payment cannot fail without saying why."""
    with pytest.raises(AssertionError):
        tell(_payment(Phase.AUTHORIZING), Told.DECLINED, NOON)
