"""How our own program is spelled in the reader's shell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def own_program() -> str:
    """The program that runs now, as a word that calls it from the current folder: it need not be in the PATH."""
    program = Path(sys.executable).with_name("tollhouse")
    return shlex.quote(str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program))
