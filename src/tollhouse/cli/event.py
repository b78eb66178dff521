"""`tollhouse event`: lists and shows events with their deliveries, sends one again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import click
import msgspec

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.project import load_known
from tollhouse.cli.settings import with_config
from tollhouse.life import Announced
from tollhouse.webhook import DeliveryState

_STATES = [state.value for state in DeliveryState]
_PROJECT = click.option("--project", metavar="NAME", help="Whose; needed only if two projects have one of this id.")


@click.group(help="List and show events, send one again.")
def command() -> None:
    """The group of commands about events."""


@command.command(
    "list", epilog="\b\nExamples:\n  tollhouse event list\n  tollhouse event list --project shop --state abandoned"
)
@click.option("--project", metavar="NAME", help="Only those of this project.")
@click.option("--session", "session_id", metavar="ID", help="Only those of this session.")
@click.option("--state", type=click.Choice(_STATES), help="Only those whose delivery stands so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@with_config("home", "database_url")
def list_some(
    config: Config, *, project: str | None, session_id: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """List events, newest first."""
    from tollhouse.store.reads import list_events

    async def work(pool: asyncpg.Pool) -> list[Announced]:
        found = await list_events(pool, project=project, session_id=session_id, state=state, limit=limit)
        if not found:
            await _refuse_unknown(pool, project, session_id)
        return found

    found = on_database(config, work)
    if as_json:
        click.echo(json.dumps([_shown(event) for event in found], indent=2))
        return
    if not found:
        click.echo("no events")
    for event in found:
        line = f"{event.created_at:%Y-%m-%d %H:%M:%S}  {event.id}  {event.type:<17} #{event.sequence:<3}"
        click.echo(f"{line}  {_standing(event):<24}  {event.session_id}  {event.project}")


@command.command("show", epilog="\b\nExample:\n  tollhouse event show evt_00178888888888812345")
@click.argument("event_id")
@_PROJECT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def show(config: Config, *, event_id: str, project: str | None, as_json: bool) -> None:
    """Show an event, its body and every attempt to deliver it."""
    event = on_database(config, lambda pool: _load(pool, project, event_id))
    if as_json:
        click.echo(json.dumps(_shown(event) | {"body": json.loads(event.body)}, indent=2, ensure_ascii=False))
        return
    click.echo(f"event    {click.style(event.id, bold=True)}  {event.type} #{event.sequence}, {_standing(event)}")
    announced = f"{event.created_at:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"session  {event.session_id}, project {event.project}, announced {announced}")
    for attempt in event.attempts:
        answered = click.style(str(attempt.status or attempt.error), fg="green" if attempt.status == 200 else "red")
        why = f" ({attempt.error})" if attempt.status and attempt.error else ""
        excerpt = f"  {attempt.excerpt}" if attempt.excerpt else ""
        took = f"in {attempt.duration_seconds * 1000:.0f} ms"
        click.echo(f"attempt  {attempt.number}  {attempt.at:%Y-%m-%d %H:%M:%S} UTC  {answered}{why} {took}{excerpt}")
    if event.next_attempt_at and event.state is DeliveryState.WAITING:
        click.echo(f"next     {event.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(json.dumps(json.loads(event.body), indent=2, ensure_ascii=False))


@command.command("resend", epilog="\b\nExample:\n  tollhouse event resend evt_00178888888888812345")
@click.argument("event_id")
@_PROJECT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def resend(config: Config, *, event_id: str, project: str | None, as_json: bool) -> None:
    """Send an event again: same id and body, at once, with a retry window of its own."""
    from tollhouse.cli.acting import recorded
    from tollhouse.store.projects import find_project
    from tollhouse.store.reads import resend_event

    async def work(pool: asyncpg.Pool) -> Announced:
        event = await _load(pool, project, event_id)
        known = await find_project(pool, event.project)
        if known is None or known.project.webhook_url is None:
            raise Failure(
                f"project {event.project} has no webhook address; give it one first with"
                f" `tollhouse project set {event.project} --webhook-url URL`"
            )
        async with recorded(pool, "event.resend", f"{event.project}/{event.id}"):
            await resend_event(pool, event.project, event.id, datetime.now(UTC))
        return await _load(pool, event.project, event_id)

    event = on_database(config, work)
    if as_json:
        click.echo(json.dumps(_shown(event), indent=2))
    else:
        click.echo(f"{event.id} goes out again now; see it with `tollhouse event show {event.id}`")


async def _refuse_unknown(pool: asyncpg.Pool, project: str | None, session_id: str | None) -> None:
    """Who asks for the events of a project or a session that does not exist is told so."""
    from tollhouse.store.reads import projects_of_session

    if project is not None:
        await load_known(pool, project)
    if session_id is None:
        return
    owners = await projects_of_session(pool, session_id)
    if not owners or (project is not None and project not in owners):
        where = f" in project {project}" if project else ""
        raise Failure(f"there is no session {session_id[:80]!a}{where}; `tollhouse session list` shows the newest")


async def _load(pool: asyncpg.Pool, project: str | None, event_id: str) -> Announced:
    from tollhouse.store.reads import find_event, projects_of_event

    owners = [project] if project else await projects_of_event(pool, event_id)
    if len(owners) > 1:
        raise Failure(f"projects {', '.join(owners)} have an event {event_id}; choose one with --project")
    event = await find_event(pool, owners[0], event_id) if owners else None
    if event is None:
        where = f" in project {project}" if project else ""
        raise Failure(f"there is no event {event_id[:80]!a}{where}; `tollhouse event list` shows the newest")
    return event


def _standing(event: Announced) -> str:
    count = len(event.attempts)
    return f"{event.state}, {count} attempt{'' if count == 1 else 's'}"


def _shown(event: Announced) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(event)
    del shown["body"]
    return shown
