"""What people do with commands, in the audit log: before it is done, and again with how it ended."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tollhouse.audit import DONE, FAILED, GRANTED, Act, clean
from tollhouse.vault.audit_log import AuditLog

PROCESS = "command"


@asynccontextmanager
async def recorded(
    pool: asyncpg.Pool, what: str, subject: str = "", *, details: str = "", key: Ed25519PrivateKey | None = None
) -> AsyncIterator[None]:
    """Around something that a command does. With `key`, the one of the database, the chain ends with a checkpoint."""
    log = AuditLog(pool, process=PROCESS, who=_who(), origin=_origin(), tell=_tell)
    shown = clean(subject)
    try:
        await log.write(Act(what=what, outcome=GRANTED, subject=shown, details=details))
        try:
            yield
        except BaseException as problem:
            await log.write(Act(what=what, outcome=FAILED, subject=shown, details=type(problem).__name__))
            raise
        await log.write(Act(what=what, outcome=DONE, subject=shown))
    finally:
        await log.close(key)


def _who() -> str:
    """The user of the machine, also behind `sudo`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    return clean(f"user {user}" + (f" (sudo by {behind})" if behind else ""))


def _origin() -> str:
    """This machine, and from where somebody is logged in to it."""
    remote = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return clean(socket.gethostname() + (f" from {remote}" if remote else ""))


def _tell(problem: str) -> None:
    click.echo(problem, err=True)
