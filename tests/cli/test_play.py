"""What a merchant does when the payer must act, and whether a payment ended as it was wanted: by table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cli.commands import new_key
from tollhouse import signing
from tollhouse.card import parse_pan
from tollhouse.cli.conversation import CallRefused, Conversation, WebhookCame
from tollhouse.cli.identity import Merchant
from tollhouse.cli.play import PayerStuck, Plan, judge, play, play_until_stopped
from tollhouse.cli.threeds import Exchanged
from tollhouse.merchant import Project
from tollhouse.money import Money
from tollhouse.net.merchant import Arrived, Unreachable, calling

EUR = Money(2590, "eur")
PAN = parse_pan("4242424242424242")
PLAN = Plan(pan=PAN, money=EUR)
CANCEL = Plan(pan=PAN, money=EUR, cancels_decision=True)
PART = Plan(pan=PAN, money=EUR, capture=Money(2000, "eur"))
BY_MERCHANT = {"code": "session_cancelled_by_partner", "description": "Cancelled by the merchant"}
NO_FUNDS = {"code": "insufficient_funds", "description": "Declined: insufficient funds"}


def paid(gross: int = 2590, **more: Any) -> dict[str, Any]:
    """A payment that succeeded."""
    amounts = {"gross": {"amount": gross, "currency": "eur"}}
    return {"status": "succeeded", "amounts": amounts, "amount_details": {"amount": 2590, "currency": "eur"}, **more}


def refund(status: str, **more: Any) -> dict[str, Any]:
    """A refund of 10.00 EUR."""
    return {"status": status, "amount_details": {"amount": 1000, "currency": "eur"}, **more}


TABLE = [
    (PLAN, paid(), True, "succeeded", "25.90 EUR taken"),
    (PLAN, paid(refunds=[refund("accepted")]), True, "succeeded", "25.90 EUR taken, 10.00 EUR given back"),
    (PLAN, paid(refunds=[refund("declined", error=NO_FUNDS)]), False, "refund_declined", NO_FUNDS["description"]),
    (PLAN, paid(2000), False, "succeeded", "2000 was taken, 2590 was wanted"),
    (PART, paid(2000), True, "succeeded", "20.00 EUR taken"),
    (PLAN, {"status": "failed", "error": NO_FUNDS}, False, "failed", "Declined: insufficient funds"),
    (PLAN, {"status": "failed", "error": BY_MERCHANT}, False, "failed", "Cancelled by the merchant"),
    (PLAN, {"status": "pending"}, False, "unfinished", "the payment is not final"),
    (CANCEL, {"status": "failed", "error": BY_MERCHANT}, True, "cancelled", "nothing was taken"),
    (CANCEL, {"status": "failed", "error": NO_FUNDS}, False, "failed", "Declined: insufficient funds"),
    (CANCEL, paid(), False, "succeeded", "it succeeded although it was cancelled"),
]


@pytest.mark.parametrize(("plan", "payment", "is_expected", "outcome", "description"), TABLE)
async def test_judgement(
    plan: Plan, payment: dict[str, Any], is_expected: bool, outcome: str, description: str
) -> None:
    """What ended as planned is expected; anything else says what happened instead."""
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=2, tell=print)
        talk.session = {"id": "ps_1", "status": "accepted", "payment_list": [payment]}
        result = judge(plan, talk)
    assert (result.is_expected, result.outcome, result.description) == (is_expected, outcome, description)


async def test_one_wrong_signature_is_not_expected() -> None:
    """A payment whose webhooks cannot be trusted did not end as wanted."""
    async with calling() as caller:
        talk = Conversation(caller=caller, url="http://127.0.0.1:9", api_version=1, tell=print)
        talk.session = {"id": "ps_1", "acquiring_payments": [paid()]}
        talk.webhooks.append(
            WebhookCame(
                at_seconds=0.1,
                type="payment_finished",
                event_id="evt_1",
                sequence=1,
                signatures={"X-PARTNER-SIGN": True, "v1": False, "v1a": True},
                session=talk.session,
                is_repeated=False,
            )
        )
        result = judge(PLAN, talk)
    assert (result.is_expected, result.description) == (False, "a webhook's signature does not fit")


def test_a_card_is_not_in_what_is_told_of_a_refusal() -> None:
    """A refused call is told by its code and description, whatever the answer looks like."""
    from tollhouse.cli.conversation import CallMade

    made = CallMade(
        at_seconds=0, method="POST", path="/x", status=502, duration_seconds=0.1, answer={"error": "gateway"}
    )
    assert CallRefused(made).code == "http_502"


LINK = "http://127.0.0.1:9/3ds/abc"
RSA = new_key()
ED25519 = Ed25519PrivateKey.generate()
MERCHANT = Merchant(
    project=Project(name="shop"),
    private_key=RSA,
    provider_public_key=signing.public_key_pem(RSA.public_key()),
    webhook_secret=signing.webhook_secret(bytes(32)),
    webhook_public_key=signing.webhook_public_key(ED25519.public_key()),
)


@dataclass
class FakePayer:
    """Acts by ending the payment, or not at all."""

    conversation: Conversation
    problem: Exception | None = None
    links: list[str] = field(default_factory=list)
    seconds_max: float = 60

    async def act(self, link: str) -> None:
        """Remember the link; then the result comes."""
        self.links.append(link)
        if self.problem is not None:
            raise self.problem
        self.conversation.take(webhook("payment_finished", paid()))


def session(payment: dict[str, Any]) -> dict[str, Any]:
    """A session with this payment."""
    return {"id": "ps_1", "status": "in_progress", "payment_list": [payment]}


def webhook(type: str, payment: dict[str, Any]) -> Arrived:
    """A webhook as it arrives; its signatures are not looked at here."""
    members = {"type": type, "event_id": f"evt_{type}", "sequence": 1, "session": session(payment)}
    return Arrived(headers={"webhook-timestamp": str(int(time.time()))}, body=msgspec.json.encode(members))


def acting(link: object = LINK) -> dict[str, Any]:
    """A payment whose payer must act."""
    return {"status": "pending", "customer_interaction": {"type": "redirect", "redirect": {"url": link}}}


@asynccontextmanager
async def talking(payment: dict[str, Any]) -> AsyncIterator[Conversation]:
    """A conversation with a gateway that answers every call, and whose first webhook asks the payer to act."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "session": session(paid())})

    app = web.Application()
    app.router.add_post("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with calling() as caller:
            talk = Conversation(caller=caller, url=url, api_version=2, tell=lambda _: None)
            talk.begin_as(MERCHANT)
            talk.take(webhook("action_required", payment))
            yield talk
    finally:
        await runner.cleanup()


async def test_the_payer_is_sent_to_the_link() -> None:
    """When the payer must act, the payer is given the webhook's link, and the play goes on with what follows."""
    async with talking(acting()) as talk:
        payer = FakePayer(talk)
        result = await play(PLAN, talk, payer)
    assert (payer.links, talk.link) == ([LINK], LINK)
    assert result.outcome == "succeeded"


@pytest.mark.parametrize(
    ("payment", "problem", "reason", "said"),
    [
        (acting(), PayerStuck("no form"), "payer_stuck", "the payer cannot go on: no form"),
        (acting(), Unreachable("connection refused"), "payer_stuck", "the payer's way breaks off: connection refused"),
        (acting(None), None, "no_link", "says not where"),
        ({"status": "pending"}, None, "no_link", "says not where"),
    ],
)
async def test_a_payer_who_cannot_go_on_ends_the_play(
    payment: dict[str, Any], problem: Exception | None, reason: str, said: str
) -> None:
    """It is not finished, and one line says why."""
    async with talking(payment) as talk:
        result = await play(PLAN, talk, FakePayer(talk, problem))
    assert (result.is_expected, result.outcome, result.reason) == (False, "unfinished", reason)
    assert said in result.description


async def test_everything_is_told_in_order_of_time() -> None:
    """A call is told under the time it began; what is learned late has its place, too, as long as nobody was told."""
    told: list[Any] = []
    async with talking(acting()) as talk:
        talk.tell = lambda happened: told.append((happened.at_seconds, type(happened).__name__))
        await play(PLAN, talk, FakePayer(talk))
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        talk.hear([Exchanged(at=an_hour_ago, payment_id="pm_1", is_out=True, members={"messageType": "AReq"})])
        assert told == []
        talk.in_order.tell_all()
    assert told == sorted(told, key=lambda one: one[0])
    names = [name for _, name in told]
    assert (names[0], names[-1]) == ("MessagePassed", "CallMade")
    assert sorted(names[1:-1]) == ["CallMade", "WebhookCame", "WebhookCame"]


class AbsentPayer:
    """Never comes back."""

    seconds_max = 60.0

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def act(self, link: str) -> None:
        """Wait for ever."""
        self.is_asked.set()
        await asyncio.Event().wait()


async def test_a_play_that_is_interrupted_names_the_session() -> None:
    """Whoever cancels the play, as Ctrl-C does, gets a result that says which session goes on."""
    async with talking(acting()) as talk:
        payer = AbsentPayer()
        playing = asyncio.create_task(play_until_stopped(PLAN, talk, payer))
        await payer.is_asked.wait()
        playing.cancel()
        result = await playing
    assert (result.is_expected, result.outcome) == (False, "interrupted")
    assert result.description == "session ps_1 was left as in_progress and goes on by itself"


async def test_a_play_that_is_interrupted_before_there_is_a_session() -> None:
    """Then it says where to look for one."""
    async with talking(acting()) as talk:
        playing = asyncio.create_task(play_until_stopped(PLAN, talk, AbsentPayer()))
        await asyncio.sleep(0)
        playing.cancel()
        result = await playing
    assert "`tollhouse session list --project shop`" in result.description
