"""The part of the merchant: start a payment, decide when asked, capture, refund; and whether it ended as wanted."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from tollhouse.card import PAN
from tollhouse.cli.conversation import CallRefused, Conversation, NoWebhook
from tollhouse.money import Money
from tollhouse.net.merchant import Unreachable

CVV_BY_BRAND_DIGITS = {15: "1234"}  # American Express prints four digits
CVV = "123"
CARD_YEARS = 3
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the merchant wants of this payment."""

    pan: PAN
    money: Money
    cancels_decision: bool = False
    cancels_hold: bool = False
    confirm_after_seconds: float = 0
    capture: Money | None = None
    refunds: tuple[Money, ...] = ()
    webhook_seconds_max: float = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How it ended. `is_expected`: as the plan wanted it."""

    is_expected: bool
    outcome: str  # succeeded, cancelled, failed, refund_declined; refused (a call), interrupted, or unfinished
    reason: str | None
    description: str


class PayerStuck(Exception):
    """The payer cannot go on; the text is one line that says where."""


class Payer(Protocol):
    """Whoever authenticates."""

    @property
    def seconds_max(self) -> float:
        """So long a webhook is awaited after the payer was sent to the page."""

    async def act(self, link: str) -> None:
        """Authenticate at this link, or have somebody do it. Raises `PayerStuck`, `Unreachable`."""


async def play(plan: Plan, conversation: Conversation, payer: Payer) -> Result:
    """The whole conversation. Raises nothing that a gateway or a network can cause."""
    try:
        await conversation.call("session/init/payment", _payment(plan), key=f"pay-{secrets.token_hex(8)}")
        unexpected = await _go_on(plan, conversation, payer)
        await conversation.call("session/status", _named(conversation))
    except CallRefused as refused:
        return Result(is_expected=False, outcome="refused", reason=refused.code, description=refused.description)
    except Unreachable as problem:
        return _unfinished("gateway_unreachable", f"the gateway does not answer any more: {problem}")
    if unexpected is not None:
        return unexpected
    return judge(plan, conversation)


async def _go_on(plan: Plan, conversation: Conversation, payer: Payer) -> Result | None:
    """Do what each webhook asks for, by its content, until there is nothing left to do."""
    refunds = list(plan.refunds)
    seconds_max = plan.webhook_seconds_max
    while True:
        try:
            came = await conversation.next_webhook(seconds_max)
        except NoWebhook as silence:
            return _unfinished("no_webhook", f"{silence}; the session's state is above")
        seconds_max = plan.webhook_seconds_max
        session = _named(conversation)
        match came.type:
            case "ready_to_confirm":
                await asyncio.sleep(plan.confirm_after_seconds)
                await conversation.call("session/cancel" if plan.cancels_decision else "session/confirm", session)
            case "ready_to_capture" if plan.cancels_hold:
                await conversation.call("session/cancel", session)
            case "ready_to_capture":
                await conversation.call("session/capture", session | _amount(plan.capture))
            case "payment_finished" | "payment_refunded":
                if not refunds or conversation.payment().get("status") != "succeeded":
                    return None
                await conversation.call("session/refund", session | _amount(refunds.pop(0)))
            case "action_required":
                unexpected = await _send_payer(conversation, payer)
                if unexpected is not None:
                    return unexpected
                seconds_max = payer.seconds_max
            case _:
                return _unfinished("unknown_webhook", f"a webhook of type {came.type[:40]!a}")


async def _send_payer(conversation: Conversation, payer: Payer) -> Result | None:
    link = conversation.action_link()
    if link is None:
        return _unfinished("no_link", "the webhook asks the payer to act and says not where")
    try:
        await payer.act(link)
    except PayerStuck as stuck:
        return _unfinished("payer_stuck", f"the payer cannot go on: {stuck}")
    except Unreachable as problem:
        return _unfinished("payer_stuck", f"the payer's way breaks off: {problem}")
    return None


async def play_until_stopped(plan: Plan, conversation: Conversation, payer: Payer) -> Result:
    """The same; Ctrl-C ends it with a result too, and what comes after it goes on."""
    try:
        return await play(plan, conversation, payer)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        return _interrupted(conversation)


def _interrupted(conversation: Conversation) -> Result:
    session_id = conversation.session.get("id")
    told = f"session {session_id} was left as {conversation.session.get('status')} and goes on by itself"
    if session_id is None:
        name = conversation.merchant.project.name
        told = f"no session was named yet; `tollhouse session list --project {name}` shows whether there is one"
    return Result(is_expected=False, outcome=INTERRUPTED, reason=None, description=told)


def judge(plan: Plan, conversation: Conversation) -> Result:
    """Whether the payment ended as the plan wanted it, and every webhook was signed as it must be."""
    payment = conversation.payment()
    error: dict[str, Any] = payment.get("error") or {}
    outcome, reason = str(payment.get("status", "")), error.get("code")
    if outcome not in ("succeeded", "failed"):
        return _unfinished(str(conversation.session.get("status")), "the payment is not final")
    wants_cancel = plan.cancels_decision or plan.cancels_hold
    if wants_cancel and reason == "session_cancelled_by_partner":
        outcome = "cancelled"
    problem = str(error.get("description", "")) if outcome == "failed" else ""
    refused = [refund for refund in payment.get("refunds", []) if refund.get("status") != "accepted"]
    if wants_cancel and outcome == "succeeded":
        problem = "it succeeded although it was cancelled"
    elif outcome == "succeeded" and _gross(payment) != (plan.capture or plan.money).minor:
        problem = f"{_gross(payment)} was taken, {(plan.capture or plan.money).minor} was wanted"
    elif refused:
        error = refused[0].get("error") or {}
        outcome, reason, problem = "refund_declined", error.get("code"), str(error.get("description", ""))
    elif not all(all(came.signatures.values()) for came in conversation.webhooks):
        problem = "a webhook's signature does not fit"
    return Result(is_expected=not problem, outcome=outcome, reason=reason, description=problem or _summary(payment))


def _gross(payment: dict[str, Any]) -> int:
    gross = (payment.get("amounts") or {}).get("gross") or {}
    return int(gross.get("amount", 0))


def _summary(payment: dict[str, Any]) -> str:
    if payment.get("status") != "succeeded":
        return "nothing was taken"
    currency = payment["amount_details"]["currency"]
    taken = f"{Money(_gross(payment), currency)} taken"
    refunded = sum(refund["amount_details"]["amount"] for refund in payment.get("refunds", []))
    return f"{taken}, {Money(refunded, currency)} given back" if refunded else taken


def _unfinished(reason: str, description: str) -> Result:
    return Result(is_expected=False, outcome="unfinished", reason=reason, description=description)


def _named(conversation: Conversation) -> dict[str, Any]:
    return {"session_id": conversation.session["id"]}


def _amount(money: Money | None) -> dict[str, Any]:
    return {} if money is None else {"amount_details": {"amount": money.minor, "currency": money.currency}}


def _payment(plan: Plan) -> dict[str, Any]:
    digits = plan.pan.reveal()
    card = {
        "number": digits,
        "expiration_month": "12",
        "expiration_year": f"{(datetime.now(UTC).year + CARD_YEARS) % 100:02d}",
        "security_code": CVV_BY_BRAND_DIGITS.get(len(digits), CVV),
    }
    return {
        "payment_details": {"type": "card", "card": {"type": "bank_card", "bank_card": card}},
        **_amount(plan.money),
        "customer": {"reference": "demo-payer", "contacts": [{"email": "payer@shop.example"}]},
        "metadata": f"order-{secrets.randbelow(10_000):04d}",
    }
