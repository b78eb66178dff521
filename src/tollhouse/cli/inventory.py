"""Every script and style that a payer's browser may get from us, with its reason and hashes (PCI DSS 6.4.3)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from tollhouse.api.payer import policy as payer
from tollhouse.api.widget import policy as widget
from tollhouse.api.widget.assets import INVENTORY, LOADER, NAMES, NOT_BUILT, Assets
from tollhouse.cli.failure import Failure

BUILT = "built"
PAYER_PAGE, RETURN_PAGE, HOSTED_PAGE = "3-D Secure page", "way back from the issuer's page", "hosted page"


class Entry(msgspec.Struct, frozen=True):
    """A file as the build's inventory has it."""

    name: str
    integrity: str
    sha256: str
    size: int = msgspec.field(name="bytes")
    packed_size: int = msgspec.field(name="gzip")
    page: str
    reason: str


class Build(msgspec.Struct, frozen=True):
    """What the widget's build wrote."""

    version: str
    files: list[Entry]

    def entry(self, name: str) -> Entry:
        """The file of this name."""
        return next(one for one in self.files if one.name == name)

    def address(self, name: str) -> str:
        """Where this very file is for ever, below the widget's host."""
        return f"/widget/{self.version}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """A script or style that stands in a page itself."""

    name: str
    page: str
    reason: str
    text: str

    @property
    def integrity(self) -> str:
        return digest("sha384", self.text.encode())

    @property
    def sha256(self) -> str:
        return digest("sha256", self.text.encode())


INLINE = (
    Inline(
        name="payer/page.js",
        page=PAYER_PAGE,
        reason="Goes through 3-D Secure with the payer: lets the issuer see the browser, shows the issuer's check.",
        text=payer.SCRIPT,
    ),
    Inline(
        name="payer/signal.js",
        page=RETURN_PAGE,
        reason="Tells the page around it that the payer is back from the issuer's page.",
        text=payer.SIGNAL_SCRIPT,
    ),
    Inline(
        name="payer/page.css",
        page=f"{PAYER_PAGE}, {RETURN_PAGE}",
        reason="How these pages look.",
        text=payer.STYLE,
    ),
    Inline(name="widget/page.css", page=HOSTED_PAGE, reason="How the page around the form looks.", text=widget.STYLE),
)


def digest(kind: str, body: bytes) -> str:
    """A hash as browsers spell it: `sha384-…`."""
    return f"{kind}-{base64.b64encode(hashlib.new(kind, body).digest()).decode()}"


def read_build(folder: Traversable | None) -> Build:
    """The inventory of a build, by default of the one in this program. Raises `Failure`."""
    place = folder if folder is not None else own_build()
    try:
        build = msgspec.json.decode(place.joinpath(INVENTORY).read_bytes(), type=Build)
    except FileNotFoundError:
        raise Failure(NOT_BUILT if folder is None else f"{folder} holds no {INVENTORY}") from None
    except OSError as problem:
        raise Failure(f"{place}: {INVENTORY} cannot be read: {problem.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failure(f"{place}: {INVENTORY} has not the form of an inventory; run make widget") from None
    if lacking := sorted(NAMES - {one.name for one in build.files}):
        raise Failure(f"{place}: {INVENTORY} does not name {lacking[0]}; run make widget")
    return build


def own_build() -> Traversable:
    """The build that came with this program."""
    return files("tollhouse.api.widget").joinpath(BUILT)


def shown_scripts(build: Build) -> list[dict[str, Any]]:
    """The inventory for programs, in the order in which a payer meets it."""
    outer = [
        {
            "name": one.name,
            "address": build.address(one.name),
            "page": one.page,
            "reason": one.reason,
            "integrity": one.integrity,
            "sha256": one.sha256,
            "bytes": one.size,
        }
        for one in build.files
    ]
    inner = [
        {
            "name": one.name,
            "address": None,
            "page": one.page,
            "reason": one.reason,
            "integrity": one.integrity,
            "sha256": one.sha256,
            "bytes": len(one.text.encode()),
        }
        for one in INLINE
    ]
    return outer + inner


class Authorised:
    """What a browser may get: the present build, and the former ones that the home's archive has."""

    def __init__(self, folder: Traversable | None, archive: Path) -> None:
        self.build = read_build(folder)
        aside = _Aside()
        present = Assets.open(folder if folder is not None else own_build(), None, aside)
        if not present.is_built:
            raise Failure("; ".join(aside.told))
        self._archive = archive
        self._known: dict[str, Assets] = {self.build.version: present}

    def assets(self, version: str) -> Assets | None:
        """The files of a build, whole and undamaged; None for one that is not known."""
        if version not in self._known:
            former = Assets.open(self._archive / version, None, _Aside())
            if not former.is_built or former.newest(LOADER).version != version:
                return None
            self._known[version] = former
        return self._known[version]


class _Aside:
    """Takes what the files' reader has to say."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        self.told.append(": ".join(str(part) for part in (event, *fields.values())))

    error = warning = info


def inline_digests(*pages: str) -> Iterator[str]:
    """The hashes of what may stand in these pages themselves."""
    return (one.sha256 for one in INLINE if any(page in one.page for page in pages))
