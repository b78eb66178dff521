"""`tollhouse serve`, `work` and `sandbox`: one part of the gateway each, for machines that run them apart."""

from __future__ import annotations

from dataclasses import replace

import click

from tollhouse.boot.config import Config
from tollhouse.boot.cores import forbid_core_dumps
from tollhouse.boot.logs import set_up_logs
from tollhouse.boot.production import Part
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config


def refuse_in_production(config: Config, what: str) -> None:
    """What is there for trying out is not there for real cards."""
    if config.is_production:
        raise Failure(
            f"TOLLHOUSE_MODE=production: has no place for {what}; start `tollhouse serve`, `tollhouse work`"
            " and, where the vault is apart, `tollhouse vault serve`"
        )


def with_database(config: Config) -> Config:
    """The configuration with the address of a running database."""
    from tollhouse.store.embedded import running_dsn

    dsn = config.database_url or running_dsn(config.home)
    if dsn is None:
        raise Failure(
            f"the embedded Postgres of {config.home} is not running; start `tollhouse up` or set TOLLHOUSE_DATABASE_URL"
        )
    return replace(config, database_url=dsn)


@click.command(
    epilog="\b\nExample:\n  TOLLHOUSE_DATABASE_URL=postgresql://tollhouse@db.example.com/tollhouse tollhouse serve"
)
@with_config()
def serve(config: Config) -> None:
    """Run the gateway alone, against a database whose schema is current."""
    forbid_core_dumps()
    set_up_logs(config.log_level, config.log_format)
    from tollhouse.boot.fitness import require_fit
    from tollhouse.boot.gateway import serve as run

    require_fit(config, Part.GATEWAY)
    run(with_database(config))


@click.command(
    epilog="\b\nExample:\n  TOLLHOUSE_DATABASE_URL=postgresql://tollhouse@db.example.com/tollhouse tollhouse work"
)
@with_config()
def work(config: Config) -> None:
    """Run the workers alone: webhooks, timers, recovery of what is unfinished."""
    forbid_core_dumps()
    set_up_logs(config.log_level, config.log_format)
    from tollhouse.boot.fitness import require_fit
    from tollhouse.boot.gateway import work as run

    require_fit(config, Part.WORKER)
    run(with_database(config))


@click.command(epilog="\b\nExample:\n  tollhouse sandbox --sandbox-port 9402 --acquirer-port 9583")
@with_config("home", "host", "sandbox_port", "acquirer_port", "answer_limit_seconds", "log_level", "log_format")
def sandbox(config: Config) -> None:
    """Run the sandbox alone: acquirer, directory server and issuer that misbehave on request, with books of its own."""
    refuse_in_production(config, "the sandbox")
    forbid_core_dumps()
    set_up_logs(config.log_level, config.log_format)
    import uvloop

    from tollhouse.sandbox.main import run

    uvloop.run(run(config.home, config.host, config.sandbox_port, config.acquirer_port, config.answer_limit_seconds))
