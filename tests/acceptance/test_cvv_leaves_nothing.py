"""A security code after its authorization: base backup, write-ahead log and the vault's files open it no more.

Somebody has a base backup from while the codes waited, and everything that the system has afterwards. The sealed codes
are in both; the keys are in neither. The same search finds them in the vault's files of before, so it is awake.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.acceptance.canaries import CVV, Canaries
from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.merchant import Merchant, by_card
from tests.acceptance.system import System, until
from tests.servers import run_apart
from tollhouse.sandbox.cards import compose
from tollhouse.store.cluster import SUPERUSER
from tollhouse.store.embedded import running_dsn
from tollhouse.vault.box import bind

NONCE_BYTES, KEY_BYTES, SLOT_BYTES = 12, 32, 64
KEY_IN_SLOT = slice(20, 20 + KEY_BYTES)
NUMBERS = {
    "confirmed": compose(free="31"),
    "declined": compose(answer="51", free="32"),
    "unanswered": compose(fault=2, free="33"),
    "cancelled": compose(free="34"),
    "timed out": compose(free="35"),
    "dropped": compose(free="36"),
}
WAITING = compose(free="37")
# What sealed codes are called in rows, wherever they wait.
SEALED = """
select sealed_cvv from payment where session_id = '{0}' and sealed_cvv is not null
union all select offer_sealed_cvv from session where id = '{0}' and offer_sealed_cvv is not null
"""


@dataclass
class Sealed:
    """A sealed code as its row had it, and the key that its slot held at that time."""

    project: str
    text: str
    key: bytes = field(repr=False, default=b"")

    @property
    def parts(self) -> tuple[bytes, bytes]:
        """The address of the slot, and nonce with ciphertext."""
        _, address, sealed = self.text.split(".")
        return raw_of(address), raw_of(sealed)

    def opens_with(self, key: bytes) -> bool:
        """Whether this key opens it, and what it opens to is the code."""
        address, sealed = self.parts
        context = bind("tollhouse cvv1", self.project, address)
        try:
            plain = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            return False
        assert plain.decode() == CVV
        return True

    def key_in(self, vault: Path) -> bytes:
        """What lies in its slot in a copy of the vault's files."""
        address, _ = self.parts
        file, index = address[20:].decode(), int.from_bytes(address[:4], "big")
        return (vault / f"{file}.slots").read_bytes()[index * SLOT_BYTES :][:SLOT_BYTES][KEY_IN_SLOT]


def raw_of(text: str) -> bytes:
    """Base64url without its padding."""
    return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")


def base_backup(system: System, to: Path) -> Path:
    """The database's files, write-ahead log included, copied as a base backup copies them."""

    async def copy() -> None:
        dsn = running_dsn(system.home, SUPERUSER)
        assert dsn is not None
        connection = await asyncpg.connect(dsn)
        await connection.execute("select pg_backup_start('proof', true)")
        await asyncio.to_thread(copy_folder, (system.home / "postgres").resolve() / "data", to)
        await connection.execute("select pg_backup_stop(false)")
        await connection.close()

    run_apart(copy())
    assert any((to / "pg_wal").iterdir())
    return to


def copy_folder(source: Path, to: Path) -> None:
    """Every file that stays long enough to be copied; a server at work takes some away."""
    for path in sorted(source.rglob("*")):
        target = to / path.relative_to(source)
        try:
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        except FileNotFoundError:
            continue


def vault_files(system: System, to: Path) -> Path:
    """Slots and keys: all that the vault has beside the database."""
    copy_folder(system.home / "cvv-keys", to / "cvv-keys")
    copy_folder(system.home / "keys", to / "keys")
    return to


