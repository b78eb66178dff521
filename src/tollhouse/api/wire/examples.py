"""One worked example of each method, for the reference; tests send the requests and compare the answers' shapes."""

from __future__ import annotations

from typing import Any

CARD = {
    "type": "card",
    "card": {
        "type": "bank_card",
        "bank_card": {
            "number": "4242424242424242",
            "expiration_month": "08",
            "expiration_year": "31",
            "security_code": "417",
        },
    },
}
CUSTOMER = {"reference": "u-3108", "contacts": [{"email": "kai@example.org"}]}
EUROS = {"amount": 2590, "currency": "eur"}
SESSION_ID = "ps_410027"
PUBLIC_TOKEN = "a2ea186cfffd893ab40f0a4311b181b69564d555991f96d9ec66b92f5fc1e5b9"

REQUESTS: dict[str, dict[str, Any]] = {
    "session/create": {"amount_details": EUROS, "customer": CUSTOMER, "metadata": "order-5512"},
    "session/init/payment": {
        "payment_details": CARD,
        "amount_details": EUROS,
        "customer": CUSTOMER,
        "payment_options": {"return_url": "https://shop.example/back"},
        "metadata": "order-5512",
    },
    "session/start/payment": {"session_id": SESSION_ID, "payment_details": CARD},
    "session/confirm": {"session_id": SESSION_ID},
    "session/cancel": {"session_id": SESSION_ID},
    "session/capture": {"session_id": SESSION_ID, "amount_details": {"amount": 2000, "currency": "eur"}},
    "session/refund": {
        "session_id": SESSION_ID,
        "amount_details": {"amount": 1000, "currency": "eur"},
        "metadata": "item returned",
    },
    "session/status": {"session_id": SESSION_ID},
    "token": {
        "acquiring_widget": {
            "session_id": SESSION_ID,
            "locale": "de",
            "success_return_url": "https://shop.example/ok",
            "failure_return_url": "https://shop.example/no",
        }
    },
    "tokenize/elements": {"elements": [{"ref": "number", "type": "card_number", "card_number": "4242424242424242"}]},
    "token/info": {"type": "public_token", "public_token": {"token": PUBLIC_TOKEN}},
}

_PAYMENT: dict[str, Any] = {
    "id": "pm_880114",
    "status": "in_progress",
    "created_at": "2026-03-02T09:15:01.204511Z",
    "customer": CUSTOMER,
    "payment_details": {"type": "card", "card": {"brand": "visa", "last4": "4242", "bin": "424242"}},
    "amount_details": EUROS,
    "amounts": {},
    "refunds": [],
    "metadata": "order-5512",
}
_PAID = {**_PAYMENT, "status": "succeeded", "finished_at": "2026-03-02T09:16:40.000120Z", "amounts": {"gross": EUROS}}
_REFUND = {
    "id": "rf_5521",
    "status": "in_progress",
    "created_at": "2026-03-03T08:00:00.000000Z",
    "amount_details": {"amount": 1000, "currency": "eur"},
    "amounts": {},
    "metadata": "item returned",
}
_PAYMENTS: dict[str, dict[str, Any]] = {
    "session/init/payment": _PAYMENT,
    "session/start/payment": _PAYMENT,
    "session/confirm": {**_PAYMENT, "status": "pending"},
    "session/cancel": {**_PAYMENT, "status": "pending"},
    "session/capture": _PAYMENT,
    "session/refund": {**_PAID, "refunds": [_REFUND]},
    "session/status": _PAID,
}
_OTHERS: dict[str, dict[str, Any]] = {
    "token": {"status": "ok", "public_token": PUBLIC_TOKEN},
    "tokenize/elements": {
        "status": "ok",
        "data": {
            "number": {
                "token": "tc_Wm8Qe1Zc4TtVx0RkB2nYsA",
                "info": {"masked_card_number": "424242******4242", "card_network": "visa", "card_type": "visa"},
            }
        },
    },
    "token/info": {
        "status": "ok",
        "info": {
            "type": "public_token",
            "token": PUBLIC_TOKEN,
            "created_at": "2026-03-02T09:15:00+00:00",
            "finished_at": "2026-03-03T09:15:00+00:00",
            "is_active": True,
        },
    },
}


def answer(method: str, api_version: int) -> dict[str, Any]:
    """What the method's example request may be answered."""
    if method in _OTHERS:
        return _OTHERS[method]
    payment = _PAYMENTS.get(method)
    session: dict[str, Any] = {
        "id": SESSION_ID,
        "status": "created" if payment is None else "in_progress",
        "created_at": "2026-03-02T09:15:00.000000Z",
        "updated_at": "2026-03-02T09:15:01.204511Z",
    }
    if method == "session/status":
        session |= {"status": "accepted", "finished_at": "2026-03-02T09:16:40.000120Z"}
    if payment is not None:
        session["acquiring_payments" if api_version == 1 else "payment_list"] = [payment]
    return {"status": "ok", "session": session}
