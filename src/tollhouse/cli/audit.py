"""`tollhouse audit`: prove that the audit log is whole, review it, and keep of it what is to be kept elsewhere."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollhouse.boot.config import Config
from tollhouse.cli.anchors import load_anchors, with_anchors
from tollhouse.cli.audit_keeping import anchor, retire
from tollhouse.cli.audit_report import report
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(help="Prove that the audit log is whole, review it, keep of it what is to be kept elsewhere.")
def command() -> None:
    """The group of commands about the audit log."""


for _one in (report, anchor, retire):
    command.add_command(_one)


@command.command(
    epilog="\b\nExamples:\n  tollhouse audit verify\n  tollhouse audit verify --anchors .tollhouse/audit-anchors\n"
    "  tollhouse audit verify --file audit-until-2025-11.jsonl --public-key BASE64\n\n"
    "\b\nExit code 0: the log is whole; 1: it is not, and each finding is named."
)
@click.option("--public-key", "shown_key", metavar="BASE64", help="The audit key as it was noted down; needs no keys.")
@with_anchors("Lines with anchors, such as a log; the database, or the file, must hold all that they name.")
@click.option(
    "--file",
    "retired_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Prove this file of `audit retire` instead of the database; needs --public-key and no database.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def verify(
    config: Config, *, shown_key: str | None, anchor_files: tuple[Path, ...], retired_file: Path | None, as_json: bool
) -> None:
    """Find every entry that was changed, removed or reordered."""
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault.audit_rows import Proven, prove

    given = None if shown_key is None else _public_key(shown_key)
    if retired_file is not None:
        _verify_file(retired_file, given, anchor_files, as_json=as_json)

    async def proven_by(pool: asyncpg.Pool, key: Ed25519PublicKey) -> Proven:
        anchors, forged = load_anchors(anchor_files, key)
        proven = await prove(pool, key, anchors)
        return replace(proven, findings=(*proven.findings, *forged))

    async def work(pool: asyncpg.Pool) -> tuple[Proven, Ed25519PublicKey]:
        async with recorded(pool, "audit.verify"):
            if given is not None:
                return await proven_by(pool, given), given
            async with keys_on(config, pool) as keys:
                assert keys.audit_key is not None
                key = keys.audit_key.public_key()
            return await proven_by(pool, key), key

    proven, key = on_database(config, work)
    shown = b64encode(key.public_bytes_raw()).decode()
    if as_json:
        _print_json(asdict(proven) | {"is_whole": not proven.findings, "public_key": shown})
    else:
        counted = f"{proven.entries} entries in {proven.chains} chains, {proven.checkpoints} checkpoints"
        _print_verdict("the audit log", proven.findings, f"{counted} signed by {shown}")
    sys.exit(1 if proven.findings else 0)


def _verify_file(path: Path, key: Ed25519PublicKey | None, anchor_files: Sequence[Path], *, as_json: bool) -> None:
    from tollhouse.vault.audit_file import prove_file

    if key is None:
        raise Failure("--file: the proof needs no database but the key; give --public-key as it was noted down")
    anchors, forged = load_anchors(anchor_files, key)
    try:
        proven = prove_file(path, key, anchors)
    except OSError as problem:
        raise Failure(f"--file {path}: {problem.strerror}") from None
    except ValueError as problem:
        raise Failure(f"--file {path}: {problem}; give a file that `tollhouse audit retire` wrote") from None
    proven = replace(proven, findings=(*proven.findings, *forged))
    if as_json:
        _print_json(asdict(proven) | {"is_whole": not proven.findings})
    else:
        _print_verdict(str(path), proven.findings, f"{proven.entries} entries in {proven.chains} chains")
    sys.exit(1 if proven.findings else 0)


def _print_verdict(what: str, findings: Sequence[str], counted: str) -> None:
    for finding in findings:
        click.echo(f"{click.style('found:', fg='red')} {finding}")
    verdict = "is not whole" if findings else "is whole"
    click.echo(f"{what} {verdict}: {counted}")


@command.command(
    epilog="\b\nExamples:\n  tollhouse audit export > audit.jsonl\n  tollhouse audit export --since 2026-11-01"
)
@click.option("--since", type=_MOMENT, help="Only from this moment on, UTC.")
@click.option("--until", type=_MOMENT, help="Only before this moment, UTC.")
@with_config("home", "database_url")
def export(config: Config, *, since: datetime | None, until: datetime | None) -> None:
    """Print every entry as a line of JSON, oldest first."""
    from tollhouse.cli.acting import recorded
    from tollhouse.vault.audit_rows import export as read

    begin, end = _utc(since), _utc(until)

    async def work(pool: asyncpg.Pool) -> None:
        async with recorded(pool, "audit.export", details=f"{begin or 'all'} to {end or 'now'}"):
            async for chain, entry in read(pool, since=begin, until=end):
                shown = {"chain": chain, "number": entry.number, "at": entry.at.isoformat(), **asdict(entry.act)}
                click.echo(json.dumps(shown))

    on_database(config, work)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True))
    except ValueError:
        raise Failure("--public-key: 32 bytes in Base64 expected, as `tollhouse audit verify` prints them") from None


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=2))
