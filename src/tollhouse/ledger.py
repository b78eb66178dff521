"""Accounts and transfers. A transfer takes one amount from one account to another, so every sum is zero by shape.

A transfer is *posted* (money moved), *pending* (reserved, until it is posted or voided), or *voided*. A pending
transfer is resolved once, by a transfer that names it: posted up to its amount, which releases the rest, or voided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Account(StrEnum):
    """Whose money: one account of each sort per project and currency."""

    PAYER_FUNDS = "payer_funds"  # between the payer's side and the merchant's
    ACQUIRER_RECEIVABLE = "acquirer_receivable"  # what acquirers owe us
    MERCHANT_PAYABLE = "merchant_payable"  # what we owe the merchant


class TransferPhase(StrEnum):
    """How far a transfer went."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One ledger movement, caused by one operation. Amounts in minor units."""

    id: str
    operation_id: str
    phase: TransferPhase
    debit: Account
    credit: Account
    amount_minor: int
    currency: str
    resolves_id: str | None = None

    def __post_init__(self) -> None:
        assert self.amount_minor > 0 and self.debit is not self.credit
        assert (self.phase is TransferPhase.VOIDED) <= (self.resolves_id is not None)


Balances = dict[tuple[str, Account], int]


def balances(transfers: Iterable[Transfer]) -> Balances:
    """Posted balance per currency and account, in minor units: debits minus credits. Each currency sums to zero."""
    totals: Counter[tuple[str, Account]] = Counter()
    for transfer in transfers:
        if transfer.phase is TransferPhase.POSTED:
            totals[transfer.currency, transfer.debit] += transfer.amount_minor
            totals[transfer.currency, transfer.credit] -= transfer.amount_minor
    return dict(totals)


def flaws(transfers: Iterable[Transfer]) -> list[str]:
    """What is wrong with a set of transfers, in sentences; empty when it is sound (promise P8)."""
    every = list(transfers)
    by_id = {transfer.id: transfer for transfer in every}
    found = [] if len(by_id) == len(every) else ["a transfer stands twice"]
    resolved: Counter[str] = Counter()
    for transfer in every:
        if transfer.resolves_id is None:
            continue
        pending = by_id.get(transfer.resolves_id)
        if pending is None or pending.phase is not TransferPhase.PENDING:
            found.append(f"transfer {transfer.id} resolves {transfer.resolves_id}, which is not pending")
        elif transfer.amount_minor > pending.amount_minor:
            found.append(f"transfer {transfer.id} posts more than was pending")
        resolved[transfer.resolves_id] += 1
    found += [f"pending transfer {id} is resolved {count} times" for id, count in resolved.items() if count > 1]
    sums: Counter[str] = Counter()
    for (currency, _), amount in balances(every).items():
        sums[currency] += amount
    return found + [f"{currency} sums to {amount}" for currency, amount in sums.items() if amount]
