"""What flows need of the world, as protocols, and the `World` that holds them. Time, ids and chance come in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tollhouse.acquirers import Acquirer
from tollhouse.acquirers.message import Request, Response
from tollhouse.authentication import Enrolment
from tollhouse.card import CVV, PAN, CardDetails, KeptCard
from tollhouse.change import Change, Note
from tollhouse.draft import Ids
from tollhouse.event import Event
from tollhouse.exemption import LowValueUse
from tollhouse.idempotency import UsedKey
from tollhouse.operation import Limits, References
from tollhouse.public_token import CardToken, PublicToken
from tollhouse.session import PaymentSession
from tollhouse.threeds.translate import Inquiry
from tollhouse.webhook import Attempt, Delivery


class Stale(Exception):
    """Somebody else changed the session first: read it again and decide again."""


class KeyTaken(Exception):
    """The idempotency key was used up by another call first."""


class CommitUnclear(Exception):
    """The connection was lost around the commit: whether it became true must be looked up by the change's id."""


class StoreUnreachable(Exception):
    """The database did not answer for so long that the caller must be told; nothing is known to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """An event this node may announce now, with where to."""

    delivery: Delivery
    url: str
    is_live: bool
    window_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of one webhook on the wire."""

    status: int | None
    error: str | None
    excerpt: str
    duration_seconds: float


class Store(Protocol):
    """The books. `commit` is optimistic: version against version, all of a change or nothing."""

    async def commit(self, change: Change) -> None:
        """Durable on return. Raises `Stale`, `KeyTaken`, `CommitUnclear`."""

    async def find_change(self, project: str, session_id: str, change_id: str) -> bool: ...
    async def find_session(self, project: str, session_id: str) -> PaymentSession | None: ...
    async def find_key(self, project: str, key: str) -> UsedKey | None: ...
    async def find_operation(self, *, rrn: str, stan: str, terminal: str) -> tuple[str, str, str] | None:
        """Project, session and operation that sent under these references."""

    async def find_link(self, link: str) -> tuple[str, str, str] | None:
        """Project, session and payment that a payer's link belongs to."""

    async def find_authentication(self, authentication_id: str) -> tuple[str, str] | None:
        """Project and session of an authentication."""

    async def low_value_use(self, project: str, card_fingerprint: str) -> LowValueUse:
        """How often this card went without authentication as low value since its payer was last authenticated."""

    async def claim_due(self, now: datetime, *, limit: int) -> list[tuple[str, str]]:
        """Sessions with something due and no live lease, now leased to this node (which moves their version)."""

    async def claim_deliveries(
        self, now: datetime, *, sessions: Sequence[tuple[str, str]] | None, limit: int, busy: Sequence[str] = ()
    ) -> list[ClaimedDelivery]:
        """Events that may go out now (of these sessions, or of any but the busy projects'), leased to this node."""

    async def finish_delivery(self, delivery: Delivery, attempt: Attempt) -> None: ...
    def note(self, project: str, session_id: str, note: Note, at: datetime) -> None:
        """Keep a note with the next group; losing it in a crash loses no fact about money."""


class Tokens(Protocol):
    """Public tokens and the tokens of cards. Everything is durable on return; all raise `StoreUnreachable`."""

    async def keep_public(self, token: PublicToken) -> None: ...
    async def find_public(self, id: str) -> PublicToken | None: ...
    async def exchange(self, id: str, card: CardToken) -> bool:
        """Use a public token up for a card's; False when it was used up already, and nothing is kept."""

    async def keep_cards(self, cards: Sequence[CardToken]) -> None:
        """Tokens that a merchant's own server asked for: all or none."""

    async def find_card(self, project: str, token: str) -> CardToken | None: ...
    async def take_card(self, project: str, token: str, now: datetime) -> CardToken | None:
        """The card's token as it was, marked as used; its security code goes to whoever takes it first."""


class Vault(Protocol):
    """Where card data lives. Everything it returns may be shown, stored and logged."""

    async def keep(self, project: str, card: CardDetails) -> KeptCard: ...
    async def seal_cvv(self, project: str, cvv: CVV) -> str: ...
    async def erase_cvv(self, sealed: str) -> None: ...


class Link(Protocol):
    """The way to an acquirer."""

    async def exchange(self, request: Request, *, send_before: float) -> Response:
        """The answer. Raises `NotSent` (nothing was written, also past the monotonic deadline) or `NoAnswer`."""


class Directory(Protocol):
    """The way to the directory servers of 3-D Secure, and what is known of their card ranges."""

    @property
    def knows_ranges(self) -> bool:
        """Whether it was ever told which cards take part."""

    def find_enrolment(self, pan: PAN) -> Enrolment | None:
        """Whether and how a card takes part, from the ranges in memory."""

    async def ask(self, inquiry: Inquiry) -> bytes:
        """The answer as it came. Raises `NotSent`, `NoAnswer`."""

    async def tell(self, message: Mapping[str, Any]) -> None:
        """An error message for the directory server, for what it is worth: nothing comes of it."""


class Clock(Protocol):
    """Time: `now` in UTC, `monotonic` for deadlines."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Naming(Protocol):
    """Where the names of messages come from."""

    def new(self, now: datetime) -> References: ...


class Wire(Protocol):
    """How the API spells a session: bytes are rendered before the commit that they are stored with."""

    def webhook_body(self, event: Event, api_version: int) -> bytes: ...
    def answer_body(self, session: PaymentSession, api_version: int) -> bytes: ...


class Herald(Protocol):
    """Signs and posts webhooks. Headers hold what is signed anew for each attempt."""

    async def sign(self, project: str, body: bytes) -> str:
        """The value of X-PARTNER-SIGN: the same for the same body and key."""

    async def post(self, claimed: ClaimedDelivery, signature: str, at: datetime) -> Posted: ...
    def jitter_percent(self) -> int: ...


class Log(Protocol):
    """Events with fields."""

    def info(self, event: str, **fields: Any) -> object: ...
    def warning(self, event: str, **fields: Any) -> object: ...
    def error(self, event: str, **fields: Any) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything a flow may touch: the first argument of every flow."""

    node: str
    store: Store
    tokens: Tokens
    vault: Vault
    acquirers: Mapping[str, Acquirer]
    links: Mapping[str, Link]
    directory: Directory
    clock: Clock
    ids: Ids
    naming: Naming
    wire: Wire
    herald: Herald
    log: Log
    limits: Limits
    demand_cvv: frozenset[str] = frozenset()  # acquirers that take no first payment by card without its code
    public_url: str  # how payers and directory servers reach us
