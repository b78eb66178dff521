"""`tollhouse pay`: plays a merchant against the running gateway and prints the whole conversation."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.card import PAN, PANInvalid, parse_pan
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.listening import local_url
from tollhouse.cli.serving import refuse_in_production
from tollhouse.cli.settings import with_config
from tollhouse.money import CURRENCIES, Money, parse_money
from tollhouse.verdict import Policy

if TYPE_CHECKING:
    from tollhouse.cli.conversation import Conversation
    from tollhouse.cli.overhearing import Overhearing
    from tollhouse.cli.play import Payer, Plan, Result
    from tollhouse.cli.telling import Teller

FRESH_SECONDS = 1.2  # so long a gateway may still see a project's earlier settings
PROBE_SECONDS_MAX = 5.0
WEBHOOK_MARGIN_SECONDS = 45.0
INTERRUPTED_CODE = 130  # as a shell says of what Ctrl-C ended
ANSWER = re.compile(r"approve|decline|cancel|[0-9A-Za-z]{1,10}")

_EPILOG = """\b
Examples:
  tollhouse pay
  tollhouse pay --card 5555555555554444 --amount 1200 --currency jpy --api v1
  tollhouse pay --refund 10.00 --refund 15.90
  tollhouse pay --cancel
  tollhouse pay --two-stage --capture 20
  tollhouse pay --two-stage --cancel
  tollhouse pay --card 4000000000009995          insufficient funds: exit code 1
  tollhouse pay --card $(tollhouse card --fault 1)   approved, but the answer is lost
  tollhouse pay --card 4000002760003184              3-D Secure: the challenge opens in the browser
  tollhouse pay --card 4000002760003184 --answer 1234   the payer is played too: this code passes
  tollhouse pay --card $(tollhouse card --authentication 7 --challenge 5) --answer approve

\b
Whatever card takes part in 3-D Secure needs a payer who opens the page, also where no challenge follows: a person
with a browser, who has 60 minutes, or --answer. The answer is entered only if the issuer asks for one.

\b
Exit code 0: it ended as the flags say (paid, or cancelled) and every signature fits; 1: it did not;
130: Ctrl-C ended it. The session's id is printed then too, and the session goes on.
"""


@click.command(epilog=_EPILOG)
@click.option("--card", "number", default="4242424242424242", show_default=True, metavar="NUMBER", help="Which card.")
@click.option("--amount", default="25.90", show_default=True, help="How much, in the currency's own units.")
@click.option("--currency", default="eur", show_default=True, help="ISO 4217 letters.")
@click.option("--cancel", "cancels", is_flag=True, help="Cancel instead of confirming (two-stage: of capturing).")
@click.option("--confirm-after", default=0.0, metavar="SECONDS", help="Let the decision wait so long.")
@click.option("--two-stage", is_flag=True, help="Authorize first, capture then.")
@click.option("--capture", metavar="AMOUNT", help="With --two-stage: take only so much.")
@click.option("--refund", "refunds", multiple=True, metavar="AMOUNT", help="Give back so much; may be repeated.")
@click.option(
    "--answer", metavar="CODE", help="Play the payer: answer a challenge with this code, or approve, decline, cancel."
)
@click.option(
    "--threeds", type=click.Choice([policy.value for policy in Policy]), help="The project's setting for this play."
)
@click.option("--api", type=click.Choice(["v1", "v2"]), default="v2", show_default=True, help="Version of the API.")
@click.option("--project", metavar="NAME", help="Play this project; it is made if it does not exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end instead.")
@with_config("home", "host", "port", "public_url", "database_url", "answer_limit_seconds", "in_flight_limit_seconds")
def command(config: Config, **given: Any) -> None:
    """Play a merchant: make a payment and print the whole conversation."""
    refuse_in_production(config, "played merchants, whose private keys `tollhouse pay` would leave in the home")
    wish = _read(given)
    try:
        told = _begin(config, wish)
    except KeyboardInterrupt:
        click.echo("stopped by Ctrl-C", err=True)
        sys.exit(INTERRUPTED_CODE)
    from tollhouse.cli.play import INTERRUPTED

    code = INTERRUPTED_CODE if told["result"]["outcome"] == INTERRUPTED else 1
    sys.exit(0 if told["result"]["ok"] else code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for, read and checked."""

    pan: PAN
    money: Money
    cancels: bool
    confirm_after_seconds: float
    is_two_stage: bool
    capture: Money | None
    refunds: tuple[Money, ...]
    answer: str | None
    threeds: str | None
    api_version: int
    project: str | None
    as_json: bool

    @property
    def card(self) -> str:
        """The card as it may be shown."""
        return f"{self.pan.bin}******{self.pan.last4}"

    @property
    def settings(self) -> dict[str, str]:
        """The project's settings that the flags change."""
        capture = {"capture_mode": "two_stage"} if self.is_two_stage else {}
        return capture | ({"threeds": self.threeds} if self.threeds else {})

    @property
    def default_name(self) -> str:
        """The project that is played if none is named: one for each choice of settings, so that runs do not meet."""
        from tollhouse.cli.identity import DEFAULT_NAME

        stages = "-two-stage" if self.is_two_stage else ""
        return f"{DEFAULT_NAME}{stages}{f'-3ds-{self.threeds}' if self.threeds else ''}"


