"""Canaries: after a card went through the vault, its number and its CVV are nowhere in the clear."""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.vault.keepers import Keeper
from tests.vault.samples import request
from tests.vault.test_providers import vault_on
from tollhouse.acquirers.message import NotSent
from tollhouse.card import CVV, CardDetails, Expiry, parse_pan
from tollhouse.store.embedded import Embedded
from tollhouse.vault.embedded import EmbeddedVault

# Three digits are found by chance in any file: the canary of the CVV is much longer than a real one.
PAN_CANARY, CVV_CANARY = "5204730000002514", "7391826450917362"
CARD = CardDetails(pan=parse_pan(PAN_CANARY), expiry=Expiry(2031, 12), cvv=CVV(CVV_CANARY), holder="J DOE")


def traces(canary: str) -> set[bytes]:
    """The forms in which digits may lie about: plain, UTF-16, packed decimal, hex, base64 at each offset."""
    plain = canary.encode()
    shifted = {b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)}
    return {plain, canary.encode("utf-16-le"), bytes.fromhex(canary), plain.hex().encode(), *shifted}


TRACES = traces(PAN_CANARY) | traces(CVV_CANARY)


def assert_clean(place: str, content: bytes) -> None:
    """No trace of a canary in it."""
    found = [trace for trace in TRACES if trace in content]
    assert not found, f"{place} holds {found}"


def assert_files_clean(folder: Path) -> int:
    """No trace in any file below a folder; how many files were read. A server at work may take some away meanwhile."""
    read = 0
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file():
                assert_clean(str(path), path.read_bytes())
                read += 1
    return read


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """The database as somebody sees it who has SQL and no keys."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


@pytest.fixture
async def vault(keeper: Keeper, pool: asyncpg.Pool, connection: asyncpg.Connection) -> AsyncIterator[EmbeddedVault]:
    """A vault through which the canaries went: kept, sealed, filled, left; and a second CVV waits in a row.

    Each kind of keeper of the keys in turn.
    """
    async with keeper.open(pool) as keys:
        opened = await vault_on(pool, keeper, keys)
        await use(opened, connection)
        yield opened
        await opened.close()


async def use(opened: EmbeddedVault, connection: asyncpg.Connection) -> None:
    """Put the canaries through."""
    kept = await opened.keep("shop", CARD)
    asked = request("shop", kept.token, await opened.seal_cvv("shop", CVV(CVV_CANARY)))
    filled = await opened.fill(asked)
    assert filled["2"] == PAN_CANARY
    assert CVV_CANARY in filled["48"]
    await opened.left(asked)
    await connection.execute("CREATE TABLE gateway_row (sealed_cvv text)")
    await connection.execute("INSERT INTO gateway_row VALUES ($1)", await opened.seal_cvv("shop", CVV(CVV_CANARY)))


@pytest.mark.parametrize("canary", [PAN_CANARY, CVV_CANARY])
def test_the_search_finds_what_is_there(canary: str) -> None:
    """A planted canary in each of its forms is found: the search is awake."""
    for planted in (*traces(canary), b64encode(b"x" + canary.encode() + b"y"), b64encode(canary.encode())):
        with pytest.raises(AssertionError, match="holds"):
            assert_clean("here", b"before " + planted + b" after")


@pytest.mark.usefixtures("vault")
async def test_no_row_shows_them(connection: asyncpg.Connection) -> None:
    """No column of any table, read as text, shows a canary."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
    )
    assert {"vault.card", "vault.key", "public.gateway_row"} <= {table["name"] for table in tables}
    for table in tables:
        for row in await connection.fetch(f"SELECT row::text FROM {table['name']} AS row"):
            assert_clean(table["name"], row[0].encode())


@pytest.mark.usefixtures("vault")
async def test_no_file_shows_them(postgres: Embedded, keeper: Keeper) -> None:
    """Neither a file of the home nor one of the database server, nor of the token or key server."""
    assert postgres.folder is not None
    assert assert_files_clean(postgres.folder) > 100
    assert assert_files_clean(keeper.home) >= (4 if keeper.kind == "file" else 1)
    for setting in ("TOLLHOUSE_VAULT_PKCS11_PIN_FILE", "TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE"):
        if setting in keeper.settings:
            assert assert_files_clean(Path(keeper.settings[setting]).parent) >= 2


async def test_no_value_prints_them(vault: EmbeddedVault) -> None:
    """What the vault takes and gives away may be printed."""
    kept, sealed = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV(CVV_CANARY))
    asked = request("shop", kept.token, sealed)
    for value in (vault, CARD, kept, sealed, asked, await vault.fill(asked)):
        assert_clean(type(value).__name__, f"{value!r} {value}".encode())


async def test_no_exception_shows_them(vault: EmbeddedVault, connection: asyncpg.Connection) -> None:
    """Failures on the way in and on the way out, printed with all local variables of their frames."""
    kept, sealed = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV(CVV_CANARY))
    asked = request("shop", kept.token, sealed)
    await connection.execute("UPDATE vault.card SET expiry_sealed = decode(repeat('00', 32), 'hex')")
    with pytest.raises(NotSent, match="does not open") as changed:
        await vault.fill(asked)
    await connection.execute("ALTER TABLE vault.card RENAME TO away")
    with pytest.raises(NotSent, match="cannot be read") as unreadable:
        await vault.fill(asked)
    with pytest.raises(asyncpg.PostgresError) as unwritable:
        await vault.keep("shop", CARD)
    for problem in (changed.value, unreadable.value, unwritable.value):
        shown = "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())
        assert "self = <tollhouse.vault" in shown
        assert_clean(type(problem).__name__, shown.encode())
