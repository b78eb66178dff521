"""The files that hold the keys of CVVs: fixed slots of 64 bytes, written and erased in place.

    magic 4 · slot id 16 · key 32 · written at 8 (seconds) · CRC-32 of the 60 bytes before 4; erased = 64 zeros

Each process writes new keys to a file of its own, which it holds locked; any process reads and erases in any file.
A starting process takes over a file whose process is dead, with all that is in it. An address carries the slot id,
so an old address never reads or erases what came into its slot later.

A slot is used again only some time after it was erased. Two processes may erase the same slot: the second has
found the id in place, the first erases it, and the owner must not put a new key there before the second writes its
zeros. Should it be stopped for longer than that, or over a restart of the owner, one payment goes without its CVV;
never with a wrong one.

Overwriting erases what the file system shows. On copy-on-write file systems and inside flash, older blocks may
outlive it: keep this folder on storage that writes in place, or encrypted at a lower level.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
import struct
import time
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tollhouse.grouping import Grouped
from tollhouse.vault.box import KEY_BYTES
from tollhouse.vault.key_file import sync_folder
from tollhouse.vault.keys import KeysRefused

SLOT_BYTES = 64
SLOT_ID_BYTES = 16
CHUNK_SLOTS = 1024
GROUP_SIZE_MAX = 500
REUSE_AFTER_SECONDS = 60.0
SUFFIX = ".slots"

_MAGIC = b"cvv1"
_SLOT = struct.Struct(">4s16s32sQ")
_CHECK = struct.Struct(">I")
_ERASED = bytes(SLOT_BYTES)
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Keys that must die when erased: not for backups.\n"

assert _SLOT.size + _CHECK.size == SLOT_BYTES

# Where the platform has no fdatasync, fsync does the same and a little more.
_sync = getattr(os, "fdatasync", os.fsync)


class AddressBroken(ValueError):
    """The text is no address of a slot."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a key lies, and under which id it was put there."""

    file: str
    index: int
    slot_id: bytes

    def to_bytes(self) -> bytes:
        """The inverse of `from_bytes`."""
        return self.index.to_bytes(4, "big") + self.slot_id + self.file.encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Address:
        """Raises `AddressBroken`, also for a file name that could lead out of the folder."""
        file = raw[4 + SLOT_ID_BYTES :].decode("ascii", errors="replace")
        if not _FILE_NAME.fullmatch(file):
            raise AddressBroken("no address of a slot")
        return cls(file, int.from_bytes(raw[:4], "big"), raw[4 : 4 + SLOT_ID_BYTES])


@dataclass(frozen=True, slots=True)
class Slot:
    """A filled slot."""

    address: Address
    written_at: int


@dataclass(frozen=True, slots=True)
class _Job:
    """Write `key` at the address, or erase the address when there is no key."""

    address: Address
    key: bytes | None = field(repr=False)


