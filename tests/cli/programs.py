"""The command line as a real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack


def environment(**variables: object) -> dict[str, str]:
    """Ours without any setting but these."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    return ours | {f"TOLLHOUSE_{name.upper()}": str(value) for name, value in variables.items()}


def tollhouse(*words: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tollhouse.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment() if env is None else env,
    )


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now."""
    with ExitStack() as opened:
        probes = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def free_settings() -> dict[str, int]:
    """The four ports of a run, all free."""
    names = ("port", "shop_port", "sandbox_port", "acquirer_port")
    return dict(zip(names, free_ports(len(names)), strict=True))
