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
def database_of(config: Config, *, as_superuser: bool = False) -> Iterator[str]:
    """The address of the configured database; an embedded one that does not run is started meanwhile.

    `as_superuser` speaks of the embedded one alone: the login of another is the operator's choice.
    """
    from tollhouse.store.cluster import ROLE, SUPERUSER
    from tollhouse.store.embedded import Embedded, running_dsn

    role = SUPERUSER if as_superuser else ROLE
    dsn = config.database_url or running_dsn(config.home, role)
    if dsn is not None:
        yield dsn
        return
    server = Embedded(config.home)
    try:
        server.start()
        yield server.dsn_as(role)
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
    from tollhouse.cli.acting import record_done, shortened
    from tollhouse.store.migrate import apply
    from tollhouse.store.roles import grant_again

    if not config.database_url:
        make_home(config.home)
    with database_of(config) as dsn:
        applied = asyncio.run(apply(dsn))
        asyncio.run(grant_again(dsn))
        if applied:
            asyncio.run(record_done(dsn, "database.migrate", details=shortened(applied)))
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


@command.command(epilog="\b\nExamples:\n  tollhouse db roles\n  tollhouse db roles --print | psql -d tollhouse")
@click.option("--print", "is_printed", is_flag=True, help="Change nothing; print the statements for a superuser.")
@with_config("home", "database_url")
def roles(config: Config, is_printed: bool) -> None:
    """Make the database roles of the gateway and of the vault, or give them their rights again.

    Neither reads what is the other's. They get no password here: give them one, or certificates, as your server wants.
    """
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.database import told_who_may
    from tollhouse.store.migrate import check
    from tollhouse.store.postgres import open_pool
    from tollhouse.store.roles import Roles, make, script

    async def write_and_make(dsn: str) -> Roles:
        pool = await open_pool(dsn, connections_max=1)
        try:
            async with recorded(pool, "database.roles"):
                return await make(dsn)
        finally:
            await pool.close()

    if not config.database_url and not (config.home / "postgres").exists():
        raise Failure(f"there is no database in {config.home} yet; `tollhouse up` makes one")
    with database_of(config, as_superuser=True) as dsn:
        asyncio.run(check(dsn))
        if is_printed:
            click.echo(asyncio.run(script(dsn)), nl=False)
            return
        with told_who_may():
            made = asyncio.run(write_and_make(dsn))
    click.echo(f"the gateway's role is {made.gateway}, the vault's is {made.vault}")
