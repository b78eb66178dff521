"""A merchant's side of a payment: calls out, webhooks in, what the payer did, and what came of it.

Tells each in order of time; whoever plays says up to when everything is known (`in_order`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from tollhouse.cli.identity import Merchant, headers_of
from tollhouse.cli.in_order import InOrder
from tollhouse.cli.step_up import SoftlyDeclined
from tollhouse.cli.threeds import Exchanged
from tollhouse.net.merchant import Arrived, Caller

Members = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """One call of the merchant and its answer."""

    at_seconds: float
    method: str
    path: str
    status: int
    duration_seconds: float
    answer: Members


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCame:
    """One webhook: what it says and which of its signatures fit."""

    at_seconds: float
    type: str
    event_id: str
    sequence: int
    signatures: dict[str, bool]
    session: Members
    is_repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerDid:
    """One step of the payer."""

    at_seconds: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePassed:
    """One message of 3-D Secure, or the silence in its place."""

    at_seconds: float
    message: Exchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineHeard:
    """The acquirer said no for now: the payer is asked, and charged again."""

    at_seconds: float
    decline: SoftlyDeclined


Happened = CallMade | WebhookCame | PayerDid | MessagePassed | DeclineHeard


class CallRefused(Exception):
    """The gateway said no to a call."""

    def __init__(self, made: CallMade) -> None:
        told = made.answer.get("error")
        error: Members = told if isinstance(told, dict) else {}
        self.code = str(error.get("code", f"http_{made.status}"))
        self.description = str(error.get("description", "the answer is not one of this API"))
        super().__init__(f"{self.code}: {self.description}")


class NoWebhook(Exception):
    """The awaited webhook did not come in time."""


@dataclass(slots=True, kw_only=True)
class Conversation:
    """What a merchant and the gateway say to each other about one session."""

    caller: Caller
    url: str
    api_version: int
    tell: Callable[[Happened], None]
    calls: list[CallMade] = field(default_factory=list)
    webhooks: list[WebhookCame] = field(default_factory=list)
    session: Members = field(default_factory=dict)
    _merchant: Merchant | None = None
    link: str | None = None  # where the payer authenticates
    messages: list[Exchanged] = field(default_factory=list)
    declines: list[SoftlyDeclined] = field(default_factory=list)
    in_order: InOrder[Happened] = field(init=False)
    _began: float = field(default_factory=time.monotonic)
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _unread: list[tuple[float, Arrived]] = field(default_factory=list)
    _news: asyncio.Queue[WebhookCame] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.in_order = InOrder(lambda happened: self.tell(happened))

    @property
    def merchant(self) -> Merchant:
        assert self._merchant is not None
        return self._merchant

    def begin_as(self, merchant: Merchant) -> None:
        """Who speaks; the clock of the conversation starts here."""
        self._merchant = merchant
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    def take(self, arrived: Arrived) -> None:
        """Something came to the merchant's webhook address."""
        self._unread.append((time.monotonic(), arrived))
        self._read_webhooks()

    def seconds_now(self) -> float:
        """The time on the conversation's clock."""
        return self._seconds(time.monotonic())

    async def payer_did(self, text: str) -> None:
        """The payer did something."""
        self.in_order.add(PayerDid(at_seconds=self.seconds_now(), text=text))

    def hear(self, messages: list[Exchanged]) -> None:
        """What 3-D Secure has said so far; what was heard already is not told again."""
        for message in messages:
            if message not in self.messages:
                self.messages.append(message)
                self.in_order.add(MessagePassed(at_seconds=self._seconds_of(message.at), message=message))

    def hear_declines(self, declines: list[SoftlyDeclined]) -> None:
        """What was declined softly so far, in the same way."""
        for decline in declines:
            if decline not in self.declines:
                self.declines.append(decline)
                self.in_order.add(DeclineHeard(at_seconds=self._seconds_of(decline.at), decline=decline))

    async def call(self, name: str, members: Members, *, key: str | None = None) -> Members:
        """Make a signed call and return the session of its answer. Raises `CallRefused`, `Unreachable`."""
        path = f"/api/v{self.api_version}/{name}"
        body = msgspec.json.encode(members)
        more = {} if key is None else {"X-PARTNER-IDEMPOTENCY-KEY": key}
        began = time.monotonic()
        with self.in_order.under_way(self._seconds(began)):
            answer = await self.caller.post(self.url + path, body, headers_of(self.merchant, body, more))
        made = CallMade(
            at_seconds=self._seconds(began),
            method="POST",
            path=path,
            status=answer.status,
            duration_seconds=round(answer.duration_seconds, 3),
            answer=_members(answer.body),
        )
        self.calls.append(made)
        self.in_order.add(made)
        session = made.answer.get("session")
        if answer.status != 200 or not isinstance(session, dict):
            raise CallRefused(made)
        self.session = session
        self._read_webhooks()
        return session

    async def next_webhook(self, seconds_max: float) -> WebhookCame:
        """The next webhook of this session that is not a repetition. Raises `NoWebhook`."""
        try:
            async with asyncio.timeout(seconds_max):
                came = await self._news.get()
        except TimeoutError:
            raise NoWebhook(f"no webhook for {seconds_max:.0f} s") from None
        self.session = came.session
        return came

    def payment(self) -> Members:
        """The session's payment as it was told last."""
        payments = self.session.get("acquiring_payments") or self.session.get("payment_list") or [{}]
        return payments[0]

    def action_link(self) -> str | None:
        """Where the payer has to go, while the payer has to."""
        interaction = self.payment().get("customer_interaction")
        redirect = interaction.get("redirect") if isinstance(interaction, dict) else None
        url = redirect.get("url") if isinstance(redirect, dict) else None
        self.link = url if isinstance(url, str) else self.link
        return url if isinstance(url, str) else None

    def _read_webhooks(self) -> None:
        """Those that came, once the session is known: an earlier run was perhaps ended before its last webhook."""
        if "id" not in self.session:
            return
        unread, self._unread = self._unread, []
        for at, arrived in unread:
            came = self._read(at, arrived)
            if came.session.get("id") != self.session["id"]:
                continue
            self.webhooks.append(came)
            self.in_order.add(came)
            if not came.is_repeated:
                self._news.put_nowait(came)

    def _read(self, at: float, arrived: Arrived) -> WebhookCame:
        members = _members(arrived.body)
        event_id = str(members.get("event_id", ""))
        session = members.get("session")
        return WebhookCame(
            at_seconds=self._seconds(at),
            type=str(members.get("type", "")),
            event_id=event_id,
            sequence=int(members.get("sequence", 0)),
            signatures=self.merchant.check(arrived),
            session=session if isinstance(session, dict) else {},
            is_repeated=any(earlier.event_id == event_id for earlier in self.webhooks),
        )

    def _seconds_of(self, at: datetime) -> float:
        return round((at - self._began_at).total_seconds(), 3)

    def _seconds(self, at: float) -> float:
        return round(at - self._began, 3)


def _members(body: bytes) -> Members:
    try:
        decoded = msgspec.json.decode(body)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
