"""`tollhouse config`: what can be set, or what is set."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from tollhouse.boot.config import Config, example, without_password
from tollhouse.cli.settings import with_config

_EPILOG = """\b
Examples:
  tollhouse config > tollhouse.env
  TOLLHOUSE_PORT=9400 tollhouse config --json
"""


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the values in force, passwords masked.")
@with_config()
def command(config: Config, as_json: bool) -> None:
    """Print every setting with its meaning and default."""
    if not as_json:
        click.echo(example(), nl=False)
        return
    addresses = {name: without_password(getattr(config, name)) for name in ("database_url", "vault_database_url")}
    values = asdict(config) | {"home": str(config.home)} | addresses
    click.echo(json.dumps(values, indent=2))
