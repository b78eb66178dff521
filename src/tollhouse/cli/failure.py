"""How a command says no."""

from __future__ import annotations


class Failure(Exception):
    """Ends the command with one clear line and this exit code.

    Errors of other rooms that are written for people (a wrong setting, an unreachable database) are shown in the same
    way: they have an `exit_code` too.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
