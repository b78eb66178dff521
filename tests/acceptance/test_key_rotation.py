"""Keys change while merchants pay, and `tollhouse up` runs on every keeper of keys."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.merchant import new_key, public_pem
from tests.acceptance.system import PROGRAM, System, until
from tests.acceptance.test_crashes import UNDONE, assert_ended, merchants_at_work, wait_for_more
from tests.servers import run_apart
from tests.vault.keepers import openbao, softhsm
from tests.vault.samples import CARD
from tollhouse.vault.custodians import FOLDER
from tollhouse.vault.embedded import EmbeddedVault

CARDS = 3000


def keep_cards(system: System, count: int) -> None:
    """So many cards more in the vault of a running system."""

    async def keep() -> None:
        vault = await EmbeddedVault.open(system.dsn, system.home, "filler")
        for _ in range(count):
            await vault.keep("filler", CARD)
        await vault.close()

    run_apart(keep())


def left_under(system: System, version: int) -> int:
    """How many cards lie under this version."""
    ((count,),) = system.rows(f"select count(*) from vault.card where key_version = {version}")
    return int(count)


def test_keys_change_under_load_and_rewrap_is_killed(own: System, new_merchant: NewMerchant) -> None:
    """Rotate, rewrap killed in the middle, rewrap again, retire: every payment succeeds, and nothing is left behind."""
    shop = new_merchant(own)
    keep_cards(own, CARDS)
    waiting = shop.prepare()  # its card was sealed before all of this, and is needed after it
    with merchants_at_work(shop, 2) as acknowledged:
        wait_for_more(acknowledged, 5)
        own.run("vault", "key", "rotate")
        own.run("vault", "key", "rotate", "--fingerprint")
        running = own.beside("vault", "key", "rewrap", "--rate", "1000")
        until(lambda: left_under(own, 1) < CARDS - 500, "some cards are moved")
        running.kill()
        running.wait()
        assert 0 < left_under(own, 1) < CARDS
        wait_for_more(acknowledged, 5)
        moved = own.json("vault", "key", "rewrap", "--rate", "2000")
        assert 0 < moved["moved"] < CARDS + 100
        assert moved["broken"] == []
        own.json("vault", "key", "rewrap", "--fingerprint", "--rate", "0")
        until(lambda: "is gone" in retired(own), "nothing is written under the old version any more")
        own.run("vault", "key", "retire", "1", "--fingerprint")
        wait_for_more(acknowledged, 5)
    shop.confirm(waiting)
    ends = assert_ended(shop, waiting, *acknowledged)
    assert set(ends) == {"accepted"}
    assert left_under(own, 1) == 0
    assert "keys are" not in own.log()


@pytest.mark.full
def test_everything_dies_while_keys_change(own: System, new_merchant: NewMerchant) -> None:
    """Rotate, rewrap, gateway, workers and retire are killed in turn under load: each goes on, no payment is lost."""
    shop = new_merchant(own)
    keep_cards(own, CARDS)
    waiting = shop.prepare()
    versions = "select count(*) from vault.key where purpose = 'kek'"
    standing = "select retired_at is not null, destroyed_at is not null from vault.key"
    standing += " where (purpose, version) = ('kek', 1)"
    with merchants_at_work(shop, 2) as acknowledged:
        wait_for_more(acknowledged, 3)
        rotating = own.beside("vault", "key", "rotate")
        until(lambda: own.rows(versions) == [(2,)], "the new version stands in the registry")
        rotating.kill()
        own.wait_until_back("gateway", own.kill_part("gateway"))
        wait_for_more(acknowledged, 3)
        rewrapping = own.beside("vault", "key", "rewrap", "--rate", "1000")
        until(lambda: left_under(own, 1) < CARDS - 200, "some cards are moved")
        gateway, worker = own.kill_part("gateway"), own.kill_part("work")
        rewrapping.kill()
        assert left_under(own, 1) > 0
        own.wait_until_back("gateway", gateway)
        own.wait_until_back("work", worker)
        own.run("vault", "key", "rotate")  # and once more over what is half done
        assert own.json("vault", "key", "rewrap", "--rate", "0")["broken"] == []
        retiring = own.beside("vault", "key", "retire", "1")
        until(lambda: own.rows(standing)[0][0], "nothing is written under it any more")
        retiring.kill()
        until(lambda: retired(own) and own.rows(standing) == [(True, True)], "it is gone for good")
        wait_for_more(acknowledged, 5)
    shop.confirm(waiting)
    ends = assert_ended(shop, waiting, *acknowledged)
    assert set(ends) <= {"accepted", UNDONE}
    assert ends[0] == "accepted"
    assert left_under(own, 1) == 0
    assert own.json("vault", "key", "rewrap", "--rate", "0")["broken"] == []


def retired(system: System) -> str:
    """What retiring version 1 says; whatever a gateway wrote under it after the rewrap is moved before."""
    system.json("vault", "key", "rewrap", "--rate", "0")
    ended = subprocess.run(
        [PROGRAM, "vault", "key", "retire", "1"], env=system.environment, capture_output=True, text=True, timeout=60
    )
    return ended.stdout + ended.stderr


@pytest.fixture(params=["pkcs11", "transit"])
def keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Settings of a keeper of keys that is not us."""
    with ExitStack() as stack:
        kept = stack.enter_context(
            (softhsm if request.param == "pkcs11" else openbao)(tmp_path_factory.mktemp(request.param))
        )
        yield {name.removeprefix("TOLLHOUSE_").lower(): value for name, value in kept.items()}


