"""The main job of a merchant: a one-time card payment with open card details, from first call to last refund."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance import books
from tests.acceptance.merchant import Merchant, by_card, euros, payment_of
from tests.acceptance.system import System

INSTANT = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")
ID = re.compile(r"(ps|pm|rf|evt)_[0-9]{1,20}")
CUSTOMER = {"reference": "u-3108", "contacts": [{"email": "kai@example.org", "phone": "+4915112345607"}]}
SHOWN_CUSTOMER = {"reference": "u-3108", "contacts": [{"email": "kai@example.org", "phone": "4915*****07"}]}
SHOWN_CARD = {"type": "card", "card": {"brand": "visa", "last4": "4242", "bin": "424242"}}
LISTS = {1: "acquiring_payments", 2: "payment_list"}
CANCELLED = {"code": "session_cancelled_by_partner", "description": "Cancelled by the merchant"}


def shape(value: Any) -> Any:
    """The same with ids and instants replaced by what they are, so that it can be compared as a whole."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    if isinstance(value, str) and INSTANT.fullmatch(value):
        return "<instant>"
    if isinstance(value, str) and (found := ID.fullmatch(value)):
        return f"<{found[1]}>"
    return value


def shown_session(version: int, status: str, payment: dict[str, Any] | None, **members: Any) -> dict[str, Any]:
    """What a session must look like."""
    finished = {"finished_at": "<instant>"} if status in ("accepted", "cancelled") else {}
    payments = {} if payment is None else {LISTS[version]: [payment]}
    stamps = {"created_at": "<instant>", "updated_at": "<instant>"}
    return {"id": "<ps>", "status": status, **stamps, **finished, **payments, **members}


def shown_payment(status: str, **members: Any) -> dict[str, Any]:
    """What the payment of these tests must look like."""
    finished = {"finished_at": "<instant>"} if status in ("succeeded", "failed") else {}
    shown: dict[str, Any] = {
        "id": "<pm>",
        "status": status,
        "created_at": "<instant>",
        **finished,
        "customer": SHOWN_CUSTOMER,
        "payment_details": SHOWN_CARD,
        "amount_details": euros(2590),
        "amounts": {},
        "payment_options": {"return_url": "https://shop.example/back"},
        "refunds": [],
        "metadata": {"order": 5512},
    }
    return {**shown, **members}


def created(shop: Merchant, version: int) -> str:
    """A session that waits for its card details."""
    offered = {"amount_details": euros(2590, "EUR"), "customer": CUSTOMER, "metadata": {"order": 5512}}
    session = shop.call("create", offered, version=version).session
    assert shape(session) == shown_session(version, "created", None)
    return str(session["id"])


def started(shop: Merchant, version: int) -> str:
    """A session whose payment was started in a call of its own."""
    session_id = created(shop, version)
    given = {"payment_details": by_card(), "payment_options": {"return_url": "https://shop.example/back"}}
    session = shop.call("start/payment", {"session_id": session_id, **given}, version=version).session
    assert shape(session) == shown_session(version, "in_progress", shown_payment("in_progress"))
    return session_id


def assert_webhook(
    shop: Merchant, session_id: str, type: str, sequence: int, session: dict[str, Any], *, number: int = 1
) -> None:
    """The webhook of this type is the session's so-manieth event and shows the session so."""
    webhook = shop.receiver.wait_for(session_id, type, count=number)[-1]
    shown = {"type": type, "event_id": "<evt>", "sequence": sequence, "session": session}
    assert shape(webhook.content) == shown


@pytest.mark.parametrize("version", [1, 2])
def test_payment_is_created_started_confirmed_and_finished(system: System, shop: Merchant, version: int) -> None:
    """Each call is answered, and each webhook looks, exactly as the wire API says, in both spellings."""
    session_id = started(shop, version)
    waiting = shown_session(version, "in_progress", shown_payment("pending"), next_action="confirm")
    assert_webhook(shop, session_id, "ready_to_confirm", 1, waiting)
    assert shape(shop.status(session_id, version=version)) == waiting

    confirmed = shop.call("confirm", {"session_id": session_id}, version=version).session
    assert shape(confirmed) == shown_session(version, "in_progress", shown_payment("pending"))

    finished = shop.receiver.wait_for(session_id, "payment_finished")[0].session
    (sale,) = books.of_session(system, session_id)
    references = {"rrn": sale["rrn"], "auth_code": sale["approval_code"]}
    paid = shown_payment("succeeded", amounts={"gross": euros(2590)}, transaction_info=references)
    accepted = shown_session(version, "accepted", paid)
    assert_webhook(shop, session_id, "payment_finished", 2, accepted)
    assert shop.status(session_id, version=version) == finished
    assert (sale["state"], sale["amount_minor"], sale["currency"]) == ("approved", 2590, "eur")
    assert shop.receiver.delivered(session_id) == ["ready_to_confirm", "payment_finished"]


