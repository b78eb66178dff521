"""The vault as configuration says: inside a node or a process of its own, and what each of them then holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.contracts.vaults import free_port
from tests.vault.samples import CARD, PAN_TEXT, request
from tollhouse.boot.config import Config, ConfigError, load_config
from tollhouse.boot.vault_place import Place, listening_place, place_of
from tollhouse.boot.vaults import OpenVault, open_vault, serve_vault
from tollhouse.store.postgres import open_pool
from tollhouse.vault import certificates
from tollhouse.vault.keys import KeysRefused

HOME = Path("/var/lib/tollhouse")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("unix:", Place(path=HOME / "vault.sock")),
        ("unix://", Place(path=HOME / "vault.sock")),
        ("unix:///run/vault.sock", Place(path=Path("/run/vault.sock"))),
        ("unix:/run/vault.sock", Place(path=Path("/run/vault.sock"))),
        ("tls://vault.example.com:8404", Place(host="vault.example.com", port=8404)),
        ("tls://[::1]:8404", Place(host="::1", port=8404)),
    ],
)
def test_places(text: str, place: Place) -> None:
    """A socket or a port; spelled again it is the same place."""
    assert place_of(text, HOME) == place
    assert place_of(str(place), HOME) == place


@pytest.mark.parametrize(
    "text",
    [
        "vault",
        "http://vault:1",
        "tls://vault",
        "tls://:8404",
        "tls://vault:0",
        "tls://vault:99999",
        "tls://vault:8404/path",
        "tls://me@vault:8404",
        "tls://my vault:8404",
        "tls://vault!:8404",
        "unix://relative/vault.sock",
        "unix:///" + "x" * 100,
    ],
)
def test_places_that_are_none(text: str) -> None:
    """The line names the setting and says what is expected."""
    with pytest.raises(ConfigError, match="TOLLHOUSE_VAULT_URL.*expected"):
        load_config({"TOLLHOUSE_VAULT_URL": text})


def test_where_the_vault_listens() -> None:
    """Where it is told to, else at the socket that nodes are told; else it says which setting is missing."""
    assert listening_place("unix:", "", HOME).path == HOME / "vault.sock"
    assert listening_place("unix:", "unix:///run/other.sock", HOME).path == Path("/run/other.sock")
    for url in ("", "tls://vault.example.com:8404"):
        with pytest.raises(KeysRefused, match="TOLLHOUSE_VAULT_LISTEN: is missing"):
            listening_place(url, "", HOME)


@pytest.mark.parametrize("name", ["TOLLHOUSE_VAULT_URL", "TOLLHOUSE_VAULT_LISTEN"])
def test_a_network_needs_certificates(name: str) -> None:
    """Nothing goes over a network in the clear."""
    with pytest.raises(ConfigError, match=f"TOLLHOUSE_VAULT_CERTIFICATE_FILE: is missing, and {name}=tls://"):
        load_config({name: "tls://vault.example.com:8404"})


def test_the_vaults_login_is_not_shown() -> None:
    """Its address may hold a password."""
    config = load_config({"TOLLHOUSE_VAULT_DATABASE_URL": "postgresql://vault:hush@db/tollhouse"})
    assert "hush" not in repr(config)
    with pytest.raises(ConfigError) as refused:
        load_config({"TOLLHOUSE_VAULT_DATABASE_URL": "vault:hush@db"})
    assert "hush" not in str(refused.value)


def config_of(home: Path, database: str, **settings: object) -> Config:
    """The configuration of one process."""
    return load_config({}, home=home, database_url=database, node="n", **settings)


@asynccontextmanager
async def node_on(config: Config, name: str = "gateway-1") -> AsyncIterator[OpenVault]:
    """The vault as a node opens it."""
    pool = await open_pool(config.database_url)
    try:
        async with open_vault(config, pool, name, role="gateway", stop=asyncio.Event()) as opened:
            yield opened
    finally:
        await pool.close()


async def entries(database: str) -> list[tuple[str, str, str]]:
    """What, who and details of the audit log, oldest first."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT what, who, details FROM vault.audit_entry ORDER BY at, number")
        return [(row["what"], row["who"], row["details"]) for row in rows]
    finally:
        await connection.close()


