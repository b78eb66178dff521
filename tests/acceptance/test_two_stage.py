"""Two-stage projects: money is reserved first, then taken whole or in part, or given back."""

from __future__ import annotations

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant, euros, payment_of
from tests.acceptance.system import System


def held(inn: Merchant, number: str = "4242424242424242", minor: int = 2590, **members: object) -> str:
    """A session whose money is reserved, and whose merchant was told so."""
    session_id = inn.start(number, minor, **members)
    inn.receiver.wait_for(session_id, "ready_to_capture")
    return session_id


@pytest.mark.parametrize("minor", [None, 2590, 1000])
def test_hold_is_captured_whole_or_in_part(system: System, inn: Merchant, minor: int | None) -> None:
    """One capture takes what was asked for; both books show the rest as released."""
    session_id = held(inn)
    hold = inn.receiver.of(session_id, "ready_to_capture")[0].session
    assert (hold["status"], hold["next_action"]) == ("in_progress", "capture")
    assert (payment_of(hold)["status"], payment_of(hold)["amounts"]) == ("pending", {})
    (authorization,) = books.of_session(system, session_id)
    assert payment_of(hold)["transaction_info"]["rrn"] == authorization["rrn"]

    amount = {} if minor is None else {"amount_details": euros(minor)}
    session = inn.call("capture", {"session_id": session_id, **amount}).session
    assert (session["status"], payment_of(session)["status"]) == ("in_progress", "in_progress")
    assert "next_action" not in session

    finished = inn.finished(session_id)
    taken = minor or 2590
    assert payment_of(finished)["amounts"] == {"gross": euros(taken)}
    assert payment_of(finished)["amount_details"] == euros(2590)
    assert inn.receiver.delivered(session_id) == ["ready_to_confirm", "ready_to_capture", "payment_finished"]
    authorization, completion = books.of_session(system, session_id)
    assert (authorization["state"], authorization["captured_minor"]) == ("captured", taken)
    assert (completion["kind"], completion["amount_minor"]) == ("completion", taken)


def test_hold_is_released_by_cancel(system: System, inn: Merchant) -> None:
    """The payment fails as cancelled and the acquirer holds nothing any more."""
    session_id = held(inn)
    session = inn.call("cancel", {"session_id": session_id}).session
    assert (session["status"], payment_of(session)["status"]) == ("in_progress", "pending")
    assert "next_action" not in session
    finished = inn.finished(session_id)
    assert (finished["status"], finished["error"]["code"]) == ("cancelled", "session_cancelled_by_partner")
    (authorization,) = books.of_session(system, session_id)
    assert authorization["state"] == "reversed"


def test_capture_beyond_the_hold_or_in_another_currency_is_refused(inn: Merchant) -> None:
    """What was reserved is the limit, and the hold stays as it was."""
    session_id = held(inn)
    too_much = inn.call("capture", {"session_id": session_id, "amount_details": euros(2591)})
    assert too_much.error == (400, "capture_amount_too_large")
    wrong = inn.call("capture", {"session_id": session_id, "amount_details": euros(2590, "usd")})
    assert wrong.error == (400, "invalid_request")
    assert inn.status(session_id)["next_action"] == "capture"


def test_second_capture_is_the_same_or_refused(inn: Merchant) -> None:
    """The same capture again changes nothing; another amount, a cancel and a capture before the hold are refused."""
    waiting, session_id = inn.prepare(), held(inn)
    assert inn.call("capture", {"session_id": waiting}).error == (409, "session_wrong_state")
    capture = {"session_id": session_id, "amount_details": euros(1000)}
    inn.call("capture", capture)
    before = inn.finished(session_id)
    assert inn.call("capture", capture).session == before
    for refused in (
        inn.call("capture", {**capture, "amount_details": euros(1001)}),
        inn.call("capture", {"session_id": session_id}),
        inn.call("cancel", {"session_id": session_id}),
    ):
        assert refused.error == (409, "session_wrong_state")


def test_captured_part_is_what_can_be_refunded(system: System, inn: Merchant) -> None:
    """After a partial capture the refund's limit is the capture, and the acquirer's books say the same."""
    session_id = held(inn)
    inn.call("capture", {"session_id": session_id, "amount_details": euros(1000)})
    inn.finished(session_id)
    assert inn.refund(session_id, 1001).error == (400, "refund_amount_too_large")
    inn.refund(session_id)
    session = inn.receiver.wait_for(session_id, "payment_refunded")[0].session
    assert payment_of(session)["refunds"][0]["amounts"] == {"gross": euros(1000)}
    authorization = books.of_session(system, session_id)[0]
    assert (authorization["captured_minor"], authorization["refunded_minor"]) == (1000, 1000)


def test_auto_confirmed_payment_is_held(system: System, new_merchant: NewMerchant) -> None:
    """Without asking for a confirmation the first word is that the money waits to be captured."""
    inn = new_merchant(system, settings={"capture_mode": "two_stage", "auto_confirm": "on"})
    session_id = inn.init()
    inn.receiver.wait_for(session_id, "ready_to_capture")
    inn.call("capture", {"session_id": session_id})
    assert inn.finished(session_id)["status"] == "accepted"
    assert inn.receiver.delivered(session_id) == ["ready_to_capture", "payment_finished"]
