"""The software bill of materials: whole, valid, and the same at each build."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.docs.documents import ROOT

BUILT = ROOT / "src" / "tollhouse" / "api" / "widget" / "built"
LOCKED = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)


def write(folder: Path, **environment: str) -> Path:
    """The bill as `make sbom` writes it."""
    path = folder / "tollhouse.cdx.json"
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "bill", path], check=True, cwd=ROOT, env=os.environ | environment
    )
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bill of this tree."""
    return write(tmp_path_factory.mktemp("bill"))


@pytest.fixture(scope="module")
def bill(written: Path) -> dict[str, Any]:
    """The same, read."""
    return json.loads(written.read_text())


@pytest.fixture(scope="module")
def parts(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every component by its reference."""
    return {one["bom-ref"]: one for one in bill["components"]}


def test_it_is_valid(written: Path) -> None:
    """It keeps the schema of CycloneDX, formats of addresses and licences included."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.read_text()) is None


def test_equal_builds_have_equal_bills(written: Path, tmp_path: Path) -> None:
    """A second bill of the same tree has the same bytes; only SOURCE_DATE_EPOCH dates it."""
    assert write(tmp_path).read_bytes() == written.read_bytes()
    dated = json.loads(write(tmp_path, SOURCE_DATE_EPOCH="1700000000").read_text())
    assert dated["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert dated["serialNumber"] != json.loads(written.read_text())["serialNumber"]


def test_every_locked_package_is_in_it(parts: dict[str, dict[str, Any]]) -> None:
    """Each package of requirements.lock is there with its version, its licence and all hashes that are accepted."""
    lock = (ROOT / "requirements.lock").read_text()
    found = LOCKED.findall(lock)
    assert len(found) > 20
    hashes = 0
    for name, version in found:
        part = parts[f"pkg:pypi/{name}@{version}"]
        assert part["licenses"], name
        hashes += len(part["externalReferences"][0]["hashes"])
    assert hashes == lock.count("--hash=sha256:")


def test_what_runs_is_told_from_what_builds(parts: dict[str, dict[str, Any]]) -> None:
    """Packages that run are required; those that only build the wheel or the form are not."""
    scopes = {one["name"]: one["scope"] for one in parts.values() if "scope" in one}
    assert {scopes[name] for name in ("cryptography", "cffi", "uvloop", "preact", "psutil")} == {"required"}
    assert {scopes[name] for name in ("hatchling", "vite", "typescript", "happy-dom")} == {"excluded"}


def test_what_is_in_the_browser_is_what_the_bundler_says(
    parts: dict[str, dict[str, Any]], bill: dict[str, Any]
) -> None:
    """Each file of the form has its hashes and the packages inside; no other npm package counts as needed."""
    inside = json.loads((BUILT / "packages.json").read_text())
    entries = json.loads((BUILT / "inventory.json").read_text())["files"]
    needs = {one["ref"]: set(one.get("dependsOn", [])) for one in bill["dependencies"]}
    for entry in entries:
        part = parts[f"widget:{entry['name']}"]
        assert {one["alg"] for one in part["hashes"]} == {"SHA-256", "SHA-384"}
        assert needs[part["bom-ref"]] == {f"pkg:npm/{one['name']}@{one['version']}" for one in inside[entry["name"]]}
    needed = {ref for ref, one in parts.items() if ref.startswith("pkg:npm/") and one["scope"] == "required"}
    assert needed == set().union(*(needs[f"widget:{entry['name']}"] for entry in entries))
    assert {one.rpartition("@")[0] for one in needed} >= {"pkg:npm/preact", "pkg:npm/credit-card-type"}


def test_locked_npm_packages_are_in_it(parts: dict[str, dict[str, Any]]) -> None:
    """Each package of the widget's lock file is there with the hash that npm checks and its licence."""
    lock = json.loads((ROOT / "widget" / "package-lock.json").read_text())["packages"]
    named = {(path.rpartition("node_modules/")[2], entry["version"]) for path, entry in lock.items() if path}
    npm = [one for ref, one in parts.items() if ref.startswith("pkg:npm/")]
    found = {("/".join(filter(None, (one.get("group"), one["name"]))), one["version"]) for one in npm}
    assert found == named
    assert all(one["hashes"][0]["alg"] == "SHA-512" and one["licenses"] for one in npm)


def test_what_packages_carry_is_in_it(parts: dict[str, dict[str, Any]]) -> None:
    """The Postgres server and the cryptographic library, which come inside packages, are named with their versions."""
    inner = {one["name"]: one for part in parts.values() for one in part.get("components", [])}
    assert re.fullmatch(r"[0-9]+\.[0-9]+", inner["postgresql"]["version"])
    assert inner["postgresql"]["cpe"].startswith(f"cpe:2.3:a:postgresql:postgresql:{inner['postgresql']['version']}:")
    assert inner["openssl"]["version"]


def test_every_part_hangs_on_something(parts: dict[str, dict[str, Any]], bill: dict[str, Any]) -> None:
    """What the product needs, and what that needs, is all that is marked as needed."""
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    found, waiting = set[str](), [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += needs[one]
    assert {ref for ref, one in parts.items() if one.get("scope") == "required"} <= found


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs that `make dist` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, check=True, cwd=ROOT, env=os.environ | {"SBOM_FILE": str(written)}, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_it(written: Path, installed: Path) -> None:
    """The wheel that `make dist` builds has the bill where tools look for it."""
    recipe = (ROOT / "Makefile").read_text().partition("\ndist:")[2].partition("\n\n")[0]
    assert "SBOM_FILE=dist/tollhouse.cdx.json" in recipe
    (carried,) = installed.glob("*.dist-info/sboms/*")
    assert carried.name == "tollhouse.cdx.json"
    assert carried.read_bytes() == written.read_bytes()


def test_the_command_prints_it(written: Path, installed: Path, tmp_path: Path) -> None:
    """`tollhouse sbom` prints the bill of an installed wheel; in a tree it says how to make one."""
    command = [sys.executable, "-c", "from tollhouse.cli.__main__ import main; main()", "sbom"]
    there = subprocess.run(
        command, check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True
    )
    assert there.stdout == written.read_bytes()
    here = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert here.returncode == 1
    assert "make sbom" in here.stderr
