"""Opens the vault for a node, inside it or as a process of its own, and that process."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog

from tollhouse.audit import DONE, Act
from tollhouse.boot.config import Config, variable
from tollhouse.boot.keyholders import open_keys, root_from_socket
from tollhouse.boot.vault_place import URL, Place, listening, listening_place, named_place
from tollhouse.net import tls
from tollhouse.net.tls import CertificateUnusable, client_context
from tollhouse.store.postgres import open_pool
from tollhouse.vault.admission import Admission, Certificates, NotAdmitted, Users, users_of
from tollhouse.vault.anchors import keeper
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.client import RemoteVault, Way
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.port import NodeAudit, NodeVault
from tollhouse.vault.remote_audit import RemoteAudit
from tollhouse.vault.server import CallersLog, VaultServer

CONNECTIONS_MAX = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVault:
    """A vault that may be used. Only one inside this process has keys."""

    vault: NodeVault
    audit: NodeAudit
    keys: KeySet | None = None


@asynccontextmanager
async def open_vault(
    config: Config, pool: asyncpg.Pool, name: str, *, role: str, stop: asyncio.Event
) -> AsyncIterator[OpenVault]:
    """The vault of a node until the block ends. `pool` is the node's, for a vault in it without a database of its own.

    Raises `KeysRefused` when it cannot be used, or when `stop` comes first.
    """
    start = Act(what="process.start", outcome=DONE, details=role)
    if config.vault_url:
        async with _remote(config, name, start, stop=stop) as opened:
            yield opened
        return
    async with _own_pool(config, pool) as own, _vault_on(config, own, name, who=f"node {name}", stop=stop) as inside:
        await inside.audit.write(start)
        yield OpenVault(vault=inside.vault, audit=inside.audit, keys=inside.keys)


@asynccontextmanager
async def _remote(config: Config, name: str, start: Act, *, stop: asyncio.Event) -> AsyncIterator[OpenVault]:
    log = structlog.get_logger()
    vault = RemoteVault(way_of(config), node=name, log=log)
    audit = RemoteAudit(vault, log)
    vault.start()
    try:
        await _unless(stop, vault.wait_until_open(), "stopped while it waited for the vault")
        audit.note(start)
        audit.start()
        try:
            yield OpenVault(vault=vault, audit=audit)
        finally:
            await audit.close(last=Act(what="process.stop", outcome=DONE))
    finally:
        await vault.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inside:
    vault: EmbeddedVault
    audit: AuditLog
    keys: KeySet


@asynccontextmanager
async def _vault_on(
    config: Config, pool: asyncpg.Pool, name: str, *, who: str, stop: asyncio.Event, serves: bool = False
) -> AsyncIterator[_Inside]:
    """Keys, audit log and vault of this process, closed in the order in which they need each other."""
    log = structlog.get_logger()
    audit = AuditLog(pool, process=name, who=who, origin=socket.gethostname(), tell=log.error)
    async with audit.starting():
        keys = await open_keys(config, pool, root_from_socket(config.home, name, tell=log.info, stop=stop))
    keys.follow(tell=log.warning)
    assert keys.audit_key is not None
    vault: EmbeddedVault | None = None
    try:
        recorder = CallersLog(audit) if serves else audit
        vault = await EmbeddedVault.open(pool, config.home, name, keys=keys, audit=recorder)
        audit.follow(keys.audit_key, keep_anchor=keeper(config.home, log.info))
        yield _Inside(vault=vault, audit=audit, keys=keys)
    finally:
        if vault is not None:
            await vault.close()
        await audit.close(keys.audit_key, last=Act(what="process.stop", outcome=DONE))
        await keys.close()


@asynccontextmanager
async def _own_pool(config: Config, pool: asyncpg.Pool | None) -> AsyncIterator[asyncpg.Pool]:
    """The vault's connections: of its own where it reaches the database in a way of its own."""
    if pool is not None and not config.vault_database_url:
        yield pool
        return
    own = await open_pool(vault_database(config), connections_max=CONNECTIONS_MAX)
    try:
        yield own
    finally:
        await own.close()


