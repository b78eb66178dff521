"""The payment form: its files as browsers get them, the packages inside them, and those that only built them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from packageurl import PackageURL

from bill.parts import Part, license_of

ALGORITHMS = {"sha256": HashAlgorithm.SHA_256, "sha384": HashAlgorithm.SHA_384, "sha512": HashAlgorithm.SHA_512}
INSIDE = "tollhouse:in-browser"


def browser_files(built: Path) -> list[Part]:
    """Every file of the widget's build, with the packages that the bundler put into it."""
    inventory, packages = _json(built / "inventory.json"), _json(built / "packages.json")
    return [
        Part(
            Component(
                name=one["name"],
                type=ComponentType.FILE,
                version=inventory["version"],
                bom_ref=f"widget:{one['name']}",
                description=one["reason"],
                hashes=[_hash(one["integrity"]), _hash(one["sha256"])],
                properties=[Property(name="tollhouse:page", value=one["page"])],
            ),
            frozenset(reference(inner["name"], inner["version"]) for inner in packages[one["name"]]),
        )
        for one in inventory["files"]
    ]


def browser_packages(lock: Path, built: Path) -> Iterator[Part]:
    """Every package of the widget's lock file. Needed are those of which something is in a built file."""
    inside: dict[str, list[str]] = {}
    for file, packages in _json(built / "packages.json").items():
        for one in packages:
            inside.setdefault(reference(one["name"], one["version"]), []).append(file)
    locked = _json(lock)["packages"]
    for path, entry in sorted(locked.items()):
        if path:
            yield _package(path, entry, inside, _needs(path, entry, locked))


def reference(name: str, version: str) -> str:
    """How an npm package is called in the bill."""
    return _purl(name, version).to_string()


def _package(path: str, entry: dict[str, Any], inside: dict[str, list[str]], needs: frozenset[str]) -> Part:
    name, version = _name(path), entry["version"]
    where = reference(name, version)
    files = inside.get(where, [])
    return Part(
        Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=where,
            purl=_purl(name, version),
            scope=ComponentScope.REQUIRED if files else ComponentScope.EXCLUDED,
            hashes=[_hash(entry["integrity"])],
            licenses=[license_of(entry["license"])] if "license" in entry else [],
            properties=[Property(name=INSIDE, value=", ".join(files))] if files else [],
        ),
        needs,
    )


def _needs(path: str, entry: dict[str, Any], locked: dict[str, Any]) -> frozenset[str]:
    """What a package asks for, found as Node finds it: beside it, then one floor up, and so on."""
    found = set()
    for name in entry.get("dependencies", {}):
        place = path
        while f"{place}/node_modules/{name}".lstrip("/") not in locked and place:
            place = place.rpartition("node_modules/")[0].rstrip("/")
        if other := locked.get(f"{place}/node_modules/{name}".lstrip("/")):
            found.add(reference(name, other["version"]))
    return frozenset(found)


def _name(path: str) -> str:
    return path.rpartition("node_modules/")[2]


def _purl(name: str, version: str) -> PackageURL:
    group, _, short = name.rpartition("/")
    return PackageURL("npm", namespace=group or None, name=short, version=version)


def _hash(text: str) -> HashType:
    """`sha384-…` as browsers and npm spell it."""
    algorithm, _, digest = text.partition("-")
    return HashType(alg=ALGORITHMS[algorithm], content=base64.b64decode(digest).hex())


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
