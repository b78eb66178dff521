"""What a request may look like: the shapes that are checked are the shapes that are documented (wire-api 9, 10).

A description says what is expected; it is also the text of the refusal, after the member's path. `None` is absent.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

SESSION_ID_LENGTH_MAX = 64

Amount = Annotated[int, Meta(ge=1, le=999_999_999_999, description="an integer of minor units from 1 to 999999999999")]
CurrencyLetters = Annotated[str, Meta(min_length=3, max_length=3, description="ISO 4217 letters such as eur")]
SessionId = Annotated[str, Meta(max_length=SESSION_ID_LENGTH_MAX, description="the session's id")]
PaymentId = Annotated[str, Meta(max_length=64, description="the payment's id")]
Kind = Annotated[str, Meta(min_length=1, max_length=64, description="one of the types of the reference")]
Reference = Annotated[str, Meta(min_length=1, max_length=255, description="1 to 255 characters")]
Text = Annotated[str, Meta(max_length=255, description="at most 255 characters")]
Email = Annotated[str, Meta(min_length=1, max_length=254, description="1 to 254 characters")]
Phone = Annotated[
    str,
    Meta(min_length=5, max_length=32, pattern=r"^\+?[0-9]+$", description="5 to 32 digits with an optional leading +"),
]
CardNumber = Annotated[str, Meta(pattern="^[0-9]{12,19}$", description="a string of 12 to 19 digits")]
Month = Annotated[str, Meta(pattern="^(0[1-9]|1[0-2])$", description="a string from 01 to 12")]
Year = Annotated[str, Meta(pattern="^(20)?[0-9]{2}$", description="a string of 2 digits")]
SecurityCode = Annotated[str, Meta(pattern="^[0-9]{3,4}$", description="a string of 3 or 4 digits")]
CompanyName = Annotated[
    str, Meta(max_length=100, pattern="^$|[^0-9]", description="at most 100 characters, not only digits")
]
AddressLine = Annotated[str, Meta(max_length=256, description="at most 256 characters")]
RegistrationNumber = Annotated[str, Meta(max_length=64, description="at most 64 characters")]
Day = Annotated[
    str, Meta(pattern="^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", description="a date as YYYY-MM-DD")
]
Link = Annotated[str, Meta(max_length=2048, description="an absolute http or https URL of at most 2048 characters")]
Instant = Annotated[
    str,
    Meta(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
        description="an instant in the future as YYYY-MM-DD HH:MM:SS in UTC",
    ),
]
Switch = Annotated[bool, Meta(description="true or false")]
Anything = Annotated[Any, Meta(description="any JSON of at most 16 KB")]
Later = Annotated[Any, Meta(description="not enabled: refused with 403")]
IgnoredHash = Annotated[str, Meta(max_length=255, description="at most 255 characters")]  # accepted, of no use to us
Ignored = Annotated[Any, Meta(description="accepted and ignored")]
Extra = Annotated[dict[str, Any], Meta(description="an object of at most 4 KB")]


class AmountDetails(Struct, kw_only=True):
    """An amount in minor units of its currency."""

    amount: Amount
    currency: CurrencyLetters


class Contact(Struct, kw_only=True):
    """One way to reach the payer."""

    email: Email | None = None
    phone: Phone | None = None


class Customer(Struct, kw_only=True):
    """The payer, as the merchant names them."""

    reference: Reference
    contacts: Annotated[list[Contact], Meta(max_length=10, description="an array of at most 10 objects")] | None = None


class BankCard(Struct, kw_only=True):
    """Open card details."""

    number: CardNumber
    expiration_month: Month
    expiration_year: Year
    security_code: SecurityCode | None = None
    cardholder_name: Text | None = None


class TokenizedCard(Struct, kw_only=True):
    """A card by its token, which a browser got for it."""

    token: Reference


class EncryptedCard(Struct, kw_only=True):
    """The same under its name for the family's tokenising widget.

    We give out no other hashes: with the number's token come what we know of expiry and security code.
    """

    number_hash: Reference
    expiration_date_hash: IgnoredHash | None = None
    security_code_hash: IgnoredHash | None = None
    cardholder_name_hash: IgnoredHash | None = None


class Card(Struct, kw_only=True):
    """A card: `type` names the member that holds it."""

    type: Kind
    bank_card: BankCard | None = None
    tokenized_card: TokenizedCard | None = None
    encrypted_card: EncryptedCard | None = None


class PaymentMethod(Struct, kw_only=True):
    """How the payer pays: `type` names the member that says so."""

    type: Kind
    card: Card | None = None


class PaymentOptions(Struct, kw_only=True):
    """How the payment is to be carried out."""

    return_url: Link | None = None
    recurrent: Switch | None = None
    expiration_at: Instant | None = None
    platform_details: Ignored = None
    subscription: Later = None


class IdentityDocument(Struct, kw_only=True):
    """A person's document; kept, never shown again."""

    id_type: Text
    id_number: Text
    id_expiration_date: Text | None = None
    issue_date: Text | None = None
    issued_by: Text | None = None
    division_code: Text | None = None


