"""Starts a program that ends when its parent does, as another user where asked. Run as a script; standard library only.

A supervisor that is killed with -9 can tell nobody. So the kernel is asked to send the program a signal when its
parent is gone. The request must come after the change of user, which clears it, and inside the new process, which is
why a few lines of Python stand between parent and program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_NOT_STARTED = 127


def tethered(
    command: Sequence[str],
    *,
    last_signal: signal.Signals,
    owner: tuple[int, int] | None = None,
    parent: int | None = None,
) -> list[str]:
    """The command line that runs `command`, sent `last_signal` when this process ends; `owner` is (uid, gid).

    Call it from a thread that lives as long as the process: for the kernel the parent is the thread that forked.
    """
    uid, gid = owner or (-1, -1)
    words = [str(int(last_signal)), str(parent or os.getpid()), str(uid), str(gid)]
    return [sys.executable, "-I", "-S", __file__, *words, *command]


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o077)


def main(words: list[str]) -> int:
    """Ties this process to its parent and becomes the program; returns only if that fails."""
    last_signal, parent, uid, gid = (int(word) for word in words[:4])
    command = words[4:]
    if uid >= 0:
        _become(uid, gid)
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, last_signal, 0, 0, 0):
        print(f"cannot be tied to its parent: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return _NOT_STARTED
    if os.getppid() != parent:
        return _NOT_STARTED
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    return _NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
