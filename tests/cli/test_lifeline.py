"""The drawing of a session's life: what is in it, in which order, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import click
import pytest

from tests.cli import authenticated
from tests.ground.story import NOON, Story
from tests.lives import STORIES, captured, declined, life_of, paid, reversed_late, stuck, timed_out, told, waiting
from tollhouse.change import Note
from tollhouse.cli.lifeline import draw, meaning_of
from tollhouse.life import Announced, Kept, Life
from tollhouse.webhook import Attempt, DeliveryState


def drawn(life: Life, width: int = 110) -> list[str]:
    """The drawing without colours."""
    return [click.unstyle(line) for line in "\n".join(draw(life, width)).splitlines()]


def place(lines: list[str], *parts: str) -> int:
    """Where the first line with all of these parts is."""
    found = [at for at, line in enumerate(lines) if all(part in line for part in parts)]
    assert found, "\n".join([f"no line with {parts}", *lines])
    return found[0]


def test_an_authentication_is_drawn_with_the_directory_server() -> None:
    """Messages go past the acquirer to the directory server, the browser's come from the left; steps are named."""
    lines = drawn(authenticated.life())
    head = place(lines, "merchant, payer", "gateway", "acquirer", "directory")
    order = [
        place(lines, "payment: confirmed → await_action"),
        place(lines, "3DS: new → opened (opened)"),
        place(lines, "3DS: opened → asked (asked)"),
        place(lines, "── AReq 2.3.1 ─", "┼", "▶"),
        place(lines, "◀── ARes 2.3.1 ─", "┼"),
        place(lines, "│    C challenge"),
        place(lines, "── CRes 2.3.1 ─", "▶"),
        place(lines, "Y authenticated, by the"),
        place(lines, "◀── RReq 2.3.1 ─"),
        place(lines, "│    Y authenticated, ECI 05"),
        place(lines, "3DS: challenged → finished (finished)"),
        place(lines, "── RRes 2.3.1 ─"),
        place(lines, "0200 sale 25.90 EUR", "▶"),
    ]
    assert order == sorted(order)
    assert order[0] > head
    assert place(lines, "2.2.0, finished, Y authenticated, ECI 05") < head


def test_a_silent_directory_server_is_drawn() -> None:
    """Silence stands where the answer would, an Erro goes out."""
    lines = drawn(authenticated.life(ends_in_silence=True))
    assert place(lines, "◀── silence") + 1 == place(lines, "no answer within 10 s")
    assert place(lines, "── Erro 2.3.1", "▶") + 1 == place(lines, "203 Wrong: eci (about ARes)")


def test_the_proof_in_a_charge_is_told() -> None:
    """Field 48 is told by what its tags mean; a field that cannot be read is no obstacle."""
    tags = "420205" + "4328" + "A" * 28 + "45052.3.1" + "460205"
    for text, said in ((tags + "<cvv>", "ECI 05, authentication value, 3DS 2.3.1, exemption: TRA"), ("4", "")):
        note = Note(kind="message_out", data={"mti": "0200", "fields": {"2": "<pan>", "48": text}})
        lines = drawn(replace(life_of(waiting()), notes=(Kept(at=NOON, what=note),)), 140)
        assert place(lines, said) >= 0
        assert any("PAN, CVV from the vault" in line for line in lines) is bool(said)


@pytest.mark.parametrize("width", [40, 110, 140])
@pytest.mark.parametrize("ends_in_silence", [False, True])
def test_lifelines_with_a_directory_server_stand_straight(width: int, ends_in_silence: bool) -> None:
    """With the fourth participant too, each drawn line is equally long."""
    lines = drawn(authenticated.life(ends_in_silence=ends_in_silence), width)
    body = lines[place(lines, "directory") + 1 :]
    assert len({len(line) for line in body}) == 1, "\n".join(body)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("width", [40, 110, 140])
def test_lifelines_stand_straight(story: Callable[[], Story], width: int) -> None:
    """Every life can be drawn at any width, and each drawn line is equally long."""
    lines = drawn(life_of(story()), width)
    body = lines[place(lines, "merchant", "gateway", "acquirer") + 1 :]
    assert body
    assert len({len(line) for line in body}) == 1, "\n".join(body)


def test_a_payment_is_told_in_order() -> None:
    """Call, decision, request to the acquirer, its answer, what became of it, the ledger."""
    lines = drawn(life_of(paid()))
    order = [
        place(lines, "session/init/payment", "▶"),
        place(lines, "payment: routing → await_confirm (routed)"),
        place(lines, "session/confirm", "▶"),
        place(lines, "sale: planned → submitted"),
        place(lines, "0200 sale 25.90 EUR", "▶"),
        place(lines, "RRN 000000001001, STAN 001001"),
        place(lines, "◀── 0210 sale 00"),
        place(lines, "approved, approval code 7K20QX"),
        place(lines, "payment: authorizing → succeeded"),
        place(lines, "posted 25.90 EUR acquirer_receivable → payer_funds"),
    ]
    assert order == sorted(order)


