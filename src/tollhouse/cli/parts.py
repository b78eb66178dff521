"""Keys for a command: with components, each custodian enters a part at the terminal, unseen."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import click

from tollhouse.audit import DONE, FAILED, REFUSED, Act, clean
from tollhouse.boot.config import Config
from tollhouse.boot.keyholders import AskRoot, open_keys
from tollhouse.cli.acting import record
from tollhouse.cli.failure import Failure
from tollhouse.vault.components import PartRefused
from tollhouse.vault.custodians import Collecting
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.registry import KeyRow


@asynccontextmanager
async def keys_on(config: Config, pool: asyncpg.Pool, ask_root: AskRoot | None = None) -> AsyncIterator[KeySet]:
    """The keys of this database while a command needs them; custodians enter their parts here, or as `ask_root` says.

    Raises `KeysRefused`, `KeysUnreachable`.
    """
    try:
        keys = await open_keys(config, pool, ask_root or _asking(pool))
    except (KeysRefused, KeysUnreachable) as problem:
        await record(pool, [Act(what="key.open", outcome=FAILED, details=clean(str(problem)))])
        raise
    try:
        yield keys
    finally:
        await keys.close()


def _asking(pool: asyncpg.Pool) -> AskRoot:
    return lambda row: ask_custodians(row, pool)


async def ask_custodians(row: KeyRow, pool: asyncpg.Pool) -> bytes:
    """The joined key, of parts that are entered here. At a terminal a wrong one may be entered again.

    Each part, right or wrong, stands in the audit log.
    """
    assert row.parts is not None
    collecting = Collecting(parts=row.parts, check_value=row.check_value)
    while collecting.root is None:
        try:
            text = collecting.take(read_part(f"key part ({collecting.missing} to come)"))
        except PartRefused as refused:
            await record(pool, [Act(what="key.part", outcome=REFUSED, details=clean(str(refused)))])
            if not sys.stdin.isatty():
                raise
            click.echo(str(refused), err=True)
        else:
            await record(pool, [Act(what="key.part", outcome=DONE, details=text)])
    return collecting.root


def read_part(prompt: str) -> str:
    """One line that a custodian enters: unseen at a terminal, else the next line of standard input."""
    if sys.stdin.isatty():
        entered: str = click.prompt(prompt, hide_input=True, err=True)
        return entered
    line = sys.stdin.readline()
    if not line:
        raise Failure(f"{prompt}: nothing was entered; enter a part at the terminal, or give it as standard input")
    return line
