"""The embedded vault on a real Postgres: cards are kept, found again by their owner only, and sent out in requests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.vault.samples import CARD, PAN_TEXT, REFERENCES, request
from tollhouse.acquirers.iso8583.fields import pack_tags, unpack_tags
from tollhouse.acquirers.message import NotSent, Request, Slot
from tollhouse.card import CVV, CardDetails, Expiry, parse_pan
from tollhouse.grouping import Closed
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.key_file import open_key_file
from tollhouse.vault.keys import KeysRefused

CVV_ONLY = {"48": Slot.CVV}


@pytest.fixture
async def vault(database: str, home: Path) -> AsyncIterator[EmbeddedVault]:
    """An open vault on a fresh database."""
    opened = await EmbeddedVault.open(database, home, "node")
    yield opened
    await opened.close()


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """The same database, seen by somebody with SQL and without keys."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


async def test_a_kept_card_is_described_without_its_number(vault: EmbeddedVault) -> None:
    """BIN, last four, brand and expiry are right; token and fingerprint are long and random."""
    kept = await vault.keep("shop", CARD)
    assert (kept.bin, kept.last4, kept.brand, kept.expiry) == ("400005", "5556", "visa", Expiry(2031, 12))
    assert 22 <= len(kept.token) <= 64
    assert len(kept.fingerprint) > 40


async def test_a_filled_request_has_the_card_in_it(vault: EmbeddedVault) -> None:
    """PAN and expiry in their fields, the CVV as a tag of field 48, everything else as it was."""
    kept = await vault.keep("shop", CARD)
    filled = await vault.fill(request("shop", kept.token, await vault.seal_cvv("shop", CVV("123"))))
    assert dict(filled) == {
        "2": PAN_TEXT,
        "3": "000000",
        "4": "000000002590",
        "14": "3112",
        "48": pack_tags({"92": "123"}),
    }


async def test_other_tags_stay_beside_the_cvv(vault: EmbeddedVault) -> None:
    """Field 48 keeps its own tags, with and without a CVV."""
    kept = await vault.keep("shop", CARD)
    sealed = await vault.seal_cvv("shop", CVV("1234"))
    asked = request("shop", kept.token, sealed, fields={"48": pack_tags({"37": "600112345678"})})
    assert unpack_tags((await vault.fill(asked))["48"]) == {"37": "600112345678", "92": "1234"}
    await vault.left(asked)
    assert unpack_tags((await vault.fill(asked))["48"]) == {"37": "600112345678"}


async def test_it_goes_out_without_a_cvv_that_has_left(vault: EmbeddedVault, home: Path) -> None:
    """Once the bytes were written the key is zeros, and the same request fills without field 48."""
    kept = await vault.keep("shop", CARD)
    asked = request("shop", kept.token, await vault.seal_cvv("shop", CVV("123")))
    await vault.left(asked)
    await vault.left(asked)
    assert {byte for path in (home / "cvv-keys").glob("*.slots") for byte in path.read_bytes()} == {0}
    assert sorted(await vault.fill(asked)) == ["14", "2", "3", "4"]


async def test_it_goes_out_without_a_cvv_that_was_erased_or_never_was(vault: EmbeddedVault) -> None:
    """Cancelled, timed out, or no CVV at all: the other fields are filled."""
    kept = await vault.keep("shop", CARD)
    sealed = await vault.seal_cvv("shop", CVV("123"))
    await vault.erase_cvv(sealed)
    for gone in (sealed, None):
        assert "48" not in await vault.fill(request("shop", kept.token, gone))


async def test_a_request_without_slots_is_left_as_it_is(vault: EmbeddedVault) -> None:
    """A sign-on names no card and needs none."""
    sign_on = Request(mti="0800", fields={"70": "001"}, slots={}, card=None, references=REFERENCES)
    assert await vault.fill(sign_on) == {"70": "001"}
    await vault.left(sign_on)


