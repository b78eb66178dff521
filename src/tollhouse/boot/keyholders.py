"""Who keeps the key-encryption key, chosen by configuration, and the set of keys on it."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from tollhouse.boot.config import Config, variable
from tollhouse.net.key_server import KeyServer
from tollhouse.vault.custodians import Tell, wait_for_root
from tollhouse.vault.joined import JoinedKeys, root_of
from tollhouse.vault.key_file import FileKeys
from tollhouse.vault.keys import KEK, Keyholder, KeysRefused
from tollhouse.vault.keyset import KEYS_FOLDER, KeySet
from tollhouse.vault.registry import KeyRow, Rows, load_rows, of_purpose, refuse_other_kind
from tollhouse.vault.transit import TransitKeys

AskRoot = Callable[[KeyRow], Awaitable[bytes]]


async def open_keys(config: Config, pool: asyncpg.Pool, ask_root: AskRoot) -> KeySet:
    """The keys of this database. `ask_root` gets the joined key from custodians, where they have it.

    Raises `KeysRefused` and `KeysUnreachable` with one clear line.
    """
    await asyncio.to_thread(_make_home, config.home)
    rows = await load_rows(pool)
    refuse_other_kind(rows, config.keepers)
    first, *others = config.keepers
    kept = {row.kind for row in of_purpose(rows, KEK)}
    async with AsyncExitStack() as opened:

        async def holder_of(kind: str) -> Keyholder:
            holder = await _open_holder(kind, config, rows, ask_root)
            opened.push_async_callback(holder.close)
            return holder

        holders = [await holder_of(kind) for kind in (first, *(other for other in others if other in kept))]
        keys = await KeySet.open(pool, holders[0], config.home, others=holders[1:])
        opened.pop_all()  # from here on the keys close them
    return keys


def _make_home(home: Path) -> None:
    """For us alone, whoever needs it first."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise KeysRefused(f"TOLLHOUSE_HOME={home}: cannot be made: {problem.strerror}; choose another") from None


def root_from_socket(home: Path, node: str, *, tell: Tell, stop: asyncio.Event) -> AskRoot:
    """Has custodians enter their parts at a socket in the home. Raises `KeysRefused` when it is to stop before."""

    async def ask(row: KeyRow) -> bytes:
        assert row.parts is not None
        joining = wait_for_root(home, node, parts=row.parts, check_value=row.check_value, tell=tell)
        waiting, stopped = asyncio.ensure_future(joining), asyncio.ensure_future(stop.wait())
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not waiting.done():
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            raise KeysRefused("stopped while it waited for key parts")
        return waiting.result()

    return ask


async def _open_holder(kind: str, config: Config, rows: Rows, ask_root: AskRoot) -> Keyholder:
    match kind:
        case "pkcs11":
            return _token(config)
        case "transit":
            return _key_server(config)
        case "components":
            return JoinedKeys(await ask_root(root_of(rows)))
        case _:
            is_known = any(row.kind == FileKeys.kind for row in of_purpose(rows, KEK))
            return await FileKeys.open(config.home / KEYS_FOLDER, is_known=is_known)


def _token(config: Config) -> Keyholder:
    from tollhouse.vault.pkcs11 import Pkcs11Keys, Token  # the library is loaded by those who have an HSM

    pin = private_text("vault_pkcs11_pin_file", config.vault_pkcs11_pin_file)
    token = Token(module=config.vault_pkcs11_module, label=config.vault_pkcs11_token, pin=pin)
    return Pkcs11Keys(token, key=config.vault_pkcs11_key)


def _key_server(config: Config) -> Keyholder:
    private_text("vault_transit_token_file", config.vault_transit_token_file)
    ca_file = config.vault_transit_ca_file
    try:
        server = KeyServer(
            config.vault_transit_url,
            token_file=Path(config.vault_transit_token_file),
            ca_file=Path(ca_file) if ca_file else None,
        )
    except OSError as problem:  # an SSLError is one too
        why = problem.strerror or str(problem)
        raise KeysRefused(f"{variable('vault_transit_ca_file')}={ca_file}: holds no certificates: {why}") from None
    return TransitKeys(server.ask, server.close, mount=config.vault_transit_mount, key=config.vault_transit_key)


def private_text(name: str, path: str) -> str:
    """The one line of a file that nobody else may read. Raises `KeysRefused` naming the setting."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is no text"
        raise KeysRefused(f"{variable(name)}={path}: cannot be read: {why}") from None
    if mode & 0o077:
        raise KeysRefused(f"{variable(name)}={path}: mode {mode:04o} lets others at it; run: chmod 600 {path}")
    if not text:
        raise KeysRefused(f"{variable(name)}={path}: is empty; write the secret into it")
    return text
