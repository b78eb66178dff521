"""`tollhouse vault key`: the keys that cards are sealed under, from their first day to their last."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import Whole, with_config
from tollhouse.cli.vault_serve import certificate, serve
from tollhouse.vault.components import PARTS_MAX, PARTS_MIN
from tollhouse.vault.keys import FINGERPRINT, KEK

SAY_SECONDS = 1.0
RATE_DEFAULT = 2000
INTERRUPTED_CODE = 130  # as a shell says of what Ctrl-C ended

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_FINGERPRINT = click.option(
    "--fingerprint", "is_fingerprint", is_flag=True, help="The fingerprint key instead of the key-encryption key."
)
_CYCLE = "tollhouse vault key {0}\n  tollhouse vault key {0} --fingerprint --json"


@click.group(help="Look after the vault.")
def command() -> None:
    """The group of commands about the vault."""


command.add_command(serve)
command.add_command(certificate)


@command.group(help="Change keys while everything runs: rotate, rewrap, retire; see how they stand.")
def key() -> None:
    """The group of commands about keys."""


@key.command(epilog="\b\nExamples:\n  tollhouse vault key status\n  tollhouse vault key status --check || echo due")
@click.option("--check", is_flag=True, help="Exit code 1 when a key is older than it should be.")
@_JSON
@with_config("home", "database_url", "vault_key_period_days")
def status(config: Config, *, check: bool, as_json: bool) -> None:
    """Show every version of every key: who keeps it, what lies under it, how old it is. Needs no key."""
    from tollhouse.boot.rewrapping import versions_of_projects
    from tollhouse.vault.standing import Standing, load_standings

    now = datetime.now(UTC)

    async def work(pool: asyncpg.Pool) -> list[Standing]:
        projects = await versions_of_projects(pool)
        return await load_standings(pool, projects=projects, period_days=config.vault_key_period_days, now=now)

    standings = on_database(config, work)
    due = [one for one in standings if one.is_due]
    if as_json:
        keys = [asdict(one) | {"age_days": (now - one.created_at).days} for one in standings]
        _print_json({"keys": keys, "is_due": bool(due)})
    else:
        for one in standings:
            age = (now - one.created_at).days
            click.echo(
                f"{one.purpose:<12} version {one.version:<4} {one.state:<8} kept by {one.kind:<11}"
                f" {one.uses:>9} under it  {age} days old"
            )
        for one in due:
            flag = " --fingerprint" if one.purpose == FINGERPRINT else ""
            click.echo(
                f"{click.style('due:', fg='yellow')} {one.purpose} is older than {config.vault_key_period_days} days;"
                f" run `tollhouse vault key rotate{flag}`",
                err=True,
            )
    if check and due:
        raise SystemExit(1)


@key.command(epilog=f"\b\nExamples:\n  {_CYCLE.format('rotate')}")
@_FINGERPRINT
@_JSON
@with_config("home", "database_url")
def rotate(config: Config, *, is_fingerprint: bool, as_json: bool) -> None:
    """Make a new version of a key and write under it from now on; what runs takes it up within two seconds."""
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault import rotation

    purpose = FINGERPRINT if is_fingerprint else KEK

    async def work(pool: asyncpg.Pool) -> int:
        async with keys_on(config, pool) as keys, recorded(pool, "key.rotate", purpose, key=keys.audit_key):
            return await rotation.rotate(keys, purpose)

    version = on_database(config, work)
    if as_json:
        _print_json({"purpose": purpose, "current": version})
        return
    flag = " --fingerprint" if is_fingerprint else ""
    click.echo(f"version {version} of the {rotation.NAMES[purpose]} is current")
    click.echo(f"next: `tollhouse vault key rewrap{flag}`, then `tollhouse vault key retire {version - 1}{flag}`")


@key.command(
    epilog="\b\nExamples:\n  tollhouse vault key rewrap\n  tollhouse vault key rewrap --rate 500 --fingerprint"
)
@_FINGERPRINT
@click.option(
    "--rate",
    type=Whole(0),
    default=RATE_DEFAULT,
    show_default=True,
    help="Rows a second; 0: no limit.",
)
@_JSON
@with_config("home", "database_url")
def rewrap(config: Config, *, is_fingerprint: bool, rate: int, as_json: bool) -> None:
    """Move everything to the current version of a key; may be ended at any moment and run again."""
    from tollhouse.boot.rewrapping import piles_of
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault.recorded_pile import RecordedPile
    from tollhouse.vault.rewrap import Progress
    from tollhouse.vault.rewrap import rewrap as run

    purpose = FINGERPRINT if is_fingerprint else KEK
    began, said_at, last = time.monotonic(), 0.0, Progress(total=0)

    def say(progress: Progress) -> None:
        nonlocal said_at, last
        last = progress
        if time.monotonic() - said_at >= SAY_SECONDS:
            said_at = time.monotonic()
            share = 100 * progress.moved // progress.total if progress.total else 100
            click.echo(f"{progress.moved} of {progress.total} moved ({share} %)", err=True)

    async def work(pool: asyncpg.Pool) -> Progress:
        async with keys_on(config, pool) as keys, recorded(pool, "key.rewrap", purpose, key=keys.audit_key) as log:
            piles = piles_of(keys, purpose)
            if purpose == FINGERPRINT:  # it is made of the PAN, so each batch of opened cards has its entry
                piles = [RecordedPile(pile, log) for pile in piles]
            return await run(piles, rate=rate, told=say)

    try:
        done = on_database(config, work)
    except KeyboardInterrupt:
        click.echo(f"stopped; {last.moved} moved. Run it again: it goes on where it stopped", err=True)
        raise SystemExit(INTERRUPTED_CODE) from None
    seconds = round(time.monotonic() - began, 2)
    if as_json:
        _print_json({"purpose": purpose, "moved": done.moved, "broken": list(done.broken), "seconds": seconds})
    else:
        click.echo(
            f"{done.moved} moved in {seconds:g} s; nothing is left" if not done.broken else f"{done.moved} moved"
        )
    if done.broken:
        some = ", ".join(done.broken[:3])
        raise Failure(
            f"{len(done.broken)} do not open and were left as they are, such as {some}; restore them from a backup"
        )


@key.command(epilog="\b\nExamples:\n  tollhouse vault key retire 1\n  tollhouse vault key retire 1 --fingerprint")
@click.argument("version", type=Whole(1))
@_FINGERPRINT
@_JSON
@with_config("home", "database_url")
def retire(config: Config, *, version: int, is_fingerprint: bool, as_json: bool) -> None:
    """Destroy VERSION of a key; refused while anything lies under it. Backups from before cannot be used after it."""
    from tollhouse.boot.rewrapping import piles_of
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import keys_on
    from tollhouse.vault import rotation

    purpose = FINGERPRINT if is_fingerprint else KEK

    async def work(pool: asyncpg.Pool) -> None:
        subject = f"{purpose} version {version}"
        async with keys_on(config, pool) as keys, recorded(pool, "key.retire", subject, key=keys.audit_key):
            await rotation.retire(keys, purpose, version, piles_of(keys, purpose))

    on_database(config, work)
    if as_json:
        _print_json({"purpose": purpose, "retired": version})
    else:
        click.echo(f"version {version} of the {rotation.NAMES[purpose]} is gone")


_COMPONENTS = """\b
Example:
  TOLLHOUSE_VAULT_KEYS=components tollhouse vault key components --split 3 --to /run/custodians
