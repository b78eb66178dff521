"""Keys on a key server: what it refuses and when it is away, and that nothing is lost by either."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import asyncpg
import pytest

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import ROOT_TOKEN, Keeper, relay_to, secret_file, tell_bao
from tests.vault.samples import CARD, PAN_TEXT, request
from tests.vault.test_providers import rewrap_all, vault_on
from tollhouse.acquirers.message import NotSent
from tollhouse.boot.rewrapping import piles_of
from tollhouse.net.key_server import KeyServer
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import KEK, KeysRefused, KeysUnreachable
from tollhouse.vault.ring import KeyRing
from tollhouse.vault.rotation import retire, rotate
from tollhouse.vault.transit import TransitKeys

POLICY = """
path "transit/keys/{key}" {{ capabilities = ["read"] }}
path "transit/encrypt/{key}" {{ capabilities = ["update"] }}
path "transit/decrypt/{key}" {{ capabilities = ["update"] }}
"""


@pytest.fixture
def keeper(new_keeper: NewKeeper) -> Keeper:
    """A key on the server."""
    return new_keeper("transit")


async def test_the_key_never_comes_out(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """The server made it not exportable, with no plaintext backup; our numbers of versions are the server's."""
    async with keeper.open(pool) as keys:
        await rotate(keys, KEK)
        assert await keys.ring.holder.latest() == 2
        with pytest.raises(HTTPError):
            tell_bao(keeper.config.vault_transit_url, f"transit/export/encryption-key/{key_of(keeper)}", {})


def key_of(keeper: Keeper) -> str:
    """The name of its key."""
    return keeper.config.vault_transit_key


async def test_those_who_wait_share_requests(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Hundreds of wraps at once are a few requests."""
    config, asked = keeper.config, []
    server = KeyServer(config.vault_transit_url, token_file=Path(config.vault_transit_token_file), ca_file=None)

    async def counted(method: str, path: str, members: Mapping[str, Any] | None) -> tuple[int, Mapping[str, Any]]:
        asked.append(path)
        return await server.ask(method, path, members)

    holder = TransitKeys(counted, server.close, mount=config.vault_transit_mount, key=config.vault_transit_key)
    ring = await KeyRing.open(pool, holder)
    asked.clear()
    await asyncio.gather(*(ring.wrap(b"k" * 32, b"here") for _ in range(500)))
    assert 5 <= len(asked) <= 7
    await holder.close()


async def test_a_server_that_is_away(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """Cards cannot be kept (to be repeated later), nothing is sent without its card, and all is well afterwards."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relay_to(keeper.config.vault_transit_url))
        keeper.settings["TOLLHOUSE_VAULT_TRANSIT_URL"] = relay.url
        keys = await stack.enter_async_context(keeper.open(pool))
        audit = AuditLog(pool, process="node", who="node", origin="here", tell=print)
        stack.push_async_callback(audit.close)
        vault = await EmbeddedVault.open(pool, keeper.home, "node", keys=keys, audit=audit)
        kept = await vault.keep("shop", CARD)
        await vault.check()
        await relay.cut()
        with pytest.raises(StoreUnreachable, match="cannot be reached"):
            await vault.check()
        with pytest.raises(StoreUnreachable, match="cannot be reached"):
            await vault.keep("shop", CARD)
        with pytest.raises(NotSent, match="cannot be read"):
            await vault.fill(request("shop", kept.token))
        await relay.mend()
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.check()
        await vault.close()
        reveals = await pool.fetch("SELECT outcome FROM vault.audit_entry WHERE what = 'card.reveal' ORDER BY number")
        assert [row["outcome"] for row in reveals] == ["granted", "failed", "granted"]


async def test_a_token_that_ran_out_is_replaced_in_its_file(keeper: Keeper, pool: asyncpg.Pool, tmp_path: Path) -> None:
    """The file is read at each request: a renewed token needs no restart. Until then nothing is sent."""
    path = secret_file(tmp_path / "token", ROOT_TOKEN)
    keeper.settings["TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE"] = str(path)
    async with keeper.open(pool) as keys:
        vault = await vault_on(pool, keeper, keys)
        kept = await vault.keep("shop", CARD)
        secret_file(path, "revoked")
        with pytest.raises(NotSent, match="TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE"):
            await vault.fill(request("shop", kept.token))
        secret_file(path, ROOT_TOKEN)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


async def test_gateways_need_no_more_than_to_seal_and_open(keeper: Keeper, pool: asyncpg.Pool, tmp_path: Path) -> None:
    """With the documented policy a gateway runs; only rotation and retirement need an operator's token."""
    url = keeper.config.vault_transit_url
    async with keeper.open(pool):
        pass
    tell_bao(url, f"sys/policies/acl/{key_of(keeper)}", {"policy": POLICY.format(key=key_of(keeper))})
    made = tell_bao(url, "auth/token/create", {"policies": [key_of(keeper)]})
    gateway = Keeper(dict(keeper.settings), keeper.home)
    gateway.settings["TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE"] = str(
        secret_file(tmp_path / "token", made["auth"]["client_token"])
    )
    async with gateway.open(pool) as keys, keeper.open(pool) as operator:
        vault = await vault_on(pool, gateway, keys)
        kept = await vault.keep("shop", CARD)
        with pytest.raises(KeysRefused, match="permission denied"):
            await rotate(keys, KEK)
        await rotate(operator, KEK)
        await keys.refresh()
        await rewrap_all(operator)
        await retire(operator, KEK, 1, piles_of(operator, KEK))
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()


@pytest.mark.parametrize(
    ("setting", "value", "problem", "told"),
    [
        ("URL", "http://127.0.0.1:1", KeysUnreachable, "http://127.0.0.1:1 cannot be reached"),
        ("MOUNT", "elsewhere", KeysRefused, "elsewhere.*TOLLHOUSE_VAULT_TRANSIT_MOUNT"),
        ("TOKEN_FILE", "/nowhere/token", KeysRefused, "TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE=/nowhere/token: cannot be"),
        ("CA_FILE", "/nowhere/ca.pem", KeysRefused, "TOLLHOUSE_VAULT_TRANSIT_CA_FILE=/nowhere/ca.pem: holds no"),
    ],
)
async def test_a_wrong_setting_is_named(
    keeper: Keeper, pool: asyncpg.Pool, setting: str, value: str, problem: type[Exception], told: str
) -> None:
    """One line says what is wrong, and where to look."""
    keeper.settings[f"TOLLHOUSE_VAULT_TRANSIT_{setting}"] = value
    with pytest.raises(problem, match=told) as refusal:
        async with keeper.open(pool):
            pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("shape", [{"exportable": True}, {"type": "rsa-2048"}, {"derived": True}])
async def test_an_unfit_key_is_refused(keeper: Keeper, pool: asyncpg.Pool, shape: dict[str, object]) -> None:
    """A key that could be taken out, or that cannot bind a context, is not used."""
    tell_bao(keeper.config.vault_transit_url, f"transit/keys/{key_of(keeper)}", shape)
    with pytest.raises(KeysRefused, match="not derived and not exportable"):
        async with keeper.open(pool):
            pass