async def test_slots_without_a_card_are_not_sent(vault: EmbeddedVault) -> None:
    """A request with slots that names no card cannot go out."""
    broken = Request(mti="0100", fields={}, slots={"2": Slot.PAN}, card=None, references=REFERENCES)
    with pytest.raises(NotSent):
        await vault.fill(broken)


async def test_another_project_gets_nothing(vault: EmbeddedVault) -> None:
    """A token or sealed CVV of one project fills no request of another."""
    kept = await vault.keep("shop", CARD)
    with pytest.raises(NotSent, match="no card"):
        await vault.fill(request("other shop", kept.token))
    with pytest.raises(NotSent, match="does not open"):
        await vault.fill(request("other shop", kept.token, await vault.seal_cvv("shop", CVV("123")), slots=CVV_ONLY))


async def test_the_same_card_again(vault: EmbeddedVault) -> None:
    """The same card has a new token and the same fingerprint; another project or card has another fingerprint."""
    first, again = await vault.keep("shop", CARD), await vault.keep("shop", CARD)
    renewed = await vault.keep("shop", CardDetails(pan=CARD.pan, expiry=Expiry(2035, 1)))
    elsewhere = await vault.keep("other shop", CARD)
    another = await vault.keep("shop", CardDetails(pan=parse_pan("4242424242424242"), expiry=CARD.expiry))
    assert len({first.token, again.token, renewed.token, elsewhere.token, another.token}) == 5
    assert first.fingerprint == again.fingerprint == renewed.fingerprint
    assert len({first.fingerprint, elsewhere.fingerprint, another.fingerprint}) == 3


async def test_many_at_once(vault: EmbeddedVault, connection: asyncpg.Connection) -> None:
    """Cards kept in the same moment are written in a few database transactions, and each opens as itself."""
    details = [CardDetails(pan=CARD.pan, expiry=Expiry(2030 + n % 60, 1 + n % 12)) for n in range(500)]
    kept = await asyncio.gather(*(vault.keep("shop", card) for card in details))
    filled = await asyncio.gather(*(vault.fill(request("shop", card.token)) for card in kept))
    assert [fields["14"] for fields in filled] == [card.expiry.yymm for card in details]
    assert await connection.fetchval("SELECT count(*) FROM vault.card") == 500
    assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM vault.card") < 50


@pytest.mark.parametrize("columns", ["pan_sealed", "expiry_sealed", "data_key", "pan_sealed, expiry_sealed, data_key"])
async def test_swapped_rows_are_not_sent(vault: EmbeddedVault, connection: asyncpg.Connection, columns: str) -> None:
    """Columns copied from one row into another with SQL do not open there."""
    victim, thief = await vault.keep("shop", CARD), await vault.keep("shop", CARD)
    await connection.execute(
        f"UPDATE vault.card SET ({columns}) = (SELECT {columns} FROM vault.card WHERE token = $1) WHERE token = $2",
        victim.token,
        thief.token,
    )
    with pytest.raises(NotSent, match="does not open"):
        await vault.fill(request("shop", thief.token))
    assert (await vault.fill(request("shop", victim.token)))["2"] == PAN_TEXT


@pytest.mark.parametrize("change", ["project = 'thief'", "token = 'thief'", "key_version = 2"])
async def test_a_moved_row_is_not_sent(vault: EmbeddedVault, connection: asyncpg.Connection, change: str) -> None:
    """A row moved with SQL to another project, token or key version does not open."""
    kept = await vault.keep("thief" if "token" in change else "shop", CARD)
    await connection.execute(f"UPDATE vault.card SET {change}")
    project = "shop" if "key_version" in change else "thief"
    with pytest.raises(NotSent, match="does not open"):
        await vault.fill(request(project, "thief" if "token" in change else kept.token))


async def test_the_same_home_opens_again(database: str, home: Path) -> None:
    """After a restart cards and waiting CVVs are as before."""
    before = await EmbeddedVault.open(database, home, "one")
    kept, sealed = await before.keep("shop", CARD), await before.seal_cvv("shop", CVV("123"))
    await before.close()
    after = await EmbeddedVault.open(database, home, "two")
    filled = await after.fill(request("shop", kept.token, sealed))
    assert (filled["2"], filled["48"]) == (PAN_TEXT, "9203123")
    await after.close()


