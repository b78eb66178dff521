"""`tollhouse ranges`: the card ranges that take part in 3-D Secure, as the directory server lists them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

if TYPE_CHECKING:
    from tollhouse.boot.directory import Refreshed
    from tollhouse.card_range import CardRange

_SETTINGS = ("home", "database_url", "directory_url", "host", "sandbox_port")


@click.group(help="List the card ranges that take part in 3-D Secure, refresh them.")
def command() -> None:
    """The group of commands about card ranges."""


def _read_bin(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch("[0-9]{6,8}", text):
        raise click.BadParameter("a BIN has 6 to 8 digits")
    return text


@command.command("list", epilog="\b\nExamples:\n  tollhouse ranges list\n  tollhouse ranges list --bin 400012 --json")
@click.option("--bin", "bin_digits", metavar="BIN", callback=_read_bin, help="Only ranges of cards that begin so.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config(*_SETTINGS)
def list_some(config: Config, *, bin_digits: str | None, as_json: bool) -> None:
    """List the card ranges that are known, in order."""
    from tollhouse.card_range import RangesRefused
    from tollhouse.store.ranges import load_ranges

    try:
        state, ranges = on_database(config, lambda pool: load_ranges(pool, config.directory_url))
    except RangesRefused as refused:
        raise Failure(f"{refused}; `tollhouse ranges refresh --full` replaces what is kept") from None
    shown = [one for one in ranges if bin_digits is None or one.holds_bin(bin_digits)]
    if as_json:
        about = {
            "directory": config.directory_url,
            "serial": state.serial if state else None,
            "refreshed_at": state.refreshed_at.isoformat() if state else None,
        }
        click.echo(json.dumps(about | {"ranges": [asdict(one) for one in shown]}, indent=2))
        return
    if state is None:
        click.echo(f"{config.directory_url} was never asked for its card ranges; `tollhouse ranges refresh` asks")
        return
    click.echo(
        f"{len(shown)} of {len(ranges)} card ranges of {config.directory_url},"
        f" serial {state.serial or 'none'}, refreshed {state.refreshed_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    for one in shown:
        click.echo(_line(one))


@command.command(
    "refresh", epilog="\b\nExamples:\n  tollhouse ranges refresh\n  tollhouse ranges refresh --full --json"
)
@click.option("--full", "is_full", is_flag=True, help="Ask for all ranges instead of what changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config(*_SETTINGS)
def refresh(config: Config, *, is_full: bool, as_json: bool) -> None:
    """Ask the directory server for its card ranges now; running gateways take them over within 30 seconds."""
    refreshed = on_database(config, lambda pool: _refresh(config, pool, is_full=is_full))
    shown: dict[str, Any] = asdict(refreshed)
    if as_json:
        click.echo(json.dumps({"directory": config.directory_url} | shown, indent=2))
        return
    what = "all ranges" if refreshed.is_whole else "what changed"
    click.echo(f"{config.directory_url} was asked for {what}")
    click.echo("{added} added, {changed} changed, {removed} removed, {total} in all".format_map(shown))
    click.echo(f"serial {refreshed.serial_before or 'none'} before, {refreshed.serial_after or 'none'} now")


async def _refresh(config: Config, pool: asyncpg.Pool, *, is_full: bool) -> Refreshed:
    from tollhouse.boot.chance import NodeIds, SystemClock
    from tollhouse.boot.directory import KnownDirectory
    from tollhouse.net.directory import DirectoryLink

    link = DirectoryLink(config.directory_url)
    directory = KnownDirectory(pool, link, clock=SystemClock(), ids=NodeIds(), log=_Aside())
    await link.start()
    try:
        return await (directory.refresh_whole() if is_full else directory.refresh())
    finally:
        await link.close()


class _Aside:
    """A log for one command: what went wrong on the way is told on stderr, what went well the command says itself."""

    def info(self, event: str, **fields: Any) -> None:
        """Nothing."""

    def warning(self, event: str, **fields: Any) -> None:
        """One line."""
        click.echo(f"{event}: {fields.get('why', '')}", err=True)

    error = warning


def _line(one: CardRange) -> str:
    versions = " ".join(one.versions) or "no version of ours"
    method = f"  method {one.method_url}" if one.method_url else ""
    info = f"  info {' '.join(one.info)}" if one.info else ""
    return f"{one.first}–{one.last}  {versions}{info}{method}"
