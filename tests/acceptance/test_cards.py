"""What becomes of a payment is chosen by its card: approvals, declines, and every fault on the way to the acquirer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.acceptance import books
from tests.acceptance.merchant import Merchant, payment_of
from tests.acceptance.system import System, until
from tollhouse.sandbox.cards import compose

APPROVED = {
    "4242424242424242": "visa",
    "4111111111111111": "visa",
    "5555555555554444": "mastercard",
    "5454545454545454": "mastercard",
    "2223003122003222": "mastercard",
    "378282246310005": "american_express",
    "371449635398431": "american_express",
    "3566002020360505": "jcb",
    "6011111111111117": "discover",
    "6011000990139424": "discover",
}
DECLINED = {
    "4000000000000002": "declined_by_issuer_bank",
    "4000000000009995": "insufficient_funds",
    "4000000000009987": "not_permitted_by_issuer_bank",
    "4000000000009979": "not_permitted_by_issuer_bank",
    "4000000000000069": "bank_card_expired",
    "4000000000000127": "declined_by_issuer_bank",
    "4000000000000119": "provider_internal_error",
    compose(answer="12"): "declined_by_issuer_bank",
    compose(answer="13"): "provider_exceeds_amount_limit",
    compose(answer="14"): "card_number_does_not_exist",
    compose(answer="57"): "not_permitted_by_issuer_bank",
    compose(answer="61"): "activity_count_exceeded",
    compose(answer="62"): "not_permitted_by_issuer_bank",
    compose(answer="65"): "activity_count_exceeded",
    compose(answer="91"): "provider_issuer_unavailable",
    # Half of the amount was approved, which nobody agreed to: undone.
    compose(answer="10"): "declined_by_issuer_bank",
    # Answers that say nothing certain: undone, never taken for a decline.
    compose(answer="68"): "provider_timeout",
    compose(answer="94"): "provider_timeout",
}
SECONDS_MAX = 90.0


@pytest.mark.parametrize("number", APPROVED)
def test_familiar_card_pays(shop: Merchant, number: str) -> None:
    """Each of the schemes' test numbers is approved and shown under its brand."""
    session = shop.status(shop.pay(number))
    shown = payment_of(session)["payment_details"]["card"]
    assert shown == {"brand": APPROVED[number], "last4": number[-4:], "bin": number[:6]}


