"""Slots: keys that are written durably, erased in place, shared by processes, and never confused."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.vault.samples import a_full_disk
from tollhouse.vault.box import new_key
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.slots import CHUNK_SLOTS, SLOT_BYTES, Address, AddressBroken, SlotFolder

OTHER_PROCESS = """
import asyncio, sys, pathlib
from tollhouse.vault.slots import Address, SlotFolder

async def main(folder, task, *arguments):
    slots = SlotFolder.open(pathlib.Path(folder), "other")
    if task == "write":
        address = slots.reserve()
        await slots.write(address, bytes.fromhex(arguments[0]))
        print(address.to_bytes().hex(), flush=True)
        sys.stdin.read(1)
    for argument in arguments if task == "erase" else ():
        await slots.erase(Address.from_bytes(bytes.fromhex(argument)))
    if task == "read":
        print((slots.read(Address.from_bytes(bytes.fromhex(arguments[0]))) or b"").hex())
    await slots.close()

asyncio.run(main(*sys.argv[1:]))
"""


def start_other(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Another process at work in the same folder."""
    command = [sys.executable, "-c", OTHER_PROCESS, str(folder), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said_by_other(folder: Path, *arguments: str) -> str:
    """What another process prints, once it has ended well."""
    process = start_other(folder, *arguments)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return said.strip()


@pytest.fixture
async def slots(tmp_path: Path) -> AsyncIterator[SlotFolder]:
    """An open folder whose erased slots are used again at once."""
    opened = SlotFolder.open(tmp_path, "node", reuse_after_seconds=0)
    yield opened
    await opened.close()


async def put(slots: SlotFolder) -> tuple[Address, bytes]:
    """A new key in a slot."""
    address, key = slots.reserve(), new_key()
    await slots.write(address, key)
    return address, key


def modes(folder: Path) -> dict[str, int]:
    """Permissions by file name."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def on_disk(folder: Path) -> bytes:
    """All slot files, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.slots")))


async def test_a_key_is_on_disk_until_it_is_erased(slots: SlotFolder, tmp_path: Path) -> None:
    """The key can be read, lies in the file, and is zeros there after it was erased."""
    address, key = await put(slots)
    assert slots.read(address) == key
    assert key in on_disk(tmp_path)
    await slots.erase(address)
    assert slots.read(address) is None
    assert set(on_disk(tmp_path)) == {0}


async def test_erasing_twice_is_no_error(slots: SlotFolder) -> None:
    """Erase is idempotent, also for a file that never was."""
    address, _ = await put(slots)
    await slots.erase(address)
    await slots.erase(address)
    await slots.erase(Address("gone", 7, bytes(16)))


async def test_an_old_address_does_not_reach_a_reused_slot(slots: SlotFolder) -> None:
    """Neither reading nor erasing by an old address touches the key that came into its slot later."""
    old, _ = await put(slots)
    await slots.erase(old)
    new, key = await put(slots)
    assert (new.file, new.index) == (old.file, old.index)
    assert slots.read(old) is None
    await slots.erase(old)
    assert slots.read(new) == key


@pytest.mark.parametrize("seed", range(12))
async def test_no_slot_is_given_to_two_keys(slots: SlotFolder, seed: int) -> None:
    """However writes, erasures and growths of the file fall into groups: every live key is read, no erased one is."""
    chance = random.Random(seed)
    live = dict([await put(slots)])
    erased: list[Address] = []
    while len(live) < CHUNK_SLOTS - chance.randrange(3):
        live |= dict(await asyncio.gather(*(put(slots) for _ in range(min(200, CHUNK_SLOTS - len(live))))))
    for _ in range(6):
        going = chance.sample(list(live), chance.randrange(1, 20))
        work = [slots.erase(address) for address in going]
        coming = [put(slots) for _ in range(chance.randrange(30))]
        both: list[Coroutine[Any, Any, Any]] = [*work, *coming]
        chance.shuffle(both)
        came = await asyncio.gather(*both)
        erased += going
        live = {address: key for address, key in live.items() if address not in going}
        live |= dict(one for one in came if one is not None)
        assert len({address.index for address in live}) == len(live)
        assert {address: slots.read(address) for address in live} == live
    assert {slots.read(address) for address in erased} == {None}


async def test_a_slot_rests_before_it_is_used_again(tmp_path: Path) -> None:
    """With the usual rest, a slot just erased is not the next one given out."""
    slots = SlotFolder.open(tmp_path, "node")
    old, _ = await put(slots)
    await slots.erase(old)
    assert slots.reserve().index != old.index
    await slots.close()


async def test_many_at_once(slots: SlotFolder, tmp_path: Path) -> None:
    """More keys than a chunk has slots: all differ, all can be read, and all are gone when erased."""
    wanted = CHUNK_SLOTS + 100
    kept = await asyncio.gather(*(put(slots) for _ in range(wanted)))
    assert len({address.index for address, _ in kept}) == wanted
    assert all(slots.read(address) == key for address, key in kept)
    assert len(await slots.filled()) == wanted
    await asyncio.gather(*(slots.erase(address) for address, _ in kept))
    assert await slots.filled() == []
    assert set(on_disk(tmp_path)) == {0}


async def test_the_file_does_not_grow_for_ever(slots: SlotFolder, tmp_path: Path) -> None:
    """Keys that come and go use the same slots again."""
    for _ in range(3):
        kept = await asyncio.gather(*(put(slots) for _ in range(CHUNK_SLOTS)))
        await asyncio.gather(*(slots.erase(address) for address, _ in kept))
    assert len(on_disk(tmp_path)) == CHUNK_SLOTS * SLOT_BYTES


async def test_slots_erased_by_another_process_are_used_again(slots: SlotFolder, tmp_path: Path) -> None:
    """The owner notices, when its file would grow, what others erased in it."""
    kept = await asyncio.gather(*(put(slots) for _ in range(CHUNK_SLOTS)))
    said_by_other(tmp_path, "erase", *(address.to_bytes().hex() for address, _ in kept[:50]))
    assert all(slots.read(address) is None for address, _ in kept[:50])
    again = await asyncio.gather(*(put(slots) for _ in range(1)))
    again += await asyncio.gather(*(put(slots) for _ in range(50)))
    assert {address.index for address, _ in kept[:50]} <= {address.index for address, _ in again}
    assert all(slots.read(address) == key for address, key in [*kept[50:], *again])


async def test_any_process_reads_any_file(slots: SlotFolder, tmp_path: Path) -> None:
    """A key written here is read there, and one written there is read and erased here."""
    address, key = await put(slots)
    assert said_by_other(tmp_path, "read", address.to_bytes().hex()) == key.hex()
    other = start_other(tmp_path, "write", (b"\7" * 32).hex())
    assert other.stdout is not None
    theirs = Address.from_bytes(bytes.fromhex(other.stdout.readline()))
    assert theirs.file != address.file
    assert slots.read(theirs) == b"\7" * 32
    await slots.erase(theirs)
    assert slots.read(theirs) is None
    other.communicate("x", timeout=30)
    assert other.returncode == 0


async def test_the_file_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """After kill -9 the next process gets the file with the keys in it, and makes no new one."""
    other = start_other(tmp_path, "write", (b"\7" * 32).hex())
    assert other.stdout is not None
    theirs = Address.from_bytes(bytes.fromhex(other.stdout.readline()))
    other.send_signal(signal.SIGKILL)
    other.communicate(timeout=30)
    slots = SlotFolder.open(tmp_path, "node", reuse_after_seconds=0)
    assert slots.read(theirs) == b"\7" * 32
    mine, _ = await put(slots)
    assert mine.file == theirs.file
    assert mine.index != theirs.index
    await slots.erase(theirs)
    assert slots.read(theirs) is None
    await slots.close()


async def test_two_in_one_folder_never_share_a_file(tmp_path: Path) -> None:
    """Two nodes of one name write to files of their own."""
    one, other = SlotFolder.open(tmp_path, "node"), SlotFolder.open(tmp_path, "node")
    assert one.reserve().file != other.reserve().file
    await one.close()
    await other.close()


async def test_a_crash_before_the_write_leaves_nothing(tmp_path: Path) -> None:
    """An address given out whose key never reached the file reads as gone after the restart."""
    before = SlotFolder.open(tmp_path, "node")
    kept, key = await put(before)
    lost = before.reserve()
    await before.close()
    after = SlotFolder.open(tmp_path, "node", reuse_after_seconds=0)
    assert after.read(kept) == key
    assert after.read(lost) is None
    await after.erase(lost)
    await after.close()


@pytest.mark.parametrize("torn_after_bytes", [1, 4, 20, 40, 63])
async def test_a_torn_write_is_no_key(tmp_path: Path, torn_after_bytes: int) -> None:
    """A slot that a crash left half written reads as gone, and its bytes are wiped at the next start."""
    before = SlotFolder.open(tmp_path, "node")
    address, _ = await put(before)
    await before.close()
    path = tmp_path / f"{address.file}.slots"
    at = address.index * SLOT_BYTES
    whole = path.read_bytes()
    path.write_bytes(whole[: at + torn_after_bytes] + bytes(SLOT_BYTES - torn_after_bytes) + whole[at + SLOT_BYTES :])
    after = SlotFolder.open(tmp_path, "node")
    assert after.read(address) is None
    assert set(path.read_bytes()) == {0}
    await after.close()


async def test_a_file_cut_in_the_middle_still_opens(tmp_path: Path) -> None:
    """A crash while the file grew leaves an odd length; new keys go into it all the same."""
    before = SlotFolder.open(tmp_path, "node")
    address, key = await put(before)
    await before.close()
    os.truncate(tmp_path / f"{address.file}.slots", SLOT_BYTES + 10)
    after = SlotFolder.open(tmp_path, "node")
    more = [await put(after) for _ in range(3)]
    assert all(after.read(place) == value for place, value in [(address, key), *more])
    await after.close()


async def test_a_full_disk_is_the_trouble_of_new_keys_alone(slots: SlotFolder) -> None:
    """What is erased in the same moment is erased, and places of keys that were not taken are used again."""
    kept = [await put(slots) for _ in range(CHUNK_SLOTS)]
    with a_full_disk(CHUNK_SLOTS * SLOT_BYTES):
        for address, _ in kept[:3]:
            new = slots.reserve(), new_key()
            ended = await asyncio.gather(slots.write(*new), slots.erase(address), return_exceptions=True)
            assert [type(one) for one in ended] == [OSError, type(None)]
            assert slots.read(address) is None
        with pytest.raises(OSError, match="File too large"):
            await slots.check()
    assert (await put(slots))[0].index <= CHUNK_SLOTS
    await slots.check()


async def test_files_are_private(slots: SlotFolder, tmp_path: Path) -> None:
    """Slot files are 0600, and the folder is marked so that backup programs leave it out."""
    await put(slots)
    assert [mode for name, mode in modes(tmp_path).items() if name.endswith(".slots")] == [0o600]
    assert (tmp_path / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


async def test_a_folder_or_file_others_can_reach_is_refused(tmp_path: Path) -> None:
    """One line names the path and the command that cures it."""
    folder = tmp_path / "cvv-keys"
    slots = SlotFolder.open(folder, "node")
    address, _ = await put(slots)
    await slots.close()
    file = folder / f"{address.file}.slots"
    file.chmod(0o640)
    with pytest.raises(KeysRefused, match=f"chmod 600 {file}"):
        SlotFolder.open(folder, "node")
    folder.chmod(0o755)
    with pytest.raises(KeysRefused, match=f"chmod 700 {folder}"):
        SlotFolder.open(folder, "node")


async def test_node_names_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """Whatever a node is called, its file lies in the folder."""
    slots = SlotFolder.open(tmp_path / "keys", "../../etc/host:1 é")
    address, _ = await put(slots)
    assert (tmp_path / "keys" / f"{address.file}.slots").is_file()
    assert Address.from_bytes(address.to_bytes()) == address
    await slots.close()


@pytest.mark.parametrize("file", [b"../kek", b"", b"/etc/passwd", b"a.b", "é".encode(), b"x" * 65, b"a\0", b"a\n"])
def test_hostile_addresses_are_refused(file: bytes) -> None:
    """An address whose file name could lead elsewhere is no address."""
    with pytest.raises(AddressBroken):
        Address.from_bytes(bytes(20) + file)


async def test_an_address_beyond_the_file_is_gone(slots: SlotFolder, tmp_path: Path) -> None:
    """A slot number that never was reads as gone, erases as gone, and makes no file grow."""
    address, _ = await put(slots)
    beyond = Address(address.file, 2**32 - 1, address.slot_id)
    await slots.erase(beyond)
    assert slots.read(beyond) is None
    assert len(on_disk(tmp_path)) == CHUNK_SLOTS * SLOT_BYTES
