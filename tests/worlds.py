"""A world in memory for tests of flows: real rules, real flows, fakes at every port.

world = memory_world()
world.link.script += [ANSWER_LOST]      # what happens to the next messages to the bank; without a script: approved
world.clock.move(16)                    # time moves only when told
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.bank import Bank
from tests.issuer import FakeDirectory
from tollhouse.acquirers import ACQUIRERS
from tollhouse.acquirers.message import CVVGone, NoAnswer, NotSent, Request, Response
from tollhouse.api.wire.answers import JsonWire
from tollhouse.card import CVV, CardDetails, CardId, CardIdScope, KeptCard, brand_of
from tollhouse.event import Event
from tollhouse.merchant import CaptureMode, Project, Settings
from tollhouse.operation import Limits, References
from tollhouse.ports import ClaimedDelivery, Posted, World
from tollhouse.session import PaymentSession
from tollhouse.store.memory import MemoryBooks, MemoryStore
from tollhouse.store.memory_tokens import MemoryTokens

START = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
PROJECT = Project(name="shop", webhook_url="http://127.0.0.1:9/hook")
TWO_STAGE = Project(
    name="inn",
    webhook_url="http://127.0.0.1:9/inn",
    settings=Settings(capture_mode=CaptureMode.TWO_STAGE),
)


class FakeClock:
    """Time that moves when told; `monotonic` goes along."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The instant as it was set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that have been moved."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Whoever sleeps moves the time."""
        self.move(seconds)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


class CountedIds:
    """Ids in the shape of the wire, counted."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, prefix: str) -> str:
        """The next one."""
        self._count += 1
        return f"{prefix}_{self._count}"

    def secret(self) -> str:
        """22 characters, counted."""
        self._count += 1
        return f"{self._count:022d}"

    def uuid(self) -> str:
        """A UUID, counted."""
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012d}"

    def token(self) -> str:
        """64 hexadecimal digits, counted."""
        self._count += 1
        return f"{self._count:064x}"


class CountedNaming:
    """References, counted: no two messages share an RRN or a STAN."""

    def __init__(self, terminal: str = "T0000001", numbers: Iterator[int] | None = None) -> None:
        self.terminal = terminal
        self._numbers = numbers or count(1)

    def new(self, now: datetime) -> References:
        """The next ones."""
        number = next(self._numbers)
        return References(
            rrn=f"R{number:011d}",
            stan=f"{number % 1_000_000:06d}",
            terminal=self.terminal,
            transmitted_at=now.replace(microsecond=0),
        )


def fake_card_ids(project: str, card: CardDetails) -> tuple[CardId, ...]:
    """The same for the same card, within the project and everywhere, in the form of real ones."""
    if card.expiry is None:
        return ()
    owners = {CardIdScope.PROJECT: project, CardIdScope.SHARED: ""}
    known = f"{card.pan.last4} {card.expiry.yymm}"
    return tuple(
        CardId(scope=scope, text=hashlib.sha256(f"{owner} {known}".encode()).hexdigest())
        for scope, owner in owners.items()
    )