class SlotFolder:
    """The key files of one home, seen from one process. Writes and erasures of one moment share one fdatasync."""

    def __init__(self, folder: Path, file: str, target: int, *, reuse_after_seconds: float) -> None:
        self.folder = folder
        self._file = file
        self._reuse_after_seconds = reuse_after_seconds
        self._targets: dict[str, int] = {file: target}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cvv-slots")
        self._jobs: Grouped[_Job, OSError | None] = Grouped(self._run, group_size_max=GROUP_SIZE_MAX)
        self._is_in_trouble = False
        # The worker thread owns `_filled` and `_capacity`; `_free` goes from it to the event loop.
        self._filled: set[int] = set()
        self._free: deque[tuple[float, int]] = deque()
        self._capacity = os.fstat(target).st_size // SLOT_BYTES
        self._next = self._capacity
        for index, raw in enumerate(_slots_of(target)):
            if _read(raw) is not None:
                self._filled.add(index)
                continue
            if raw != _ERASED:  # a write or an erasure that a crash cut short: nobody can name it any more
                _write_whole(target, _ERASED, index * SLOT_BYTES)
            self._free.append((0.0, index))
        _sync(target)

    @classmethod
    def open(cls, folder: Path, node: str, *, reuse_after_seconds: float = REUSE_AFTER_SECONDS) -> SlotFolder:
        """Take over the file of a dead process, or make one named after the node. Raises `KeysRefused`."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_wide(folder, 0o700)
            _tag(folder)
            file, target = _take(folder, re.sub(r"[^A-Za-z0-9_-]", "-", node)[:48] or "node")
            sync_folder(folder)
            return cls(folder, file, target, reuse_after_seconds=reuse_after_seconds)
        except OSError as problem:
            raise KeysRefused(f"{folder}: {problem.strerror}; make it writable for the gateway's user") from None

    def reserve(self) -> Address:
        """A place in this process's own file for one new key, to be given to `write`."""
        oldest = time.monotonic() - self._reuse_after_seconds
        if self._free and self._free[0][0] <= oldest:
            _, index = self._free.popleft()
        else:
            index = self._next
            self._next += 1
        return Address(self._file, index, os.urandom(SLOT_ID_BYTES))

    async def write(self, address: Address, key: bytes) -> None:
        """Put the key there; durable on return. Raises `OSError` when the disk does not take it."""
        try:
            await self._do(_Job(address, key))
        except OSError:
            self._is_in_trouble = True
            raise
        self._is_in_trouble = False

    async def erase(self, address: Address) -> None:
        """Overwrite the key; durable on return. Erasing what is erased, reused or gone with its file is no error."""
        await self._do(_Job(address, None))

    async def check(self) -> None:
        """Returns when the last key was taken; after one that was not, tries it with another. Raises `OSError`."""
        if self._is_in_trouble:
            address = self.reserve()
            await self.write(address, bytes(KEY_BYTES))
            await self.erase(address)

    def read(self, address: Address) -> bytes | None:
        """The key; None when it was erased, never became durable, or went with its file."""
        target = self._target(address.file)
        slot = None if target is None else _read(os.pread(target, SLOT_BYTES, address.index * SLOT_BYTES))
        return slot[1] if slot is not None and slot[0] == address.slot_id else None

    async def filled(self) -> list[Slot]:
        """Every filled slot of every file."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: list(self._all()))

    async def close(self) -> None:
        """Finish what was asked for and let go of the file: the next process may take it over."""
        await self._jobs.close()
        self._thread.shutdown()
        for target in self._targets.values():
            os.close(target)
        self._targets.clear()

    def _all(self) -> Iterator[Slot]:
        for file in _files(self.folder):
            target = self._target(file)
            for index, raw in enumerate(_slots_of(target) if target is not None else ()):
                slot = _read(raw)
                if slot is not None:
                    yield Slot(Address(file, index, slot[0]), slot[2])

    def _target(self, file: str) -> int | None:
        if file not in self._targets:
            try:
                self._targets[file] = os.open(self.folder / f"{file}{SUFFIX}", os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return self._targets[file]

    async def _do(self, job: _Job) -> None:
        problem = await self._jobs.ask(job)
        if problem is not None:
            raise problem

    async def _run(self, jobs: list[_Job]) -> list[OSError | None]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run_together, jobs)

    def _run_together(self, jobs: list[_Job]) -> list[OSError | None]:
        """In the worker thread. The sync comes also where nothing was written: another's zeros may not be durable."""
        touched: set[int] = set()
        erased: list[int] = []
        problems: list[OSError | None] = []
        for job in jobs:
            target = self._target(job.address.file)
            problem = None
            if target is not None:
                touched.add(target)
                problem = self._put(target, job) if job.key is not None else self._clear(target, job.address, erased)
            problems.append(problem)
        for target in touched:
            _sync(target)
        self._free.extend((time.monotonic(), index) for index in erased)
        return problems

    def _put(self, target: int, job: _Job) -> OSError | None:
        """What the disk does not take is this key's trouble alone. Nobody was told of its place: it is free again."""
        index = job.address.index
        assert job.key is not None
        assert job.address.file == self._file
        body = _SLOT.pack(_MAGIC, job.address.slot_id, job.key, int(time.time()))
        try:
            if index >= self._capacity:
                self._grow(target, index)
            _write_whole(target, body + _CHECK.pack(zlib.crc32(body)), index * SLOT_BYTES)
        except OSError as problem:
            self._free.appendleft((0.0, index))
            return problem
        self._filled.add(index)
        return None

    def _clear(self, target: int, address: Address, erased: list[int]) -> OSError | None:
        try:
            slot = _read(os.pread(target, SLOT_BYTES, address.index * SLOT_BYTES))
            if slot is None or slot[0] != address.slot_id:
                return None
            _write_whole(target, _ERASED, address.index * SLOT_BYTES)
        except OSError as problem:
            return problem
        if address.file == self._file:
            self._filled.discard(address.index)  # or a growth in the same group would free it once more
            erased.append(address.index)
        return None

    def _grow(self, target: int, index: int) -> None:
        """Add zeros, so that later writes change no size; and notice what other processes erased in this file."""
        for place, raw in enumerate(_slots_of(target)):
            if place in self._filled and raw == _ERASED:
                self._filled.discard(place)
                self._free.append((time.monotonic(), place))
        while self._capacity <= index:
            _write_whole(target, bytes(CHUNK_SLOTS * SLOT_BYTES), self._capacity * SLOT_BYTES)
            self._capacity += CHUNK_SLOTS


