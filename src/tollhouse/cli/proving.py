"""Walks through all rows, batch by batch, and collects what the checks of `proof` and `comparison` find."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import asyncpg
import msgspec

from tollhouse import ledger
from tollhouse.comparison import BankEntry, Standing, difference, is_comparable, standing_of
from tollhouse.life import Life
from tollhouse.net.merchant import Caller, Unreachable
from tollhouse.operation import CHARGES
from tollhouse.proof import CHECKS, Promise, Violation, find_operation, key_used_once
from tollhouse.session import PaymentSession
from tollhouse.store import reads

LOOKS_MAX = 3
LOOK_GAP_SECONDS = 0.5
SINGLY_MAX = 50  # so many entries are looked up one by one; for more, all are read again


class BooksUnusable(Exception):
    """The acquirer's books cannot be read; the text is one line that says why."""


class _Books(msgspec.Struct):
    operations: list[BankEntry]


@dataclass(slots=True)
class Books:
    """The acquirer's books: as they were when they were read, and, one entry at a time, as they are now."""

    caller: Caller
    url: str
    entries: dict[str, BankEntry] = field(default_factory=dict)

    async def read(self) -> None:
        """Every entry. Raises `BooksUnusable`."""
        self.entries = await self._fetch(self.url)

    async def look_up(self, rrns: Sequence[str]) -> dict[str, BankEntry]:
        """These entries as they are now, and maybe others. Raises `BooksUnusable`."""
        if len(rrns) > SINGLY_MAX:
            return await self._fetch(self.url)
        found: dict[str, BankEntry] = {}
        for rrn in rrns:
            found |= await self._fetch(f"{self.url}?rrn={quote(rrn)}")
        return found

    async def _fetch(self, url: str) -> dict[str, BankEntry]:
        try:
            answer = await self.caller.get(url)
            if answer.status != 200:
                raise BooksUnusable(f"{self.url} answers with status {answer.status}")
            found = msgspec.json.decode(answer.body, type=_Books).operations
        except Unreachable as problem:
            raise BooksUnusable(f"{self.url}: {problem}") from None
        except msgspec.MsgspecError as problem:
            raise BooksUnusable(f"{self.url} does not show an acquirer's books ({problem})") from None
        return {entry.rrn: entry for entry in found if entry.kind != "reversal"}


