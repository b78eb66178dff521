"""How the database lets us in: asked of the server itself, because only it knows its rules."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

TRUST, PASSWORD = "trust", "password of a kind that this version of Postgres does not tell"
CONNECT_SECONDS_MAX = 10.0
SYSTEM_USER_SINCE = 16
WRONG_PASSWORD = "correct the password, in the file that passfile= of the address or PGPASSFILE names"
OWNER, SUPERUSER = "owns the tables", "is a superuser"  # as the statement says it
MIGHT = """
SELECT CASE
    WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN 'is a superuser'
    WHEN (
        SELECT bool_or(pg_has_role(tableowner, 'MEMBER')) FROM pg_tables WHERE schemaname IN ('public', 'vault')
    ) THEN 'owns the tables'
    ELSE ''
END
"""
METHOD = "SELECT split_part(system_user, ':', 1)"
REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
UNREACHABLE = (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Login:
    """What became of a login: the server's method, in the words of its pg_hba.conf, or why there was none.

    `might` says of one that may do everything in the database why it may; `cure`, of one that failed, what to do.
    `is_guess`: the server does not tell its method.
    """

    method: str = ""
    problem: str = ""
    cure: str = ""
    might: str = ""
    is_guess: bool = False


async def look_at_login(dsn: str) -> Login:
    """Log in and ask how that was allowed; an old server is asked by a wrong password instead."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
        try:
            might = await connection.fetchval(MIGHT)
            if connection.get_server_version().major >= SYSTEM_USER_SINCE:
                # Nobody was asked to prove anything: then the server knows no name.
                return Login(method=await connection.fetchval(METHOD) or TRUST, might=might)
        finally:
            await connection.close(timeout=CONNECT_SECONDS_MAX)
        method = PASSWORD if await _refuses_wrong_password(dsn) else TRUST
        return Login(method=method, might=might, is_guess=True)
    except UNREACHABLE as problem:
        return Login(problem=" ".join(str(problem).split()) or type(problem).__name__, cure=cure_of(problem, dsn))


def cure_of(problem: Exception, dsn: str) -> str:
    """What to do about a login that failed, where that is clear; else nothing."""
    if isinstance(problem, asyncpg.InvalidPasswordError):
        return passfile_problem(dsn) or WRONG_PASSWORD
    return ""


def passfile_problem(dsn: str) -> str:
    """What is wrong with the file that the password is taken from; one that others may read is not read at all."""
    named = parse_qs(urlsplit(dsn).query).get("passfile", [os.environ.get("PGPASSFILE", "")])[-1]
    path = Path(named) if named else Path.home() / ".pgpass"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as problem:
        return f"{path}: cannot be read: {problem.strerror}; name a file that is there" if named else ""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path}: mode {mode:04o} lets others at it, so its passwords are not taken; run: chmod 600 {path}"
    return ""


async def _refuses_wrong_password(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, password=secrets.token_hex(), timeout=CONNECT_SECONDS_MAX)
    except REFUSED:
        return True
    await connection.close(timeout=CONNECT_SECONDS_MAX)
    return False
