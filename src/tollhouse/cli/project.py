"""`tollhouse project`: creates projects, shows them and changes their settings."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config
from tollhouse.merchant import Project, Settings
from tollhouse.store.projects import KnownProject, find_project, list_projects, update_project

PUBLIC_KEY_BYTES_MAX = 64 * 1024

# Settings of wire-api 16 that have only their default in this version.
LATER: dict[str, object] = {
    "sync_payments": False,
    "redirect_passthrough": False,
    "signature": "body",
}

_CREATE = """\b
Examples:
  openssl genrsa -out shop.pem 3072 && openssl rsa -in shop.pem -pubout -out shop.pub.pem
  tollhouse project create shop --public-key shop.pub.pem --webhook-url http://127.0.0.1:9000/hook
  tollhouse project create shop-2 --public-key shop.pub.pem --set capture_mode=two_stage --set hold_period=2d --json
"""
_SET = """\b
Examples:
  tollhouse project set shop idempotency=replay webhook_retry_window=3d
  tollhouse project set shop --webhook-url https://shop.example/hook
  tollhouse project set shop --disable
"""


@click.group(help="Create projects, see and change their settings.")
def command() -> None:
    """The group of commands about projects."""


@command.command("create", epilog=_CREATE)
@click.argument("name")
@click.option("--public-key", required=True, metavar="FILE", help="The merchant's RSA key as PEM, or a certificate.")
@click.option("--webhook-url", metavar="URL", help="Where webhooks go; without it nothing is sent.")
@click.option("--set", "words", multiple=True, metavar="KEY=VALUE", help="A setting; may be given several times.")
@click.option("--live", "is_live", is_flag=True, help="Real money; without it a test project on the sandbox.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url", "port", "public_url")
def create(
    config: Config,
    *,
    name: str,
    public_key: str,
    webhook_url: str | None,
    words: tuple[str, ...],
    is_live: bool,
    as_json: bool,
) -> None:
    """Create the project NAME; it may call the API at once."""
    from tollhouse.boot.onboarding import Onboarded, create_project, read_settings
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on

    pem, settings = read_key_file(public_key), read_settings(Settings(), words)

    async def work(pool: asyncpg.Pool) -> Onboarded:
        async with keys_on(config, pool) as keys, recorded(pool, "project.create", name, key=keys.audit_key):
            return await create_project(
                pool,
                keys,
                name=name,
                public_key=pem,
                webhook_url=webhook_url,
                settings=settings,
                is_live=is_live,
                now=datetime.now(UTC),
            )

    made = on_database(config, work)
    if as_json:
        _print_json(shown_project(made.known) | {"webhook_secret": made.webhook_secret})
        return
    _print_project(made.known)
    click.echo(f"webhook secret      {made.webhook_secret}   (shown only now: keep it)")
    click.echo(_next_steps(made.known.project, config.public_url))


@command.command("list", epilog="\b\nExample:\n  tollhouse project list --json")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@with_config("home", "database_url")
def list_all(config: Config, *, as_json: bool) -> None:
    """List all projects."""
    found = on_database(config, list_projects)
    if as_json:
        _print_json([shown_project(known) for known in found])
        return
    if not found:
        click.echo("there is no project yet; `tollhouse project create --help` tells how to make one")
    for known in found:
        project = known.project
        click.echo(f"{project.name:<24} {_kind(project):<15} {project.webhook_url or 'no webhooks'}")


@command.command("show", epilog="\b\nExample:\n  tollhouse project show shop --json")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def show(config: Config, *, name: str, as_json: bool) -> None:
    """Show the project NAME with its keys and settings."""
    known = on_database(config, lambda pool: load_known(pool, name))
    _print_json(shown_project(known)) if as_json else _print_project(known)


@command.command("set", epilog=_SET)
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--webhook-url", metavar="URL", help="Where webhooks go from now on.")
@click.option("--no-webhook", is_flag=True, help="Send no webhooks any more.")
@click.option("--disable/--enable", "is_disabled", default=None, help="Refuse the project's calls, or take them again.")
@click.option("--json", "as_json", is_flag=True, help="Print the project as one JSON object.")
@with_config("home", "database_url")
def change(
    config: Config,
    *,
    name: str,
    words: tuple[str, ...],
    webhook_url: str | None,
    no_webhook: bool,
    is_disabled: bool | None,
    as_json: bool,
) -> None:
    """Change settings of the project NAME; they are in force within a second."""
    from tollhouse.boot.onboarding import read_settings, read_webhook_url
    from tollhouse.cli.acting import recorded

    if webhook_url and no_webhook:
        raise click.UsageError("--webhook-url and --no-webhook exclude each other; give one of them")
    if not (words or webhook_url or no_webhook or is_disabled is not None):
        raise click.UsageError("nothing to change: give KEY=VALUE, --webhook-url, --no-webhook, --disable or --enable")

    async def work(pool: asyncpg.Pool) -> KnownProject:
        known = await load_known(pool, name)
        project = replace(known.project, settings=read_settings(known.project.settings, words))
        if no_webhook:
            project = replace(project, webhook_url=None)
        if webhook_url:
            project = replace(project, webhook_url=read_webhook_url(webhook_url, is_live=project.is_live))
        if is_disabled is not None:
            project = replace(project, is_disabled=is_disabled)
        async with recorded(pool, "project.set", name, details=_changes(known.project, project)):
            await update_project(pool, project)
        return replace(known, project=project)

    known = on_database(config, work)
    _print_json(shown_project(known)) if as_json else _print_project(known)


def _changes(before: Project, after: Project) -> str:
    old, new = [shown_settings(one) | {"disabled": one.is_disabled} for one in (before, after)]
    return " ".join(f"{name}={_word(new[name])}" for name in new if new[name] != old[name])


def read_key_file(path: str) -> str:
    """The text of a key's file. Raises a `Failure` naming the file when it holds no key that can be used."""
    from tollhouse.boot.onboarding import OnboardingRefused, read_public_key

    try:
        with Path(path).open("rb") as file:
            text = file.read(PUBLIC_KEY_BYTES_MAX + 1).decode("ascii", "replace")
        read_public_key(text)
    except OSError as problem:
        raise Failure(f"{path}: {problem.strerror}; give the file that holds the public key as PEM") from None
    except OnboardingRefused as problem:
        raise Failure(f"{path}: {problem}") from None
    return text


