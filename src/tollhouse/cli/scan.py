"""`tollhouse scan`: finds card numbers where none belong."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tollhouse.boot.config import Config
from tollhouse.card import CVV_DIGITS_MAX, CVV_DIGITS_MIN, PAN_DIGITS_MAX, PAN_DIGITS_MIN
from tollhouse.cli.failure import Failure
from tollhouse.cli.scanned import (
    STDIN,
    Advance,
    Excuse,
    Found,
    Report,
    scan_database,
    scan_file,
    scan_stdin,
    walk,
)
from tollhouse.cli.settings import with_config
from tollhouse.leak import Wanted

SAY_SECONDS = 10.0
COULD_NOT_LOOK = 2
_FILE = click.Path(path_type=Path)
_EPILOG = """\b
Examples:
  tollhouse scan /var/log /srv/shop
  tollhouse scan --database --strict
  zstdcat dump.sql.zst | tollhouse scan -
  tollhouse scan --known cards.txt --ignore harmless.txt --json .tollhouse

\b
Exit code 0: all was read and nothing found; 1: something was found; 2: wrong usage, or something cannot be read: a file
that is locked, or in a format that is not looked into. A line of --ignore with the number * excuses such a place too.
"""


@click.command(epilog=_EPILOG)
@click.argument("paths", nargs=-1, metavar="[PATH | -]...")
@click.option("--database", "is_database", is_flag=True, help="Every row of every table of the configured database.")
@click.option(
    "--known",
    type=_FILE,
    metavar="FILE",
    help="Look for exactly these too: a card number, a security code, text:… or hex:… on each line.",
)
@click.option(
    "--ignore",
    type=_FILE,
    metavar="FILE",
    help="Pass over what is known: place (with *), number as it is shown (or *), reason; on each line.",
)
@click.option("--strict", "is_strict", is_flag=True, help="Familiar test numbers count too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def command(
    config: Config,
    *,
    paths: tuple[str, ...],
    is_database: bool,
    known: Path | None,
    ignore: Path | None,
    is_strict: bool,
    as_json: bool,
) -> None:
    """Find card numbers where none belong: in files, folders, archives, pipes, databases; never prints one."""
    if not paths and not is_database:
        raise click.UsageError("name a PATH, `-` for standard input, or --database")
    given = [Path(path) for path in paths if path != STDIN]
    for path in given:
        if not path.exists():
            raise Failure(f"{path}: there is no such file or folder", COULD_NOT_LOOK)
    wanted = _wanted(known)
    report = Report(excuses=_read_excuses(ignore), is_strict=is_strict)
    files = list(walk(given, [path for path in (known, ignore) if path], report))
    with _progress(files, measures=not is_database and STDIN not in paths) as advance:
        if STDIN in paths:
            scan_stdin(wanted, report, advance)
        for file in files:
            scan_file(file, wanted, report, advance)
        if is_database:
            _scan_configured(config, wanted, report, advance)
    if as_json:
        click.echo(json.dumps(_shown(report), indent=2))
    else:
        _print(report)
    sys.exit(1 if report.count else COULD_NOT_LOOK if report.unread else 0)


def _scan_configured(config: Config, wanted: Wanted, report: Report, advance: Advance) -> None:
    """The configured database. Somebody reads all of it, so where it has an audit log, that is written down."""
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.database import told_who_may
    from tollhouse.cli.db import database_of
    from tollhouse.store.dump import is_ours, reading
    from tollhouse.store.migrate import place
    from tollhouse.store.postgres import LOST, open_pool

    async def scan(dsn: str) -> None:
        async with reading(dsn) as connection:
            has_log = await is_ours(connection)
        if not has_log:
            await scan_database(dsn, "database", wanted, report, advance)
            return
        pool = await open_pool(dsn, connections_max=1)
        try:
            async with recorded(pool, "database.scan"):
                await scan_database(dsn, "database", wanted, report, advance)
        finally:
            await pool.close()

    if not config.database_url and not (config.home / "postgres").exists():
        raise Failure(f"there is no database in {config.home}; set TOLLHOUSE_HOME or TOLLHOUSE_DATABASE_URL", 2)
    with database_of(config) as dsn:
        try:
            with told_who_may(COULD_NOT_LOOK):
                asyncio.run(scan(dsn))
        except (*LOST, OSError, ValueError) as problem:
            why = " ".join(str(problem).split()) or type(problem).__name__
            raise Failure(f"the database at {place(dsn)} cannot be read: {why}", COULD_NOT_LOOK) from None


def _wanted(known: Path | None) -> Wanted:
    """What to look for beyond any card. Errors name the line and never what stands in it."""
    from tollhouse.sandbox.cards import ALIASES

    numbers, codes, texts = list[str](), list[str](), list[bytes]()
    for number, line in enumerate(_lines(known), start=1):
        word, _, rest = line.partition(":")
        try:
            if not line or line.startswith("#"):
                continue
            if word in ("text", "hex") and rest:
                texts.append(rest.encode() if word == "text" else bytes.fromhex(rest))
            elif _is_digits(line, PAN_DIGITS_MIN, PAN_DIGITS_MAX):
                numbers.append(line)
            elif _is_digits(line, CVV_DIGITS_MIN, CVV_DIGITS_MAX):
                codes.append(line)
            else:
                raise ValueError
        except ValueError:
            raise Failure(
                f"--known {known}: line {number}: expected 12 to 19 digits of a card, 3 or 4 of a security code,"
                " text:… or hex:…",
                COULD_NOT_LOOK,
            ) from None
    return Wanted(numbers=(*numbers,), codes=(*codes,), texts=(*texts,), test_numbers=frozenset(ALIASES))


def _is_digits(text: str, digits_min: int, digits_max: int) -> bool:
    return text.isascii() and text.isdigit() and digits_min <= len(text) <= digits_max


def _read_excuses(path: Path | None) -> list[Excuse]:
    found = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = [line]
        if not words:
            continue
        if len(words) < 3:
            raise Failure(f"--ignore {path}: line {number}: expected a place, a number or *, a reason", COULD_NOT_LOOK)
        found.append(Excuse(place=words[0], shown=words[1], reason=" ".join(words[2:])))
    return found


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise Failure(f"{path}: cannot be read as text; name a file with lines", COULD_NOT_LOOK) from None


@contextmanager
def _progress(files: list[Found], *, measures: bool) -> Iterator[Advance]:
    """On a terminal a bar, where the size is known; elsewhere a line now and then. On stderr."""
    total = sum(file.size for file in files)
    if measures and sys.stderr.isatty():
        with click.progressbar(length=total, label="bytes", file=sys.stderr) as bar:
            yield bar.update
        return
    said_at, done = time.monotonic(), 0

    def advance(size: int) -> None:
        nonlocal said_at, done
        done += size
        if time.monotonic() - said_at >= SAY_SECONDS:
            said_at = time.monotonic()
            click.echo(f"{_megabytes(done)} read", err=True)

    yield advance


def _print(report: Report) -> None:
    for finding in report.findings:
        click.echo(f"{click.style('found:', fg='red')} {finding.line}")
    for place, count in report.more.items():
        click.echo(f"{click.style('found:', fg='red')} {place}: {count:,} more")
    for text in report.unread:
        click.echo(f"{click.style('cannot be read:', fg='red')} {text}", err=True)
    for excuse in report.excuses:
        count = report.used.get(excuse, 0)
        click.echo(f"passed over: {count:,} × {excuse.place} {excuse.shown}: {excuse.reason}")
    if report.tests:
        click.echo(f"{report.tests:,} × familiar test numbers" + ("" if report.is_strict else "; --strict counts them"))
    looked = [_counted(report.files, "file")] if report.files or not report.tables else []
    looked += [_counted(report.tables, "table")] if report.tables else []
    verdict = f"{report.count:,} found" if report.count else "nothing found"
    click.echo(f"{' and '.join(looked)}, {_megabytes(report.size)}: {verdict}")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _shown(report: Report) -> dict[str, Any]:
    return {
        "ok": not report.count and not report.unread,
        "found": report.count,
        "findings": [finding.members for finding in report.findings],
        "more": report.more,
        "test_numbers": report.tests,
        "passed_over": [
            {"place": one.place, "number": one.shown, "reason": one.reason, "count": report.used.get(one, 0)}
            for one in report.excuses
        ],
        "unread": report.unread,
        "files": report.files,
        "tables": report.tables,
        "bytes": report.size,
    }
