"""What becomes of what a merchant sends along: what is kept, what is shown again, and in which form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import EUROS, PAYMENT, Shop


async def test_what_may_not_be_shown_is_kept_and_not_shown(shop: Shop) -> None:
    """Personal data of participants and what only routing needs."""
    person = {"full_name": "Iva Sample", "date_of_birth": "1990-03-02", "document": "x-17"}
    document = {"id_type": "passport", "id_number": "P1", "issue_date": "2020-01-01"}
    routing = {"tags": [{"root_tag": "a", "values": ["b"]}]}
    body = {
        **PAYMENT,
        "participant_details": {"sender": {**person, "identity_document": document}, "recipient": {"document": "y"}},
        "payment_metadata": {"device_session_id": "d-1"},
        "custom_routing": routing,
    }
    answered = await shop.call("session/init/payment", body)
    payment = answered.session["payment_list"][0]
    assert payment["participant_details"] == {"sender": {"full_name": "Iva Sample"}}
    assert not {"payment_metadata", "custom_routing"} & set(payment)
    kept = shop.stored(answered.session["id"]).payments[0].details.unechoed
    assert kept == {
        "payment_metadata": {"device_session_id": "d-1"},
        "custom_routing": routing,
        "participants": {
            "sender": {"date_of_birth": "1990-03-02", "document": "x-17", "identity_document": document},
            "recipient": {"document": "y"},
        },
    }


async def test_what_is_given_at_start_replaces_what_was_given_at_create(shop: Shop) -> None:
    """Each member as a whole, also those that are not shown."""
    first = {
        **PAYMENT,
        "payment_metadata": {"a": 1},
        "custom_routing": {"tags": [{"root_tag": "t", "values": []}]},
        "payment_options": {"return_url": "https://shop.example/back"},
        "metadata": "first",
    }
    session_id = (await shop.call("session/create", first, headers={"X-PARTNER-SUBMERCHANT": "m-7"})).session["id"]
    second = {
        "session_id": session_id,
        "amount_details": {"amount": 1, "currency": "jpy"},
        "payment_metadata": {"b": 2},
        "payment_options": {"return_url": "dummy:/url"},
    }
    payment = (await shop.call("session/start/payment", second)).session["payment_list"][0]
    assert payment["amount_details"] == {"amount": 1, "currency": "jpy"}
    assert payment["metadata"] == "first"
    assert "payment_options" not in payment
    assert payment["customer"] == {"reference": "u-3108", "contacts": []}
    kept = shop.stored(session_id).payments[0].details.unechoed
    assert kept == {"payment_metadata": {"b": 2}, "custom_routing": first["custom_routing"], "submerchant": "m-7"}


async def test_phones_are_masked_and_currencies_are_lower_case(shop: Shop) -> None:
    """In answers and webhooks; the e-mail address is shown."""
    contacts = [{"phone": "+4915112345607", "email": "kai@example.org"}, {"phone": "12345"}]
    customer = {"reference": "u", "contacts": contacts}
    body = {**PAYMENT, "customer": customer, "amount_details": {**EUROS, "currency": "EUR"}}
    answered = await shop.call("session/init/payment", body)
    payment = answered.session["payment_list"][0]
    assert payment["customer"]["contacts"] == [
        {"email": "kai@example.org", "phone": "4915*****07"},
        {"phone": "*****45"},
    ]
    assert payment["amount_details"]["currency"] == "eur"
    (delivery,) = shop.world.books.deliveries["shop", answered.session["id"]].values()
    assert b"4915*****07" in delivery.body
    assert b"15112345607" not in delivery.body


@pytest.mark.parametrize("value", [0, False, "", [], {}, [None], {"a": None}, 1.5, "a/b \u2028 \\ é", 2**63 - 1])
async def test_metadata_comes_back_as_it_was_given(shop: Shop, value: Any) -> None:
    """Any JSON, also what is empty or false; on the payment, not on the session."""
    answered = await shop.call("session/init/payment", {**PAYMENT, "metadata": value})
    assert answered.session["payment_list"][0]["metadata"] == value
    assert "metadata" not in answered.session
