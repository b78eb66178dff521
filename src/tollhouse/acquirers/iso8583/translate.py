"""Operation to ISO 8583 message and back. Pure: card data appears as slots only."""

from __future__ import annotations

from datetime import UTC

from tollhouse.acquirers.iso8583.fields import (
    CONDITION_ECOMMERCE,
    ENTRY_MODE_ECOMMERCE,
    PROCESSING_REFUND,
    PROCESSING_SALE,
    TAG_AUTHENTICATION_VALUE,
    TAG_DS_TRANSACTION_ID,
    TAG_ECI,
    TAG_EXEMPTION,
    TAG_ORIGINAL_RRN,
    TAG_THREEDS_VERSION,
    pack_tags,
)
from tollhouse.acquirers.message import CardUse, References, Request, Response, Slot
from tollhouse.exemption import Exemption
from tollhouse.money import CURRENCIES
from tollhouse.operation import Kind, Operation
from tollhouse.outcome import (
    APPROVED_CODE,
    Outcome,
    PartlyApproved,
    Unknown,
    outcome_of_code,
    outcome_of_reversal,
)
from tollhouse.payment import Payment
from tollhouse.session import PaymentSession
from tollhouse.verdict import proof_of

FIRST_MTI = {
    Kind.SALE: "0200",
    Kind.AUTHORIZATION: "0100",
    Kind.CAPTURE: "0220",
    Kind.REFUND: "0200",
    Kind.REVERSAL: "0400",
}
ANSWER_MTIS = {
    Kind.SALE: {"0210"},
    Kind.AUTHORIZATION: {"0110"},
    Kind.CAPTURE: {"0230"},
    Kind.REFUND: {"0210"},
    Kind.REVERSAL: {"0410", "0430"},
}
EXEMPTION_CODES = {Exemption.TRA: "05", Exemption.LOW_VALUE: "10", Exemption.CORPORATE: "11"}
ACCEPTOR_LENGTH = 15
NO_INSTITUTIONS = "0" * 22


def message_type(operation: Operation) -> str:
    """The MTI of the operation's present attempt: repeats of a completion and of a reversal have their own."""
    repeats = operation.attempts - 1
    match operation.kind:
        case Kind.SALE | Kind.AUTHORIZATION | Kind.REFUND:
            return FIRST_MTI[operation.kind]
        case Kind.CAPTURE:
            return "0220" if repeats <= 0 else "0221"
        case Kind.REVERSAL:
            return ("0400", "0420")[repeats] if repeats <= 1 else "0421"


def request(session: PaymentSession, operation: Operation) -> Request:
    """The message of an operation that was just submitted (its references are fixed)."""
    references = operation.references
    assert references is not None, "references are fixed before a message is built"
    payment = session.payment(operation.payment_id)
    sends_card = operation.kind in (Kind.SALE, Kind.AUTHORIZATION)
    fields = _fields(session, operation, payment, references)
    slots = {"2": Slot.PAN, "14": Slot.EXPIRY}
    if sends_card and payment.sealed_cvv is not None:
        slots["48"] = Slot.CVV
    card = CardUse(project=session.project, card_token=payment.card.token, sealed_cvv=payment.sealed_cvv)
    return Request(mti=message_type(operation), fields=fields, slots=slots, card=card, references=references)


def _fields(session: PaymentSession, operation: Operation, payment: Payment, references: References) -> dict[str, str]:
    at = references.transmitted_at.astimezone(UTC)
    fields = {
        "3": PROCESSING_REFUND if operation.kind is Kind.REFUND else PROCESSING_SALE,
        "4": f"{operation.amount_minor:012d}",
        "7": f"{at:%m%d%H%M%S}",
        "11": references.stan,
        "12": f"{at:%H%M%S}",
        "13": f"{at:%m%d}",
        "22": ENTRY_MODE_ECOMMERCE,
        "25": CONDITION_ECOMMERCE,
        "37": references.rrn,
        "41": references.terminal,
        "42": session.project.upper()[:ACCEPTOR_LENGTH].ljust(ACCEPTOR_LENGTH),
        "49": CURRENCIES[payment.money.currency].number,
    }
    if operation.target_id is None:
        tags = _authentication_tags(session, operation, payment)
        return {**fields, "48": pack_tags(tags)} if tags else fields
    target = session.target_of(operation)
    named = target.references
    assert named is not None
    if operation.kind is Kind.REVERSAL:
        named_at = named.transmitted_at.astimezone(UTC)
        fields["90"] = f"{FIRST_MTI[target.kind]}{named.stan}{named_at:%m%d%H%M%S}{NO_INSTITUTIONS}"
        fields["3"] = PROCESSING_REFUND if target.kind is Kind.REFUND else PROCESSING_SALE
    else:
        fields["48"] = pack_tags({TAG_ORIGINAL_RRN: named.rrn})
    return fields


def _authentication_tags(session: PaymentSession, operation: Operation, payment: Payment) -> dict[str, str]:
    """Who vouches for the payer, or why nobody was asked; nothing for a payment that 3-D Secure does not concern."""
    if operation.authentication_id is None and operation.exemption is None:
        return {}
    named = operation.authentication_id
    proof = proof_of(session.authentication(named) if named else None, payment.card.brand)
    tags = {
        TAG_ECI: proof.eci,
        TAG_AUTHENTICATION_VALUE: proof.value,
        TAG_DS_TRANSACTION_ID: proof.ds_transaction_id,
        TAG_THREEDS_VERSION: proof.version,
        TAG_EXEMPTION: EXEMPTION_CODES.get(operation.exemption) if operation.exemption else None,
    }
    return {tag: value for tag, value in tags.items() if value is not None}


def outcome(operation: Operation, response: Response) -> Outcome:
    """What an answer means. An answer of another message type, or without a code, says nothing."""
    if response.mti not in ANSWER_MTIS[operation.kind]:
        return Unknown(why=f"an answer of type {response.mti[:4]}")
    code = response.fields.get("39", "")
    if operation.kind is Kind.REVERSAL:
        return outcome_of_reversal(code)
    if code == APPROVED_CODE and response.fields.get("4") not in (None, f"{operation.amount_minor:012d}"):
        return PartlyApproved(response_code=code)  # another amount than asked is not what the payer agreed to
    approval_code = response.fields.get("38", "").strip() or None
    return outcome_of_code(code, approval_code=approval_code)
