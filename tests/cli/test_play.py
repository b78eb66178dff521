"""Whether a payment ended as the merchant wanted it: by table."""

from __future__ import annotations

from typing import Any

import pytest

from tollhouse.card import parse_pan
from tollhouse.cli.conversation import CallRefused, Conversation, WebhookCame
from tollhouse.cli.play import Plan, judge
from tollhouse.money import Money
from tollhouse.net.merchant import calling

EUR = Money(2590, "eur")
PAN = parse_pan("4242424242424242")
PLAN = Plan(pan=PAN, money=EUR)
CANCEL = Plan(pan=PAN, money=EUR, cancels_decision=True)
PART = Plan(pan=PAN, money=EUR, capture=Money(2000, "eur"))
BY_MERCHANT = {"code": "session_cancelled_by_partner", "description": "Cancelled by the merchant"}
NO_FUNDS = {"code": "insufficient_funds", "description": "Declined: insufficient funds"}


def paid(gross: int = 2590, **more: Any) -> dict[str, Any]:
    """A payment that succeeded."""
    amounts = {"gross": {"amount": gross, "currency": "eur"}}
    return {"status": "succeeded", "amounts": amounts, "amount_details": {"amount": 2590, "currency": "eur"}, **more}


def refund(status: str, **more: Any) -> dict[str, Any]:
    """A refund of 10.00 EUR."""
    return {"status": status, "amount_details": {"amount": 1000, "currency": "eur"}, **more}


TABLE = [
    (PLAN, paid(), True, "succeeded", "25.90 EUR taken"),
    (PLAN, paid(refunds=[refund("accepted")]), True, "succeeded", "25.90 EUR taken, 10.00 EUR given back"),
    (PLAN, paid(refunds=[refund("declined", error=NO_FUNDS)]), False, "refund_declined", NO_FUNDS["description"]),
    (PLAN, paid(2000), False, "succeeded", "2000 was taken, 2590 was wanted"),
    (PART, paid(2000), True, "succeeded", "20.00 EUR taken"),
    (PLAN, {"status": "failed", "error": NO_FUNDS}, False, "failed", "Declined: insufficient funds"),
    (PLAN, {"status": "failed", "error": BY_MERCHANT}, False, "failed", "Cancelled by the merchant"),
    (PLAN, {"status": "pending"}, False, "unfinished", "the payment is not final"),
    (CANCEL, {"status": "failed", "error": BY_MERCHANT}, True, "cancelled", "nothing was taken"),
    (CANCEL, {"status": "failed", "error": NO_FUNDS}, False, "failed", "Declined: insufficient funds"),
    (CANCEL, paid(), False, "succeeded", "it succeeded although it was cancelled"),
]


@pytest.mark.parametrize(("plan", "payment", "is_expected", "outcome", "description"), TABLE)
async def test_judgement(
    plan: Plan, payment: dict[str, Any], is_expected: bool, outcome: str, description: str
) -> None:
    """What ended as planned is expected; anything else says what happened instead."""
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=2, tell=print)
        talk.session = {"id": "ps_1", "status": "accepted", "payment_list": [payment]}
        result = judge(plan, talk)
    assert (result.is_expected, result.outcome, result.description) == (is_expected, outcome, description)


async def test_one_wrong_signature_is_not_expected() -> None:
    """A payment whose webhooks cannot be trusted did not end as wanted."""
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=1, tell=print)
        talk.session = {"id": "ps_1", "acquiring_payments": [paid()]}
        talk.webhooks.append(
            WebhookCame(
                at_seconds=0.1,
                type="payment_finished",
                event_id="evt_1",
                sequence=1,
                signatures={"X-PARTNER-SIGN": True, "v1": False, "v1a": True},
                session=talk.session,
                is_repeated=False,
            )
        )
        result = judge(PLAN, talk)
    assert (result.is_expected, result.description) == (False, "a webhook's signature does not fit")


def test_a_card_is_not_in_what_is_told_of_a_refusal() -> None:
    """A refused call is told by its code and description, whatever the answer looks like."""
    from tollhouse.cli.conversation import CallMade

    made = CallMade(
        at_seconds=0, method="POST", path="/x", status=502, duration_seconds=0.1, answer={"error": "gateway"}
    )
    assert CallRefused(made).code == "http_502"
