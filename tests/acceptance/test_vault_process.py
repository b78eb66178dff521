"""The vault as a process of its own dies or stalls while merchants pay: nobody is charged twice, nothing gets stuck."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System, until
from tests.acceptance.test_crashes import SECONDS_MAX, assert_ended, merchants_at_work, wait_for_more
from tollhouse.vault.keyset import KEYS_FOLDER
from tollhouse.vault.slots import SLOT_BYTES

KILLS, MERCHANTS = 2, 3


@pytest.fixture
def apart(new_system: NewSystem) -> System:
    """A running system whose vault is a process of its own."""
    return new_system(vault_url="unix:").start()


@pytest.fixture
def shop(apart: System, new_merchant: NewMerchant) -> Merchant:
    """A merchant of that system."""
    return new_merchant(apart)


def readiness(system: System) -> tuple[int, str]:
    """What the gateway says of itself, and why."""
    asking = http.client.HTTPConnection("127.0.0.1", system.port, timeout=20)
    try:
        asking.request("GET", "/readyz")
        answered = asking.getresponse()
        return answered.status, json.loads(answered.read()).get("error", {}).get("description", "")
    finally:
        asking.close()


def codes_left(home: Path) -> int:
    """How many keys of security codes lie in the home."""
    files = [file.read_bytes() for file in (home / "cvv-keys").glob("*.slots")]
    return sum(any(raw[at : at + SLOT_BYTES]) for raw in files for at in range(0, len(raw), SLOT_BYTES))


def assert_keyless(system: System, part: str) -> None:
    """A part knows no login of the vault's and has no file of security codes' keys open."""
    process = Path(f"/proc/{system.pid(part)}")
    assert b"TOLLHOUSE_VAULT_DATABASE_URL=\0" in process.joinpath("environ").read_bytes() + b"\0"
    opened = [str(file.readlink()) for file in process.joinpath("fd").iterdir()]
    assert not [name for name in opened if "cvv-keys" in name]


@contextmanager
def keys_out_of_reach(system: System) -> Iterator[None]:
    """The files of keys are where nobody looks for them; a vault that runs has read its keys before."""
    keys, elsewhere = system.home / KEYS_FOLDER, system.folder / "elsewhere"
    keys.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(keys)


def test_nodes_start_without_keys(apart: System, shop: Merchant) -> None:
    """The gateway and the worker come up and pay while the files of keys are gone; the vault itself does not."""
    with keys_out_of_reach(apart):
        for part in ("gateway", "work"):
            apart.wait_until_back(part, apart.kill_part(part))
        assert assert_ended(shop, shop.pay()) == ["accepted"]
        vault = apart.kill_part("vault")
        until(lambda: "is missing, but this database knows its keys" in apart.log(), "a vault without keys says so")
    apart.wait_until_back("vault", vault)
    assert assert_ended(shop, shop.pay()) == ["accepted"]


def assert_clean(system: System, *, unanswered: int = 0) -> None:
    """The books prove sound, no security code is left but so many for the sweep, and the audit log is whole."""
    system.run("verify")
    until(lambda: codes_left(system.home) <= unanswered, "every security code is erased")
    system.run("audit", "verify")


def test_vault_dies_under_load(apart: System, shop: Merchant) -> None:
    """`kill -9` of the vault while merchants pay, twice: every payment succeeds once, with the code from before."""
    waiting = shop.prepare()
    assert codes_left(apart.home) == 1
    for part in ("gateway", "work"):
        assert_keyless(apart, part)
    with merchants_at_work(shop, MERCHANTS) as acknowledged:
        for _ in range(KILLS):
            wait_for_more(acknowledged, 15)
            apart.wait_until_back("vault", apart.kill_part("vault"))
        wait_for_more(acknowledged, 10)
    shop.confirm(waiting)
    assert set(assert_ended(shop, waiting, *acknowledged)) == {"accepted"}
    assert len(set(acknowledged)) == len(acknowledged)
    # A code that was sealed and whose merchant heard of it no more has no row; the sweep finds it ten minutes later.
    assert_clean(apart, unanswered=KILLS * MERCHANTS)


@pytest.mark.full
def test_vault_is_away_for_long(apart: System, shop: Merchant) -> None:
    """No new card is taken, what is confirmed fails after 30 s without being sent, and afterwards all is as before."""
    waiting, other = shop.prepare(), shop.prepare()
    vault = apart.pid("vault")
    os.kill(vault, signal.SIGSTOP)
    try:
        assert readiness(apart) == (503, "not ready: the vault does not answer")
        assert shop.call("init/payment", shop.body()).status == 503
        shop.confirm(waiting)
        failed = shop.wait_until_final(waiting, seconds=SECONDS_MAX)
    finally:
        os.kill(vault, signal.SIGCONT)
    assert failed["error"]["code"] == "provider_internal_error"
    apart.wait_until_answering(apart.port)
    assert assert_ended(shop, waiting) == ["provider_internal_error"]  # its webhook waits for the keys that sign it
    shop.confirm(other)
    assert assert_ended(shop, other, shop.pay()) == ["accepted"] * 2
    assert_clean(apart)
