"""Requests as the house understands them: checked members become `Offer`, `CardDetails`, `Money`.

Order within one request (wire-api 2): the form of every member, then card number and expiry, then what the project
has no right to, which is only noted in `Asked.lacks`, since whoever calls decides when rights are looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tollhouse.api.wire import shapes
from tollhouse.api.wire.form import CONTROL, Form
from tollhouse.card import CVV, CardDetails, Expiry, GivenCard, PANInvalid, TokenizedCard, parse_pan
from tollhouse.masking import holds_card
from tollhouse.money import CURRENCIES, Money
from tollhouse.payment import Details
from tollhouse.refusal import CardHasExpired, PANWrong, RequestInvalid
from tollhouse.session import Offer

METADATA_BYTES_MAX = 16 * 1024
PAYMENT_METADATA_BYTES_MAX = 4 * 1024
SUBMERCHANT_LENGTH_MAX = 255
PHONE_DIGITS_MAX = 15  # E.164: what is longer reaches nobody
NO_RETURN_URL = "dummy:/url"

# Types of the API family that belong to products this version does not have.
LATER_TYPES = frozenset(
    {
        "recurrent",
        "bank_account",
        "faster_payment_system",
        "faster_payment_system_binding",
        "faster_payment_system_verification",
        "secured_card",
        "internet_banking",
        "wallet",
        "crypto_wallet",
        "tax",
        "upi",
    }
)
LATER_CARD_TYPES = frozenset({"secured_card"})
# Personal data: kept with the payment, never shown again (wire-api 10.8).
UNECHOED_OF_PARTICIPANT = ("date_of_birth", "date_of_incorporation", "document", "identity_document")

_LINE_BREAKS = re.compile(r"[\t\n\r]")
_URL = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[^\s/?#\\@:\[\]<>\"%]+)(?::[0-9]{1,5})?(?:[/?#][^\s\\<>\"]*)?", re.IGNORECASE
)


NOTHING_OFFERED = Offer()
NO_CARD_HERE = "no card number expected here; what looks like one belongs in payment_details only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call asks for. `lacks` says which right it needs that no project has yet."""

    session_id: str | None = None
    offer: Offer = NOTHING_OFFERED
    card: GivenCard | None = None
    money: Money | None = None
    payment_id: str | None = None
    metadata: Any = None
    lacks: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Besides:
    """What a request comes with besides its body."""

    now: datetime
    submerchant: str | None = None


_CREATE = Form(shapes.CreateRequest)
_START = Form(shapes.StartRequest)
_INIT = Form(shapes.InitRequest)
_SESSION = Form(shapes.SessionRequest)
_CONFIRM = Form(shapes.ConfirmRequest)
_CAPTURE = Form(shapes.CaptureRequest)
_REFUND = Form(shapes.RefundRequest)