def test_times_are_milliseconds_since_the_beginning() -> None:
    """Each line that happened says how long after the session's creation."""
    lines = drawn(life_of(paid()))
    assert lines[place(lines, "session/init/payment")].split()[0] == "+0"
    assert lines[place(lines, "session/confirm")].split()[0] == "+1,000"
    assert lines[place(lines, "0210 sale")].split()[0] == "+2,050"
    late = drawn(life_of(timed_out()))
    assert late[place(late, "(decision_over)")].split()[0] == "+4:01:00"


def test_the_head_says_how_things_stand() -> None:
    """Status, amount, card and operations come first; what is due next is said."""
    text = "\n".join(drawn(life_of(captured())))
    assert "ps_001  accepted" in text
    assert "25.90 EUR, visa 424242******4242, succeeded, captured 20.00 EUR" in text
    assert "next thing due" not in text
    assert "next thing due at 2026-03-02 16:00:00.000 UTC" in "\n".join(drawn(life_of(waiting())))
    assert "needs a person" in "\n".join(drawn(life_of(stuck())))


def test_a_decline_says_why() -> None:
    """A response code is told in words."""
    lines = drawn(life_of(declined()))
    assert place(lines, "0210 sale 51") + 1 == place(lines, "Declined: insufficient funds")


def test_what_was_not_sent_is_drawn_as_such() -> None:
    """A message that never left is no arrow and holds nothing from the vault; the one that left afterwards does."""
    story = told().start().confirm().wait(1).not_sent()
    story.wait(2).send()
    lines = drawn(life_of(story))
    stayed = place(lines, "├ 0200 sale 25.90 EUR: NOT SENT")
    left = place(lines, "── 0200 sale 25.90 EUR ─", "▶")
    assert stayed < place(lines, "nothing was written to the acquirer") < left
    assert place(lines, "PAN, expiry") > left


def test_operations_of_one_kind_are_numbered_and_alarms_stand_out() -> None:
    """Two reversals are told apart; the alarm is among them."""
    lines = drawn(life_of(reversed_late()))
    assert place(lines, "0400 reversal 1") < place(lines, "ALARM sale: approved after it was reversed")
    assert place(lines, "ALARM") < place(lines, "0400 reversal 2")


def test_deliveries_are_arrows_to_the_merchant() -> None:
    """Each attempt is an arrow with what was answered; the event itself stands where it was announced."""
    attempts = tuple(
        Attempt(
            number=number,
            at=NOON + timedelta(seconds=number),
            status=status,
            error=error,
            excerpt="",
            duration_seconds=0.012,
        )
        for number, status, error in ((1, None, "connection refused"), (2, 500, None), (3, 200, None))
    )
    event = Announced(
        project="shop",
        session_id="ps_001",
        id="evt_1",
        type="payment_finished",
        sequence=2,
        created_at=NOON,
        state=DeliveryState.DELIVERED,
        next_attempt_at=None,
        attempts=attempts,
    )
    lines = drawn(replace(life_of(paid()), events=(event,)))
    first = place(lines, "◀── payment_finished #2")
    assert place(lines, "event payment_finished #2 evt_1") < first
    assert "connection refused in 12 ms" in lines[first + 1]
    assert place(lines, "500 in 12 ms, attempt 2") < place(lines, "200 in 12 ms, attempt 3")


def test_refused_calls_are_told_as_such() -> None:
    """A call that was refused has its status; a note of a kind nobody knows is no obstacle."""
    data = {"method": "session/capture", "status": 409, "request_id": "rq_1"}
    refused = Kept(at=NOON, what=Note(kind="request", data=data))
    odd = Kept(at=NOON, what=Note(kind="message_in", data="odd"))
    lines = drawn(replace(life_of(waiting()), notes=(refused, odd)))
    assert "refused with 409" in lines[place(lines, "session/capture") + 1]


@pytest.mark.parametrize(
    ("code", "is_reversal", "words"),
    [
        ("00", False, "approved"),
        ("00", True, "done"),
        ("25", True, "the acquirer knows nothing to reverse"),
        ("96", True, "not done"),
        ("10", False, "approved for a part only"),
        ("68", False, "no clear answer"),
        ("54", False, "Declined: the card has expired"),
        ("", False, "no response code"),
    ],
)
def test_meanings(code: str, is_reversal: bool, words: str) -> None:
    """Response codes in words, as they are meant in answers to reversals or to anything else."""
    assert meaning_of(code, is_reversal=is_reversal) == words
