"""`tollhouse purge`: shows or erases what nothing can need any more, or what is known of one payer."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

if TYPE_CHECKING:
    from tollhouse.store.purge import Count
    from tollhouse.worker.purging import Erased, Purge

SAY_SECONDS = 1.0
SETTLE_SECONDS = 60.0
RUNS = "purge.run"
WHY = {
    "unfinished": "money can still move",
    "refundable": "can still be refunded",
    "in doubt": "reversed in the last 7 days: a late approval would be reversed again",
    "recent": "changed in the last 7 days",
    "token": "a card's token stands for it",
    "young": "not old enough",
    "used": "a token that was used stays as long as its card",
    "waiting": "not delivered yet",
    "kept": "the law wants them",
    "over": "older than the law wants them; a purge never takes them",
}
_EPILOG = """\b
Examples:
  tollhouse purge --dry-run
  tollhouse purge
  tollhouse purge --dry-run --project shop --json
  tollhouse purge --session ps_00178888888888812345
  tollhouse purge --project shop --customer u-3108

\b
Exit code 0: done; 1: refused, or something of what was named must stay, with the reason.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is to be erased. Without any of the last three: whatever is old enough."""

    project: str | None
    card: str | None
    session: str | None
    customer: str | None

    @property
    def is_single(self) -> bool:
        return any((self.card, self.session, self.customer))

    @property
    def subject(self) -> str:
        """For the audit log. What a merchant calls a payer is personal, and is not written there."""
        named = self.session or (self.card and f"card {self.card[:8]}...") or (self.customer and "a customer")
        return "/".join(word for word in (self.project, named) if word)


@click.command(epilog=_EPILOG)
@click.option("--dry-run", is_flag=True, help="Change nothing; show by kind what goes, what stays and why.")
@click.option("--project", metavar="NAME", help="Only what is this project's.")
@click.option("--card", metavar="TOKEN", help="One card, by its token; needs --project.")
@click.option("--session", metavar="ID", help="The payer of one session, and the card.")
@click.option("--customer", metavar="REFERENCE", help="Every session in which this payer was named; needs --project.")
@click.option(
    "--settle-seconds",
    type=click.FloatRange(0),
    default=SETTLE_SECONDS,
    show_default=True,
    help="How long cards that were let go wait for calls under way; 0 while nothing else runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config(
    "home",
    "database_url",
    "vault_database_url",
    "retention_cards_days",
    "retention_personal_days",
    "retention_events_days",
    "retention_books_days",
)
def command(config: Config, *, dry_run: bool, settle_seconds: float, as_json: bool, **words: Any) -> None:
    """Erase what nothing can need any more: cards, what is known of payers, tokens, events. The books stay.

    It asks nothing, may be ended at any moment and run again, and works beside running gateways.
    """
    asked = _Asked(**words)
    _refuse_mixed(asked, dry_run=dry_run)
    if dry_run:
        _print_plan(config, on_database(config, lambda pool: _plan(config, pool, asked)), as_json=as_json)
        return
    if not asked.is_single:
        gone = on_database(config, lambda pool: _run(config, pool, asked, settle_seconds))
        _print_gone(gone, as_json=as_json)
        return
    erased = on_database(config, lambda pool: _erase(config, pool, asked, settle_seconds))
    _print_gone(erased.gone, as_json=as_json, stays=erased.stays)
    if erased.stays:
        raise SystemExit(1)


def _refuse_mixed(asked: _Asked, *, dry_run: bool) -> None:
    named = [name for name in ("card", "session", "customer") if getattr(asked, name)]
    if len(named) > 1:
        raise Failure(f"--{named[0]} and --{named[1]}: name one of them; run this again for the other")
    if named and dry_run:
        raise Failure(f"--dry-run shows what goes by its age, and --{named[0]} is erased at any age; leave one out")
    if (asked.card or asked.customer) and asked.project is None:
        raise Failure(f"--{named[0]}: needs --project, because it means something within one project only")


async def _plan(config: Config, pool: asyncpg.Pool, asked: _Asked) -> dict[str, Any]:
    async with _purge_on(config, pool, asked, "purge.plan") as purge:
        counts = await purge.plan(asked.project)
        last = await purge.store.last_run()
        return {"at": purge.now(), "project": asked.project, "kinds": counts, "last_run": last}


async def _run(config: Config, pool: asyncpg.Pool, asked: _Asked, settle_seconds: float) -> dict[str, int]:
    from tollhouse.worker.purging import run_written

    async with _purge_on(config, pool, asked, RUNS, settle_seconds) as purge, purge.store.alone() as is_alone:
        if not is_alone:
            raise Failure("another purge is at work on this database; run this again when it has ended")
        return dict(await run_written(purge, asked.project))


async def _erase(config: Config, pool: asyncpg.Pool, asked: _Asked, settle_seconds: float) -> Erased:
    async with _purge_on(config, pool, asked, "purge.erase", settle_seconds) as purge:
        sessions, cards = await _named(pool, purge, asked)
        async with purge.store.alone() as is_alone:
            if not is_alone:
                raise Failure("another purge is at work on this database; run this again when it has ended")
            return await purge.erase(sessions, cards)


async def _named(
    pool: asyncpg.Pool, purge: Purge, asked: _Asked
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The sessions and cards that were named."""
    from tollhouse.store.reads import projects_of_session
    from tollhouse.vault.shredding import Shredder

    if asked.session is not None:
        found = [name for name in await projects_of_session(pool, asked.session) if asked.project in (None, name)]
        if len(found) != 1:
            problem = "two projects have this session; add --project" if found else "there is no such session"
            raise Failure(f"--session {asked.session[:80]!a}: {problem}")
        return [(found[0], asked.session)], []
    assert asked.project is not None, "the others were refused without it"
    if asked.customer is not None:
        sessions = await purge.store.sessions_of_customer(asked.project, asked.customer)
        if not sessions:
            raise Failure(f"--customer {asked.customer[:80]!a}: no session of project {asked.project} names this payer")
        return sessions, []
    assert asked.card is not None
    card = asked.card if asked.card.startswith("card_") else await purge.store.card_of_token(asked.project, asked.card)
    assert isinstance(purge.vault, Shredder), "a command reaches the vault's rows itself"
    if card is None or not await purge.vault.has(asked.project, card):
        raise Failure(f"--card {asked.card[:8]!a}...: project {asked.project} has no card under this token")
    return [], [(asked.project, card)]


