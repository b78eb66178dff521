"""The vault as nodes have it: inside them, behind a unix socket, behind mutual TLS; each on a fresh database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tollhouse.boot.vault_place import Place, listening
from tollhouse.net.tls import client_context, server_context
from tollhouse.vault import certificates
from tollhouse.vault.admission import Admission, Certificates, Users, users_of
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.client import RemoteVault, Way
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.port import NodeAudit, NodeVault
from tollhouse.vault.remote_audit import RemoteAudit
from tollhouse.vault.server import CallersLog, VaultServer

WAYS = ("embedded", "unix", "tls")
NODE = "node-1"
SECONDS_MAX = 20


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append((event, fields))

    warning = error = info

    def said(self, word: str) -> list[str]:
        """Lines in which this stands."""
        return [f"{event} {fields}" for event, fields in self.lines if word in f"{event} {fields}"]


@dataclass(kw_only=True)
class Running:
    """A vault with keys, and what is needed to reach it from another process."""

    way: str
    pool: asyncpg.Pool
    inside: EmbeddedVault
    audit: AuditLog
    folder: Path
    home: Path
    keys: KeySet
    log: Lines = field(default_factory=Lines)
    server: VaultServer | None = None
    place: Place | None = None
    limit_seconds: float = 5.0
    _opened: list[Any] = field(default_factory=list)
    _listening: Any = None

    @property
    def certificates(self) -> Path:
        """The folder of the authority."""
        return self.folder / "certificates"

    async def serve(self) -> None:
        """Take calls; again at the same place after `end`."""
        if self.way == "unix":
            self.place = Place(path=self.folder / "vault.sock")
        elif self.place is None:
            self.place = Place(host="127.0.0.1", port=free_port())
            certificates.make(self.certificates, "vault", hosts=["localhost"])
            certificates.make(self.certificates, NODE, hosts=[])
        admission: Admission = Users(users_of(""))
        tls = None
        if self.way == "tls":
            made = self.certificates
            tls = server_context(made / "vault.pem", made / "vault.key", client_ca=made / "ca.pem")
            admission = Certificates(made / "ca.pem", made / "revoked.pem")
        self._listening = listening(self.place, is_shared=False)
        listener = self._listening.__enter__()
        vault = await EmbeddedVault.open(
            self.pool, self.home, "vault", keys=self.keys, audit=CallersLog(self.audit), sweep_after_seconds=0
        )
        self._opened.append(vault)
        self.server = VaultServer(vault, self.audit, admission, log=self.log, tls=tls)
        await self.server.start(listener)

    async def end(self) -> None:
        """Take no more calls and cut every connection."""
        if self.server is not None:
            await self.server.close(patience_seconds=0)
            self._listening.__exit__(None, None, None)
            self.server = None

    def way_to(self, node: str = NODE, *, name: str = "localhost") -> Way:
        """How a node reaches it."""
        assert self.place is not None
        if self.way == "unix":
            return Way(path=self.place.path)
        made = self.certificates
        files = (made / "ca.pem", made / f"{node}.pem", made / f"{node}.key")
        return Way(host=name, port=self.place.port, tls=lambda: client_context(*files))

    async def node(self, node: str = NODE) -> tuple[NodeVault, NodeAudit]:
        """The vault as a node has it."""
        if self.way == "embedded":
            return self.inside, self.audit
        if self.server is None:
            await self.serve()
        vault = RemoteVault(self.way_to(node), node=node, log=self.log, limit_seconds=self.limit_seconds)
        vault.start()
        self._opened.append(vault)
        async with asyncio.timeout(10):
            await vault.wait_until_open()
        return vault, RemoteAudit(vault, self.log)

    async def close(self) -> None:
        """End everything."""
        for vault in self._opened:
            if isinstance(vault, RemoteVault):
                await vault.close()
        await self.end()
        for vault in self._opened:
            if isinstance(vault, EmbeddedVault):
                await vault.close()

    async def entries(self, what: str) -> list[asyncpg.Record]:
        """The audit log's entries about this, oldest first."""
        await self.audit.write_denials()
        found: list[asyncpg.Record] = await self.pool.fetch(
            "SELECT * FROM vault.audit_entry WHERE what = $1 ORDER BY chain, number", what
        )
        return found


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(found: Callable[[], Any]) -> Any:
    """What `found` returns as soon as it is true."""
    async with asyncio.timeout(SECONDS_MAX):
        while not (result := found()):
            await asyncio.sleep(0.01)
    return result


@asynccontextmanager
async def running(way: str, pool: asyncpg.Pool, home: Path, folder: Path) -> AsyncIterator[Running]:
    """A vault that is reached in this way."""
    keys = await KeySet.of_home(pool, home)
    audit = AuditLog(pool, process="vault", who="vault", origin="here", tell=lambda _: None)
    inside = await EmbeddedVault.open(pool, home, "inside", keys=keys, audit=audit, sweep_after_seconds=0)
    one = Running(way=way, pool=pool, inside=inside, audit=audit, folder=folder, home=home, keys=keys)
    try:
        yield one
    finally:
        await one.close()
        await inside.close()
        await audit.close()
        await keys.close()
