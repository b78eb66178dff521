"""`tollhouse audit report`: what a reviewer looks at daily."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.settings import with_config
from tollhouse.vault.audit_report import Report, Unusual

BAR_WIDTH = 40
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    if match := re.fullmatch(r"([0-9]{1,4})([hdw])", text):
        return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise click.BadParameter(
        f"{text[:40]!a}: give how long ago, such as 12h, 1d or 2w, or a moment such as 2026-11-01", ctx, param
    )


@click.command(
    epilog="\b\nExamples:\n  tollhouse audit report\n  tollhouse audit report --since 7d --json\n\n"
    "\b\nExit code 0: nothing is unusual; 1: something is, and it stands first."
)
@click.option(
    "--since", callback=_moment, default="1d", show_default=True, help="From when on: 12h, 1d, 2w or a moment."
)
@click.option("--until", callback=_moment, help="Up to when; without it up to now.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def report(config: Config, *, since: datetime, until: datetime | None, as_json: bool) -> None:
    """Show what was done how often, what was refused, and first what is unusual."""
    from tollhouse.cli.acting import recorded
    from tollhouse.vault.audit_report import report as read

    now = datetime.now(UTC)

    async def work(pool: asyncpg.Pool) -> Report:
        end = until or now
        async with recorded(pool, "audit.report", details=f"{since:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}"):
            return await read(pool, since=since, until=end, now=now)

    found = on_database(config, work)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, default=datetime.isoformat))
    else:
        _print(found)
    raise SystemExit(1 if found.unusual else 0)


def _print(found: Report) -> None:
    click.echo(f"audit log from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC")
    _head("unusual")
    for one in found.unusual:
        click.echo(f"  {click.style(one.why, fg='red')}: {_place(one)}")
    if not found.unusual:
        click.echo("  nothing")
    _head("refused accesses by source")
    for origin, count in found.refused:
        click.echo(f"  {count:>8}  {origin or 'unknown'}")
    _head("cards opened by hour (UTC)")
    most = max((count for _, count in found.reveals), default=1)
    for hour, count in found.reveals:
        bar = "█" * max(1, BAR_WIDTH * count // most)
        click.echo(f"  {hour.astimezone(UTC):%m-%d %H:00}  {bar:<{BAR_WIDTH}} {count}")
    _head("acts")
    for line in found.counts:
        click.echo(f"  {line.count:>8}  {line.what:<20} {line.outcome:<8} {line.who}")


def _head(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


def _place(one: Unusual) -> str:
    at = "" if one.at is None else f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} "
    who = f" by {one.who}" if one.who else ""
    return f"{at}{one.what}{who} from {one.origin or 'unknown'}"
