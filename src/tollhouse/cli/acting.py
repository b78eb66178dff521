"""What people do with commands, in the audit log: before it is done, and again with how it ended.

What can only be written down when it has happened is so at once, and the command fails where that cannot be.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tollhouse.audit import DONE, FAILED, GRANTED, Act, clean
from tollhouse.cli.failure import Failure
from tollhouse.vault.audit_log import UNWRITABLE, AuditLog

PROCESS = "command"
LOGIN = Path("/proc/self/loginuid")


@asynccontextmanager
async def recorded(
    pool: asyncpg.Pool, what: str, subject: str = "", *, details: str = "", key: Ed25519PrivateKey | None = None
) -> AsyncIterator[AuditLog]:
    """Around something that a command does. With `key`, the one of the database, the chain ends with a checkpoint.

    Gives the log, for what is to stand between the beginning and the end.
    """
    log = log_of_command(pool)
    shown = clean(subject)
    try:
        await log.write(Act(what=what, outcome=GRANTED, subject=shown, details=details))
        try:
            yield log
        except BaseException as problem:
            await log.write(Act(what=what, outcome=FAILED, subject=shown, details=type(problem).__name__))
            raise
        await log.write(Act(what=what, outcome=DONE, subject=shown))
    finally:
        await log.close(key)


async def record(pool: asyncpg.Pool, acts: Iterable[Act]) -> None:
    """What has happened already. Raises `Failure` where it cannot be written; beside a failure that is only told."""
    log = log_of_command(pool)
    try:
        for act in acts:
            try:
                await log.write(act)
            except UNWRITABLE as lost:
                if act.outcome == DONE:
                    raise Failure(
                        f"{act.what}: {act.details}: it happened, but the audit log cannot be written"
                        f" ({type(lost).__name__}); write it down elsewhere and see what the database says"
                    ) from None
                _tell(f"the audit log cannot be written: {type(lost).__name__}")
    finally:
        await log.close()


async def record_done(dsn: str, what: str, *, details: str) -> None:
    """The same for what changed the schema: the audit log is a part of it, and may not be there before."""
    from tollhouse.store.postgres import open_pool

    pool = await open_pool(dsn, connections_max=1)
    try:
        await record(pool, [Act(what=what, outcome=DONE, details=clean(details))])
    finally:
        await pool.close()


def shortened(names: Sequence[str]) -> str:
    """The first and the last of many."""
    return names[0] if len(names) == 1 else f"{len(names)}: {names[0]} to {names[-1]}"


def log_of_command(pool: asyncpg.Pool) -> AuditLog:
    """A chain for one command."""
    return AuditLog(pool, process=PROCESS, who=_who(), origin=_origin(), tell=_tell)


def _who() -> str:
    """The user of the machine as the kernel knows it, also behind `sudo` and `su`: variables may say anything."""
    user = _user(os.getuid())
    behind = []
    if sudo := os.environ.get("SUDO_USER"):
        behind.append(f"sudo by {sudo}")
    login = _login()
    if login not in ("", user, sudo):
        behind.append(f"login {login}")
    return clean(f"user {user}" + (f" ({', '.join(behind)})" if behind else ""))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login() -> str:
    """Who logged in to the machine, where the kernel keeps that; no later change of user changes it."""
    try:
        uid = int(LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ""
    return "" if uid == 0xFFFFFFFF else _user(uid)


def _origin() -> str:
    """This machine, and from where somebody is logged in to it."""
    remote = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return clean(socket.gethostname() + (f" from {remote}" if remote else ""))


def _tell(problem: str) -> None:
    click.echo(problem, err=True)
