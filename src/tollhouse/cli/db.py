"""`tollhouse db`: the schema of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from tollhouse.boot.config import Config
from tollhouse.cli.failure import Failure
from tollhouse.cli.home import make_home
from tollhouse.cli.settings import with_config


@contextmanager
def database_of(config: Config) -> Iterator[str]:
    """The address of the configured database; an embedded one that does not run is started meanwhile."""
    from tollhouse.store.embedded import Embedded, running_dsn

    dsn = config.database_url or running_dsn(config.home)
    if dsn is not None:
        yield dsn
        return
    server = Embedded(config.home)
    try:
        yield server.start()
    finally:
        server.stop()


@click.group(help="Bring the database's schema up to date, or see where it is.")
def command() -> None:
    """The group of commands about the schema."""


@command.command(
    epilog="\b\nExample:\n  TOLLHOUSE_DATABASE_URL=postgresql://tollhouse@db/tollhouse tollhouse db migrate"
)
@click.option("--json", "as_json", is_flag=True, help="Print the names of the applied migrations as JSON.")
@with_config("home", "database_url")
def migrate(config: Config, as_json: bool) -> None:
    """Apply the migrations that are missing; `tollhouse up` does it by itself."""
    from tollhouse.store.migrate import apply

    if not config.database_url:
        make_home(config.home)
    with database_of(config) as dsn:
        applied = asyncio.run(apply(dsn))
    if as_json:
        click.echo(json.dumps({"applied": applied}))
        return
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the schema is up to date")


@command.command(epilog="\b\nExample:\n  tollhouse db status --json")
@click.option("--json", "as_json", is_flag=True, help="Print the migrations as JSON.")
@with_config("home", "database_url")
def status(config: Config, as_json: bool) -> None:
    """Show which migrations are applied. Exit code 1 when the schema is not current."""
    from tollhouse.store.migrate import check, load_state

    if not config.database_url and not (config.home / "postgres").exists():
        raise Failure(f"there is no database in {config.home} yet; `tollhouse up` makes one")
    with database_of(config) as dsn:
        migrations, rows = asyncio.run(load_state(dsn))
        times = {row.number: row.applied_at.isoformat() for row in rows}
        lines = [{"number": one.number, "name": one.name, "applied_at": times.get(one.number)} for one in migrations]
        if as_json:
            click.echo(json.dumps({"migrations": lines}, indent=2))
        else:
            for line in lines:
                click.echo(f"{line['number']:04d}_{line['name']}  {line['applied_at'] or 'not applied'}")
        asyncio.run(check(dsn))