async def test_two_nodes_share_a_home(database: str, home: Path) -> None:
    """What one node kept and sealed, the other fills, and erases for both."""
    one, other = await EmbeddedVault.open(database, home, "one"), await EmbeddedVault.open(database, home, "other")
    asked = request("shop", (await one.keep("shop", CARD)).token, await one.seal_cvv("shop", CVV("123")))
    assert (await other.fill(asked))["48"] == "9203123"
    await other.left(asked)
    assert "48" not in await one.fill(asked)
    await one.close()
    await other.close()


async def test_a_pool_of_somebody_else_stays_open(database: str, home: Path) -> None:
    """A vault on a shared pool works and leaves it open."""
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:
        vault = await EmbeddedVault.open(pool, home, "node")
        kept = await vault.keep("shop", CARD)
        assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT
        await vault.close()
        assert await pool.fetchval("SELECT count(*) FROM vault.card") == 1


@pytest.mark.parametrize("purpose", ["kek", "fingerprint"])
async def test_lost_keys_are_refused(database: str, home: Path, purpose: str) -> None:
    """A key file that is gone while the database knows its keys is not replaced by a new one."""
    await (await EmbeddedVault.open(database, home, "node")).close()
    (home / "keys" / f"{purpose}.json").unlink()
    with pytest.raises(KeysRefused, match="is missing"):
        await EmbeddedVault.open(database, home, "node")
    assert not (home / "keys" / f"{purpose}.json").exists()


@pytest.mark.parametrize("purpose", ["kek", "fingerprint"])
async def test_keys_of_another_home_are_refused(database: str, home: Path, tmp_path: Path, purpose: str) -> None:
    """A home whose keys are not those of the database is refused before it keeps anything."""
    await (await EmbeddedVault.open(database, home, "node")).close()
    second = tmp_path / "second" / "keys"
    second.mkdir(parents=True)
    for path in (home / "keys").iterdir():
        shutil.copy(path, second)
    (second / f"{purpose}.json").unlink()
    open_key_file(second, purpose)
    with pytest.raises(KeysRefused, match=f"{purpose}.json: key version 1 is not the one of this database"):
        await EmbeddedVault.open(database, second.parent, "node")


async def test_a_database_that_is_gone(vault: EmbeddedVault, connection: asyncpg.Connection) -> None:
    """Keeping fails as the database does; filling is `NotSent`; when the table is back both work."""
    kept = await vault.keep("shop", CARD)
    await connection.execute("ALTER TABLE vault.card RENAME TO away")
    with pytest.raises(asyncpg.PostgresError):
        await vault.keep("shop", CARD)
    with pytest.raises(NotSent, match="cannot be read"):
        await vault.fill(request("shop", kept.token))
    await connection.execute("ALTER TABLE vault.away RENAME TO card")
    assert (await vault.fill(request("shop", kept.token)))["2"] == PAN_TEXT


async def test_a_lost_connection_heals(vault: EmbeddedVault, connection: asyncpg.Connection) -> None:
    """After the server ended our connections the next call is well, or says that nothing was sent."""
    kept = await vault.keep("shop", CARD)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    said: list[str] = []
    while PAN_TEXT not in said and len(said) < 5:
        try:
            said.append((await vault.fill(request("shop", kept.token)))["2"])
        except NotSent:
            said.append("not sent")
    assert said[-1] == PAN_TEXT


async def test_a_closed_vault_takes_nothing(database: str, home: Path) -> None:
    """After close, keeping is refused and filling is `NotSent`."""
    vault = await EmbeddedVault.open(database, home, "node")
    kept = await vault.keep("shop", CARD)
    await vault.close()
    with pytest.raises(Closed):
        await vault.keep("shop", CARD)
    with pytest.raises(NotSent):
        await vault.fill(request("shop", kept.token))
