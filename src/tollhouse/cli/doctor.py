"""`tollhouse doctor`: what production would refuse here, before anything is started."""

from __future__ import annotations

import json

import click

from tollhouse.boot.config import Config
from tollhouse.boot.cores import forbid_core_dumps, forbid_looking_in
from tollhouse.boot.production import Finding, Part
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

ALL = "all"
_EPILOG = """\b
Examples:
  tollhouse doctor || echo "not ready for real cards"
  tollhouse doctor --part vault --json
"""


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print each check with its refusals as JSON.")
@click.option(
    "--part",
    "part_name",
    type=click.Choice([ALL, *(part.value for part in Part)]),
    default=ALL,
    show_default=True,
    help="Whose checks: those of one process, or of all.",
)
@with_config()
def command(config: Config, *, as_json: bool, part_name: str) -> None:
    """Check this machine and these settings against the rules of production. Exit code 1 when something is refused.

    What is warned of is not refused; read it all the same.
    """
    from tollhouse.boot.fitness import look_and_judge

    forbid_core_dumps()
    forbid_looking_in()
    found = look_and_judge(config, None if part_name == ALL else Part(part_name))
    refused = sum(len(finding.refused) for finding in found)
    if as_json:
        click.echo(json.dumps(_shown(config, found), indent=2))
    else:
        for finding in found:
            for line in finding.refused:
                click.echo(f"{'refused':8} {finding.about}: {line}")
            for line in finding.warned:
                click.echo(f"{'warning':8} {finding.about}: {line}")
            if not finding.refused and not finding.warned:
                click.echo(f"{'ok':8} {finding.about}")
    if refused:
        begins = "would refuse" if not config.is_production else "refuses"
        raise Failure(f"production {begins} {refused} of these; each line says what to change")


def _shown(config: Config, found: list[Finding]) -> dict[str, object]:
    checks = [
        {
            "about": finding.about,
            "ok": not finding.refused,
            "refused": list(finding.refused),
            "warned": list(finding.warned),
        }
        for finding in found
    ]
    return {"mode": config.mode, "ok": all(check["ok"] for check in checks), "checks": checks}