"""


@key.command(epilog=_COMPONENTS)
@click.option(
    "--split",
    "parts",
    type=Whole(PARTS_MIN, PARTS_MAX),
    required=True,
    help="Into how many parts, one for each custodian; all are needed to start.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="New folder for the files, one part in each; give each to its custodian and destroy the folder.",
)
@_JSON
@with_config("home", "database_url")
def components(config: Config, *, parts: int, folder: Path, as_json: bool) -> None:
    """Make a joined key that is kept nowhere, and its parts; again: new parts in place of the old ones."""
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import ask_custodians
    from tollhouse.vault.components import split
    from tollhouse.vault.joined import KIND, change_root
    from tollhouse.vault.keys import ROOT
    from tollhouse.vault.registry import current_of, load_rows, refuse_other_kind

    if KIND not in config.keepers:
        raise Failure(f"TOLLHOUSE_VAULT_KEYS={config.vault_keys}: has no components; set TOLLHOUSE_VAULT_KEYS={KIND}")
    if folder.exists():
        raise Failure(f"--to {folder}: exists already; name a new folder, so that no other part is written over")

    async def work(pool: asyncpg.Pool) -> None:
        rows = await load_rows(pool)
        refuse_other_kind(rows, config.keepers)
        before = current_of(rows, ROOT)
        old = None if before is None else await ask_custodians(before, pool)
        # The parts are on disk before the joined key counts: a crash in between leaves parts that open nothing.
        async with recorded(pool, "key.components", details=f"{parts} parts"):
            await change_root(
                pool,
                parts=parts,
                old=old,
                keep=lambda root: _write_parts(folder, split(root, parts)),
                kinds=config.keepers,
            )

    on_database(config, work)
    files = [str(path) for path in sorted(folder.iterdir())]
    if as_json:
        _print_json({"parts": files})
        return
    for path in files:
        click.echo(path)
    click.echo(f"give each file to its custodian, destroy the folder, and start {_who_waits(config)}")


def _who_waits(config: Config) -> str:
    """What is started where custodians then enter their parts."""
    if config.vault_url or config.vault_listen:
        return "`tollhouse vault serve`"
    return "`tollhouse serve` and `tollhouse work`" if config.is_production else "`tollhouse up`"


def _write_parts(folder: Path, parts: list[Any]) -> None:
    from tollhouse.vault.key_file import sync_folder

    try:
        folder.mkdir(mode=0o700, parents=True)
        for part in parts:
            path = folder / f"part-{part.number}-of-{part.of}"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(part.line() + "\n")
                file.flush()
                os.fsync(file.fileno())
        # The old parts open nothing once the database has the new root: the names of the new ones must be there too.
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as problem:
        raise Failure(f"--to {folder}: {problem.strerror}; name a folder that can be made") from None


@key.command(
    epilog="\b\nExamples:\n  tollhouse vault key unlock\n  tollhouse vault key unlock < /media/card/part-2-of-3"
)
@_JSON
@with_config("home", "database_url")
def unlock(config: Config, *, as_json: bool) -> None:
    """Enter one custodian's part; every process of this home that waits for it takes it."""
    from tollhouse.audit import DONE, Act, clean
    from tollhouse.audit import REFUSED as AUDIT_REFUSED
    from tollhouse.cli.acting import recorded
    from tollhouse.cli.parts import read_part
    from tollhouse.vault.custodians import FOLDER, REFUSED, Reply, send_part

    if not list((config.home / FOLDER).glob("*.sock")):
        who = _who_waits(config)
        raise Failure(f"nobody waits for key parts in {config.home}; start {who} with the same TOLLHOUSE_HOME")
    part = read_part("key part")

    async def work(pool: asyncpg.Pool) -> list[Reply]:
        async with recorded(pool, "key.part") as log:
            heard = await send_part(config.home, part)
            for one in heard:
                outcome = AUDIT_REFUSED if one.word == REFUSED else DONE
                details = clean(f"{one.process}: {one.text}")
                await log.write(Act(what="key.part.heard", outcome=outcome, details=details))
        return heard

    replies = on_database(config, work)
    if not replies:
        raise Failure(f"whoever waited for key parts in {config.home} is gone; start {_who_waits(config)} again")
    if as_json:
        _print_json({"replies": [asdict(one) for one in replies]})
    else:
        for one in replies:
            click.echo(f"{one.process}: {one.text}")
    if all(one.word == REFUSED for one in replies):
        raise Failure(replies[0].text)


def _print_json(content: object) -> None:
    click.echo(json.dumps(content, indent=2, default=lambda value: value.isoformat()))