@pytest.mark.parametrize("version", [1, 2])
def test_payment_is_cancelled_before_anything_is_sent(system: System, shop: Merchant, version: int) -> None:
    """The answer shows the decision, the webhook the end, and the acquirer never hears of it."""
    session_id = started(shop, version)
    shop.receiver.wait_for(session_id, "ready_to_confirm")
    session = shop.call("cancel", {"session_id": session_id}, version=version).session
    assert shape(session) == shown_session(version, "in_progress", shown_payment("pending"))
    cancelled = shown_session(version, "cancelled", shown_payment("failed", error=CANCELLED), error=CANCELLED)
    assert_webhook(shop, session_id, "payment_finished", 2, cancelled)
    assert shape(shop.status(session_id, version=version)) == cancelled
    assert books.of_session(system, session_id) == []


@pytest.mark.parametrize("version", [1, 2])
def test_unstarted_session_is_cancelled_at_once_and_silently(shop: Merchant, version: int) -> None:
    """A created session ends in the answer itself, without a webhook."""
    session_id = created(shop, version)
    session = shop.call("cancel", {"session_id": session_id}, version=version).session
    assert shape(session) == shown_session(version, "cancelled", None, error=CANCELLED)
    assert shop.call("start/payment", {"session_id": session_id, "payment_details": by_card()}).error == (
        409,
        "session_wrong_state",
    )
    assert shop.receiver.of(session_id) == []


def test_create_and_start_in_one_call_can_be_read_in_the_other_version(shop: Merchant) -> None:
    """Answers follow the call's version, webhooks the version that created the session."""
    session_id = shop.prepare(version=1)
    assert "acquiring_payments" in shop.receiver.of(session_id)[0].session
    session = shop.call("confirm", {"session_id": session_id}, version=2).session
    assert "payment_list" in session
    assert "acquiring_payments" not in session
    assert "acquiring_payments" in shop.finished(session_id)
    assert payment_of(shop.status(session_id, version=1)) == payment_of(shop.status(session_id, version=2))


def test_empty_session_takes_everything_at_its_start(shop: Merchant) -> None:
    """`[]` is an empty object as PHP writes it, and what is missing at the start is named."""
    session_id = str(shop.call("create", []).session["id"])
    assert shop.call("start/payment", {"session_id": session_id}).error == (400, "invalid_request")
    assert shop.call("start/payment", {**shop.body(), "session_id": session_id}).session["status"] == "in_progress"
    shop.receiver.wait_for(session_id, "ready_to_confirm")


def test_members_given_at_the_start_replace_the_earlier_ones_as_a_whole(system: System, shop: Merchant) -> None:
    """Amount, customer and card of the start win; nothing is merged into depth."""
    earlier = shop.body("5555555555554444", 100, customer=CUSTOMER, metadata={"a": 1, "b": 2})
    session_id = str(shop.call("create", earlier).session["id"])
    later = {**shop.body("378282246310005", 200, "usd", metadata={"b": 3}), "session_id": session_id}
    payment = payment_of(shop.call("start/payment", later).session)
    assert payment["amount_details"] == euros(200, "usd")
    assert payment["customer"] == {"reference": "u-3108", "contacts": []}
    assert payment["payment_details"]["card"] == {"brand": "american_express", "last4": "0005", "bin": "378282"}
    assert payment["metadata"] == {"b": 3}
    shop.receiver.wait_for(session_id, "ready_to_confirm")
    shop.confirm(session_id)
    shop.finished(session_id)
    (sale,) = books.of_session(system, session_id)
    assert (sale["amount_minor"], sale["currency"], sale["card"]) == (200, "usd", "378282*****0005")


def refund_statuses(session: dict[str, Any]) -> list[tuple[str, int]]:
    """Status and amount of each refund."""
    return [(one["status"], one["amount_details"]["amount"]) for one in payment_of(session)["refunds"]]


def test_whole_payment_is_refunded(system: System, shop: Merchant) -> None:
    """Without an amount everything goes back; the answer shows it open, the webhook done."""
    session_id = shop.pay()
    session = shop.refund(session_id, metadata="item returned").session
    assert session["status"] == "in_progress"
    assert "finished_at" not in session
    payment = payment_of(session)
    assert payment["status"] == "succeeded"
    amount = {"amount_details": euros(2590)}
    open_refund = {"id": "<rf>", "status": "in_progress", "created_at": "<instant>", **amount, "amounts": {}}
    assert shape(payment["refunds"]) == [{**open_refund, "metadata": "item returned"}]

    webhook = shop.receiver.wait_for(session_id, "payment_refunded")[0]
    assert (webhook.content["sequence"], webhook.session["status"]) == (3, "accepted")
    (refund,) = payment_of(webhook.session)["refunds"]
    sale, returned = books.of_session(system, session_id)
    assert refund["transaction_info"]["rrn"] == returned["rrn"]
    assert (refund["status"], refund["amounts"]) == ("accepted", {"gross": euros(2590)})
    assert (sale["refunded_minor"], returned["original_rrn"]) == (2590, sale["rrn"])
    assert shop.refund(session_id).error == (400, "refund_amount_too_large")