def test_payments_with_keys_elsewhere(
    new_system: NewSystem, new_merchant: NewMerchant, keeper: dict[str, object]
) -> None:
    """With an HSM and with a key server: rotate, rewrap, restart, and the payment from before goes on; no key here."""
    system = new_system(**keeper).start()
    shop = new_merchant(system)
    waiting = shop.prepare()
    system.run("vault", "key", "rotate")
    assert system.json("vault", "key", "rewrap")["broken"] == []
    system.stop()
    system.start()
    shop.confirm(waiting)
    assert shop.finished(waiting)["status"] == "accepted"
    shop.pay()
    assert not (system.home / "keys").exists()


def test_custodians_start_it(new_system: NewSystem, new_merchant: NewMerchant, tmp_path: Path) -> None:
    """With components everything waits until the last custodian has entered a part; a wrong part opens nothing."""
    system = new_system(vault_keys="components")
    system.run("db", "migrate")
    system.run("vault", "key", "components", "--split", "2", "--to", str(tmp_path / "parts"))
    parts = [path.read_text() for path in sorted((tmp_path / "parts").iterdir())]
    system.launch()
    until(lambda: len(list((system.home / FOLDER).glob("*.sock"))) == 3, "gateway, workers and shop wait")
    assert enter(system, "rubbish\n") == 1
    assert enter(system, parts[0]) == 0
    assert enter(system, parts[0]) == 1
    assert enter(system, parts[1]) == 0
    system.wait_until_ready()
    assert "".join(parts).strip() not in system.log()
    words = ["project", "create", "inn", "--public-key", str(new_key_file(tmp_path))]
    made = subprocess.run(
        [PROGRAM, *words], env=system.environment, input="".join(parts), capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    paid = subprocess.run(
        [PROGRAM, "pay"], env=system.environment, input="".join(parts), capture_output=True, text=True, timeout=60
    )
    assert paid.returncode == 0, paid.stderr
    assert not (system.home / "keys").exists()


def enter(system: System, part: str) -> int:
    """One custodian's visit; the exit code."""
    ended = subprocess.run(
        [PROGRAM, "vault", "key", "unlock"],
        env=system.environment,
        input=part,
        text=True,
        capture_output=True,
        timeout=60,
    )
    return ended.returncode


def new_key_file(folder: Path) -> Path:
    """A merchant's public key."""
    path = folder / "shop.pub.pem"
    path.write_text(public_pem(new_key()))
    return path


def test_waiting_for_custodians_may_be_stopped(new_system: NewSystem, tmp_path: Path) -> None:
    """Ctrl-C ends it in order while nobody has entered anything, and no socket is left behind."""
    system = new_system(vault_keys="components")
    system.run("db", "migrate")
    system.run("vault", "key", "components", "--split", "2", "--to", str(tmp_path / "parts"))
    system.launch()
    until(lambda: len(list((system.home / FOLDER).glob("*.sock"))) == 3, "gateway, workers and shop wait")
    assert system.stop() in (0, 130)
    assert list((system.home / FOLDER).iterdir()) == []
