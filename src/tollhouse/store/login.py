"""How the database lets us in: asked of the server itself, because only it knows its rules."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import asyncpg

TRUST, PASSWORD = "trust", "password of a kind that this version of Postgres does not tell"
CONNECT_SECONDS_MAX = 10.0
SYSTEM_USER_SINCE = 16
METHOD = "SELECT split_part(system_user, ':', 1)"
REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
UNREACHABLE = (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Login:
    """What became of a login: the server's method, in the words of its pg_hba.conf, or why there was none."""

    method: str = ""
    problem: str = ""


async def look_at_login(dsn: str) -> Login:
    """Log in and ask how that was allowed; an old server is asked by a wrong password instead."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
        try:
            if connection.get_server_version().major >= SYSTEM_USER_SINCE:
                # Nobody was asked to prove anything: then the server knows no name.
                return Login(method=await connection.fetchval(METHOD) or TRUST)
        finally:
            await connection.close(timeout=CONNECT_SECONDS_MAX)
        return Login(method=PASSWORD if await _refuses_wrong_password(dsn) else TRUST)
    except UNREACHABLE as problem:
        return Login(problem=" ".join(str(problem).split()) or type(problem).__name__)


async def _refuses_wrong_password(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, password=secrets.token_hex(), timeout=CONNECT_SECONDS_MAX)
    except REFUSED:
        return True
    await connection.close(timeout=CONNECT_SECONDS_MAX)
    return False
