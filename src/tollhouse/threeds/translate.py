"""Payments to messages of 3-D Secure and back. Pure: the card's number appears as a slot only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollhouse.acquirers import Registration
from tollhouse.acquirers.message import CardUse, Slot
from tollhouse.authenticating import Answered
from tollhouse.authentication import Authentication, Result, TransStatus, Wish
from tollhouse.money import CURRENCIES
from tollhouse.payment import Payment
from tollhouse.session import PaymentSession
from tollhouse.threeds.formats import Email, Ip
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.writing import compose

WINDOW_SIZES = ("01", "02", "03", "04", "05")
SLOTS = {"acctNumber": Slot.PAN, "cardExpiryDate": Slot.EXPIRY}
SERVER_REFERENCE = "TOLLHOUSE-3DSS-0001"
REQUESTOR_ID = "TOLLHOUSE"
COLOR_DEPTHS = (1, 4, 8, 15, 16, 24, 32, 48)
MINUTES_MIN, MINUTES_MAX = 1, 60
NAME_LENGTH_MAX, HEADER_LENGTH_MAX = 40, 2048
LANGUAGE = re.compile("[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,4}(?![A-Za-z0-9]))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """What the payer's browser said of itself, as text; without a script it says less."""

    accept_header: str
    user_agent: str
    language: str
    ip: str | None
    has_script: bool
    has_java: bool = False
    color_depth: str = "24"
    screen_height: str = "0"
    screen_width: str = "0"
    timezone_minutes: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """An authentication request without the card's number, which the vault puts into the slots on the way out."""

    message: Mapping[str, Any]
    slots: Mapping[str, Slot]
    card: CardUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the directory server and the issuer's pages find us for one authentication."""

    public_url: str
    link: str

    @property
    def results(self) -> str:
        """For the result message, server to server."""
        return f"{self.public_url}/3ds/results"

    @property
    def challenge(self) -> str:
        """Where the browser comes back to after a challenge."""
        return f"{self.public_url}/3ds/{self.link}/challenge"

    @property
    def method(self) -> str:
        """Where the issuer's method page comes back to."""
        return f"{self.public_url}/3ds/{self.link}/method"


def method_data(authentication: Authentication, addresses: Addresses) -> dict[str, str]:
    """What the issuer's method page is given."""
    return {"threeDSServerTransID": authentication.id, "threeDSMethodNotificationURL": addresses.method}


def authentication_request(
    session: PaymentSession,
    authentication: Authentication,
    browser: Browser,
    completion: str,
    *,
    registration: Registration,
    addresses: Addresses,
    now: datetime,
) -> Inquiry:
    """The AReq of an authentication, browser channel, payment. `completion`: Y, N or U, of the method page."""
    payment = session.payment(authentication.payment_id)
    offered = {
        **_ids(authentication),
        **_requestor(session, payment, registration, addresses),
        **_amount(payment, now),
        **_browser(browser),
        **_payer(payment),
        **_wishes(authentication, payment, now),
        "deviceChannel": "02",
        "messageCategory": "01",
        "threeDSRequestorAuthenticationInd": "01",
        "threeDSCompInd": completion if payment.card.enrolment and payment.card.enrolment.method_url else "U",
        "threeDSServerURL": addresses.results,
        "notificationURL": addresses.challenge,
        "transType": "01",
    }
    message = compose(MessageType.AREQ, authentication.version, _clean(offered), blank=tuple(SLOTS))
    return Inquiry(message=message, slots=SLOTS, card=CardUse(project=session.project, card_token=payment.card.token))


def _clean(offered: Mapping[str, Any]) -> dict[str, Any]:
    """What came from outside must not make a message of ours that breaks the rules."""
    return {name: _printable(value) if isinstance(value, str) else value for name, value in offered.items()}


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _ids(authentication: Authentication) -> dict[str, Any]:
    return {
        "threeDSServerTransID": authentication.id,
        "threeDSServerRefNumber": SERVER_REFERENCE,
        "threeDSServerOperatorID": REQUESTOR_ID,
    }


def _requestor(
    session: PaymentSession, payment: Payment, registration: Registration, addresses: Addresses
) -> dict[str, Any]:
    name = payment.merchant_name or session.project
    return {
        "threeDSRequestorID": REQUESTOR_ID,
        "threeDSRequestorName": name[:NAME_LENGTH_MAX],
        "threeDSRequestorURL": addresses.public_url,
        "acquirerBIN": registration.acquirer_bin,
        "acquirerMerchantID": session.project[:15],
        "acquirerCountryCode": registration.country,
        "acquirerCountryCodeSource": "01",
        "mcc": registration.category_code,
        "merchantCountryCode": registration.country,
        "merchantName": name[:NAME_LENGTH_MAX],
    }