class Participant(Struct, kw_only=True):
    """One side of a payment."""

    full_name: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    middle_name: Text | None = None
    company_name: CompanyName | None = None
    reference: Text | None = None
    tax_reference: Text | None = None
    country_iso2: Text | None = None
    country_iso3: Text | None = None
    citizenship_country_iso_3: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    address_line: AddressLine | None = None
    street: Text | None = None
    building: Text | None = None
    flat: Text | None = None
    ipv4: Text | None = None
    ipv6: Text | None = None
    email: Text | None = None
    msisdn: Text | None = None
    account: Text | None = None
    currency: Text | None = None
    bank_name: Text | None = None
    registration_number: RegistrationNumber | None = None
    date_of_incorporation: Day | None = None
    date_of_birth: Day | None = None
    code: Text | None = None
    swift_bic_code: Text | None = None
    document: Text | None = None
    description: Text | None = None
    beneficiary_id: Text | None = None
    wallet_id: Text | None = None
    identity_document: IdentityDocument | None = None


class ParticipantDetails(Struct, kw_only=True):
    """Who sends and who receives the money."""

    sender: Participant | None = None
    recipient: Participant | None = None


class RoutingTag(Struct, kw_only=True):
    """One tag for routing rules."""

    root_tag: Reference
    values: Annotated[list[Reference], Meta(max_length=100, description="an array of at most 100 strings")]


class CustomRouting(Struct, kw_only=True):
    """Tags for routing rules; kept, not shown again."""

    tags: Annotated[list[RoutingTag], Meta(max_length=20, description="an array of at most 20 objects")] | None = None


class Offered(Struct, kw_only=True):
    """What a payment needs, at create or at start; a member given later replaces the earlier one as a whole."""

    amount_details: AmountDetails | None = None
    customer: Customer | None = None
    participant_details: ParticipantDetails | None = None
    payment_details: PaymentMethod | None = None
    payment_options: PaymentOptions | None = None
    metadata: Anything = None
    payment_metadata: Extra | None = None
    custom_routing: CustomRouting | None = None
    revenue_split_info: Later = None
    fiscalization_details: Later = None
    payment_method: Later = None
    payout_details: Later = None


class CreateRequest(Offered, kw_only=True):
    """`session/create`: everything is optional here and may be given at the start."""


class StartRequest(Offered, kw_only=True):
    """`session/start/payment`: what is given here replaces what was given at create."""

    session_id: SessionId


class InitRequest(Offered, kw_only=True):
    """`session/init/payment`: create and start in one."""

    payment_details: PaymentMethod
    amount_details: AmountDetails
    customer: Customer


class SessionRequest(Struct, kw_only=True):
    """A session and nothing else."""

    session_id: SessionId


class ConfirmRequest(Struct, kw_only=True):
    """`session/confirm`."""

    session_id: SessionId
    confirm_information: Ignored = None


class CaptureRequest(Struct, kw_only=True):
    """`session/capture`: without an amount, all that is held."""

    session_id: SessionId
    amount_details: AmountDetails | None = None


class RefundRequest(Struct, kw_only=True):
    """`session/refund`: without an amount, all that is left."""

    session_id: SessionId
    amount_details: AmountDetails | None = None
    metadata: Anything = None
    payment_id: PaymentId | None = None


class NothingAsked(Struct, kw_only=True):
    """A method of a product that this version does not have: its members are not looked at."""
