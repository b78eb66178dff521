"""What browsers send of a card: to the payment form's own calls, and to the tokeniser (wire-api 9.18, 13)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from tollhouse.api.wire import shapes
from tollhouse.api.wire.form import Form
from tollhouse.api.wire.requests import read_open_card
from tollhouse.api.wire.tokens import UNKNOWN_BRAND
from tollhouse.card import CardDetails
from tollhouse.masking import holds_card
from tollhouse.public_token import CardToken
from tollhouse.refusal import CardHasExpired, PANWrong, RequestInvalid

NUMBER_WRONG = "card.number: the number fails the Luhn check"
HAS_EXPIRED = "card.expiration_year: the card has expired"


class TypedCard(Struct, kw_only=True):
    """A card as its holder types it."""

    number: shapes.CardNumber
    expiration_month: shapes.Month
    expiration_year: shapes.Year
    security_code: shapes.SecurityCode


class SentCard(Struct, kw_only=True):
    """A card as another program's form sends it, perhaps without its security code."""

    number: shapes.CardNumber
    expiration_month: shapes.Month
    expiration_year: shapes.Year
    security_code: shapes.SecurityCode | None = None


class PayRequest(Struct, kw_only=True):
    """The form's `pay`."""

    card: TypedCard
    cardholder_name: shapes.Text | None = None
    recurrent: shapes.Switch | None = None


class TokenizeRequest(Struct, kw_only=True):
    """`cds/v1/tokenize/card`."""

    card: SentCard


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPay:
    """What the payer wants: to pay with this card, and perhaps to have it kept."""

    card: CardDetails
    recurrent: bool


_PAY = Form(PayRequest)
_TOKENIZE = Form(TokenizeRequest)


def read_pay(members: dict[str, Any], now: datetime) -> AskedPay:
    """The form's `pay`. Raises `RequestInvalid`, `PANWrong`, `CardHasExpired`."""
    request, _ = _PAY.read(members)
    holder = request.cardholder_name
    if holds_card(holder):
        raise RequestInvalid("cardholder_name", "a name expected, no card number")
    card = replace(_card(request.card, now), holder=holder or None)
    return AskedPay(card=card, recurrent=bool(request.recurrent))


def read_tokenize(members: dict[str, Any], now: datetime) -> CardDetails:
    """The tokeniser's card. Raises `RequestInvalid`, `PANWrong`, `CardHasExpired`."""
    request, _ = _TOKENIZE.read(members)
    return _card(request.card, now)


def tokenized_body(made: CardToken) -> bytes:
    """The tokeniser's answer. Clients need every member of `info`, none of them empty."""
    card = made.card
    network = card.brand or UNKNOWN_BRAND
    info = {"card_type": network, "card_network": network, "masked_card_number": f"{card.bin}******{card.last4}"}
    return msgspec.json.encode({"status": "ok", "data": {"token": made.token, "info": info}})


def _card(given: TypedCard | SentCard, now: datetime) -> CardDetails:
    open_card = shapes.BankCard(
        number=given.number,
        expiration_month=given.expiration_month,
        expiration_year=given.expiration_year,
        security_code=given.security_code,
    )
    try:
        return read_open_card(open_card, now)
    except PANWrong:
        raise PANWrong(NUMBER_WRONG) from None
    except CardHasExpired:
        raise CardHasExpired(HAS_EXPIRED) from None
