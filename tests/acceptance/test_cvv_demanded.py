"""A security code that died with its vault: its payment goes without, or fails where the acquirer demands one."""

from __future__ import annotations

import shutil

from tests.acceptance.books import of_session
from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.merchant import Merchant, by_card, payment_of
from tests.acceptance.system import System

MEMBER = "payment_details.card.bank_card.security_code"


def restart_without_codes(system: System, *, demands: str) -> None:
    """Everything ends with -9, the vault's host loses its slots, and everything starts again."""
    system.kill()
    shutil.rmtree(system.home / "cvv-keys")
    system.environment["TOLLHOUSE_ACQUIRER_DEMANDS_CVV"] = demands
    system.start()


def without_code(shop: Merchant) -> dict[str, object]:
    """A call with a card that has no security code."""
    details = by_card()
    del details["card"]["bank_card"]["security_code"]
    return shop.body(payment_details=details)


def test_codes_that_died_with_their_vault(new_system: NewSystem, new_merchant: NewMerchant) -> None:
    """Demanded: a call without a code is refused, a payment that lost its own fails unsent. Else it goes without."""
    system = new_system(acquirer_demands_cvv="on").start()
    shop = new_merchant(system)
    for method in ("create", "init/payment"):
        refused = shop.call(method, without_code(shop))
        assert refused.error == (400, "invalid_request")
        assert refused.description.startswith(f"{MEMBER}: ")
    shop.pay()
    failing, paid = shop.prepare(), shop.prepare()

    restart_without_codes(system, demands="on")
    assert shop.confirm(failing).status == 200
    session = shop.finished(failing)
    assert session["status"] == "cancelled"
    assert payment_of(session)["error"]["code"] == "routing_internal_error"
    assert of_session(system, failing) == []

    restart_without_codes(system, demands="off")
    assert shop.confirm(paid).status == 200
    assert shop.finished(paid)["status"] == "accepted"
    shop.init(payment_details=without_code(shop)["payment_details"])