def _read(raw: bytes) -> tuple[bytes, bytes, int] | None:
    """Slot id, key and time; None for an erased slot and for one whose writing was cut short."""
    if len(raw) != SLOT_BYTES or zlib.crc32(raw[: _SLOT.size]) != _CHECK.unpack(raw[_SLOT.size :])[0]:
        return None
    magic, slot_id, key, written_at = _SLOT.unpack(raw[: _SLOT.size])
    return (slot_id, key, written_at) if magic == _MAGIC else None


def _slots_of(target: int) -> Iterator[bytes]:
    whole = os.pread(target, os.fstat(target).st_size, 0)
    for at in range(0, len(whole) - SLOT_BYTES + 1, SLOT_BYTES):
        yield whole[at : at + SLOT_BYTES]


def _write_whole(target: int, raw: bytes, offset: int) -> None:
    """A disk that is full may take a part: then the next call raises and says so."""
    written = 0
    while written < len(raw):
        written += os.pwrite(target, raw[written:], offset + written)


def _files(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if _FILE_NAME.fullmatch(path.stem))


def _take(folder: Path, node: str) -> tuple[str, int]:
    """Lock a file nobody holds, else make one. The lock ends with the process, however that ends."""
    flags = os.O_RDWR | os.O_CLOEXEC
    for file in _files(folder):
        _refuse_wide(folder / f"{file}{SUFFIX}", 0o600)
        target = os.open(folder / f"{file}{SUFFIX}", flags)
        if _lock(target):
            return file, target
        os.close(target)
    while True:
        file = f"{node}-{os.urandom(4).hex()}"
        target = os.open(folder / f"{file}{SUFFIX}", flags | os.O_CREAT | os.O_EXCL, 0o600)
        if _lock(target):
            return file, target
        os.close(target)  # a process that starts at the same moment took it over


def _lock(target: int) -> bool:
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_wide(path: Path, allowed: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~allowed:
        raise KeysRefused(f"{path}: mode {mode:04o} lets others at the keys; run: chmod {allowed:o} {path}")


def _tag(folder: Path) -> None:
    """CACHEDIR.TAG: backup programs that know it leave the folder out."""
    tag = folder / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_bytes(_CACHE_TAG)
