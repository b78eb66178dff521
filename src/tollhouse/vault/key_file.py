"""Keys in files of the home, each purpose in a 0600 file of its own that nobody else may read: for development.

`FileKeys` is the keyholder on such a file. Fingerprint and idempotency keys lie in files too, as long as it is in use.
"""

from __future__ import annotations

import asyncio
import os
import stat
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from tollhouse.vault.box import KEY_BYTES, Box, CannotOpen, new_key
from tollhouse.vault.keys import KEK, KeysRefused, digest_of

FORMAT = "tollhouse-keys-1"


class KeyFile:
    """All versions of one key. Its `repr` shows none of them."""

    __slots__ = ("_keys", "current", "path")

    def __init__(self, path: Path, current: int, keys: dict[int, bytes]) -> None:
        self.path = path
        self.current = current
        self._keys = keys

    @property
    def versions(self) -> frozenset[int]:
        """Which versions it has."""
        return frozenset(self._keys)

    def key(self, version: int) -> bytes:
        """The key of a version. Raises `CannotOpen` when the file does not have it."""
        if version not in self._keys:
            raise CannotOpen(f"{self.path} has no key of version {version}")
        return self._keys[version]

    def without(self, version: int) -> KeyFile:
        """The same without a version."""
        left = {one: key for one, key in self._keys.items() if one != version}
        return KeyFile(self.path, max(left, default=0), left)

    def check_values(self) -> dict[int, bytes]:
        """By version, a value that tells whether two homes hold the same key and says nothing about the key."""
        return {version: digest_of(key) for version, key in self._keys.items()}

    def verified(self, version: int, check_value: bytes) -> bytes:
        """The key of a version of this database. Raises `KeysRefused` when it is another one, or missing."""
        if self.check_values().get(version) != check_value:
            raise KeysRefused(
                f"{self.path}: key version {version} is not the one of this database; "
                "copy the file from the home that made the database, or use another database"
            )
        return self._keys[version]


class FileKeys:
    """The keyholder whose key-encryption key lies in a file, which it reads again when a version is new to it."""

    kind = "file"

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._boxes: dict[int, Box] = {}

    @classmethod
    async def open(cls, folder: Path, *, is_known: bool) -> FileKeys:
        """On the folder's file, made if there is none, unless the database knows its keys. Raises `KeysRefused`."""
        if is_known:
            refuse_lost(folder, KEK)
        return cls(await asyncio.to_thread(open_key_file, folder, KEK))

    async def latest(self) -> int:
        """The greatest version in the file."""
        return max(self._file.versions, default=0)

    async def make(self, version: int) -> None:
        """Put a new key into the file, unless this version is there."""
        self._file = await asyncio.to_thread(add_version, self._file.path, version)

    async def check_value(self, version: int) -> bytes:
        """A digest under the key."""
        return digest_of(self._file.key(version))

    async def take_up(self, version: int, check_value: bytes, held: bytes | None) -> None:
        """Find the version, in the file as it is now if need be. Raises `KeysRefused`."""
        if version not in self._file.versions:
            self._file = await asyncio.to_thread(open_key_file, self._file.path.parent, self._file.path.stem)
        self._file.verified(version, check_value)

    async def seal(self, version: int, plain: bytes, context: bytes) -> bytes:
        """Seal under a version."""
        return self._box(version).seal(plain, context)

    async def unseal(self, version: int, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises `CannotOpen`."""
        return self._box(version).open(sealed, context)

    async def destroy(self, version: int) -> None:
        """Take the version out of the file."""
        self._boxes.pop(version, None)
        self._file = await asyncio.to_thread(remove_version, self._file.path, version)

    def forget(self, version: int) -> None:
        """Keep nothing of a version that is out of the file."""
        self._boxes.pop(version, None)
        self._file = self._file.without(version)

    async def close(self) -> None:
        """Nothing is open."""

    def _box(self, version: int) -> Box:
        if version not in self._boxes:
            self._boxes[version] = Box(self._file.key(version))
        return self._boxes[version]


def refuse_lost(folder: Path, purpose: str) -> None:
    """Raises `KeysRefused` when a database knows the keys of a file that is gone: a new one would open nothing."""
    path = folder / f"{purpose}.json"
    if not path.exists():
        raise KeysRefused(
            f"{path}: is missing, but this database knows its keys; run this with the TOLLHOUSE_HOME that has them"
            " (the vault's, on its machine, where it runs apart), or restore the file from a backup"
        )


def open_key_file(folder: Path, purpose: str) -> KeyFile:
    """The key file of this purpose, made with a new random key when there is none. Raises `KeysRefused`."""
    path = folder / f"{purpose}.json"
    try:
        if not path.exists():
            _create(path)
        return _load(path)
    except OSError as problem:
        raise KeysRefused(f"{path}: {problem.strerror}; make it readable and writable for the gateway's user") from None


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    current: int
    keys: dict[str, str]


def add_version(path: Path, version: int) -> KeyFile:
    """The file with a key of this version, made now unless it is there. Whoever calls it does so alone."""
    keys = _load(path)
    if version in keys.versions:
        return keys
    content = {one: keys.key(one) for one in keys.versions} | {version: new_key()}
    _replace(path, content)
    return _load(path)


def remove_version(path: Path, version: int) -> KeyFile:
    """The file without the key of this version; with the last one it goes. Whoever calls it does so alone."""
    if not path.exists():
        return KeyFile(path, 0, {})
    keys = _load(path)
    left = {one: keys.key(one) for one in keys.versions - {version}}
    if not left:
        path.unlink()
        sync_folder(path.parent)
        return KeyFile(path, 0, {})
    if version in keys.versions:
        _replace(path, left)
    return _load(path)


def _create(path: Path) -> None:
    """Whole or not at all, on disk before it is used. When two processes start at once, one key wins for both."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(path, {1: new_key()})
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was faster, and its key is the one
    finally:
        draft.unlink()
        sync_folder(path.parent)


def _replace(path: Path, keys: dict[int, bytes]) -> None:
    """Whole or not at all: readers see the old file or the new one."""
    _draft(path, keys).replace(path)
    sync_folder(path.parent)


def _draft(path: Path, keys: dict[int, bytes]) -> Path:
    shown = {str(version): b64encode(key).decode() for version, key in sorted(keys.items())}
    content = _Content(FORMAT, max(keys), shown)
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def _load(path: Path) -> KeyFile:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeysRefused(f"{path}: mode {mode:04o} lets others at the key; run: chmod 600 {path}")
        raw = file.read()
    cure = "restore the file from its backup"
    try:
        content = msgspec.json.decode(raw, type=_Content)
        keys = {int(version): b64decode(key, validate=True) for version, key in content.keys.items()}
    except ValueError:
        raise KeysRefused(f"{path}: is not a key file; {cure}") from None
    if content.format != FORMAT:
        raise KeysRefused(f"{path}: its format is not {FORMAT}; {cure}")
    for version, key in keys.items():
        if len(key) != KEY_BYTES:
            raise KeysRefused(f"{path}: key version {version} has {len(key)} bytes, not {KEY_BYTES}; {cure}")
    if content.current not in keys:
        raise KeysRefused(f"{path}: its current version {content.current} is not among its keys; {cure}")
    return KeyFile(path, content.current, keys)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: syncing a file does not make its name so."""
    target = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(target)
    finally:
        os.close(target)
