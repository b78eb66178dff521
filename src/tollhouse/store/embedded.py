"""The Postgres that comes with the package: starts it in the home, watches it, stops it.

The programs come from a wheel; everything around them is here. The server hears only on a socket in a closed folder,
knows people by who they are on this machine, and runs as an unprivileged user when started as root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from tollhouse.store import cluster
from tollhouse.store.binaries import NoBinaries, major_version, reachable_for
from tollhouse.store.cluster import ClusterUnusable
from tollhouse.store.unprivileged import NoSuchOwner

_POLL_SECONDS = 0.005
# Replaying the log after a crash takes as long as it takes; this only ends a start that hangs.
_START_SECONDS_MAX = 300.0
_FAST_STOP_SECONDS_MAX = 60.0
_IMMEDIATE_STOP_SECONDS_MAX = 10.0
_LOG_BYTES_MAX = 10_000_000
_READY_LINE, _SOCKET_LINE = 7, 4


class EmbeddedFailed(Exception):
    """The embedded Postgres does not run; the text is one line for people."""

    exit_code = 1


class Embedded:
    """One server for one home. Not for several threads: the server ends with the thread that called `start`."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._socket: Path | None = None
        self.dsn = ""
        self.folder: Path | None = None
        self.programs: Path | None = None

    def start(self) -> str:
        """Starts the server, making its first data where there is none, and returns the DSN once it takes logins."""
        assert not self.is_running(), "started already"
        self._clear()
        try:
            return self._start()
        except (ClusterUnusable, NoBinaries, NoSuchOwner) as error:
            self.kill()
            raise EmbeddedFailed(str(error)) from None
        except OSError as error:
            self.kill()
            raise EmbeddedFailed(
                f"the embedded Postgres in {self.home} cannot be started: {error.strerror}: {error.filename}"
            ) from error
        except BaseException:
            self.kill()
            raise

    def _start(self) -> str:
        folder = self.folder = cluster.folder_of(self.home)
        self._lock = _claim(folder)
        owner = cluster.owner_of(folder)
        programs = self.programs = reachable_for(owner)
        data = folder / "data"
        if data.exists():
            _refuse_other_version(data, major_version(programs))
            _stop_orphans(data)
        else:
            cluster.create(folder, programs, owner)
        self._socket = cluster.socket_folder(folder, owner)
        cluster.write_settings(folder, owner, self._socket)
        log = _log_file(self.home)
        begin = log.stat().st_size
        self._process = cluster.start(folder, programs, owner, log)
        self._wait_until_ready(data, log, begin)
        self.dsn = _dsn(self._socket)
        return self.dsn

    def _wait_until_ready(self, data: Path, log: Path, begin: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            said = _pid_file(data)
            if len(said) > _READY_LINE and said[0] == str(self._process.pid) and said[_READY_LINE].strip() == "ready":
                return
            time.sleep(_POLL_SECONDS)
        with log.open("rb") as written:
            written.seek(begin)
            lines = written.read().decode(errors="replace").splitlines()
        raise EmbeddedFailed(
            f"the embedded Postgres did not start: {cluster.last_complaint(lines)} (more in {log}, data in {data})"
        )

    def is_running(self) -> bool:
        """Whether the server was started and lives."""
        return self._process is not None and self._process.poll() is None

    def dsn_as(self, role: str) -> str:
        """The DSN of another role that the server lets in: the superuser, or one of the two of gateway and vault."""
        assert self._socket is not None, "not started"
        return _dsn(self._socket, role)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None, "not started"
        return self._process.pid

    def stop(self) -> None:
        """Ends every login, writes everything down and stops. May be called again."""
        if self._process is not None and not _ended(self._process, signal.SIGINT, _FAST_STOP_SECONDS_MAX):
            self.kill()
        self._clear()

    def kill(self) -> None:
        """Stops at once; the next start replays the log. May be called again."""
        if self._process is not None and not _ended(self._process, signal.SIGQUIT, _IMMEDIATE_STOP_SECONDS_MAX):
            self._process.kill()
            self._process.wait()
        self._clear()

    def _clear(self) -> None:
        self._process = None
        if self._socket is not None and self._socket.parent != self.folder:
            shutil.rmtree(self._socket, ignore_errors=True)
        self._socket = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def running_dsn(home: Path, role: str = cluster.ROLE) -> str | None:
    """The DSN of the home's server if it runs and takes logins, whoever started it."""
    data = home.absolute() / "postgres" / "data"
    try:
        said = _pid_file(data)
        if _is_ready(data) and int(said[0]) in _servers_in(data):
            return _dsn(Path(said[_SOCKET_LINE]), role)
    except PermissionError:
        raise EmbeddedFailed(
            f"the database in {home} belongs to another user; run this as root or as that user"
        ) from None
    return None


def _dsn(socket: Path, role: str = cluster.ROLE) -> str:
    return f"postgresql://{role}@/{cluster.DATABASE}?host={quote(str(socket), safe='/')}"


def _claim(folder: Path) -> int:
    """A lock that lives as long as this process, so whatever runs in the folder once it is ours has been orphaned."""
    file = folder / "lock"
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    cluster.hand_over(file, folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode() or "unknown"
        os.close(lock)
        if _is_ready(folder / "data"):
            raise ClusterUnusable(
                f"the database in {folder} is in use by another Tollhouse (process {holder});"
                " stop that one, or choose another TOLLHOUSE_HOME"
            ) from None
        raise ClusterUnusable(
            f"another Tollhouse (process {holder}) is starting or stopping the database in {folder};"
            " wait a moment and run this again"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _refuse_other_version(data: Path, ours: int) -> None:
    theirs = (data / "PG_VERSION").read_text().strip()
    if theirs != str(ours):
        raise ClusterUnusable(
            f"the data in {data} were written by Postgres {theirs} and this is Postgres {ours}: move them with that"
            f" version's pg_dump, point TOLLHOUSE_DATABASE_URL to a Postgres {theirs}, or choose another TOLLHOUSE_HOME"
        )


def _log_file(home: Path) -> Path:
    log = home / "logs" / "postgres.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    log.touch(mode=0o600)
    for made in (log.parent, log):
        cluster.hand_over(made, home)
    return log


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _is_ready(data: Path) -> bool:
    """Whether the server says that it takes logins; one that was killed may have said so too."""
    said = _pid_file(data)
    return len(said) > _READY_LINE and said[_READY_LINE].strip() == "ready"


def _servers_in(data: Path) -> set[int]:
    """The process ids of a Postgres that works in this data folder: it makes it its current folder."""
    found, folder = set(), data.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink() == folder and (entry / "exe").readlink().name.startswith("postgres"):
                    found.add(int(entry.name))
            except OSError:  # it has ended meanwhile, or is somebody else's
                continue
    return found


def _stop_orphans(data: Path) -> None:
    """Stops what a killed supervisor left behind, and removes the traces that would stop a new server."""
    begin = time.monotonic()
    asked: dict[int, signal.Signals] = {}
    while orphans := _servers_in(data):
        waited = time.monotonic() - begin
        main = {int(line) for line in _pid_file(data)[:1]} & orphans
        if waited > _FAST_STOP_SECONDS_MAX + _IMMEDIATE_STOP_SECONDS_MAX:
            raise ClusterUnusable(f"process {min(orphans)} still uses the data in {data} and cannot be stopped; end it")
        asking = signal.SIGINT if main else signal.SIGQUIT
        patient = waited < _FAST_STOP_SECONDS_MAX
        wanted = asking if patient else signal.SIGKILL
        for pid in (main or orphans) if patient else orphans:
            if asked.get(pid) is not wanted:
                asked[pid] = wanted
                _send(pid, wanted)
        time.sleep(_POLL_SECONDS)
    # Its number may belong to any program by now, and Postgres would take that for a running server.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _send(pid: int, wanted: signal.Signals) -> None:
    try:
        os.kill(pid, wanted)
    except ProcessLookupError:
        return


def _ended(process: subprocess.Popen[bytes], wanted: signal.Signals, seconds_max: float) -> bool:
    if process.poll() is None:
        process.send_signal(wanted)
    try:
        process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        return False
    return True
