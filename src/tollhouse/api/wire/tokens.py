"""`token`, `token/info` and `tokenize/elements` on the wire (wire-api 9.13, 9.14, 9.17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tollhouse.api.wire.answers import Answer
from tollhouse.api.wire.form import Form
from tollhouse.api.wire.requests import NO_CARD_HERE, Asked, Besides, is_web_address
from tollhouse.api.wire.shapes import CardNumber, EncryptedCard, Later, Link, Reference, SessionId, TokenizedCard
from tollhouse.card import PAN, PANInvalid, parse_pan
from tollhouse.flows.issue_token import TokenInfo
from tollhouse.masking import holds_card
from tollhouse.public_token import LANGUAGES, CardToken, FormOptions, RedirectTarget
from tollhouse.refusal import PANWrong, RequestInvalid

Locale = Annotated[str, Meta(max_length=64, description="a language such as en or de")]
YesOrNo = Annotated[bool | str, Meta(description='true, false, "true" or "false"')]
Given = Annotated[str, Meta(min_length=1, max_length=255, description="1 to 255 characters")]
Access = Annotated[bool, Meta(description="true")]
ElementType = Annotated[str, Meta(pattern="^card_number$", description="card_number")]
ELEMENTS_MAX = 20
Target = Annotated[str, Meta(max_length=16, description="_top, _self, _parent, _blank or modal")]
UNKNOWN_BRAND = "unknown"  # clients need one
LATER_INFO = frozenset({"recurrent_token", "subscription_token"})


class AcquiringWidget(Struct, kw_only=True):
    """The payment form of one session."""

    session_id: SessionId
    locale: Locale | None = None
    show_recurrent_checkbox: YesOrNo | None = None
    success_return_url: Link | None = None
    failure_return_url: Link | None = None
    success_on_hold: Annotated[bool, Meta(description="true or false")] | None = None
    redirect_target: Target | None = None


class TokenizeWidget(Struct, kw_only=True):
    """The right to turn one card into a token."""

    access: Access
    locale: Locale | None = None


class TokenRequest(Struct, kw_only=True):
    """`token`: at least one of the widgets."""

    acquiring_widget: AcquiringWidget | None = None
    tokenize_widget: TokenizeWidget | None = None
    fps_no_account_widget: Later = None
    self_employed_widget: Later = None


class CardMeans(Struct, kw_only=True):
    """`type` names the member that holds the token."""

    type: Given
    encrypted_card: EncryptedCard | None = None
    tokenized_card: TokenizedCard | None = None


class Named(Struct, kw_only=True):
    """A token by itself."""

    token: Given


class InfoRequest(Struct, kw_only=True):
    """`token/info`: `type` names the member that holds the token."""

    type: Given
    card: CardMeans | None = None
    public_token: Named | None = None
    recurrent_token: Later = None
    subscription_token: Later = None


class Element(Struct, kw_only=True):
    """One thing to be made a token of; the answer names it by `ref`."""

    ref: Reference
    type: ElementType
    card_number: CardNumber


class ElementsRequest(Struct, kw_only=True):
    """`tokenize/elements`."""

    elements: Annotated[
        list[Element],
        Meta(min_length=1, max_length=ELEMENTS_MAX, description=f"an array of 1 to {ELEMENTS_MAX} objects"),
    ]


class TokenAnswer(Answer, kw_only=True):
    """The public token: 64 hexadecimal digits."""

    status: str
    public_token: str


class InfoShown(Answer, kw_only=True):
    """What is told of a token: of a card its brand and last digits, of a public token its times."""

    type: str
    token: str | None = None
    number_hash: str | None = None
    brand: str | None = None
    last4: str | None = None
    created_at: str | None = None
    finished_at: str | None = None
    is_active: bool | None = None


class InfoAnswer(Answer, kw_only=True):
    """The answer of `token/info`."""

    status: str
    info: InfoShown


class NumberInfo(Answer, kw_only=True):
    """What is told of a number. Whether the card is debit or credit is not known: then its network's name stands."""

    masked_card_number: str
    card_network: str
    card_type: str


class NumberToken(Answer, kw_only=True):
    """A number's token. It pays no session: that takes an expiry."""

    token: str
    info: NumberInfo


class ElementsAnswer(Answer, kw_only=True):
    """The answer of `tokenize/elements`: what became of each element, by its `ref`."""

    status: str
    data: dict[str, NumberToken]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedToken(Asked):
    """What `token` asks for; a session where it is for a form."""

    options: FormOptions
    may_tokenize: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedInfo(Asked):
    """What `token/info` asks about: a public token, or a card's token (`is_hash`: called number_hash)."""

    public_token: str | None = None
    card_token: str | None = None
    is_hash: bool = False

    @property
    def card_path(self) -> str:
        """Where the request names the card's token."""
        return "card.encrypted_card.number_hash" if self.is_hash else "card.tokenized_card.token"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedElements(Asked):
    """Numbers to be made tokens of, by reference, in the order given."""

    numbers: Mapping[str, PAN]


_ELEMENTS = Form(ElementsRequest)
_TOKEN = Form(TokenRequest)
_INFO = Form(InfoRequest)


def read_token(members: dict[str, Any], besides: Besides) -> AskedToken:
    """`token`. Raises `RequestInvalid`."""
    request, known = _TOKEN.read(members)
    for name in ("fps_no_account_widget", "self_employed_widget"):
        if name in known:
            return AskedToken(lacks=f"{name}: not enabled for this project", options=FormOptions(), may_tokenize=False)
    form, tokenize = request.acquiring_widget, request.tokenize_widget
    if tokenize is not None and not tokenize.access:
        raise RequestInvalid("tokenize_widget.access", "true expected")
    if form is None and tokenize is None:
        raise RequestInvalid("acquiring_widget", "this or tokenize_widget expected")
    if form is None:
        assert tokenize is not None, "it was just looked at"
        return AskedToken(options=FormOptions(language=language_of(tokenize.locale)), may_tokenize=True)
    return AskedToken(session_id=form.session_id, options=_options(form), may_tokenize=tokenize is not None)


