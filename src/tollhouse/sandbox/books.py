"""The acquirer's books: every operation as it stands, found by references and by RRN.

One line of the journal holds all operations that one message changed, so a change is on disk whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec

from tollhouse.sandbox.asked import Asked, Key, Kind
from tollhouse.sandbox.cards import Later
from tollhouse.sandbox.journal import Journal, JournalUnusable


class State(StrEnum):
    """How an operation stands."""

    APPROVED = "approved"
    DECLINED = "declined"
    CAPTURED = "captured"  # an authorization with at least one completion
    REVERSED = "reversed"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to an operation."""

    at: str
    what: str


class Operation(msgspec.Struct, kw_only=True, gc=False):
    """One operation of the books. `captured_minor` and `refunded_minor` say what is left of a charge's money."""

    kind: Kind
    rrn: str
    stan: str
    transmitted_at: str
    terminal: str
    acceptor: str
    card: str  # masked
    currency: str
    amount_minor: int
    requested_minor: int  # more than the amount where only a part was approved
    response_code: str
    approval_code: str | None
    state: State
    original_rrn: str | None
    captured_minor: int = 0
    refunded_minor: int = 0
    later: str
    reversals_refused: int = 0
    was_approved_again: bool = False
    authentication_id: str | None = None  # the DS transaction id of the authentication that was proved
    history: list[Entry]

    @property
    def key(self) -> Key:
        """The references it was asked for with."""
        return Key(self.rrn, self.stan, self.transmitted_at, self.terminal)

    def asks(self, later: Later) -> bool:
        """Whether its card asks for this fault."""
        return self.later == name_of(later)

    def note(self, what: str) -> None:
        """Add to its history."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.history.append(Entry(now, what))


@dataclass
class Lost:
    """A request that was never booked, kept because its card asks for something at its reversal."""

    asked: Asked
    reversals_refused: int = 0


class Books:
    """All operations, in memory and in the journal."""

    def __init__(self, journal: Journal) -> None:
        """Read the journal. Raises `JournalUnusable` naming the line that cannot be read."""
        self.journal = journal
        self.lost: dict[Key, Lost] = {}  # not part of the books: forgotten when the process ends
        self._by_key: dict[Key, Operation] = {}
        self._by_rrn: dict[str, list[Operation]] = {}
        self._by_authentication: dict[str, dict[Key, Operation]] = {}
        self._encoder = msgspec.json.Encoder()
        decoder = msgspec.json.Decoder(list[Operation])
        for number, line in enumerate(journal.read(), start=1):
            try:
                operations = decoder.decode(line)
            except msgspec.DecodeError as problem:
                raise JournalUnusable(
                    f"{journal.path}: line {number} is not an entry of the books ({problem}); "
                    "move the file away to begin with empty books"
                ) from None
            for operation in operations:
                self._place(operation)

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: Key) -> Operation | None:
        """The operation asked for with these references."""
        return self._by_key.get(key)

    def find_rrn(self, rrn: str) -> Operation | None:
        """The operation that has this RRN as its own: not a reversal, which bears its original's."""
        found = (operation for operation in self._by_rrn.get(rrn, ()) if operation.kind is not Kind.REVERSAL)
        return next(found, None)

    def find_authenticated(self, authentication_id: str) -> Operation | None:
        """The charge that stands approved with this authentication."""
        found = self._by_authentication.get(authentication_id, {}).values()
        return next((one for one in found if one.state in (State.APPROVED, State.CAPTURED)), None)

    def write(self, *operations: Operation) -> None:
        """Put them, as they stand now, into the books and, as one line, into the journal."""
        for operation in operations:
            self._place(operation)
        self.journal.append(self._encoder.encode(operations))

    def select(self, *, rrn: str | None = None, limit: int | None = None) -> list[Operation]:
        """Operations oldest first: all or those of an RRN; with a limit the newest of them."""
        found = self._by_key.values() if rrn is None else self._by_rrn.get(rrn, [])
        skipped = 0 if limit is None else max(0, len(found) - limit)
        return list(islice(found, skipped, None))

    def totals(self) -> dict[str, Any]:
        """Counts by kind and state, and the money of sales and authorizations by currency, over the whole books."""
        counts: Counter[tuple[Kind, State]] = Counter()
        money: dict[str, Counter[str]] = {}
        for operation in self._by_key.values():
            counts[operation.kind, operation.state] += 1
            if operation.kind in (Kind.SALE, Kind.AUTHORIZATION):
                sums = money.setdefault(operation.currency, Counter())
                is_live = operation.state in (State.APPROVED, State.CAPTURED)
                sums["approved_minor"] += operation.amount_minor if is_live else 0
                sums["captured_minor"] += operation.captured_minor
                sums["refunded_minor"] += operation.refunded_minor
        kinds: dict[str, dict[str, int]] = {}
        for (kind, state), count in counts.items():
            kinds.setdefault(kind, {})[state] = count
        return {"operations": len(self), "kinds": kinds, "currencies": money}

    def _place(self, operation: Operation) -> None:
        earlier = self._by_key.get(operation.key)
        self._by_key[operation.key] = operation
        if operation.authentication_id is not None:
            self._by_authentication.setdefault(operation.authentication_id, {})[operation.key] = operation
        if earlier is operation:
            return
        same_rrn = self._by_rrn.setdefault(operation.rrn, [])
        if earlier is None:
            same_rrn.append(operation)
        else:
            same_rrn[same_rrn.index(earlier)] = operation


def name_of(later: Later) -> str:
    """As the books write it."""
    return later.name.lower()
