"""`tollhouse session`: lists payment sessions, draws the life of one, prints its messages of 3-D Secure."""

from __future__ import annotations

import json
import shutil
from typing import Any

import asyncpg
import click
import msgspec

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.project import load_known
from tollhouse.cli.settings import with_config
from tollhouse.life import Life
from tollhouse.money import Money
from tollhouse.payment import PayingCard
from tollhouse.session import PaymentSession, Status

WIDTH_MAX = 140


@click.group(help="List payment sessions, show the life of one.")
def command() -> None:
    """The group of commands about sessions."""


@command.command(
    "list", epilog="\b\nExamples:\n  tollhouse session list\n  tollhouse session list --status error --json"
)
@click.option("--project", metavar="NAME", help="Only those of this project.")
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Only those that stand so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@with_config("home", "database_url")
def list_some(config: Config, *, project: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """List sessions, newest first."""
    from tollhouse.store.reads import list_sessions

    async def work(pool: asyncpg.Pool) -> list[PaymentSession]:
        found = await list_sessions(pool, project=project, status=status, limit=limit)
        if project is not None and not found:
            await load_known(pool, project)  # who asks for a project that does not exist is told so
        return found

    found = on_database(config, work)
    if as_json:
        click.echo(json.dumps([summary(session) for session in found], indent=2))
        return
    if not found:
        click.echo("no sessions; `tollhouse pay` makes one")
    for session in found:
        money, card = money_of(session), card_of(session)
        shown = f"{money}" if money else "", shown_card(card) if card else ""
        line = f"{session.created_at:%Y-%m-%d %H:%M:%S}  {session.id}  {session.status:<11}"
        click.echo(f"{line}  {shown[0]:>14}  {shown[1]:<16}  {session.project}  {session.reason or ''}".rstrip())


@command.command("show", epilog="\b\nExample:\n  tollhouse session show ps_00178888888888812345")
@click.argument("session_id")
@click.option("--project", metavar="NAME", help="Whose; needed only if two projects have a session of this id.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@with_config("home", "database_url")
def show(config: Config, *, session_id: str, project: str | None, as_json: bool) -> None:
    """Draw the life of a session: requests, transitions, messages of acquirer and 3-D Secure, events, in order."""
    from tollhouse.cli.lifeline import draw

    life = on_database(config, lambda pool: _load_life(pool, project, session_id))
    if as_json:
        click.echo(json.dumps(shown_life(life), indent=2, ensure_ascii=False))
        return
    for line in draw(life, _width()):
        click.echo(line)


@command.command(
    "threeds",
    epilog="\b\nExamples:\n  tollhouse session threeds ps_00178888888888812345\n"
    "  tollhouse session threeds ps_00178888888888812345 --json",
)
@click.argument("session_id")
@click.option("--project", metavar="NAME", help="Whose; needed only if two projects have a session of this id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def threeds(config: Config, *, session_id: str, project: str | None, as_json: bool) -> None:
    """Print every 3-D Secure message of a session's payments in order, with all its members; the PAN is masked."""
    from tollhouse.cli.threeds import print_messages, shown_messages

    life = on_database(config, lambda pool: _load_life(pool, project, session_id))
    if as_json:
        click.echo(json.dumps(shown_messages(life), indent=2, ensure_ascii=False))
        return
    for line in print_messages(life, _width()):
        click.echo(line)


def _width() -> int:
    return min(shutil.get_terminal_size((110, 40)).columns, WIDTH_MAX)


async def _load_life(pool: asyncpg.Pool, project: str | None, session_id: str) -> Life:
    from tollhouse.store.reads import find_life, projects_of_session

    owners = [project] if project else await projects_of_session(pool, session_id)
    if len(owners) > 1:
        raise Failure(f"projects {', '.join(owners)} have a session {session_id}; choose one with --project")
    life = await find_life(pool, owners[0], session_id) if owners else None
    if life is None:
        where = f" in project {project}" if project else ""
        raise Failure(f"there is no session {session_id[:80]!a}{where}; `tollhouse session list` shows the newest")
    return life


def money_of(session: PaymentSession) -> Money | None:
    """What the session is about, as far as it is known."""
    return session.payments[-1].money if session.payments else session.offer.money


def card_of(session: PaymentSession) -> PayingCard | None:
    """The card it is paid with, as far as it is known."""
    return session.payments[-1].card if session.payments else session.offer.card


def shown_card(card: PayingCard) -> str:
    """A card as it may be shown."""
    return f"{card.brand or 'card'} *{card.last4}"


def summary(session: PaymentSession) -> dict[str, Any]:
    """A session in few words, for programs."""
    money, card = money_of(session), card_of(session)
    return {
        "id": session.id,
        "project": session.project,
        "status": session.status,
        "reason": session.reason,
        "amount": {"amount": money.minor, "currency": money.currency} if money else None,
        "card": {"brand": card.brand, "bin": card.bin, "last4": card.last4} if card else None,
        "api_version": session.api_version,
        "created_at": _instant(session.created_at),
        "updated_at": _instant(session.updated_at),
        "finished_at": _instant(session.finished_at),
        "payments": [
            {
                "id": payment.id,
                "phase": payment.phase,
                "decision": payment.decision,
                "held_minor": payment.held_minor,
                "captured_minor": payment.captured_minor,
                "refunded_minor": payment.refunded_minor,
                "reason": payment.reason,
            }
            for payment in session.payments
        ],
    }


def shown_life(life: Life) -> dict[str, Any]:
    """Everything of a session for programs: card tokens and sealed security codes are left out."""
    operations = msgspec.to_builtins(life.session.operations)
    return {
        **summary(life.session),
        "operations": operations,
        "authentications": msgspec.to_builtins(life.session.authentications),
        "history": msgspec.to_builtins(life.history),
        "notes": [{"at": _instant(kept.at), **msgspec.to_builtins(kept.what)} for kept in life.notes],
        "alarms": [{"at": _instant(kept.at), **msgspec.to_builtins(kept.what)} for kept in life.alarms],
        "transfers": [{"at": _instant(kept.at), **msgspec.to_builtins(kept.what)} for kept in life.transfers],
        "events": [{k: v for k, v in msgspec.to_builtins(event).items() if k != "body"} for event in life.events],
    }


def _instant(at: Any) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