def _options(form: AcquiringWidget) -> FormOptions:
    return FormOptions(
        language=language_of(form.locale),
        shows_recurrent=_truth("acquiring_widget.show_recurrent_checkbox", form.show_recurrent_checkbox),
        success_return_url=_address("acquiring_widget.success_return_url", form.success_return_url),
        failure_return_url=_address("acquiring_widget.failure_return_url", form.failure_return_url),
        succeeds_on_hold=bool(form.success_on_hold),
        redirect_target=_target(form.redirect_target),
    )


def language_of(locale: str | None) -> str:
    """Of a language with or without its region the one we speak; English for any other."""
    asked = (locale or "").replace("_", "-").partition("-")[0].lower()
    asked = "he" if asked == "iw" else asked
    return asked if asked in LANGUAGES else "en"


def _truth(path: str, value: bool | str | None) -> bool:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise RequestInvalid(path, 'true, false, "true" or "false" expected')
        return value == "true"
    return bool(value)


def _address(path: str, url: str | None) -> str | None:
    if not url:
        return None
    if not is_web_address(url):
        raise RequestInvalid(path, "an absolute http or https URL expected")
    if holds_card(url):
        raise RequestInvalid(path, "no card number expected here")
    return url


def _target(text: str | None) -> RedirectTarget:
    try:
        return RedirectTarget(text or RedirectTarget.TOP)
    except ValueError:
        expected = ", ".join(target.value for target in RedirectTarget)
        raise RequestInvalid("acquiring_widget.redirect_target", f"one of {expected} expected") from None


def read_info(members: dict[str, Any], besides: Besides) -> AskedInfo:
    """`token/info`. Raises `RequestInvalid`."""
    request, _ = _INFO.read(members)
    if request.type in LATER_INFO:
        return AskedInfo(lacks=f"type: {request.type} is not enabled for this project")
    if request.type == "public_token":
        if request.public_token is None:
            raise RequestInvalid("public_token", "required")
        return AskedInfo(public_token=request.public_token.token)
    if request.type != "card":
        raise RequestInvalid("type", "card, public_token or recurrent_token expected")
    card = request.card
    if card is None:
        raise RequestInvalid("card", "required")
    match card.type:
        case "tokenized_card" if card.tokenized_card is not None:
            return AskedInfo(card_token=card.tokenized_card.token)
        case "encrypted_card" if card.encrypted_card is not None:
            return AskedInfo(card_token=card.encrypted_card.number_hash, is_hash=True)
        case "tokenized_card" | "encrypted_card":
            raise RequestInvalid(f"card.{card.type}", "required")
        case _:
            raise RequestInvalid("card.type", "tokenized_card or encrypted_card expected")


def read_elements(members: dict[str, Any], besides: Besides) -> AskedElements:
    """`tokenize/elements`. Raises `RequestInvalid`, `PANWrong`; both name the element."""
    request, _ = _ELEMENTS.read(members)
    numbers: dict[str, PAN] = {}
    for at, element in enumerate(request.elements):
        if holds_card(element.ref):
            raise RequestInvalid(f"elements[{at}].ref", NO_CARD_HERE)
        if element.ref in numbers:
            raise RequestInvalid(f"elements[{at}].ref", "another than those of the elements before expected")
        numbers[element.ref] = _pan(element.card_number, at)
    return AskedElements(numbers=numbers)


def _pan(digits: str, at: int) -> PAN:
    try:
        return parse_pan(digits)
    except PANInvalid:
        raise PANWrong(f"elements[{at}].card_number: the number fails the Luhn check") from None


def elements_body(made: Mapping[str, CardToken]) -> bytes:
    """The answer of `tokenize/elements`."""
    return msgspec.json.encode(ElementsAnswer(status="ok", data={ref: _number_token(one) for ref, one in made.items()}))


def _number_token(made: CardToken) -> NumberToken:
    card, network = made.card, made.card.brand or UNKNOWN_BRAND
    masked = f"{card.bin}******{card.last4}"
    return NumberToken(
        token=made.token, info=NumberInfo(masked_card_number=masked, card_network=network, card_type=network)
    )


def token_body(token: str) -> bytes:
    """The answer of `token`."""
    return msgspec.json.encode(TokenAnswer(status="ok", public_token=token))


def public_info_body(token: str, info: TokenInfo) -> bytes:
    """The answer of `token/info` for a public token."""
    shown = InfoShown(
        type="public_token",
        token=token,
        created_at=_token_instant(info.created_at),
        finished_at=_token_instant(info.ends_at),
        is_active=info.is_active,
    )
    return msgspec.json.encode(InfoAnswer(status="ok", info=shown))


def card_info_body(found: CardToken, *, is_hash: bool) -> bytes:
    """The answer of `token/info` for a card; clients need a brand, so a card without one has the word unknown."""
    card = found.card
    token, number_hash = (None, found.token) if is_hash else (found.token, None)
    shown = InfoShown(
        type="card", token=token, number_hash=number_hash, brand=card.brand or UNKNOWN_BRAND, last4=card.last4
    )
    return msgspec.json.encode(InfoAnswer(status="ok", info=shown))


def _token_instant(at: datetime) -> str:
    """Times of tokens have an offset and no fraction (wire-api 1)."""
    return at.replace(microsecond=0).isoformat()
