"""What the widget's build wrote, read once and kept in memory; and former builds, in the archive of the home.

A page that a browser or a shop has kept names the files of its own build, so those stay readable for ever.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
import tempfile
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tollhouse.ports import Log

INVENTORY = "inventory.json"
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".css": "text/css"}
LOADER, LOADER_STYLE, LOADER_MODULE = "payment-form.js", "payment-form.css", "tollhouse.mjs"
FRAME_SCRIPT, FRAME_STYLE, HOSTED_SCRIPT = "frame.js", "frame.css", "hosted.js"
NAMES = frozenset({LOADER, LOADER_STYLE, LOADER_MODULE, FRAME_SCRIPT, FRAME_STYLE, HOSTED_SCRIPT})
NOT_BUILT = "the widget is not built: run make widget"


class _Entry(msgspec.Struct, frozen=True):
    """One file of a build. The inventory says more of it, for people."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z-]*\.(js|mjs|css)$")]
    integrity: str
    sha256: str


class _Inventory(msgspec.Struct, frozen=True):
    """What a build wrote."""

    version: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}$")]
    files: list[_Entry]


class Damaged(Exception):
    """A build whose files are not those of its inventory; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is served. `digest` is the source that a content policy allows it by."""

    name: str
    version: str
    body: bytes
    packed: bytes
    media_type: str
    integrity: str
    digest: str

    @property
    def path(self) -> str:
        """Where this very file is for ever."""
        return f"/widget/{self.version}/{self.name}"

    @property
    def tag(self) -> str:
        """Weak: the same for the plain and the packed body."""
        return f'W/"{self.integrity.removeprefix("sha384-")[:32]}"'


class Assets:
    """The files of the present build, and where those of former ones are."""

    def __init__(self, files: dict[str, Asset], archive: Path | None, log: Log) -> None:
        self._files = files
        self._archive = archive
        self._log = log

    @classmethod
    def open(cls, built: Traversable, archive: Path | None, log: Log) -> Assets:
        """The build in this folder, put into the archive as well. Without a build the rest of the gateway works."""
        try:
            inventory = _read_inventory(built)
            if inventory is None:
                log.warning(NOT_BUILT)
                return cls({}, archive, log)
            files = {entry.name: _read_asset(built, inventory, entry) for entry in inventory.files}
            if lacking := sorted(NAMES - set(files)):
                raise Damaged(f"{lacking[0]} is missing")
        except Damaged as problem:
            log.warning("the widget's build is damaged: run make widget", why=str(problem))
            return cls({}, archive, log)
        if archive is not None:
            _keep(built, inventory, archive / inventory.version, log)
        return cls(files, archive, log)

    @property
    def is_built(self) -> bool:
        """Whether there is anything to show."""
        return bool(self._files)

    def newest(self, name: str) -> Asset:
        """A file of the present build, which is there."""
        return self._files[name]

    async def find(self, version: str, name: str) -> Asset | None:
        """A file of the present build or of a former one."""
        present = self._files.get(name)
        if present is not None and present.version == version:
            return present
        if self._archive is None or name not in NAMES:
            return None
        return await asyncio.to_thread(self._find_former, self._archive / version, name)

    def _find_former(self, folder: Path, name: str) -> Asset | None:
        try:
            inventory = _read_inventory(folder)
            if inventory is None:
                return None
            if inventory.version != folder.name:
                raise Damaged(f"{INVENTORY} is that of another version")
            entries = [entry for entry in inventory.files if entry.name == name]
            return _read_asset(folder, inventory, entries[0]) if entries else None
        except Damaged as problem:
            self._log.warning("a file of the widget's archive is damaged", version=folder.name, why=str(problem))
            return None


def _read_inventory(folder: Traversable) -> _Inventory | None:
    """The inventory of a build; None when there is no build."""
    try:
        return msgspec.json.decode(folder.joinpath(INVENTORY).read_bytes(), type=_Inventory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise Damaged(f"{INVENTORY} cannot be read: {problem.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Damaged(f"{INVENTORY} has not the form of an inventory") from None


def _read_asset(folder: Traversable, inventory: _Inventory, entry: _Entry) -> Asset:
    try:
        body = folder.joinpath(entry.name).read_bytes()
    except OSError as problem:
        raise Damaged(f"{entry.name} cannot be read: {problem.strerror}") from None
    asset = Asset(
        name=entry.name,
        version=inventory.version,
        body=body,
        packed=gzip.compress(body, mtime=0),
        media_type=MEDIA_TYPES[entry.name[entry.name.rindex(".") :]],
        integrity="sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode(),
        digest="sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode(),
    )
    if (asset.integrity, asset.digest) != (entry.integrity, entry.sha256):
        raise Damaged(f"{entry.name} is not what {INVENTORY} says")
    return asset


def _keep(built: Traversable, inventory: _Inventory, folder: Path, log: Log) -> None:
    """Put the build into the archive, the inventory last: what it names is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*(entry.name for entry in inventory.files), INVENTORY):
            body, kept = built.joinpath(name).read_bytes(), folder / name
            if not kept.exists() or kept.read_bytes() != body:
                _write(kept, body)
    except OSError as problem:
        log.warning("the widget's files cannot be archived", version=inventory.version, why=problem.strerror)


def _write(path: Path, body: bytes) -> None:
    """All of it or nothing, also when several processes write it at once."""
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(body)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