def _read(given: dict[str, Any]) -> Wish:
    """The flags as values. Raises `UsageError` naming the one that is wrong, never with a card's number."""
    try:
        pan = parse_pan(given["number"].replace(" ", ""))
    except PANInvalid:
        raise click.UsageError("--card: 12 to 19 digits with a right check digit (Luhn) expected") from None
    currency = given["currency"]
    if currency.lower() not in CURRENCIES:
        raise click.UsageError(
            f"--currency: unknown currency {currency[:40]!a}: ISO 4217 letters expected, such as eur"
        )
    money = _money("--amount", given["amount"], currency)
    capture = _money("--capture", given["capture"], currency) if given["capture"] else None
    if capture and not given["two_stage"]:
        raise click.UsageError("--capture needs --two-stage: a one-stage payment takes all at once")
    if given["cancels"] and (given["refunds"] or capture):
        raise click.UsageError("--cancel takes no money, so there is nothing to capture or refund; leave one out")
    refunds = tuple(_money("--refund", text, currency) for text in given["refunds"])
    _refuse_too_much(money, capture, refunds)
    answer = given["answer"]
    if answer is not None and not ANSWER.fullmatch(answer):
        raise click.UsageError("--answer: approve, decline, cancel, or a code of 1 to 10 digits or letters expected")
    return Wish(
        pan=pan,
        money=money,
        cancels=given["cancels"],
        confirm_after_seconds=max(0.0, given["confirm_after"]),
        is_two_stage=given["two_stage"],
        capture=capture,
        refunds=refunds,
        answer=answer,
        threeds=given["threeds"],
        api_version=int(given["api"][1:]),
        project=given["project"],
        as_json=given["as_json"],
    )


def _refuse_too_much(money: Money, capture: Money | None, refunds: tuple[Money, ...]) -> None:
    """Before anything is charged: what the gateway would refuse afterwards."""
    if capture is not None and capture.minor > money.minor:
        raise click.UsageError(f"--capture: {capture} is more than the {money} that are held; take less")
    taken = capture or money
    if sum(refund.minor for refund in refunds) > taken.minor:
        raise click.UsageError(f"--refund: more would be given back than the {taken} that are taken; give back less")


def _money(flag: str, text: str, currency: str) -> Money:
    try:
        return parse_money(text, currency)
    except ValueError as problem:
        raise click.UsageError(f"{flag}: {problem}") from None


def _gateway_url(config: Config) -> str:
    """Where the gateway is reached from here: its public address where one was set, else on this machine."""
    is_default = config.public_url == f"http://127.0.0.1:{config.port}"
    return local_url(config.host, config.port) if is_default else config.public_url


def _begin(config: Config, wish: Wish) -> dict[str, Any]:
    """The whole play, told as it was asked for."""
    url = _gateway_url(config)
    asyncio.run(_refuse_no_gateway(url))
    from tollhouse.cli.telling import Teller

    teller = Teller(is_silent=wish.as_json)
    told = on_database(config, lambda pool: _play(config, pool, url, wish, teller))
    if wish.as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return told
    for warning in told["warnings"]:
        teller.warn(warning)
    teller.end(told["session"], told["result"])
    return told


