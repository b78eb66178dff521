"""The file under the books: lines appended and synced in groups by a thread, read again at start.

Whoever appends a line says what to do once it is on disk; nothing is answered before that. All lines that come
while one group is being synced make the next group, so the loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

Then = Callable[[], object]


class JournalUnusable(Exception):
    """The file cannot be opened, read or written; the text is one line for a person."""


class Journal:
    """One append-only file of lines, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open and lock the file, making it and its folder where they are missing. Raises `JournalUnusable`."""
        self.path = path
        self.on_failure: Callable[[JournalUnusable], object] = _raise
        self._lines: list[bytes] = []
        self._thens: list[Then] = []
        self._is_busy = False
        self._has_failed = False
        self._at_failure: Then = lambda: None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-journal")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise JournalUnusable(f"{path}: cannot be opened ({problem.strerror}); check TOLLHOUSE_HOME") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise JournalUnusable(
                f"{path}: another sandbox keeps its books here; stop it or choose another TOLLHOUSE_HOME"
            ) from None
        _sync_folder(path.parent)

    def read(self) -> list[bytes]:
        """All whole lines. A last line without its end was never answered for: it is cut off."""
        with open(self._file, "rb", closefd=False) as file:
            file.seek(0)
            content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        return content[:whole].splitlines()

    def append(self, line: bytes) -> None:
        """Write the line (without its end) soon; `after_durable` tells when it is on disk."""
        assert b"\n" not in line
        self._lines.append(line + b"\n")
        self._wake()

    def after_durable(self, then: Then) -> None:
        """Do it when every line appended so far is on disk: at once if that is so already."""
        if self._is_busy:
            self._thens.append(then)
        else:
            then()

    async def close(self) -> None:
        """Write what is left, if it can be written, then let go of the file."""
        done = asyncio.Event()
        self._at_failure = done.set
        if not self._has_failed:
            self.after_durable(done.set)
            await done.wait()
        self._writer.shutdown()
        os.close(self._file)

    def _wake(self) -> None:
        """Start a group at the end of this turn of the loop, so that all its lines go together."""
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._start_group)

    def _start_group(self) -> None:
        content, thens = b"".join(self._lines), self._thens
        self._lines, self._thens = [], []
        written = asyncio.get_running_loop().run_in_executor(self._writer, self._write, content)
        written.add_done_callback(lambda done: self._finish_group(done, thens))

    def _finish_group(self, done: asyncio.Future[None], thens: list[Then]) -> None:
        problem = done.exception()
        if problem is not None:
            self._has_failed = True  # and stays busy: nothing more is written, so nothing more is answered
            self._at_failure()
            reason = problem.strerror if isinstance(problem, OSError) else type(problem).__name__
            self.on_failure(JournalUnusable(f"{self.path}: cannot be written ({reason}); nothing more is answered"))
            return
        if not self._lines:  # whoever came meanwhile repeats what is on disk by now
            thens, self._thens = thens + self._thens, []
            self._is_busy = False
        else:
            self._start_group()
        for then in thens:
            then()

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._file, left) :]
        os.fdatasync(self._file)


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise(problem: JournalUnusable) -> None:
    raise problem