def contents(*folders: Path) -> Iterator[bytes]:
    """What each file holds."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > len(folders)
    return (path.read_bytes() for path in files)


def windows(vault: Path) -> Iterator[bytes]:
    """Everything in the vault's files that may be a key: each 32 bytes in a row, also of what is written as text."""
    for content in contents(vault):
        texts = re.findall(rb"[0-9A-Za-z+/_-]{40,}", content)
        decoded = [b64decode(text[: len(text) // 4 * 4].replace(b"-", b"+").replace(b"_", b"/")) for text in texts]
        decoded += [bytes.fromhex(text.decode()) for text in re.findall(rb"(?:[0-9a-f]{2}){32,}", content)]
        for raw in (content, *decoded):
            found = {raw[at : at + KEY_BYTES] for at in range(len(raw) - KEY_BYTES + 1)}
            yield from (one for one in found if len(set(one)) > 4)  # no key is made of zeros


def opened_by(sealed: list[Sealed], vault: Path) -> set[str]:
    """The sealed codes that something in these files of the vault opens."""
    candidates = list(windows(vault))
    return {one.text for one in sealed if any(one.opens_with(key) for key in candidates)}


def forms(key: bytes) -> list[bytes]:
    """How a key may lie in a file."""
    return [key, key[::-1], key.hex().encode(), b64encode(key), b64encode(key, altchars=b"-_").rstrip(b"=")]


def begin(system: System, shop: Merchant) -> dict[str, str]:
    """A payment for each way in which a code ends, all of them with their code waiting; their sessions."""
    given = {"security_code": CVV}
    sessions = {
        name: shop.prepare(number, payment_details=by_card(number, **given))
        for name, number in {**NUMBERS, "waiting": WAITING}.items()
        if name != "dropped"
    }
    body = shop.body(payment_details=by_card(NUMBERS["dropped"], **given))
    return {**sessions, "dropped": shop.call("create", body).session["id"]}


def end(system: System, shop: Merchant, sessions: dict[str, str]) -> None:
    """Each comes to its end, but for the one that still waits; returns as soon as the last code is no longer needed."""
    for name in ("cancelled", "dropped"):
        assert shop.call("cancel", {"session_id": sessions[name]}).status == 200
    past = "now() - interval '1 second'"
    mine = sessions["timed out"]
    system.rows(f"update payment set decision_deadline_at = {past} where session_id = '{mine}' returning id")
    system.rows(f"update session set due_at = {past} where id = '{mine}' returning id")
    for name in ("confirmed", "declined", "unanswered"):
        assert shop.confirm(sessions[name]).status == 200
    for name in ("confirmed", "declined", "timed out"):
        shop.finished(sessions[name])


@pytest.fixture
def system(new_system: NewSystem) -> System:
    """A system that waits long enough for answers that one may look while an answer is still to come."""
    return new_system(answer_limit_seconds=20, in_flight_limit_seconds=25).start()


def test_nothing_opens_a_code_that_has_left(system: System, new_merchant: NewMerchant, tmp_path: Path) -> None:
    """Nothing in the vault's files, base backup or log of afterwards opens what a backup of before has sealed."""
    shop = new_merchant(system)
    sessions = begin(system, shop)
    sealed = {
        name: Sealed(shop.project, text) for name, id in sessions.items() for (text,) in system.rows(SEALED.format(id))
    }
    assert set(sealed) == set(sessions)
    before, during = vault_files(system, tmp_path / "before"), base_backup(system, tmp_path / "during")
    for one in sealed.values():
        one.key = one.key_in(before / "cvv-keys")
        assert one.opens_with(one.key)
    assert opened_by(list(sealed.values()), before) == {one.text for one in sealed.values()}

    end(system, shop, sessions)
    ended = [one for name, one in sealed.items() if name != "waiting"]
    slots = system.home / "cvv-keys"
    until(lambda: all(one.key_in(slots) == bytes(KEY_BYTES) for one in ended), "the slots are erased")
    unanswered = f"select state from operation where session_id = '{sessions['unanswered']}'"
    assert system.rows(unanswered) == [("submitted",)], "its answer is still awaited"
    after, backup = vault_files(system, tmp_path / "after"), base_backup(system, tmp_path / "backup")

    files = [list(contents(place)) for place in (before, during, after, backup)]
    assert_text_is_there(ended, files[1], files[3])
    assert opened_by(list(sealed.values()), after) == {sealed["waiting"].text}
    # A window of a large file opens a code only if it is its key, so looking for that is trying every window.
    for one in ended:
        for content in (*files[1], *files[2], *files[3]):
            assert not any(form in content for form in forms(one.key))
    assert any(sealed["waiting"].key in content for content in files[2])
    canaries = Canaries([*NUMBERS.values(), WAITING])
    assert [canaries.in_bytes(content) for place in files for content in place if canaries.in_bytes(content)] == []
    for session_id in sessions.values():
        assert len(system.rows(SEALED.format(session_id))) == (session_id == sessions["waiting"])


def assert_text_is_there(sealed: list[Sealed], during: list[bytes], afterwards: list[bytes]) -> None:
    """The sealed texts lie in the backup of before, and still in the log of afterwards: only the keys are gone."""
    for one in sealed:
        for files in (during, afterwards):
            assert any(one.text.encode() in content for content in files), one.text


def test_the_code_that_waited_is_sent_after_all_that(system: System, new_merchant: NewMerchant) -> None:
    """A code that waits over a crash of everything still reaches the acquirer, and is gone then."""
    shop = new_merchant(system)
    session_id = shop.prepare(WAITING, payment_details=by_card(WAITING, security_code=CVV))
    ((text,),) = system.rows(SEALED.format(session_id))
    system.kill()
    system.start()
    assert Sealed(shop.project, text).opens_with(Sealed(shop.project, text).key_in(system.home / "cvv-keys"))
    shop.confirm(session_id)
    assert shop.finished(session_id)["status"] == "accepted"
    assert Sealed(shop.project, text).key_in(system.home / "cvv-keys") == bytes(KEY_BYTES)