class FakeVault:
    """Tokens for cards, and every security code it still could open."""

    def __init__(self) -> None:
        self.cards: dict[str, CardDetails] = {}
        self.cvvs: set[str] = set()
        self.erased: list[str] = []
        self._count = 0

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """A token of its own for each card."""
        self._count += 1
        token = f"card_{card.pan.last4}_{self._count}"
        self.cards[token] = card
        return KeptCard(
            token=token,
            bin=card.pan.bin,
            last4=card.pan.last4,
            brand=brand_of(card.pan),
            fingerprint=f"f{self._count}",
            expiry=card.expiry,
            ids=fake_card_ids(project, card),
        )

    async def seal_cvv(self, project: str, cvv: CVV) -> str:
        """A name for the code, which lives until it is erased."""
        self._count += 1
        sealed = f"sealed_{self._count}"
        self.cvvs.add(sealed)
        return sealed

    async def erase_cvv(self, sealed: str) -> None:
        """It is gone, also the second time."""
        self.cvvs.discard(sealed)
        self.erased.append(sealed)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What happens to one message to the bank."""

    is_written: bool = True
    arrives: bool = True
    is_answered: bool = True
    code: str = "00"
    meanwhile: Callable[[], Awaitable[None]] | None = None  # while the answer is awaited
    response: Response | None = None  # instead of the bank's own answer


APPROVED = Turn()
NOT_WRITTEN = Turn(is_written=False)
REQUEST_LOST = Turn(arrives=False, is_answered=False)
ANSWER_LOST = Turn(is_answered=False)
PARTLY_APPROVED = Turn(code="10")


def declined(code: str) -> Turn:
    """The issuer says no."""
    return Turn(code=code)


class ScriptedLink:
    """A link to a bank in memory. Messages take their turns from the script; without one they are approved."""

    def __init__(self, vault: FakeVault, clock: FakeClock, bank: Bank | None = None) -> None:
        self.bank = bank or Bank()
        self.script: deque[Turn] = deque()
        self.sent: list[Request] = []
        self.had_cvv: list[bool] = []
        self._vault = vault
        self._clock = clock

    @property
    def types(self) -> list[str]:
        """The types of the messages that were written."""
        return [request.mti for request in self.sent]

    async def exchange(self, request: Request, *, send_before: float) -> Response:
        """As `ports.Link` promises."""
        turn = self.script.popleft() if self.script else APPROVED
        if not turn.is_written or self._clock.monotonic() > send_before:
            raise NotSent("the script says so")
        sealed = request.card.sealed_cvv if request.card else None
        if request.card is not None and request.card.demands_cvv and sealed not in self._vault.cvvs:
            raise CVVGone("the code is gone")
        self.had_cvv.append("48" in request.slots and sealed in self._vault.cvvs)
        self.sent.append(request)
        if sealed is not None:
            await self._vault.erase_cvv(sealed)
        response = self.bank.decide(request, code=turn.code) if turn.arrives else None
        if turn.meanwhile is not None:
            await turn.meanwhile()
        if response is None or not turn.is_answered:
            raise NoAnswer("the script says so")
        return turn.response or response


class PlainWire:
    """The least that a renderer must do, in bytes that are easy to read: give it as `wire=PlainWire()`."""

    def webhook_body(self, event: Event, api_version: int) -> bytes:
        """Type, id, sequence and the session's status."""
        named = {"type": event.type, "event_id": event.id, "sequence": event.sequence}
        shown = {"id": event.session.id, "status": event.session.status, "api_version": api_version}
        return json.dumps({**named, "session": shown}, sort_keys=True).encode()

    def answer_body(self, session: PaymentSession, api_version: int) -> bytes:
        """The session's id and status."""
        return json.dumps({"id": session.id, "status": session.status, "api_version": api_version}).encode()


class FakeHerald:
    """Keeps every post. `statuses` are the receiver's next answers (None: no answer); without one: 200."""

    def __init__(self) -> None:
        self.posts: list[tuple[ClaimedDelivery, str, datetime]] = []
        self.statuses: deque[int | None] = deque()
        self.signed = 0

    async def sign(self, project: str, body: bytes) -> str:
        """A signature that shows how often one was made."""
        self.signed += 1
        return f"signature {self.signed} of {project}"

    async def post(self, claimed: ClaimedDelivery, signature: str, at: datetime) -> Posted:
        """One attempt."""
        self.posts.append((claimed, signature, at))
        status = self.statuses.popleft() if self.statuses else 200
        return Posted(status=status, error=None if status else "timeout", excerpt="", duration_seconds=0.1)

    def jitter_percent(self) -> int:
        """None, so that times are exact."""
        return 0


@dataclass
class FakeLog:
    """Keeps what was logged."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("error", event, fields))

    @property
    def alarms(self) -> list[str]:
        """What a person was told."""
        return [fields["what"] for level, event, fields in self.lines if (level, event) == ("error", "alarm")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWorld(World):
    """A `World` whose fakes can be reached."""

    books: MemoryBooks
    store: MemoryStore
    vault: FakeVault
    link: ScriptedLink
    clock: FakeClock
    herald: FakeHerald
    log: FakeLog
    directory: FakeDirectory

    def session(self, session: PaymentSession) -> PaymentSession:
        """The session as it stands now."""
        return self.books.sessions[session.project, session.id]


def memory_world(**overrides: Any) -> MemoryWorld:
    """A world of its own with the projects `shop` (one stage) and `inn` (two stages). Any port can be replaced."""
    clock = overrides.pop("clock", None) or FakeClock()
    vault = overrides.pop("vault", None) or FakeVault()
    books = overrides.pop("books", None) or MemoryBooks()
    node = overrides.pop("node", "n1")
    link = overrides.pop("link", None) or ScriptedLink(vault, clock)
    for project in (PROJECT, TWO_STAGE):
        books.projects.setdefault(project.name, project)
    parts: dict[str, Any] = {
        "node": node,
        "books": books,
        "store": MemoryStore(books, node=node, clock=clock),
        "tokens": MemoryTokens(),
        "vault": vault,
        "acquirers": ACQUIRERS,
        "link": link,
        "links": {"sandbox": link},
        "clock": clock,
        "ids": CountedIds(),
        "naming": CountedNaming(),
        "wire": JsonWire("https://pay.test"),
        "herald": FakeHerald(),
        "log": FakeLog(),
        "limits": Limits(),
        "directory": FakeDirectory(),
        "public_url": "https://pay.test",
    }
    return MemoryWorld(**{**parts, **overrides})


def second_node(world: MemoryWorld, node: str = "n2") -> MemoryWorld:
    """The same world as another node sees it."""
    return replace(world, node=node, store=MemoryStore(world.books, node=node, clock=world.clock))
