"""`tollhouse vault serve` and `vault certificate`: the vault as a process of its own, and who may speak with it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tollhouse.boot.config import Config
from tollhouse.boot.cores import forbid_core_dumps
from tollhouse.boot.logs import set_up_logs
from tollhouse.cli.settings import Whole, with_config

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_TO = click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the authority; it is made with the first certificate.",
)


@click.command(
    epilog="""\b
Examples:
  TOLLHOUSE_VAULT_URL=unix: tollhouse vault serve
  TOLLHOUSE_VAULT_LISTEN=tls://0.0.0.0:8404 tollhouse vault serve
"""
)
@with_config()
def serve(config: Config) -> None:
    """Run the vault alone: gateways and workers with TOLLHOUSE_VAULT_URL then hold no keys."""
    forbid_core_dumps()
    set_up_logs(config.log_level, config.log_format)
    from tollhouse.boot.fitness import require_fit
    from tollhouse.boot.production import Part
    from tollhouse.boot.vault_process import serve as run
    from tollhouse.cli.serving import with_database

    require_fit(config, Part.VAULT)
    run(config if config.vault_database_url else with_database(config))


@click.group(help="Make and revoke the certificates by which vault and nodes know each other.")
def certificate() -> None:
    """The group of commands about certificates."""


@certificate.command(
    epilog="""\b
Examples:
  tollhouse vault certificate make vault --host vault.example.com --to certificates
  tollhouse vault certificate make node-1 --to certificates
"""
)
@click.argument("name")
@_TO
@click.option("--host", "hosts", multiple=True, help="Name or address of the vault's machine; without: for a node.")
@click.option("--days", type=Whole(1, 3650), default=398, show_default=True, help="How long it counts.")
@_JSON
def make(name: str, *, folder: Path, hosts: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make a certificate: for the vault with --host, else for the node NAME."""
    from tollhouse.vault import certificates

    made, key = certificates.make(folder, name, hosts=hosts, days=days)
    files = {"certificate": made, "key": key, "ca": folder / "ca.pem", "revoked": folder / "revoked.pem"}
    if as_json:
        click.echo(json.dumps({what: str(path) for what, path in files.items()}, indent=2))
        return
    for what, path in files.items():
        if what != "revoked" or hosts:  # the list is for who admits nodes
            click.echo(f"TOLLHOUSE_VAULT_{what.upper()}_FILE={path.absolute()}")


@certificate.command(epilog="\b\nExample:\n  tollhouse vault certificate revoke node-1 --to certificates")
@click.argument("name")
@_TO
@_JSON
def revoke(name: str, *, folder: Path, as_json: bool) -> None:
    """End the certificate of NAME: a vault that has the new list cuts it off within a second."""
    from tollhouse.vault import certificates

    path = certificates.revoke(folder, name)
    if as_json:
        click.echo(json.dumps({"name": name, "revoked": str(path)}, indent=2))
    else:
        click.echo(f"{name} is revoked; copy {path} to where TOLLHOUSE_VAULT_REVOKED_FILE of the vault names it")
        click.echo(f"its own files are put aside in {folder}, as {name}-*.{certificates.REVOKED}-pem and -key")
