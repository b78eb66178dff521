"""`tollhouse audit`: prove that the audit log is whole, review it, and keep of it what is to be kept elsewhere."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollhouse.boot.config import Config
from tollhouse.cli.audit_keeping import anchor, retire
from tollhouse.cli.audit_report import report
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

if TYPE_CHECKING:
    from tollhouse.audit import Anchor

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
@click.option(
    "--anchors",
    "anchor_files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="Lines with anchors, such as a log; the database must hold all that they name. May be given several times.",
)
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
        _verify_file(retired_file, given, as_json=as_json)
    lines = [line for path in anchor_files for line in _lines_of(path)]

    async def proven_by(pool: asyncpg.Pool, key: Ed25519PublicKey) -> Proven:
        anchors, forged = _anchors(lines, key)
        if anchor_files and not (anchors or forged):
            raise Failure(f"--anchors {anchor_files[0]}: has no line with an anchor; see `tollhouse audit anchor`")
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


def _verify_file(path: Path, key: Ed25519PublicKey | None, *, as_json: bool) -> None:
    from tollhouse.vault.audit_file import prove_file

    if key is None:
        raise Failure("--file: the proof needs no database but the key; give --public-key as it was noted down")
    try:
        proven = prove_file(path, key)
    except OSError as problem:
        raise Failure(f"--file {path}: {problem.strerror}") from None
    except ValueError as problem:
        raise Failure(f"--file {path}: {problem}; give a file that `tollhouse audit retire` wrote") from None
    if as_json:
        _print_json(asdict(proven) | {"is_whole": not proven.findings})
    else:
        _print_verdict(str(path), proven.findings, f"{proven.entries} entries in {proven.chains} chains")
    sys.exit(1 if proven.findings else 0)


def _lines_of(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise Failure(f"--anchors {path}: {problem.strerror}; give a file with lines of `audit anchor`") from None
    return [(f"{path}, line {number}", line) for number, line in enumerate(text.splitlines(), start=1)]


def _anchors(lines: Iterable[tuple[str, str]], key: Ed25519PublicKey) -> tuple[list[Anchor], list[str]]:
    from tollhouse.audit import read_anchor

    anchors, forged = [], []
    for place, line in lines:
        try:
            anchor = read_anchor(line, key=key)
        except ValueError as problem:
            forged.append(f"{place}: an anchor is forged: {problem}")
            continue
        if anchor is not None:
            anchors.append(anchor)
    return anchors, forged


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
