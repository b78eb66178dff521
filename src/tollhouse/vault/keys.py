"""Keys of the vault: the versioned key-encryption key and the fingerprint key, each in a 0600 file.

A `KeyProvider` wraps the data keys of rows. The file is the simplest one, for development; others (an HSM, a key
server) implement the same two methods and keep their keys to themselves.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from tollhouse.vault.box import KEY_BYTES, Box, CannotOpen, bind, keyed_digest, new_key, text_of

FORMAT = "tollhouse-keys-1"
KEK, FINGERPRINT, IDEMPOTENCY = "kek", "fingerprint", "idempotency"


class KeysRefused(Exception):
    """The keys of this home cannot be used. The text is one line: which file, what is wrong, what to do."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key sealed under version `version` of the key-encryption key."""

    version: int
    sealed: bytes = field(repr=False)


class KeyProvider(Protocol):
    """Holds the key-encryption key. Binds context and key version: what is wrapped for one place unwraps only there."""

    async def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Seal a data key under the current version."""
        ...

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key. Raises `CannotOpen` for another context, another version or changed bytes."""
        ...


class KeyFile:
    """All versions of one key. Its `repr` shows none of them."""

    __slots__ = ("_keys", "current", "path")

    def __init__(self, path: Path, current: int, keys: dict[int, bytes]) -> None:
        self.path = path
        self.current = current
        self._keys = keys

    def key(self, version: int) -> bytes:
        """The key of a version. Raises `CannotOpen` when the file does not have it."""
        if version not in self._keys:
            raise CannotOpen(f"{self.path} has no key of version {version}")
        return self._keys[version]

    def check_values(self) -> dict[int, bytes]:
        """By version, a value that tells whether two homes hold the same key and says nothing about the key."""
        return {version: keyed_digest(key, bind("tollhouse key check")) for version, key in self._keys.items()}


class FileKeys:
    """The `KeyProvider` whose key-encryption key lies in a file."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._boxes: dict[int, Box] = {}

    async def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Seal a data key under the current version."""
        version = self._file.current
        return Wrapped(version, self._box(version).seal(key, bind(context, str(version))))

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key. Raises `CannotOpen` for another context, another version or changed bytes."""
        return self._box(wrapped.version).open(wrapped.sealed, bind(context, str(wrapped.version)))

    def _box(self, version: int) -> Box:
        if version not in self._boxes:
            self._boxes[version] = Box(self._file.key(version))
        return self._boxes[version]


class Fingerprints:
    """Tells whether two cards of a project are the same one, without telling which: HMAC-SHA256 of the PAN."""

    def __init__(self, file: KeyFile) -> None:
        self._version = file.current
        self._key = file.key(file.current)

    def of(self, project: str, digits: str) -> str:
        """Version of the fingerprint key and digest, as text."""
        digest = keyed_digest(self._key, bind("tollhouse fingerprint", project, digits))
        return f"{self._version}.{text_of(digest)}"


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


def _create(path: Path) -> None:
    """Whole or not at all, on disk before it is used. When two processes start at once, one key wins for both."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = _Content(FORMAT, 1, {"1": b64encode(new_key()).decode()})
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was faster, and its key is the one
    finally:
        draft.unlink()
        sync_folder(path.parent)


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
