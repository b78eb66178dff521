"""Looks at everything that production has a rule about, and refuses to go on with what is not fit for it."""

from __future__ import annotations

import asyncio
import os
import resource
import ssl
import stat
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import asyncpg
import structlog
from cryptography import x509

from tollhouse.boot.acquirer_line import line_tls
from tollhouse.boot.config import Config, ConfigError, settings, variable
from tollhouse.boot.cores import forbid_core_dumps, forbid_looking_in, is_dumpable
from tollhouse.boot.production import (
    SURROUNDINGS,
    Facts,
    Finding,
    Part,
    Unfit,
    database_settings,
    findings,
    has_keys,
)
from tollhouse.boot.server import certificates_of
from tollhouse.merchant import Project
from tollhouse.net.tls import CertificateUnusable
from tollhouse.store.login import UNREACHABLE, Login, look_at_login, passfile_problem
from tollhouse.store.postgres import open_pool
from tollhouse.store.projects import list_projects
from tollhouse.vault.keys import KEK
from tollhouse.vault.registry import load_rows, of_purpose

ACQUIRER_SECONDS_MAX = 2.0
SECRET_ENDINGS = ("_pin_file", "_token_file", "_key_file")
MERCHANTS = "merchant"  # the folder in which `tollhouse pay` and the shop keep whom they play
# There is no schema yet, or this role may not read that table, which then is another part's to look at.
NOT_OURS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,  # of an older release: the start itself says what to do
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)

T = TypeVar("T")


def require_fit(config: Config, part: Part) -> None:
    """In production: make this process unreadable, and refuse what is not fit; the log has what is only not good.

    Raises `Unfit` with all of it.
    """
    if not config.is_production:
        return
    forbid_core_dumps()
    forbid_looking_in()
    found = look_and_judge(config, part)
    refused = [line for finding in found for line in finding.refused]
    if refused:
        raise Unfit(refused)
    for finding in found:
        for line in finding.warned:
            structlog.get_logger().warning("not as it should be in production", about=finding.about, what=line)


def look_and_judge(config: Config, part: Part | None = None) -> list[Finding]:
    """What each check says about this machine and configuration, whatever the mode."""
    return findings(asyncio.run(look(config, part)), part)


async def look(config: Config, part: Part | None = None) -> Facts:
    """Everything that the checks of this part want to know."""
    names = [name for name in database_settings(config, part) if getattr(config, name)]
    logins = {name: await look_at_login(getattr(config, name)) for name in names}
    reachable = {name: getattr(config, name) for name, login in logins.items() if not login.problem}
    kinds, projects = await _rows(reachable, logins, has_keys=has_keys(config, part))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    return Facts(
        config=config,
        has_keys=has_keys(config, part),
        surroundings=tuple(name for name in SURROUNDINGS if os.environ.get(name)),
        keeps_assertions=__debug__,
        core_bytes_max=max(soft, hard, key=lambda size: size if size >= 0 else 2**63),
        is_dumpable=is_dumpable(),
        home=home_problem(config.home),
        played_merchants=_played(config.home),
        secret_files=_secret_files(config) | _passfiles(config, names),
        certificate=_certificate_problem(config) if part in (None, Part.GATEWAY) else "",
        logins=logins,
        keepers_of_rows=kinds,
        projects=projects,
        acquirer="" if part is Part.VAULT else await acquirer_problem(config),
    )


async def acquirer_problem(config: Config) -> str:
    """Why the acquirer cannot be connected to, or does not prove who it is; empty when all is well."""
    try:
        seal = line_tls(config)
        async with asyncio.timeout(ACQUIRER_SECONDS_MAX):
            _, writer = await asyncio.open_connection(
                config.acquirer_host, config.acquirer_port, ssl=seal() if seal else None
            )
    except (ConfigError, ssl.SSLError) as problem:
        return " ".join(str(problem).split())
    except (OSError, TimeoutError) as problem:
        if isinstance(problem, TimeoutError):
            return "no answer"
        code = problem.errno or 0
        return os.strerror(code) if code > 0 else str(problem)  # below 0: the machine's name leads nowhere
    writer.close()
    return ""


async def _rows(
    addresses: Mapping[str, str], logins: dict[str, Login], *, has_keys: bool
) -> tuple[frozenset[str], tuple[Project, ...]]:
    """Who keeps the keys, and which projects there are, as far as these logins may read it."""
    kinds: set[str] = set()
    projects: dict[str, Project] = {}
    for name, address in addresses.items():
        try:
            pool = await open_pool(address, connections_max=1)
            try:
                if has_keys:
                    kinds |= {row.kind for row in of_purpose(await _or_nothing(load_rows(pool)), KEK)}
                projects |= {one.project.name: one.project for one in await _or_nothing(list_projects(pool))}
            finally:
                await pool.close()
        except UNREACHABLE as problem:
            logins[name] = Login(problem=" ".join(str(problem).split()) or type(problem).__name__)
    return frozenset(kinds), tuple(projects.values())


async def _or_nothing(asked: Awaitable[list[T]]) -> list[T]:
    """The rows, or none where there is no such table, or not for this login."""
    try:
        return await asked
    except NOT_OURS:
        return []


def home_problem(home: Path) -> str:
    """Why others could get at what is in the home, with the cure; empty when nobody can."""
    try:
        found = home.stat()
    except OSError as problem:
        return f"{problem.strerror}; make it with: install -d -m 700 {home}"
    if found.st_uid != os.geteuid():
        return "belongs to another user; start as that one, or give a home of this user's"
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"mode {stat.S_IMODE(found.st_mode):04o} lets others in; run: chmod 700 {home}"
    for above in home.resolve().parents:
        state = above.stat()
        if state.st_uid not in (0, os.geteuid()):
            return (
                f"lies in {above}, whose owner can put another folder in its place; choose a folder of root's or ours"
            )
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not state.st_mode & stat.S_ISVTX:
            return f"lies in {above}, and others may put another folder in its place; run: chmod go-w {above}"
    return ""


def _played(home: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(file.stem for file in (home / MERCHANTS).glob("*.json")))
    except OSError:  # the home is told of by its own check
        return ()


def _secret_files(config: Config) -> dict[str, str]:
    """What is wrong with files that hold a PIN, a token or a private key, by setting."""
    wrong = {}
    for name, _ in settings():
        path = getattr(config, name)
        if not name.endswith(SECRET_ENDINGS) or not path:
            continue
        try:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError as problem:
            wrong[name] = f"cannot be read: {problem.strerror}; name a file that is there"
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            wrong[name] = f"mode {mode:04o} lets others at it; run: chmod 600 {path}"
    return wrong


def _passfiles(config: Config, names: list[str]) -> dict[str, str]:
    """The same of the files that passwords of databases are in, whoever names them."""
    problems = {name: passfile_problem(getattr(config, name)) for name in names}
    return {name: problem for name, problem in problems.items() if problem}


def _certificate_problem(config: Config) -> str:
    try:
        if certificates_of(config) is None:
            return ""
    except CertificateUnusable as problem:
        return str(problem)
    name = variable("tls_certificate_file")
    try:
        certificate = x509.load_pem_x509_certificates(Path(config.tls_certificate_file).read_bytes())[0]
    except (OSError, ValueError):
        return f"{name}={config.tls_certificate_file}: cannot be read as a certificate; get one in plain PEM"
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        until = certificate.not_valid_after_utc.date().isoformat()
        return f"{name}={config.tls_certificate_file}: is not valid today (until {until}); get a new one"
    return ""