async def _refuse_no_gateway(url: str) -> None:
    from tollhouse.net.merchant import Unreachable, calling

    try:
        async with calling(PROBE_SECONDS_MAX) as caller:
            answer = await caller.get(f"{url}/readyz")
    except Unreachable as problem:
        raise Failure(
            f"no gateway answers at {url} ({problem}); start one with `tollhouse up`,"
            " or say where it is with TOLLHOUSE_PORT or TOLLHOUSE_PUBLIC_URL"
        ) from None
    if answer.status != 200:
        raise Failure(f"the gateway at {url} is not ready (status {answer.status}); its log tells why")


async def _play(config: Config, pool: asyncpg.Pool, url: str, wish: Wish, teller: Teller) -> dict[str, Any]:
    from tollhouse.cli.conversation import Conversation
    from tollhouse.cli.identity import claimed_name, come_back
    from tollhouse.cli.overhearing import Overhearing, leave_or_say
    from tollhouse.cli.play import play_until_stopped
    from tollhouse.net.merchant import Arrived, calling, receiving

    plan = _plan(config, wish)
    settings = [f"{name}={value}" for name, value in wish.settings.items()]

    def take(arrived: Arrived) -> None:
        conversation.take(arrived)

    with claimed_name(config.home, wish.project, wish.default_name) as name:
        async with calling() as caller, receiving(take) as webhook_url:
            conversation = Conversation(caller=caller, url=url, api_version=wish.api_version, tell=teller.tell)
            merchant = await come_back(pool, config, name, webhook_url=webhook_url, settings=settings)
            try:
                if merchant.settings_before is not None:
                    await asyncio.sleep(FRESH_SECONDS)
                teller.begin(gateway=url, project=name, webhook_url=webhook_url, card=wish.card, amount=str(wish.money))
                conversation.begin_as(merchant)
                overhearing = Overhearing(pool, conversation)
                payer = _payer(wish, plan, conversation, overhearing, teller)
                async with _beside(teller.show_waiting()), _beside(overhearing.keep_looking()):
                    result = await play_until_stopped(plan, conversation, payer)
                await overhearing.finish()
            finally:
                left = await leave_or_say(pool, merchant)
    warnings = [warning for warning in (overhearing.warning, left) if warning is not None]
    return {**_told(url, name, wish, conversation, result), "warnings": warnings}


def _plan(config: Config, wish: Wish) -> Plan:
    from tollhouse.cli.play import Plan

    return Plan(
        pan=wish.pan,
        money=wish.money,
        cancels_decision=wish.cancels and not wish.is_two_stage,
        cancels_hold=wish.cancels and wish.is_two_stage,
        confirm_after_seconds=wish.confirm_after_seconds,
        capture=wish.capture,
        refunds=wish.refunds,
        webhook_seconds_max=config.answer_limit_seconds + config.in_flight_limit_seconds + WEBHOOK_MARGIN_SECONDS,
    )


def _payer(wish: Wish, plan: Plan, conversation: Conversation, overhearing: Overhearing, teller: Teller) -> Payer:
    from tollhouse.cli.payer import Person, PlayedPayer, open_page

    if wish.answer is not None:
        did, seconds = conversation.payer_did, plan.webhook_seconds_max
        return PlayedPayer(caller=conversation.caller, answer=wish.answer, did=did, seconds_max=seconds)

    async def invite(link: str, is_opened: bool) -> None:
        """After everything that led there was told."""
        await overhearing.finish()
        teller.invite(link, is_opened)

    may_open = sys.stdout.isatty() and not wish.as_json
    return Person(invite=invite, open_page=open_page if may_open else None)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something goes on meanwhile. What it fails with is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _told(url: str, project: str, wish: Wish, conversation: Conversation, result: Result) -> dict[str, Any]:
    from tollhouse.cli.step_up import shown_decline
    from tollhouse.cli.threeds import shown_message

    return {
        "gateway": url,
        "project": project,
        "session_id": conversation.session.get("id"),
        "card": wish.card,
        "amount": {"amount": wish.money.minor, "currency": wish.money.currency},
        "calls": [asdict(call) for call in conversation.calls],
        "webhooks": [asdict(webhook) for webhook in conversation.webhooks],
        "soft_declines": [shown_decline(one) for one in conversation.declines],
        "action": conversation.link,
        "threeds": [shown_message(one) for one in sorted(conversation.messages, key=lambda one: one.at)],
        "session": conversation.session,
        "result": {
            "ok": result.is_expected,
            "outcome": result.outcome,
            "reason": result.reason,
            "description": result.description,
        },
    }