@asynccontextmanager
async def _purge_on(
    config: Config, pool: asyncpg.Pool, asked: _Asked, what: str, settle_seconds: float = SETTLE_SECONDS
) -> AsyncIterator[Purge]:
    """A purge that stands in the audit log, with its numbers."""
    from tollhouse.audit import DONE, Act
    from tollhouse.boot.purging import purge_on
    from tollhouse.cli.acting import recorded
    from tollhouse.store.postgres import open_pool
    from tollhouse.store.projects import find_project
    from tollhouse.worker.purging import numbers

    if asked.project is not None and await find_project(pool, asked.project) is None:
        raise Failure(f"there is no project {asked.project[:80]!a}; `tollhouse project list` shows them all")
    own = await open_pool(config.vault_database_url, connections_max=2) if config.vault_database_url else None
    gone: dict[str, int] = {}
    try:
        async with recorded(own or pool, what, asked.subject) as log:
            say = _Progress(gone)
            yield purge_on(config, pool, own or pool, log, told=say, settle_seconds=settle_seconds)
            if gone:
                await log.write(Act(what="purge.gone", outcome=DONE, subject=asked.subject, details=numbers(gone)))
    except asyncpg.InsufficientPrivilegeError:
        raise Failure(
            "this login may not change the vault's rows; run this where TOLLHOUSE_VAULT_DATABASE_URL"
            " is set to the vault's own login"
        ) from None
    finally:
        if own is not None:
            await own.close()


class _Progress:
    """Remembers what is gone, and says so once a second."""

    def __init__(self, gone: dict[str, int]) -> None:
        self._gone, self._said_at = gone, time.monotonic()

    def __call__(self, kind: str, count: int) -> None:
        from tollhouse.worker.purging import SECONDS_LEFT

        if kind != SECONDS_LEFT:
            self._gone[kind] = count
        if kind == SECONDS_LEFT or time.monotonic() - self._said_at >= SAY_SECONDS:
            self._said_at = time.monotonic()
            click.echo(f"{kind}: {count}", err=True)


def _print_plan(config: Config, plan: dict[str, Any], *, as_json: bool) -> None:
    from tollhouse.boot.purging import retention_of

    kinds: Mapping[str, Count] = plan["kinds"]
    if as_json:
        shown = {**plan, "retention": asdict(retention_of(config)), "kinds": {k: asdict(c) for k, c in kinds.items()}}
        click.echo(json.dumps(shown, indent=2, default=lambda value: value.isoformat()))
        return
    for kind, count in kinds.items():
        when = f"  from {count.oldest:%Y-%m-%d} to {count.newest:%Y-%m-%d}" if count.oldest and count.newest else ""
        click.echo(f"{kind:<28} {count.goes:>9} go{when}")
        for why, stays in sorted(count.stays.items()):
            click.echo(f"{'':<28} {stays:>9} stay: {WHY[why]}")
    click.echo("nothing was changed; `tollhouse purge` erases what goes")


def _print_gone(gone: Mapping[str, int], *, as_json: bool, stays: Mapping[str, str] | None = None) -> None:
    if as_json:
        click.echo(json.dumps({"gone": dict(gone), **({} if stays is None else {"stays": dict(stays)})}, indent=2))
        return
    for kind, count in gone.items():
        click.echo(f"{count:>9} {kind}")
    if not gone:
        click.echo("nothing is gone")
    for name, why in (stays or {}).items():
        click.echo(f"{click.style('stays:', fg='yellow')} {name}: {why}", err=True)