def test_several_partial_refunds_add_up_and_one_too_much_is_refused(system: System, shop: Merchant) -> None:
    """The sum of refunds never exceeds what was captured, and what is left can still be had."""
    session_id = shop.pay()
    for number, minor in enumerate((1000, 590), start=1):
        assert shop.refund(session_id, minor).session["status"] == "in_progress"
        shop.receiver.wait_for(session_id, "payment_refunded", count=number)
    answer = shop.refund(session_id, 1001)
    assert answer.error == (400, "refund_amount_too_large")
    assert answer.description.startswith("amount_details.amount: ")
    assert shop.refund(session_id).session["status"] == "in_progress"
    session = shop.receiver.wait_for(session_id, "payment_refunded", count=3)[-1].session
    assert refund_statuses(session) == [("accepted", 1000), ("accepted", 590), ("accepted", 1000)]
    assert books.of_session(system, session_id)[0]["refunded_minor"] == 2590


def test_refunds_asked_for_at_once_never_exceed_the_payment(system: System, shop: Merchant) -> None:
    """Of five parallel refunds of 10.00 from 25.90 two are made, by our books and by the acquirer's."""
    session_id = shop.pay()
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda _: shop.refund(session_id, 1000), range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 400, 400, 400]
    shop.receiver.wait_for(session_id, "payment_refunded", count=2)
    session = shop.wait_until_final(session_id)
    assert refund_statuses(session) == [("accepted", 1000), ("accepted", 1000)]
    assert books.of_session(system, session_id)[0]["refunded_minor"] == 2000


def test_refund_in_another_currency_or_of_a_failed_payment_is_refused(shop: Merchant) -> None:
    """The currency is the payment's, and only a succeeded payment has something to give back."""
    paid, declined = shop.pay(), shop.start("4000000000000002")
    wrong = shop.call("refund", {"session_id": paid, "amount_details": euros(100, "usd")})
    assert wrong.error == (400, "invalid_request")
    assert wrong.description.startswith("amount_details.currency: ")
    assert shop.finished(declined)["status"] == "cancelled"
    assert shop.refund(declined).error == (409, "session_wrong_state")


def test_decision_stands_and_the_contrary_one_is_told_so(shop: Merchant) -> None:
    """The same decision again is answered with the session, the other one with the decision that stands."""
    paid, cancelled = shop.pay(), shop.prepare()
    shop.call("cancel", {"session_id": cancelled})
    shop.finished(cancelled)
    for session_id, same, contrary, word in (
        (paid, "confirm", "cancel", "confirmed"),
        (cancelled, "cancel", "confirm", "cancelled"),
    ):
        before = shop.status(session_id)
        assert shop.call(same, {"session_id": session_id}).session == before
        refused = shop.call(contrary, {"session_id": session_id})
        assert refused.error == (409, "session_wrong_state")
        assert word in refused.description


def test_confirm_and_cancel_at_once_are_one_decision(system: System, shop: Merchant) -> None:
    """Of confirm and cancel racing each other exactly one wins, in each of ten sessions."""

    def race(session_id: str) -> tuple[int, int]:
        with ThreadPoolExecutor(2) as threads:
            confirmed = threads.submit(shop.call, "confirm", {"session_id": session_id})
            cancelled = threads.submit(shop.call, "cancel", {"session_id": session_id})
            return confirmed.result().status, cancelled.result().status

    for session_id in [shop.prepare() for _ in range(10)]:
        statuses = race(session_id)
        assert sorted(statuses) == [200, 409]
        session = shop.wait_until_final(session_id)
        assert session["status"] == ("accepted" if statuses[0] == 200 else "cancelled")
        assert len(books.of_session(system, session_id)) == (1 if statuses[0] == 200 else 0)


def test_auto_confirm_pays_without_asking(system: System, new_merchant: Any) -> None:
    """With the setting there is neither a question nor a call: one webhook tells the end."""
    shop = new_merchant(system, settings={"auto_confirm": "on"})
    session_id = shop.init()
    assert shop.finished(session_id)["status"] == "accepted"
    assert shop.receiver.delivered(session_id) == ["payment_finished"]
    assert shop.receiver.of(session_id)[0].content["sequence"] == 1
