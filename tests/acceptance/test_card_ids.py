"""Ids of cards and tokens of numbers, on the running system."""

from __future__ import annotations

import re
from typing import Any

from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import CARD, Merchant, by_card, payment_of
from tests.acceptance.system import System

OTHER = "5555555555554444"


def id_of(session: dict[str, Any]) -> str:
    """The id that the session's payment shows."""
    return str(payment_of(session)["payment_details"]["card"]["card_id"])


def paid(merchant: Merchant, number: str = CARD, **members: Any) -> str:
    """The id in the webhook of a payment, which the session shows too."""
    session_id = merchant.pay(number, **members)
    told = id_of(merchant.finished(session_id))
    assert told == id_of(merchant.status(session_id))
    return told


def test_the_same_card_has_the_same_id(system: System, new_merchant: NewMerchant) -> None:
    """In all projects that share, and after the fingerprint key was rotated; elsewhere another, or none."""
    shops = [new_merchant(system, settings={"card_id": "shared"}) for _ in range(2)]
    alone, quiet = new_merchant(system, settings={"card_id": "project"}), new_merchant(system)
    first = paid(shops[0])
    assert re.fullmatch("[0-9a-f]{64}", first)
    system.run("vault", "key", "rotate", "--fingerprint")
    assert paid(shops[1]) == paid(shops[0]) == first
    assert paid(shops[0], OTHER) != first
    later = by_card(expiration_year="32")
    assert paid(shops[0], payment_details=later) != first
    assert paid(alone) != first
    assert "card_id" not in payment_of(quiet.finished(quiet.pay()))["payment_details"]["card"]
    assert system.rows(f"select 1 from vault.card as kept where kept::text like '%{first}%'") == []


def test_a_number_becomes_a_token_that_pays_nothing(shop: Merchant) -> None:
    """Whose token is told of and belongs to its project; a payment with it names the member that is at fault."""
    asked = {"elements": [{"ref": "a", "type": "card_number", "card_number": CARD}]}
    answer = shop.call("tokenize/elements", asked)
    assert answer.status == 200
    assert CARD.encode() not in answer.raw
    token = answer.content["data"]["a"]["token"]
    means = {"type": "card", "card": {"type": "encrypted_card", "encrypted_card": {"number_hash": token}}}
    told = shop.call("token/info", means).content["info"]
    assert told == {"type": "card", "number_hash": token, "brand": "visa", "last4": CARD[-4:]}
    refused = shop.call("init/payment", shop.body(payment_details=means))
    assert refused.error == (400, "invalid_request")
    assert refused.description.startswith("payment_details.card.encrypted_card.number_hash: ")
    assert shop.system.rows(f"select 1 from card_token where token = '{token}'") == []