async def load_known(pool: asyncpg.Pool, name: str) -> KnownProject:
    """The project of this name. Raises a `Failure` when there is none."""
    known = await find_project(pool, name)
    if known is None:
        raise Failure(f"there is no project {name[:80]!a}; `tollhouse project list` shows them all")
    return known


def shown_project(known: KnownProject) -> dict[str, Any]:
    """A project as `--json` prints it: everything but its secrets."""
    project = known.project
    return {
        "project": project.name,
        "live": project.is_live,
        "disabled": project.is_disabled,
        "webhook_url": project.webhook_url,
        "provider_public_key": known.webhook_public_pem,
        "webhook_public_key": known.webhook_public_ed25519,
        "public_keys": [{"id": key.id, "pem": key.pem} for key in project.public_keys],
        "settings": shown_settings(project),
        "created_at": known.created_at.isoformat().replace("+00:00", "Z"),
    }


def shown_settings(project: Project) -> dict[str, object]:
    """Every setting under its name of wire-api 16. Durations in seconds."""
    settings = asdict(project.settings)
    version = settings.pop("webhook_version")
    exemptions, origins = settings.pop("threeds_exemptions"), settings.pop("widget_origins")
    return {
        "webhook_url": project.webhook_url,
        **settings,
        "threeds_exemptions": ",".join(exemptions) or "none",
        "widget_origins": ",".join(origins) or "none",
        "webhook_version": "session" if version is None else f"v{version}",
        **LATER,
        "live": project.is_live,
    }


def _print_project(known: KnownProject) -> None:
    project = known.project
    click.echo(f"project {click.style(project.name, bold=True)} ({_kind(project)})")
    click.echo(f"webhooks to         {project.webhook_url or 'nowhere: poll session/status'}")
    for key in project.public_keys:
        click.echo(f"merchant's key      {key.id}")
    defaults = shown_settings(Project(name=project.name))
    chosen = [
        f"{name}={_word(value)}"
        for name, value in shown_settings(project).items()
        if value != defaults[name] and name not in ("webhook_url", "live")
    ]
    click.echo(f"settings            {' '.join(chosen) or 'all at their defaults'}")
    click.echo(f"webhook public key  {known.webhook_public_ed25519}")


def _kind(project: Project) -> str:
    return ("live" if project.is_live else "test") + (", disabled" if project.is_disabled else "")


def _word(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _next_steps(project: Project, public_url: str) -> str:
    return f"""
Webhooks carry X-PARTNER-SIGN; check it with the key at
  {public_url}/.well-known/tollhouse/{project.name}/webhook-key.pem

Next, a first call, signed with the private key of the merchant (here merchant.pem):
  printf '%s' '{{}}' > body
  curl {public_url}/api/v2/session/create --data-binary @body \\
    -H 'Content-Type: application/json' -H 'X-PARTNER-PROJECT: {project.name}' \\
    -H "X-PARTNER-SIGN: $(openssl dgst -sha256 -sign merchant.pem body | openssl base64 -A)\""""


def _print_json(content: object) -> None:
    click.echo(json.dumps(content, indent=2, default=str))
