"""Which transfers follow from which operation: money moves in our books only on evidence (house rule, P2)."""

from __future__ import annotations

from tollhouse.ledger import Account, Transfer, TransferPhase
from tollhouse.operation import Kind, Operation

PAYER, ACQUIRER, MERCHANT = Account.PAYER_FUNDS, Account.ACQUIRER_RECEIVABLE, Account.MERCHANT_PAYABLE


def transfers_of(operation: Operation, *, currency: str, target: Operation | None) -> tuple[Transfer, ...]:
    """The transfers of an operation that was just approved.

    A sale is posted; an authorization is pending; a capture posts what was pending, up to its amount; a reversal of
    an approved authorization voids it; a refund is posted the other way. A reversal of anything whose approval never
    reached the books moves nothing.
    """

    def move(number: int, phase: TransferPhase, debit: Account, credit: Account, resolves: str | None) -> Transfer:
        return Transfer(
            id=f"{operation.id}-{number}",
            operation_id=operation.id,
            phase=phase,
            debit=debit,
            credit=credit,
            amount_minor=operation.amount_minor,
            currency=currency,
            resolves_id=resolves,
        )

    posted = TransferPhase.POSTED
    match operation.kind:
        case Kind.SALE:
            return (move(1, posted, ACQUIRER, PAYER, None), move(2, posted, PAYER, MERCHANT, None))
        case Kind.AUTHORIZATION:
            return (move(1, TransferPhase.PENDING, ACQUIRER, PAYER, None),)
        case Kind.CAPTURE:
            assert target is not None
            return (move(1, posted, ACQUIRER, PAYER, f"{target.id}-1"), move(2, posted, PAYER, MERCHANT, None))
        case Kind.REFUND:
            return (move(1, posted, MERCHANT, PAYER, None), move(2, posted, PAYER, ACQUIRER, None))
        case Kind.REVERSAL:
            assert target is not None
            if target.kind is not Kind.AUTHORIZATION or target.state != "approved":
                return ()
            return (move(1, TransferPhase.VOIDED, PAYER, ACQUIRER, f"{target.id}-1"),)