@asynccontextmanager
async def serve_vault(config: Config, *, stop: asyncio.Event) -> AsyncIterator[Place]:
    """The vault's process: it takes calls until the block ends. Raises `KeysRefused` naming the setting."""
    log = structlog.get_logger()
    place = listening_place(config.vault_url, config.vault_listen, config.home)
    admission, own = _admission(config, place)
    who = f"vault {config.node}"
    async with (
        _own_pool(config, None) as pool,
        _vault_on(config, pool, config.node, who=who, stop=stop, serves=True) as inside,
    ):
        await inside.audit.write(Act(what="process.start", outcome=DONE, details="vault"))
        with listening(place, is_shared=bool(config.vault_users)) as listener:
            context = None if own is None else own.context
            server = VaultServer(inside.vault, inside.audit, admission, log=log, tls=context, look=_renewal(own))
            await server.start(listener)
            try:
                yield place
            finally:
                await server.close()


def vault_database(config: Config) -> str:
    """Where the vault's rows are, as the vault reaches them."""
    return config.vault_database_url or config.database_url


def way_of(config: Config) -> Way:
    """How a node reaches the vault's process. Raises `KeysRefused` naming the setting."""
    place = named_place(URL, config.vault_url, config.home)
    if place.path is not None:
        return Way(path=place.path)
    files = (config.vault_ca_file, config.vault_certificate_file, config.vault_key_file)
    _certified(config, lambda: client_context(*files))

    def context() -> ssl.SSLContext:
        try:
            return client_context(*files)
        except CertificateUnusable as problem:
            raise OSError(errno.EINVAL, str(problem)) from None

    return Way(host=place.host, port=place.port, tls=context)


def _admission(config: Config, place: Place) -> tuple[Admission, tls.Certificates | None]:
    if place.path is not None:
        try:
            return Users(users_of(config.vault_users)), None
        except ValueError as problem:
            raise KeysRefused(f"{variable('vault_users')}={config.vault_users}: {problem}") from None
    authority, revoked = Path(config.vault_ca_file), config.vault_revoked_file
    pair = (config.vault_certificate_file, config.vault_key_file)
    build = partial(tls.server_context, *pair, client_ca=authority)
    own = _certified(config, lambda: tls.Certificates(build, (*pair, authority)))
    try:
        return Certificates(authority, Path(revoked) if revoked else None), own
    except NotAdmitted as problem:
        raise KeysRefused(f"{variable('vault_revoked_file')}: {problem}") from None


def _certified(config: Config, make: Callable[[], T]) -> T:
    key = Path(config.vault_key_file)
    try:
        if key.stat().st_mode & 0o077:
            raise KeysRefused(f"{variable('vault_key_file')}={key}: others may read it; run: chmod 600 {key}")
        return make()
    except OSError as problem:
        raise KeysRefused(f"{variable('vault_key_file')}={key}: cannot be read: {problem.strerror}") from None
    except CertificateUnusable as problem:
        raise KeysRefused(f"{_setting_of(config, str(problem))}{problem}") from None


def _renewal(own: tls.Certificates | None) -> Callable[[], str]:
    """Takes up a certificate of ours that has changed on disk; what went wrong with that, or nothing."""

    def look() -> str:
        try:
            if own is not None and own.are_changed():
                own.renew()
        except (CertificateUnusable, OSError) as problem:
            return str(problem)
        return ""

    return look


def _setting_of(config: Config, problem: str) -> str:
    names = ("vault_certificate_file", "vault_key_file", "vault_ca_file")
    return next((f"{variable(name)}=" for name in names if problem.startswith(getattr(config, name))), "")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None], why: str) -> None:
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise KeysRefused(why)
        working.result()
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
