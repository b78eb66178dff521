"""What really happened, by the bank's books, and how to say that a promise is broken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from tests.bank import Entry, Key
from tests.worlds import START
from tollhouse.operation import Operation

if TYPE_CHECKING:
    from tests.simulation.world import Simulation


class Violation(Exception):
    """A promise is broken. `session_id` tells whose trace shows how."""

    def __init__(self, promise: str, what: str, session_id: str | None = None) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.what = what
        self.session_id = session_id


def charges_of(simulation: Simulation) -> Iterator[Entry]:
    """What the bank holds approved of cardholders' money."""
    return (entry for entry in simulation.network.bank.entries.values() if entry.is_charge and entry.is_live)


def refunded_of(simulation: Simulation, charge: Entry) -> int:
    """What the bank gave back of a charge, whether it was taken by a sale or by a completion."""
    entries = simulation.network.bank.entries.values()
    taken = [charge, *(entry for entry in entries if entry.original is charge and entry.is_live)]
    return sum(entry.refunded_minor for entry in taken)


def payer_of(simulation: Simulation, token: str) -> str:
    """Whose card a token stands for."""
    card = simulation.vault.cards.get(token)
    return card.pan.reveal() if card else token


def key_of_operation(operation: Operation) -> Key:
    """Under which references the bank has it."""
    named = operation.references
    assert named is not None
    return named.rrn, named.stan, f"{named.transmitted_at:%m%d%H%M%S}", named.terminal


def named_by(simulation: Simulation, key: Key) -> tuple[str, str, str]:
    """Project, session and operation of what the bank has. Raises `Violation` when there is none."""
    named = simulation.books.references.get((key[0], key[1], key[3]))
    if named is None:
        raise Violation("P2", f"the bank has {key[0]} and the gateway knows nothing of it")
    return named


def entry_of(simulation: Simulation, operation: Operation) -> Entry:
    """What the bank has of an operation. Raises `Violation` when it has nothing."""
    entry = simulation.network.bank.entries.get(key_of_operation(operation))
    if entry is None:
        raise Violation("P2", f"{operation.kind} {operation.id} is unknown to the bank")
    return entry


def seconds_of(at: datetime) -> float:
    """An instant of the books on the scheduler's clock."""
    return (at - START).total_seconds()
