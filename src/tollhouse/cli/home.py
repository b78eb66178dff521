"""The home folder of one run: made, kept from others, and claimed so that two runs never share it."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tollhouse.cli.failure import Failure

_STATE_BYTES_MAX = 100
# A run whose parent was killed has a moment to notice, and a run that stops has until its database has stopped.
_NOTICE_SECONDS = 0.5
_STOP_SECONDS_MAX = 90.0
_POLL_SECONDS = 0.05


class Claim:
    """The home belongs to this process until it ends or releases it."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._write("running")

    def mark_stopping(self) -> None:
        """Lets a following run know that waiting is worthwhile."""
        self._write("stopping")

    def release(self) -> None:
        """Gives the home free."""
        os.close(self._lock)

    def _write(self, state: str) -> None:
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {state}".encode(), 0)


def make_home(home: Path) -> None:
    """The folder with mode 0700; an existing one is taken as it is unless everybody may write to it."""
    try:
        if not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
        mode = home.stat().st_mode
    except OSError as error:
        raise Failure(f"cannot make TOLLHOUSE_HOME {home}: {error.strerror}; choose another folder") from None
    if not stat.S_ISDIR(mode):
        raise Failure(f"TOLLHOUSE_HOME {home} is not a folder; choose another")
    if mode & stat.S_IWOTH:
        raise Failure(f"everybody may write to TOLLHOUSE_HOME {home}, and it holds keys; choose a folder of its own")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise Failure(f"TOLLHOUSE_HOME {home} belongs to another user; run this as that user, or choose another folder")


def claim(home: Path, say: Callable[[str], None]) -> Claim:
    """Claims a home that was made; waits for a run that is stopping, refuses while one is running."""
    try:
        lock = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Failure(f"cannot use TOLLHOUSE_HOME {home}: {error.strerror}: {error.filename}") from None
    begin = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder, _, state = os.pread(lock, _STATE_BYTES_MAX, 0).decode().partition(" ")
            waited = time.monotonic() - begin
            if waited > (_STOP_SECONDS_MAX if state == "stopping" else _NOTICE_SECONDS):
                os.close(lock)
                raise Failure(
                    f"another `tollhouse up` (process {holder}) is {state or 'running'} in TOLLHOUSE_HOME {home};"
                    " stop it, or give this one a home and ports of its own"
                ) from None
            if state == "stopping" and not told:
                say(f"waiting for the run before (process {holder}) to stop")
                told = True
            time.sleep(_POLL_SECONDS)
        else:
            return Claim(lock)
