"""The files of an embedded Postgres: where its folder lies, its settings, who may log in, the first data."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from signal import Signals

from tollhouse.store.binaries import machine_folder
from tollhouse.store.roles import roles_of
from tollhouse.store.tether import tethered
from tollhouse.store.unprivileged import Owner, default_owner, is_root, may_enter, owner_with

ROLE = DATABASE = "tollhouse"
SUPERUSER = "postgres"
_SOCKET_FILE = ".s.PGSQL.5432"
# The kernel allows 107 characters for the address of a socket; some programs fewer.
_SOCKET_PATH_CHARACTERS_MAX = 90

# Durable always; small enough for a machine of two cores.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "huge_pages": "off",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "io_method": "sync",
    "autovacuum": "on",
    "autovacuum_naptime": "20s",
    "timezone": "'UTC'",
    "log_checkpoints": "off",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] '",
    # Statements and the rows they failed on may name a payer, so the log holds neither.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}

_FIRST_STATEMENTS = f"""\
CREATE ROLE {ROLE} LOGIN CREATEDB;
GRANT pg_monitor TO {ROLE};
CREATE DATABASE {DATABASE} OWNER {ROLE};
"""


class ClusterUnusable(Exception):
    """The database's files cannot be made or used; the text is one line for people."""


def folder_of(home: Path) -> Path:
    """Where the home's database lies, found or made: inside the home if the user who runs it gets there, else outside.

    A link in the home then leads to it, so a home that is moved keeps its database and a new home gets a new one.
    """
    pointer = home / "postgres"
    if pointer.is_symlink() and not pointer.exists():
        raise ClusterUnusable(
            f"{pointer} leads to {pointer.readlink()}, which is gone; put it back, or remove {pointer} to begin anew"
        )
    if pointer.exists():
        return pointer.resolve()
    if not is_root() or may_enter(home, default_owner()):
        pointer.mkdir()
        pointer.chmod(0o711)
        return pointer.resolve()
    folder = Path(tempfile.mkdtemp(prefix=f"{_digest(home)}-", dir=machine_folder()))
    folder.chmod(0o711)
    (folder / "home").write_text(f"{home}\n")  # for people who wonder what it is
    pointer.symlink_to(folder)
    return folder


def owner_of(folder: Path) -> Owner:
    """Who runs the server: whoever has the data already, so that starting as root after all changes nothing."""
    if not is_root():
        return default_owner()
    data = folder / "data"
    uid = (data if data.exists() else folder).stat().st_uid
    return owner_with(uid) if uid else default_owner()


def create(folder: Path, programs: Path, owner: Owner) -> Path:
    """The data folder with the role and its database. It appears under its name only when it is complete."""
    unfinished = folder / "data.new"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if is_root():
        os.chown(unfinished, owner.uid, owner.gid)
    words = [
        "-D",
        str(unfinished),
        "-U",
        SUPERUSER,
        "-E",
        "UTF8",
        "--locale=C",
        "-k",
        "-A",
        "peer",
        "--no-instructions",
    ]
    _run([str(programs / "initdb"), *words], owner)
    single = [str(programs / "postgres"), "--single", "-j", "-D", str(unfinished), "postgres"]
    # Single-user mode ends a statement at an empty line (-j), which also leaves each in a transaction of its own.
    _run(single, owner, stdin=_FIRST_STATEMENTS.replace(";\n", ";\n\n"))
    data = folder / "data"
    unfinished.rename(data)
    return data


def _run(command: Sequence[str], owner: Owner, stdin: str = "") -> None:
    ended = subprocess.run(
        tethered(command, last_signal=Signals.SIGKILL, owner=_other(owner)),
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        env=environment(),
        start_new_session=True,
    )
    if ended.returncode or "ERROR:" in ended.stderr:
        raise ClusterUnusable(f"the embedded Postgres cannot be set up: {last_complaint(ended.stderr.splitlines())}")


def _other(owner: Owner) -> tuple[int, int] | None:
    """(uid, gid) to become, or None if it is who we are."""
    return (owner.uid, owner.gid) if is_root() else None


def start(folder: Path, programs: Path, owner: Owner, log: Path) -> subprocess.Popen[bytes]:
    """Starts the server; it is not ready yet. It ends fast and clean when this process dies."""
    command = [
        str(programs / "postgres"),
        "-D",
        str(folder / "data"),
        "-c",
        f"config_file={folder / 'postgresql.conf'}",
    ]
    with log.open("ab") as written:
        return subprocess.Popen(
            tethered(command, last_signal=Signals.SIGINT, owner=_other(owner)),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """Nothing of ours: Postgres reads PG… variables and LC_… from its environment."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def socket_folder(folder: Path, owner: Owner) -> Path:
    """A folder for the socket that only the owner (and root) enters, with a path short enough for a socket."""
    chosen = folder / "socket"
    if len(str(chosen / _SOCKET_FILE)) > _SOCKET_PATH_CHARACTERS_MAX:
        chosen = _short_folder() / f"tollhouse-{owner.uid}-{_digest(folder)}"
    try:
        chosen.mkdir(mode=0o700)
    except FileExistsError:
        found = chosen.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner.uid):
            raise ClusterUnusable(f"{chosen} belongs to somebody else; remove it, or move the home") from None
    if is_root():
        os.chown(chosen, owner.uid, owner.gid)
    chosen.chmod(0o700)
    return chosen


def _short_folder() -> Path:
    """This login's own run folder, else the one for everybody; not TMPDIR, which may be long."""
    if is_root():
        return machine_folder()
    run = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    return run if os.access(run, os.W_OK | os.X_OK) and len(str(run)) <= 30 else Path("/tmp")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


def write_settings(folder: Path, owner: Owner, socket: Path) -> None:
    """Writes the three files a start reads. They lie beside the data, where the server's user cannot change them."""
    files = {
        "hba_file": folder / "pg_hba.conf",
        "ident_file": folder / "pg_ident.conf",
        "unix_socket_directories": socket,
    }
    settings = [f"{name} = {value}" for name, value in _SETTINGS.items()]
    settings += [f"{name} = {_quoted(str(path))}" for name, path in files.items()]
    logins = sorted({owner.name, "root"})
    roles = (ROLE, SUPERUSER, *roles_of(DATABASE).both)
    _write(folder / "postgresql.conf", settings)
    _write(folder / "pg_hba.conf", [f"local all {role} peer map=tollhouse" for role in roles])
    _write(folder / "pg_ident.conf", [f'tollhouse "{login}" {role}' for login in logins for role in roles])


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _write(file: Path, lines: Iterable[str]) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.write_text("# Written by Tollhouse at every start.\n" + "".join(f"{line}\n" for line in lines))
    unfinished.chmod(0o644)
    hand_over(unfinished, file.parent)
    unfinished.replace(file)


def hand_over(file: Path, folder: Path) -> None:
    """Gives what root made in somebody's folder to that person, who may start without root the next time."""
    if is_root():
        found = folder.stat()
        os.chown(file, found.st_uid, found.st_gid, follow_symlinks=False)


def last_complaint(lines: Sequence[str]) -> str:
    """The line that says why: the last one a program marked as an error, else the last one."""
    said = [line.strip() for line in lines if line.strip()]
    marked = [line for line in said if any(word in line for word in ("PANIC:", "FATAL:", "ERROR:", "error:"))]
    return (marked or said or ["it said nothing"])[-1]