@dataclass(slots=True)
class Findings:
    """What was looked at, and every violation."""

    sessions: int = 0
    checked: Counter[Promise] = field(default_factory=Counter)
    compared: int = 0
    still_open: int = 0
    balances: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, promise: Promise, project: str, subject: str, what: str) -> None:
        """One violation."""
        self.violations.append(Violation(promise=promise, project=project, subject=subject, what=what))


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An operation about which the books differed at first sight."""

    project: str
    session_id: str
    operation_id: str
    rrn: str


class Prover:
    """Proves the promises for some projects, with the acquirer's books where there are any."""

    def __init__(self, pool: asyncpg.Pool, books: Books | None, progress: Callable[[int], None]) -> None:
        self._pool = pool
        self._books = books
        self._progress = progress
        self._found = Findings()
        self._doubts: list[_Doubt] = []
        self._seen: set[str] = set()

    async def prove(self, projects: list[str], *, covers_all: bool) -> Findings:
        """Everything of these projects. Raises `BooksUnusable`."""
        if self._books is not None:
            await self._books.read()
        for project in projects:
            async for batch in reads.walk_lives(self._pool, project):
                for life in batch:
                    self._check(project, life)
                self._progress(len(batch))
            await self._check_keys(project)
            for id, operation_id, session_id in await reads.stray_transfers(self._pool, project):
                what = f"transfer {id} names operation {operation_id}, which this session does not have"
                self._found.add(Promise.P8, project, session_id, what)
        self._check_sums()
        if self._books is not None:
            await self._settle_doubts(self._books)
            await self._check_unknown(self._books, projects, covers_all=covers_all)
        return self._found

    def _check(self, project: str, life: Life | reads.Unreadable) -> None:
        found = self._found
        found.sessions += 1
        if isinstance(life, reads.Unreadable):
            found.add(Promise.P3, project, life.session_id, f"its rows cannot be those of a session ({life.why})")
            return
        session = life.session
        for promise, check in CHECKS.items():
            for what in check(life):
                found.add(promise, project, session.id, what)
        transfers = [kept.what for kept in life.transfers if isinstance(kept.what, ledger.Transfer)]
        found.checked[Promise.P1] += len(session.payments)
        found.checked[Promise.P2] += sum(operation.state == "approved" for operation in session.operations)
        found.checked[Promise.P3] += len(session.payments)
        found.checked[Promise.P4] += sum(payment.decision is not None for payment in session.payments)
        found.checked[Promise.P8] += len(transfers)
        found.checked[Promise.THREEDS] += sum(operation.kind in CHARGES for operation in session.operations)
        for (currency, account), minor in ledger.balances(transfers).items():
            found.balances[currency, account] += minor
        if self._books is not None:
            self._compare(project, session, self._books)

    def _compare(self, project: str, session: PaymentSession, books: Books) -> None:
        for operation in session.operations:
            if not is_comparable(operation) or operation.references is None:
                continue
            rrn = operation.references.rrn
            self._seen.add(rrn)
            if standing_of(session, operation) is Standing.OPEN:
                self._found.still_open += 1
                continue
            self._found.compared += 1
            if difference(session, operation, books.entries.get(rrn)) is not None:
                self._doubts.append(_Doubt(project, session.id, operation.id, rrn))

    async def _settle_doubts(self, books: Books) -> None:
        """Both books move while they are read, so what differed is looked at again, a few times."""
        for look in range(LOOKS_MAX):
            if not self._doubts:
                return
            if look:
                await asyncio.sleep(LOOK_GAP_SECONDS)
            doubts, self._doubts = self._doubts, []
            entries = await books.look_up([doubt.rrn for doubt in doubts])
            for doubt in doubts:
                what = await self._difference_now(doubt, entries.get(doubt.rrn))
                if what is not None and look == LOOKS_MAX - 1:
                    self._found.add(Promise.P2, doubt.project, doubt.session_id, what)
                elif what is not None:
                    self._doubts.append(doubt)

    async def _difference_now(self, doubt: _Doubt, entry: BankEntry | None) -> str | None:
        life = await reads.find_life(self._pool, doubt.project, doubt.session_id)
        operation = find_operation(life.session, doubt.operation_id) if life else None
        if life is None or operation is None:
            return f"operation {doubt.operation_id} has gone from the rows while they were read"
        return difference(life.session, operation, entry)

    async def _check_unknown(self, books: Books, projects: list[str], *, covers_all: bool) -> None:
        """What stands at the acquirer and was not among the operations read above."""
        for rrn, entry in books.entries.items():
            if rrn in self._seen or not entry.is_live:
                continue
            if await reads.find_by_rrn(self._pool, rrn) is not None:
                continue  # of another project, or younger than the walk
            owner = next((name for name in projects if acceptor_of(name) == entry.acceptor.strip()), None)
            if covers_all or owner is not None:
                what = f"the acquirer has a {entry.kind} of {entry.amount_minor} {entry.currency}, unknown here"
                self._found.add(Promise.P2, owner or entry.acceptor.strip(), f"RRN {rrn}", what)

    async def _check_keys(self, project: str) -> None:
        async for batch in reads.walk_used_keys(self._pool, project):
            for use in batch:
                self._found.checked[Promise.P5] += 1
                for what in key_used_once(use):
                    self._found.add(Promise.P5, project, f"key {use.key}", what)
        for name, times in await reads.shared_creations(self._pool, project):
            self._found.add(Promise.P5, project, name, f"stands for {times} creations; one is possible")

    def _check_sums(self) -> None:
        sums: Counter[str] = Counter()
        for (currency, _), minor in self._found.balances.items():
            sums[currency] += minor
        for currency, minor in sums.items():
            if minor:
                self._found.add(Promise.P8, "all", currency, f"its accounts sum to {minor}")


def acceptor_of(project: str) -> str:
    """A project as the acquirer's messages name it (field 42)."""
    return project.upper()[:15].strip()
