"""`tollhouse audit anchor|retire`: what is kept of the audit log outside its tables."""

from __future__ import annotations

import calendar
import hashlib
import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.anchors import load_anchors, with_anchors
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config
from tollhouse.vault.anchors import FILE
from tollhouse.vault.audit_file import Written

MONTHS_MIN = 12


@click.command(epilog="\b\nExample:\n  tollhouse audit anchor >> /media/safe/anchors")
@with_config("home", "database_url")
def anchor(config: Config) -> None:
    """Print how far every chain is, as one signed line to be kept on another machine."""
    from tollhouse.audit import Anchor, anchor_line
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault.audit_rows import load_heads

    async def work(pool: asyncpg.Pool) -> str:
        async with keys_on(config, pool) as keys:
            assert keys.audit_key is not None
            async with recorded(pool, "audit.anchor", key=keys.audit_key):
                heads = await load_heads(pool)
            return anchor_line(Anchor(at=datetime.now(UTC), heads=heads), key=keys.audit_key)

    click.echo(on_database(config, work))


@click.command(
    epilog="\b\nExample:\n  tollhouse audit retire --before 2025-11-01 --to /media/safe/audit-until-2025-11.jsonl"
)
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="What is older than this day, UTC; it must lie at least 12 months back.",
)
@click.option(
    "--to",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="New file for what is taken out; keep it as long as your rules say.",
)
@with_anchors("Lines with anchors that the log must hold before anything goes, beside those in the home.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url")
def retire(config: Config, *, before: datetime, path: Path, anchor_files: tuple[Path, ...], as_json: bool) -> None:
    """Take old entries out into a signed file, prove it, and only then remove them from the database."""
    from tollhouse.audit import DONE, Act, clean
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault.audit_file import prove_file, remove, write_file
    from tollhouse.vault.audit_rows import prove

    before = before.replace(tzinfo=UTC)
    limit = months_before(datetime.now(UTC), MONTHS_MIN)
    if before > limit:
        raise Failure(
            f"--before {before:%Y-%m-%d}: the log is kept for {MONTHS_MIN} months at least;"
            f" give {limit:%Y-%m-%d} or an earlier day"
        )
    if path.exists():
        raise Failure(f"--to {path}: exists already; name a new file, so that nothing is written over")

    # What is retired is proven by its file alone from then on: whoever rewrote it before must be found now.
    own = config.home / FILE
    kept = [*anchor_files, *([own] if own.exists() else [])]
    if not anchor_files:
        click.echo("warning: without --anchors FILE, kept elsewhere, a log that was rewritten may look whole", err=True)

    async def work(pool: asyncpg.Pool) -> Written:
        async with keys_on(config, pool) as keys:
            key = keys.audit_key
            assert key is not None
            details = clean(f"before {before:%Y-%m-%d} to {path}")
            async with recorded(pool, "audit.retire", details=details, key=key) as log:
                anchors, forged = load_anchors(kept, key.public_key())
                if findings := (*forged, *(await prove(pool, key.public_key(), anchors)).findings):
                    raise Failure(f"the audit log is not whole: {findings[0]}; nothing was removed")
                written = await write_file(pool, key, before=before, path=path)
                proven = prove_file(path, key.public_key(), anchors)
                if proven.findings or proven.entries != written.entries:
                    raise Failure(f"--to {path}: the file is not as it was written; nothing was removed")
                numbers = f"{written.entries} entries of {len(written.retirements)} chains"
                await remove(pool, key, written)
                await log.write(Act(what="audit.retired", outcome=DONE, details=f"{numbers} before {before:%Y-%m-%d}"))
        return written

    try:
        written = on_database(config, work)
    except OSError as problem:
        raise Failure(f"--to {path}: {problem.strerror}; name a file that can be written") from None
    with path.open("rb") as file:
        file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if as_json:
        chains = len(written.retirements)
        shown = {"entries": written.entries, "chains": chains, "file": str(path), "sha256": file_sha256}
        click.echo(json.dumps(shown, indent=2))
        return
    key = b64encode(written.key.public_bytes_raw()).decode()
    click.echo(f"{written.entries} entries of {len(written.retirements)} chains went from the database to {path}")
    click.echo(f"SHA-256 of the file: {file_sha256}; prove it with")
    click.echo(f"tollhouse audit verify --file {path} --public-key {key}")


def months_before(moment: datetime, months: int) -> datetime:
    """The same day so many months earlier, or the last one of that month."""
    count = moment.year * 12 + moment.month - 1 - months
    year, month = count // 12, count % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day, hour=0, minute=0, second=0, microsecond=0)
