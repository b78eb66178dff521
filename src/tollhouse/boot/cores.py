"""Core files: none."""

from __future__ import annotations

import ctypes
import resource

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def forbid_core_dumps() -> None:
    """A core file of this process would hold keys, and card data on its way through."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forbid_looking_in() -> None:
    """No core even where the system pipes it to a program, and no debugger of the same user: both read memory."""
    _prctl(_PR_SET_DUMPABLE, 0)


def is_dumpable() -> bool:
    """Whether the system may write our memory down, or a debugger of the same user read it."""
    return _prctl(_PR_GET_DUMPABLE, 0) != 0


def _prctl(option: int, value: int) -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0))