async def test_a_node_beside_a_vault_holds_no_keys(database: str, tmp_path: Path) -> None:
    """Cards are kept and filled in, and the node's home stays empty; the vault's has keys and codes."""
    vault_home, node_home = tmp_path / "vault", tmp_path / "node"
    for home in (vault_home, node_home):
        home.mkdir(mode=0o700)
    place = f"unix://{tmp_path / 'vault.sock'}"
    async with serve_vault(config_of(vault_home, database, vault_listen=place), stop=asyncio.Event()):
        async with node_on(config_of(node_home, database, vault_url=place)) as opened:
            assert opened.keys is None
            kept = await opened.vault.keep("shop", CARD)
            assert (await opened.vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        assert list(node_home.iterdir()) == []
        assert {path.name for path in vault_home.iterdir()} >= {"keys", "cvv-keys"}
    found = [(what, details) for what, who, details in await entries(database) if who.startswith("user ")]
    assert {("process.start", "gateway"), ("process.stop", ""), ("vault.connect", "")} <= set(found)
    assert "card.reveal" in {what for what, _ in found}


async def test_a_node_far_from_its_vault(database: str, tmp_path: Path) -> None:
    """The same over mutual TLS, under the name in its certificate."""
    made, port = tmp_path / "certificates", free_port()
    certificates.make(made, "vault", hosts=["localhost"])
    certificates.make(made, "node-7", hosts=[])

    def files(name: str) -> dict[str, object]:
        return {
            "vault_certificate_file": made / f"{name}.pem",
            "vault_key_file": made / f"{name}.key",
            "vault_ca_file": made / "ca.pem",
        }

    listen = {"vault_listen": f"tls://127.0.0.1:{port}", "vault_revoked_file": made / "revoked.pem"}
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    async with (
        serve_vault(config_of(home, database, **files("vault"), **listen), stop=asyncio.Event()),
        node_on(config_of(tmp_path, database, vault_url=f"tls://localhost:{port}", **files("node-7"))) as opened,
    ):
        await opened.vault.keep("shop", CARD)
    assert ("process.start", "node node-7", "gateway") in await entries(database)


async def test_a_vault_inside_has_a_login_of_its_own(database: str, home: Path) -> None:
    """With an address of its own its connections are others than the node's."""
    mark = "&" if "?" in database else "?"
    config = config_of(home, database, vault_database_url=f"{database}{mark}application_name=the_vault")
    async with node_on(config) as opened:
        assert opened.keys is not None
        kept = await opened.vault.keep("shop", CARD)
        assert (await opened.vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        names = await opened.keys.pool.fetch(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        )
    assert "the_vault" in {row["application_name"] for row in names}
    started = [entry for entry in await entries(database) if entry[0].startswith("process.")]
    assert started == [("process.start", "node gateway-1", "gateway"), ("process.stop", "node gateway-1", "")]


async def test_a_node_that_waits_for_its_vault_may_be_stopped(database: str, home: Path) -> None:
    """It says what it waited for."""
    config, stop = config_of(home, database, vault_url="unix:"), asyncio.Event()
    pool = await open_pool(database)
    asyncio.get_running_loop().call_later(0.2, stop.set)
    with pytest.raises(KeysRefused, match="waited for the vault"):
        async with open_vault(config, pool, "gateway-1", role="gateway", stop=stop):
            raise AssertionError("there is no vault")
    await pool.close()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"vault_users": "nobody-of-this-name"}, "TOLLHOUSE_VAULT_USERS=nobody-of-this-name: there is no user"),
        ({"vault_listen": ""}, "TOLLHOUSE_VAULT_LISTEN: is missing"),
        ({"vault_listen": "unix:///no/such/folder/vault.sock"}, "cannot listen at unix:///no/such/folder/vault.sock"),
    ],
)
async def test_a_vault_that_cannot_serve(database: str, home: Path, change: dict[str, str], line: str) -> None:
    """One line names the setting."""
    config = config_of(home, database, **{"vault_listen": "unix:", **change})
    with pytest.raises(KeysRefused, match=line):
        async with serve_vault(config, stop=asyncio.Event()):
            raise AssertionError("it serves")


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("mode", "TOLLHOUSE_VAULT_KEY_FILE=.*others may read it; run: chmod 600"),
        ("key", "TOLLHOUSE_VAULT_KEY_FILE=.*"),
        ("ca", "TOLLHOUSE_VAULT_CA_FILE=.*cannot be read"),
        ("revoked", "TOLLHOUSE_VAULT_REVOKED_FILE: .*cannot be read as a list"),
    ],
)
async def test_files_that_cannot_be_used(database: str, home: Path, tmp_path: Path, broken: str, line: str) -> None:
    """Each is named by its setting."""
    made = tmp_path / "certificates"
    certificates.make(made, "vault", hosts=["localhost"])
    certificates.make(made, "other", hosts=["localhost"])
    if broken == "mode":
        (made / "vault.key").chmod(0o640)
    if broken == "revoked":
        (made / "revoked.pem").write_text("-----BEGIN nothing")
    config = config_of(
        home,
        database,
        vault_listen=f"tls://127.0.0.1:{free_port()}",
        vault_certificate_file=made / "vault.pem",
        vault_key_file=made / ("other.key" if broken == "key" else "vault.key"),
        vault_ca_file=made / ("none.pem" if broken == "ca" else "ca.pem"),
        vault_revoked_file=made / "revoked.pem",
    )
    with pytest.raises(KeysRefused, match=line):
        async with serve_vault(config, stop=asyncio.Event()):
            raise AssertionError("it serves")