def _amount(payment: Payment, now: datetime) -> dict[str, Any]:
    currency = CURRENCIES[payment.money.currency]
    return {
        "purchaseAmount": str(payment.money.minor),
        "purchaseCurrency": currency.number,
        "purchaseExponent": str(currency.exponent),
        "purchaseDate": f"{now:%Y%m%d%H%M%S}",
    }


def _browser(browser: Browser) -> dict[str, Any]:
    seen = {
        "browserJavaEnabled": browser.has_java,
        "browserColorDepth": str(max(depth for depth in COLOR_DEPTHS if depth <= max(1, _whole(browser.color_depth)))),
        "browserScreenHeight": str(min(abs(_whole(browser.screen_height)), 999_999)),
        "browserScreenWidth": str(min(abs(_whole(browser.screen_width)), 999_999)),
        "browserTZ": str(max(-840, min(840, _whole(browser.timezone_minutes)))),
    }
    language = (LANGUAGE.match(browser.language) or ["en"])[0]
    return {
        "browserAcceptHeader": _ascii(browser.accept_header)[:HEADER_LENGTH_MAX] or "*/*",
        "browserUserAgent": _ascii(browser.user_agent)[:HEADER_LENGTH_MAX] or "unknown",
        "browserLanguage": language,
        "acceptLanguage": [language],
        "browserIP": browser.ip if Ip().fits(browser.ip) else None,
        "browserJavascriptEnabled": browser.has_script,
        **(seen if browser.has_script else {}),
    }


def _ascii(text: str) -> str:
    """What a browser says of itself is the payer's to choose, and must give nobody a reason to refuse the message."""
    return text.encode("ascii", "replace").decode()


def _whole(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        return 0
    return -int(digits) if text.startswith("-") else int(digits)


def _payer(payment: Payment) -> dict[str, Any]:
    contacts = (payment.details.customer or {}).get("contacts", ())
    mails = [contact["email"] for contact in contacts if contact.get("email")]
    return {"email": next((mail for mail in mails if mail.isprintable() and Email().fits(mail)), None)}


def _wishes(authentication: Authentication, payment: Payment, now: datetime) -> dict[str, Any]:
    """A challenge is wanted only where the issuer demanded one; a decoupled one may last as long as the link lives."""
    deadline = payment.action_deadline_at
    minutes = int((deadline - now).total_seconds() // 60) if deadline else MINUTES_MIN
    indicator = authentication.wish.value
    return {
        "threeDSRequestorChallengeInd": indicator if authentication.version == "2.2.0" else [indicator],
        "threeDSRequestorDecReqInd": "Y" if authentication.wish is not Wish.MANDATE else "N",
        "threeDSRequestorDecMaxTime": (
            f"{max(MINUTES_MIN, min(MINUTES_MAX, minutes)):05d}" if authentication.wish is not Wish.MANDATE else None
        ),
    }


def read_answer(members: Mapping[str, Any]) -> Answered:
    """What a checked ARes says."""
    return Answered(
        ds_transaction_id=members["dsTransID"],
        acs_transaction_id=members["acsTransID"],
        acs_url=members.get("acsURL"),
        result=read_result(members),
    )


def read_result(members: Mapping[str, Any]) -> Result:
    """The outcome in a checked ARes or RReq."""
    return Result(
        status=TransStatus(members["transStatus"]),
        status_reason=members.get("transStatusReason"),
        eci=members.get("eci"),
        value=members.get("authenticationValue"),
        cancelled=members.get("challengeCancel"),
    )


def challenge_request(authentication: Authentication, size: str) -> dict[str, Any]:
    """The CReq that the payer's browser takes to the issuer."""
    offered = {
        "threeDSServerTransID": authentication.id,
        "acsTransID": authentication.acs_transaction_id,
        "challengeWindowSize": size,
    }
    return compose(MessageType.CREQ, authentication.version, offered)


def results_answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The RRes to a checked RReq: it was received."""
    offered = {
        "threeDSServerTransID": request["threeDSServerTransID"],
        "acsTransID": request["acsTransID"],
        "dsTransID": request["dsTransID"],
        "resultsStatus": "01",
    }
    return compose(MessageType.RRES, request["messageVersion"], offered)