@pytest.mark.parametrize("number", DECLINED)
def test_declined_card_fails_with_its_reason(system: System, shop: Merchant, number: str) -> None:
    """The session is cancelled with the reason of the table, and the acquirer holds no money."""
    session_id = shop.start(number)
    session = shop.finished(session_id)
    assert (session["status"], payment_of(session)["status"]) == ("cancelled", "failed")
    assert session["error"] == payment_of(session)["error"]
    assert session["error"]["code"] == DECLINED[number]
    assert session["error"]["description"]
    assert payment_of(session)["amounts"] == {}
    assert [one["state"] in ("declined", "reversed") for one in books.of_session(system, session_id)] == [True]
    assert shop.call("confirm", {"session_id": session_id}).session == shop.status(session_id)
    assert shop.refund(session_id).error == (409, "session_wrong_state")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Digits of a card and how its payment must end. `error` None: it succeeds. `booked`: states at the acquirer."""

    fault: int = 0
    later: int = 0
    error: str | None = None
    booked: list[str] = field(default_factory=lambda: ["reversed"])
    does: str = "pay"
    refund: str | None = None
    alarms: bool = False

    @property
    def name(self) -> str:
        """As it stands in the list of tests."""
        return f"f{self.fault}-o{self.later}-{self.does}"


UNDONE = "provider_timeout"
FAULTS = [
    Fault(fault=1, error=UNDONE),
    Fault(fault=2, error=UNDONE, booked=[]),
    Fault(fault=3, error=UNDONE, alarms=True),
    Fault(fault=4, booked=["approved"]),
    Fault(fault=5, error=UNDONE),
    Fault(fault=6, booked=["approved"]),
    Fault(fault=7, error=UNDONE),
    Fault(fault=8, error="activity_count_exceeded", booked=["declined"]),
    Fault(fault=9, error=UNDONE, booked=[]),
    Fault(later=1, does="refund", booked=["approved", "declined"], refund="declined"),
    Fault(later=2, does="refund", booked=["approved", "reversed"], refund="declined"),
    Fault(later=3, does="capture", error="declined_by_issuer_bank", booked=["reversed", "declined"]),
    Fault(later=4, does="capture", booked=["captured", "approved"]),
    Fault(fault=1, later=5, error=UNDONE),
    Fault(fault=2, later=5, error=UNDONE, booked=[]),
    Fault(later=5, does="release", error="session_cancelled_by_partner"),
    Fault(fault=1, later=7, error=UNDONE, alarms=True),
    Fault(fault=2, later=7, error=UNDONE, alarms=True),
    Fault(later=7, does="release", error="session_cancelled_by_partner", alarms=True),
]


@pytest.fixture(scope="module")
def sessions(shop: Merchant, inn: Merchant) -> dict[str, str]:
    """One payment for each fault, all on their way at once, since some take half a minute to end.

    Those that break connections come after the others, whose answers they would take along.
    """

    def begin(fault: Fault) -> tuple[str, str]:
        merchant = shop if fault.does in ("pay", "refund") else inn
        session_id = merchant.start(compose(fault=fault.fault, later=fault.later))
        match fault.does:
            case "refund":
                merchant.finished(session_id)
                merchant.refund(session_id, 1000)
            case "capture" | "release":
                merchant.receiver.wait_for(session_id, "ready_to_capture")
                merchant.call("cancel" if fault.does == "release" else "capture", {"session_id": session_id})
            case _ if fault.error is None:
                merchant.finished(session_id)
        return fault.name, session_id

    breaking = [fault for fault in FAULTS if fault.fault in (5, 9)]
    others = [fault for fault in FAULTS if fault not in breaking]
    with ThreadPoolExecutor(len(FAULTS)) as threads:
        return dict([*threads.map(begin, others)]) | dict(threads.map(begin, breaking))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_ends_as_money_safety_says(
    system: System, shop: Merchant, inn: Merchant, sessions: dict[str, str], fault: Fault
) -> None:
    """Whatever the wire does, the payment ends as it must and the acquirer's books say the same as ours."""
    merchant, session_id = shop if fault.does in ("pay", "refund") else inn, sessions[fault.name]
    if fault.refund is not None:
        session = merchant.receiver.wait_for(session_id, "payment_refunded", seconds=SECONDS_MAX)[0].session
        assert [one["status"] for one in payment_of(session)["refunds"]] == [fault.refund]
        assert payment_of(session)["refunds"][0]["error"]["code"]
    else:
        session = merchant.finished(session_id, seconds=SECONDS_MAX)
    assert session["status"] == ("cancelled" if fault.error else "accepted")
    assert payment_of(session).get("error", {}).get("code") == fault.error
    # After "late approval" the acquirer holds the money until it is reversed again.
    until(lambda: _booked(system, session_id) == fault.booked, f"the sandbox shows {fault.booked} for {session_id}")
    alarms = f"select what from alarm where session_id = '{session_id}'"
    assert bool(until(lambda: system.rows(alarms), "an alarm") if fault.alarms else system.rows(alarms)) == fault.alarms
    # What nobody sees may still have happened: a late answer was reversed again.
    assert merchant.status(session_id) | {"updated_at": ""} == session | {"updated_at": ""}
    assert books.charged_twice(system) == []


def _booked(system: System, session_id: str) -> list[str]:
    return [one["state"] for one in books.of_session(system, session_id)]


def test_reversal_that_is_never_answered_leaves_the_payment_open(system: System, shop: Merchant) -> None:
    """However often it is repeated, no answer turns into neither success nor failure (P6)."""
    session_id = shop.start(compose(fault=1, later=6))
    attempts = f"select attempts from operation where session_id = '{session_id}' and kind = 'reversal'"
    until(lambda: [row for row in system.rows(attempts) if row[0] >= 2], "the reversal was repeated")
    session = shop.status(session_id)
    assert (session["status"], payment_of(session)["status"]) == ("in_progress", "in_progress")
    assert "error" not in session
    assert shop.receiver.delivered(session_id) == ["ready_to_confirm"]
    for method in ("cancel", "refund", "capture"):
        assert shop.call(method, {"session_id": session_id}).error == (409, "session_wrong_state")
    assert shop.call("confirm", {"session_id": session_id}).session["status"] == "in_progress"


def test_faults_on_one_line_do_not_disturb_payments_beside_them(system: System, shop: Merchant) -> None:
    """While answers get lost, come twice or as garbage, other payments succeed all the same."""
    faulty = [shop.prepare(compose(fault=fault, free=f"{at:02d}")) for at in range(3) for fault in (1, 2, 4, 7)]
    sound = [shop.prepare() for _ in range(30)]
    mixed: list[str] = [session_id for pair in zip(sound, [*faulty, *sound[:18]], strict=True) for session_id in pair]

    def confirm(session_id: str) -> dict[str, Any]:
        return shop.confirm(session_id).session

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(confirm, dict.fromkeys(mixed)))
    assert [shop.finished(session_id)["status"] for session_id in sound] == ["accepted"] * 30
    assert [shop.finished(session_id)["status"] for session_id in faulty] == [
        "cancelled",
        "cancelled",
        "accepted",
        "cancelled",
    ] * 3


def test_books_are_equal_in_the_end(system: System, shop: Merchant, inn: Merchant) -> None:
    """After all payments of this worker the acquirer's books and ours agree about every operation that is over."""
    books.assert_sound(system, seconds=SECONDS_MAX)
