"""Keys in an HSM: they never come out, and what is set up wrong is told by the name of the setting."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import asyncpg
import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from tests.vault.conftest import NewKeeper
from tests.vault.keepers import PIN, Keeper, secret_file
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.pkcs11 import Token, log_in


@pytest.fixture
def keeper(new_keeper: NewKeeper) -> Keeper:
    """A key in the token."""
    return new_keeper("pkcs11")


async def test_a_key_never_comes_out(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """It is sensitive and not extractable: the token refuses to show it, and to wrap it under another key."""
    async with keeper.open(pool):
        config = keeper.config
        session = log_in(Token(module=config.vault_pkcs11_module, label=config.vault_pkcs11_token, pin=PIN))
        label = f"{config.vault_pkcs11_key}-v1"
        (key,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label})
        assert (key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE], key[Attribute.PRIVATE]) == (True, False, True)
        assert (key[Attribute.WRAP], key[Attribute.UNWRAP]) == (False, False)
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            assert key[Attribute.VALUE] is None
        session.close()


async def test_no_key_lies_in_the_home(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """With an HSM there is no key file: the other keys lie in the registry, under the one in the token."""
    async with keeper.open(pool) as keys:
        assert len(keys.idempotency_secret) == 32
        assert not list(keeper.home.rglob("*"))
        rows = await pool.fetch("SELECT purpose, held FROM vault.key ORDER BY purpose")
        assert [(row["purpose"], row["held"] is not None) for row in rows] == [
            ("audit", True),
            ("card_id", True),
            ("fingerprint", True),
            ("idempotency", True),
            ("kek", False),
        ]


async def test_the_token_works_in_a_thread_of_its_own(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """The event loop goes on while the token works, and its thread ends with the keys."""
    before = set(threading.enumerate())
    async with keeper.open(pool) as keys:
        mine = [one for one in set(threading.enumerate()) - before if one.name.startswith("pkcs11")]
        assert len(mine) == 1
        turns = 0
        sealing = asyncio.gather(*(keys.ring.wrap(b"k" * 32, b"here") for _ in range(300)))
        while not sealing.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 3
    mine[0].join(10)
    assert not mine[0].is_alive()


async def test_a_lost_session_is_opened_again(keeper: Keeper, pool: asyncpg.Pool) -> None:
    """After the token ended our session the next use logs in anew."""
    async with keeper.open(pool) as keys:
        wrapped = await keys.ring.wrap(b"k" * 32, b"here")
        pkcs11.lib(keeper.config.vault_pkcs11_module).reinitialize()
        assert await keys.ring.unwrap(wrapped, b"here") == b"k" * 32


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("MODULE", "/nowhere/libhsm.so", "TOLLHOUSE_VAULT_PKCS11_MODULE=/nowhere/libhsm.so: is no PKCS#11 library"),
        ("TOKEN", "another", "TOLLHOUSE_VAULT_PKCS11_TOKEN=another: the module has no such token"),
        ("PIN_FILE", "/nowhere/pin", "TOLLHOUSE_VAULT_PKCS11_PIN_FILE=/nowhere/pin: cannot be read: No such file"),
    ],
)
async def test_a_wrong_setting_is_named(
    keeper: Keeper, pool: asyncpg.Pool, setting: str, value: str, told: str
) -> None:
    """One line with the variable, the value and what is wrong."""
    keeper.settings[f"TOLLHOUSE_VAULT_PKCS11_{setting}"] = value
    with pytest.raises(KeysRefused, match=told) as refusal:
        async with keeper.open(pool):
            pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [("", 0o600, "is empty"), (PIN, 0o640, "chmod 600"), (PIN, 0o604, "chmod 600")],
)
async def test_a_pin_file_must_be_private_and_hold_a_pin(
    keeper: Keeper, pool: asyncpg.Pool, tmp_path: Path, text: str, mode: int, told: str
) -> None:
    """A file that others may read, or an empty one, is refused before the token is asked."""
    path = secret_file(tmp_path / "pin", text, mode=mode)
    keeper.settings["TOLLHOUSE_VAULT_PKCS11_PIN_FILE"] = str(path)
    with pytest.raises(KeysRefused, match=told):
        async with keeper.open(pool):
            pass


async def test_a_wrong_pin_is_refused(keeper: Keeper, pool: asyncpg.Pool, tmp_path: Path) -> None:
    """The token's refusal becomes one line, which does not show the PIN."""
    keeper.settings["TOLLHOUSE_VAULT_PKCS11_PIN_FILE"] = str(secret_file(tmp_path / "pin", "99999999"))
    with pytest.raises(KeysRefused, match="the token refuses its PIN") as refusal:
        async with keeper.open(pool):
            pass
    assert "99999999" not in str(refusal.value)