def read_create(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/create`."""
    request, known = _CREATE.read(members)
    return _offered(request, known, besides, session_id=None)


def read_start(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/start/payment`."""
    request, known = _START.read(members)
    return _offered(request, known, besides, session_id=request.session_id)


def read_init(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/init/payment`."""
    request, known = _INIT.read(members)
    return _offered(request, known, besides, session_id=None)


def read_session(members: dict[str, Any], besides: Besides) -> Asked:
    """Methods that need nothing but a session."""
    request, _ = _SESSION.read(members)
    return Asked(session_id=request.session_id)


def read_confirm(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/confirm`; what the family's escrow product adds is accepted and ignored."""
    request, _ = _CONFIRM.read(members)
    return Asked(session_id=request.session_id)


def read_capture(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/capture`."""
    request, _ = _CAPTURE.read(members)
    return Asked(session_id=request.session_id, money=_money(request.amount_details))


def read_refund(members: dict[str, Any], besides: Besides) -> Asked:
    """`session/refund`."""
    request, _ = _REFUND.read(members)
    return Asked(
        session_id=request.session_id,
        money=_money(request.amount_details),
        payment_id=request.payment_id,
        metadata=_free_of_cards("metadata", request.metadata),
    )


def read_nothing(members: dict[str, Any], besides: Besides) -> Asked:
    """Methods of products that this version does not have."""
    return Asked()


def _offered(request: shapes.Offered, known: dict[str, Any], besides: Besides, *, session_id: str | None) -> Asked:
    details = Details(
        customer=_customer(known.get("customer")),
        participants=_shown_participants(known.get("participant_details")),
        options=_options(request.payment_options, besides.now),
        metadata=_free("metadata", request.metadata, METADATA_BYTES_MAX),
        unechoed=_unechoed(request, known, besides.submerchant),
    )
    _require_no_card(details)
    payouts = [known[name] for name in ("payment_method", "payout_details") if name in known]
    if len(payouts) == 2 and payouts[0] != payouts[1]:
        raise RequestInvalid("payout_details", "the same as in payment_method expected, or only one of the two")
    return Asked(
        session_id=session_id,
        offer=Offer(money=_money(request.amount_details), details=details),
        card=_card(request.payment_details, besides.now),
        lacks=_lacks(request, known),
    )


def _money(given: shapes.AmountDetails | None) -> Money | None:
    if given is None:
        return None
    currency = given.currency.lower()
    if currency not in CURRENCIES:
        raise RequestInvalid("amount_details.currency", "ISO 4217 letters such as eur expected")
    return Money(given.amount, currency)


def _card(method: shapes.PaymentMethod | None, now: datetime) -> GivenCard | None:
    """Open card details or a card's token; None when there are none or another type of the family is meant."""
    if method is None or method.type in LATER_TYPES:
        return None
    if method.type != "card":
        raise RequestInvalid("payment_details.type", "one of the types of the reference expected")
    card = method.card
    if card is None:
        raise RequestInvalid("payment_details.card", "required")
    if card.type in LATER_CARD_TYPES:
        return None
    match card.type:
        case "bank_card" if card.bank_card is not None:
            return read_open_card(card.bank_card, now)
        case "tokenized_card" if card.tokenized_card is not None:
            return TokenizedCard(token=card.tokenized_card.token)
        case "encrypted_card" if card.encrypted_card is not None:
            path = "payment_details.card.encrypted_card.number_hash"
            return TokenizedCard(token=card.encrypted_card.number_hash, path=path)
        case "bank_card" | "tokenized_card" | "encrypted_card":
            raise RequestInvalid(f"payment_details.card.{card.type}", "required")
        case _:
            raise RequestInvalid("payment_details.card.type", "one of the types of the reference expected")


def read_open_card(given: shapes.BankCard, now: datetime) -> CardDetails:
    """Open card details. Raises `PANWrong`, `CardHasExpired`."""
    try:
        pan = parse_pan(given.number)
    except PANInvalid:
        raise PANWrong from None
    expiry = Expiry(2000 + int(given.expiration_year[-2:]), int(given.expiration_month))
    if expiry.is_past(now):
        raise CardHasExpired
    cvv = None if given.security_code is None else CVV(given.security_code)
    return CardDetails(pan=pan, expiry=expiry, cvv=cvv, holder=given.cardholder_name or None)


def _lacks(request: shapes.Offered, known: dict[str, Any]) -> str | None:
    """The first thing asked for that belongs to a product without which the project is; None when there is none."""
    method, options = request.payment_details, request.payment_options
    if method is not None and method.type in LATER_TYPES:
        return f"payment_details.type: {method.type} is not enabled for this project"
    if method is not None and method.card is not None and method.card.type in LATER_CARD_TYPES:
        return f"payment_details.card.type: {method.card.type} is not enabled for this project"
    for name in ("payment_method", "payout_details"):
        if name in known:
            return f"{name}: payouts are not enabled for this project"
    for name in ("revenue_split_info", "fiscalization_details"):
        if known.get(name, []) != []:
            return f"{name}: not enabled for this project"
    if options is not None and options.recurrent:
        return "payment_options.recurrent: recurring payments are not enabled for this project"
    if options is not None and options.subscription is not None:
        return "payment_options.subscription: subscriptions are not enabled for this project"
    return None


def _customer(known: dict[str, Any] | None) -> dict[str, Any] | None:
    return known and {"reference": known["reference"], "contacts": known.get("contacts", [])}


def _shown_participants(known: dict[str, Any] | None) -> dict[str, Any] | None:
    if not known:
        return None
    shown = {
        side: {name: value for name, value in person.items() if name not in UNECHOED_OF_PARTICIPANT}
        for side, person in known.items()
    }
    return {side: person for side, person in shown.items() if person}


def _options(given: shapes.PaymentOptions | None, now: datetime) -> dict[str, Any] | None:
    if given is None or given == shapes.PaymentOptions():
        return None
    options: dict[str, Any] = {}
    if given.return_url is not None and given.return_url != NO_RETURN_URL:
        if not is_web_address(given.return_url):
            raise RequestInvalid("payment_options.return_url", "an absolute http or https URL expected")
        options["return_url"] = given.return_url
    if given.recurrent is not None:
        options["recurrent"] = given.recurrent
    if given.expiration_at is not None:
        if not _is_future(given.expiration_at, now):
            raise RequestInvalid("payment_options.expiration_at", "an instant in the future expected")
        options["expiration_at"] = given.expiration_at
    return options


def is_web_address(text: str) -> bool:
    """Whether this is an absolute http or https URL that a browser can be sent to."""
    return _URL.fullmatch(text) is not None


def _is_future(text: str, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) > now
    except ValueError:
        return False


def _unechoed(request: shapes.Offered, known: dict[str, Any], submerchant: str | None) -> dict[str, Any] | None:
    kept: dict[str, Any] = {}
    if submerchant is not None:
        if not 1 <= len(submerchant) <= SUBMERCHANT_LENGTH_MAX or CONTROL.search(submerchant):
            raise RequestInvalid("X-PARTNER-SUBMERCHANT", f"1 to {SUBMERCHANT_LENGTH_MAX} characters expected")
        kept["submerchant"] = submerchant
    if request.payment_metadata:
        kept["payment_metadata"] = _free("payment_metadata", request.payment_metadata, PAYMENT_METADATA_BYTES_MAX)
    if request.custom_routing is not None and request.custom_routing.tags:
        kept["custom_routing"] = known["custom_routing"]
    if persons := known.get("participant_details"):
        hidden = {
            side: {name: person[name] for name in UNECHOED_OF_PARTICIPANT if name in person}
            for side, person in persons.items()
        }
        kept["participants"] = {side: person for side, person in hidden.items() if person}
    return kept or None


def _require_no_card(details: Details) -> None:
    """Card numbers are taken where the vault gets them, and nowhere else (promise P11). Phone numbers are let be."""
    customer = details.customer or {}
    mails = [contact.get("email") for contact in customer.get("contacts", ())]
    phones = [contact.get("phone", "") for contact in customer.get("contacts", ())]
    not_phones = [phone for phone in phones if len(phone.removeprefix("+")) > PHONE_DIGITS_MAX]
    for path, value in (
        ("customer", [customer.get("reference"), *mails, *not_phones]),
        ("participant_details", details.participants),
        ("payment_options", details.options),
        ("metadata", details.metadata),
        ("payment_metadata", details.unechoed),
    ):
        if holds_card(value):
            raise RequestInvalid(path, NO_CARD_HERE)


def _free(path: str, value: Any, bytes_max: int) -> Any:
    """JSON of the merchant's own, as given: small enough to keep and fit to be shown again."""
    if value is None:
        return None
    try:
        size = len(msgspec.json.encode(value))
    except TypeError:
        raise RequestInvalid(path, "numbers of at most 64 bits expected") from None
    if size > bytes_max:
        raise RequestInvalid(path, f"at most {bytes_max // 1024} KB of JSON expected")
    if not _is_printable(value):
        raise RequestInvalid(path, "text without control characters expected; line breaks and tabs are fine")
    return value


def _free_of_cards(path: str, value: Any) -> Any:
    if holds_card(value):
        raise RequestInvalid(path, NO_CARD_HERE)
    return _free(path, value, METADATA_BYTES_MAX)


def _is_printable(value: Any) -> bool:
    if isinstance(value, str):
        return not CONTROL.search(value) or not CONTROL.search(_LINE_BREAKS.sub("", value))
    if isinstance(value, list):
        return all(_is_printable(item) for item in value)
    if isinstance(value, dict):
        return all(_is_printable(name) and _is_printable(member) for name, member in value.items())
    return True
