"""`tollhouse key`: the public keys that a project signs its calls with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.project import load_known, read_key_file
from tollhouse.cli.settings import with_config
from tollhouse.merchant import PUBLIC_KEYS_MAX, PublicKey
from tollhouse.store.projects import add_key, retire_key

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the project's active keys as one JSON object.")


@click.group(help="Add and retire a project's public keys: one match is enough, so keys change without a pause.")
def command() -> None:
    """The group of commands about keys."""


@command.command(epilog="\b\nExample:\n  tollhouse key add shop new.pub.pem")
@click.argument("project")
@click.argument("file")
@_JSON
@with_config("home", "database_url")
def add(config: Config, *, project: str, file: str, as_json: bool) -> None:
    """Let PROJECT also sign with the key in FILE (PEM or an X.509 certificate)."""
    from tollhouse.boot.onboarding import read_public_key
    from tollhouse.cli.acting import recorded

    key = read_public_key(read_key_file(file))

    async def work(pool: asyncpg.Pool) -> tuple[PublicKey, ...]:
        known = await load_known(pool, project)
        active = known.project.public_keys
        if any(other.id == key.id for other in active):
            raise Failure(f"project {project} has this key already: {key.id}")
        if len(active) >= PUBLIC_KEYS_MAX:
            raise Failure(
                f"project {project} has {len(active)} active keys, the most there may be;"
                f" retire one first: `tollhouse key retire {project} {active[0].id}`"
            )
        async with recorded(pool, "project.key.add", project, details=key.id):
            await add_key(pool, project, key, datetime.now(UTC))
        return (*active, key)

    _print(project, key.id, "added", on_database(config, work), as_json=as_json)


@command.command(epilog="\b\nExample:\n  tollhouse key retire shop 5b1d0c0f7e3a4c2f9d8b7a6e5f4c3b2a")
@click.argument("project")
@click.argument("key_id")
@click.option("--force", is_flag=True, help="Also the last active one: the project cannot call the API any more.")
@_JSON
@with_config("home", "database_url")
def retire(config: Config, *, project: str, key_id: str, force: bool, as_json: bool) -> None:
    """End the key KEY_ID of PROJECT: calls signed with it are refused within a second."""
    from tollhouse.cli.acting import recorded

    async def work(pool: asyncpg.Pool) -> tuple[PublicKey, ...]:
        active = (await load_known(pool, project)).project.public_keys
        left = tuple(key for key in active if key.id != key_id)
        if len(left) == len(active):
            raise Failure(f"project {project} has no active key {key_id[:80]!a}; it has {_names(active)}")
        if not left and not force:
            raise Failure(
                f"{key_id} is the last active key of project {project}: add its successor first with"
                f" `tollhouse key add {project} FILE`, or end all access with --force"
            )
        async with recorded(pool, "project.key.retire", project, details=key_id):
            await retire_key(pool, project, key_id, datetime.now(UTC))
        return left

    _print(project, key_id, "retired", on_database(config, work), as_json=as_json)


def _names(keys: Sequence[PublicKey]) -> str:
    return ", ".join(key.id for key in keys) or "none"


def _print(project: str, key_id: str, done: str, active: Sequence[PublicKey], *, as_json: bool) -> None:
    if as_json:
        keys = [{"id": key.id, "pem": key.pem} for key in active]
        click.echo(json.dumps({"project": project, done: key_id, "public_keys": keys}, indent=2))
    else:
        click.echo(f"key {key_id} {done}; active keys of project {project}: {_names(active)}")
