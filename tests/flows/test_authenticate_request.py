"""The request to the directory server: it fits its table, whatever browsers and merchants say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.builders import (
    BROWSER,
    OFFER,
    awaiting_payer,
    call,
    card,
    link_of,
)
from tests.worlds import TWO_STAGE, MemoryWorld, memory_world
from tollhouse.acquirers.message import Slot
from tollhouse.authentication import Enrolment
from tollhouse.flows.confirm import confirm
from tollhouse.flows.start_payment import init_payment
from tollhouse.money import CURRENCIES, Money
from tollhouse.session import PaymentSession
from tollhouse.threeds.reading import check
from tollhouse.threeds.translate import Addresses, Browser, Inquiry, authentication_request

VERSIONS = ("2.2.0", "2.3.1")
PAN = "4242424242424242"
TRANS_ID = "threeDSServerTransID"


def inquiry(world: MemoryWorld, session: PaymentSession, browser: Browser = BROWSER) -> Inquiry:
    """The request as the vault gets it."""
    return authentication_request(
        session,
        session.authentications[-1],
        browser,
        "Y",
        registration=world.acquirers["sandbox"].registration,
        addresses=Addresses(public_url="https://pay.test", link=link_of(session)),
        now=world.clock.now(),
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_request_fits_its_table(version: str) -> None:
    """In both versions, with the two card fields left to the vault; what it says is this payment and this payer."""
    world = memory_world()
    session = await awaiting_payer(world, version=version)
    made = inquiry(world, session)
    assert made.slots == {"acctNumber": Slot.PAN, "cardExpiryDate": Slot.EXPIRY}
    assert (made.card.project, made.card.card_token) == ("shop", session.payments[0].card.token)
    assert made.card.sealed_cvv is None
    check({**made.message, "acctNumber": PAN, "cardExpiryDate": "3108"})
    message = made.message
    assert (message["messageType"], message["messageVersion"], message["deviceChannel"]) == ("AReq", version, "02")
    assert message[TRANS_ID] == session.authentications[0].id
    assert (message["purchaseAmount"], message["purchaseCurrency"], message["purchaseExponent"]) == ("4990", "978", "2")
    assert message["threeDSServerURL"] == "https://pay.test/3ds/results"
    assert message["notificationURL"] == f"https://pay.test/3ds/{link_of(session)}/challenge"
    assert message["merchantName"] == "shop"
    assert message["browserIP"] == "203.0.113.7"
    assert message["browserTZ"] == "-60"
    assert message["threeDSRequestorChallengeInd"] == ("01" if version == "2.2.0" else ["01"])
    assert message["threeDSRequestorDecMaxTime"] == "00060"
    assert ("acceptLanguage" in message) == (version == "2.3.1")


@pytest.mark.parametrize(("seconds", "minutes"), [(0, "00060"), (59, "00059"), (1800, "00030"), (3590, "00001")])
async def test_a_decoupled_authentication_ends_before_the_link(seconds: int, minutes: str) -> None:
    """It is given the minutes that are left."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.clock.move(seconds)
    assert inquiry(world, session).message["threeDSRequestorDecMaxTime"] == minutes


async def test_a_browser_without_a_script_says_less() -> None:
    """What only a script can tell is left out, and the message still fits."""
    world = memory_world()
    session = await awaiting_payer(world, version="2.3.1")
    message = inquiry(world, session, replace(BROWSER, has_script=False)).message
    assert message["browserJavascriptEnabled"] is False
    assert not {"browserTZ", "browserScreenWidth", "browserColorDepth", "browserJavaEnabled"} & set(message)


anything = st.text(max_size=40) | st.text(max_size=3).map(lambda text: text * 1000)
browsers = st.builds(
    Browser,
    accept_header=anything,
    user_agent=anything,
    language=anything,
    ip=st.none() | anything | st.ip_addresses().map(str),
    has_script=st.booleans(),
    has_java=st.booleans(),
    color_depth=anything | st.integers().map(str),
    screen_height=anything | st.integers().map(str),
    screen_width=anything | st.integers().map(str),
    timezone_minutes=anything | st.integers().map(str),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(BROWSER, "2.2.0", "eur", "a\u200b@example.org")
@given(browsers, st.sampled_from(VERSIONS), st.sampled_from(sorted(CURRENCIES)), st.none() | anything)
async def test_any_browser_and_payer_fit_the_table(
    browser: Browser, version: str, currency: str, email: str | None
) -> None:
    """Whatever a browser says of itself and a merchant of the payer, our message is well formed."""
    world = memory_world()
    session = await awaiting_payer(world, version=version)
    payment = session.payments[0]
    customer = {"reference": "u", "contacts": [{"phone": "1"}, {"email": email}]}
    details = replace(payment.details, customer=customer)
    odd = session.with_payment(replace(payment, money=Money(999_999_999_999, currency), details=details))
    check({**inquiry(world, odd, browser).message, "acctNumber": PAN, "cardExpiryDate": "3108"})


async def test_a_merchant_with_a_long_name() -> None:
    """Names are cut to what the tables allow."""
    world = memory_world()
    long = replace(TWO_STAGE, name="m" * 64)
    world.books.add_project(long)
    world.directory.enrolled[PAN] = Enrolment(version="2.3.1")
    session = (await init_payment(world, call(long), OFFER, card())).session
    await confirm(world, call(long), session.id)
    message = inquiry(world, world.session(session)).message
    assert (message["merchantName"], message["acquirerMerchantID"]) == ("m" * 40, "m" * 15)
