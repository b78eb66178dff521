"""The whole bill. The same sources, locks and platform give the same bytes: no clock, and a serial of the content."""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from bill.browser import browser_files, browser_packages
from bill.parts import Part
from bill.python import direct, lock_text, python_parts

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "src" / "tollhouse" / "api" / "widget" / "built"
_NO_SERIAL = UUID(int=0)


def write_bill(at: int | None = None) -> str:
    """The bill as CycloneDX JSON; `at` is the instant of the sources in Unix seconds, if it is to be told."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    product = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=PackageURL("pypi", name=project["name"], version=project["version"]).to_string(),
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
        description=project["description"],
    )
    files = browser_files(BUILT)
    lock = lock_text(ROOT)
    parts = _unique(
        [
            *python_parts(lock, project["dependencies"]),
            *files,
            *browser_packages(ROOT / "widget" / "package-lock.json", BUILT),
        ]
    )
    own = Part(product, direct(lock, project["dependencies"]) | {one.reference for one in files})
    bom = Bom(
        components=[one.component for one in parts],
        serial_number=_NO_SERIAL,
        dependencies=[_dependency(one, parts) for one in (own, *parts)],
    )
    bom.metadata.component = product
    return _fixed(JsonV1Dot6(bom).output_as_string(), at)


def _unique(parts: list[Part]) -> list[Part]:
    """npm may install one package in several places; it is one part."""
    return list({one.reference: one for one in parts}.values())


def _dependency(part: Part, parts: list[Part]) -> Dependency:
    refs = {one.reference: one.component.bom_ref for one in parts}
    return Dependency(ref=part.component.bom_ref, dependencies=[Dependency(ref=refs[one]) for one in part.needs])


def _fixed(text: str, at: int | None) -> str:
    """Without what differs from run to run, in one order."""
    document = json.loads(text)
    del document["metadata"]["timestamp"]
    if at is not None:
        document["metadata"]["timestamp"] = datetime.fromtimestamp(at, UTC).isoformat()
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = f"urn:uuid:{UUID(bytes=digest[:16], version=5)}"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
