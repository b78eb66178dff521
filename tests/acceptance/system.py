"""One running Tollhouse: `tollhouse up` as a process of its own, with a home and ports that nobody else has."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.machine import command_of, family
from tests.servers import fetch, remove_database, run_apart
from tollhouse.store.embedded import running_dsn

PROGRAM = str(Path(sys.executable).with_name("tollhouse"))
START_SECONDS_MAX = STOP_SECONDS_MAX = 90.0
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
PARTS = {name: f"tollhouse.cli {called}" for name, called in (("gateway", "serve"), ("vault", "vault serve"))}
PARTS |= {name: f"tollhouse.cli {name}" for name in ("work", "sandbox")}

T = TypeVar("T")


def until(found: Callable[[], T], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
    """What `found` returns as soon as it is true; fails after this long, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; at the end: {result!r}"
        time.sleep(POLL_SECONDS)
    return result


def until_none(found: Callable[[], list[Any]], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until nothing is found any more; fails after this long with what is left."""
    deadline = time.monotonic() + seconds
    while left := found():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; left: {left[:5]}"
        time.sleep(POLL_SECONDS)


def reserve_port() -> socket.socket:
    """A port for one of our servers. While this socket is open no other program is given it, and ours may listen."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


class System:
    """`tollhouse up` and what belongs to it. Settings are named as in the configuration: `answer_limit_seconds=1`."""

    program: tuple[str, ...] = (PROGRAM,)

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.home = folder, folder / "home"
        self._holders = [reserve_port() for _ in range(4)]
        self.port, self.shop_port, self.sandbox_port, self.acquirer_port = (
            holder.getsockname()[1] for holder in self._holders
        )
        wanted: dict[str, object] = {
            "home": self.home,
            "port": self.port,
            "shop_port": self.shop_port,
            "sandbox_port": self.sandbox_port,
            "acquirer_port": self.acquirer_port,
            **settings,
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
        self.environment = ours | {f"TOLLHOUSE_{name.upper()}": str(value) for name, value in wanted.items()}
        self.url = self.books_url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._beside: list[subprocess.Popen[bytes]] = []

    @property
    def dsn(self) -> str:
        """Where its database is."""
        address = self.environment.get("TOLLHOUSE_DATABASE_URL") or running_dsn(self.home)
        assert address, "the database does not run"
        return address

    def start(self) -> System:
        """Start everything and wait for the printed URLs."""
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start everything without waiting."""
        with (self.folder / "up.out").open("wb") as printed, (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "up"],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Until `up` has printed where everything is."""
        assert self.process is not None
        process = self.process

        def is_told() -> bool:
            assert process.poll() is None, f"`tollhouse up` ended with {process.returncode}:\n{self.log()[-4000:]}"
            return "Ctrl-C stops everything" in self.printed()

        until(is_told, "the system is ready", seconds=START_SECONDS_MAX)
        gateway, books = re.search(r"Gateway +(\S+)", self.printed()), re.search(r"books +(\S+)", self.printed())
        assert gateway, self.printed()
        assert books, self.printed()
        self.url, self.books_url = gateway[1], books[1]

    def printed(self) -> str:
        """What `up` printed since its last start."""
        return (self.folder / "up.out").read_text()

    def log(self) -> str:
        """The merged log of every start."""
        file = self.folder / "up.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> int:
        """Ctrl-C. Returns the exit code."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End `up` with -9, as a crash does; what it started goes with it."""
        assert self.process is not None
        pids = family(self.process.pid)
        self.process.kill()
        self.process.wait()
        until(lambda: not any(map(is_alive, pids)), "everything that `up` had started is gone")

    def pids(self, part: str) -> list[int]:
        """The processes of a part: gateway, work, sandbox, or postgres (the first is its postmaster)."""
        assert self.process is not None
        found = family(self.process.pid)
        if part == "postgres":
            return [pid for pid in found if command_of(pid).partition(" ")[0].endswith("postgres")]
        return [pid for pid in found if PARTS[part] in command_of(pid)]

    def pid(self, part: str) -> int:
        """The process of a part, once it runs."""
        return until(lambda: self.pids(part)[:1], f"{part} runs")[0]

    def kill_part(self, part: str) -> int:
        """End one part with -9. Returns the id that its process had."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), f"{part} is gone")
        return pid

    def wait_until_back(self, part: str, after: int) -> None:
        """Until a part that was killed (as process `after`) runs again and the gateway takes calls."""
        until(lambda: [pid for pid in self.pids(part) if pid != after], f"{part} runs again")
        self.wait_until_answering(self.port)

    def wait_until_answering(self, port: int) -> None:
        """Until a gateway on this port says that it is ready."""

        def is_answering() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as asking:
                asking.sendall(b"GET /readyz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                return asking.recv(100).split(b" ")[1:2] == [b"200"]
            return False

        until(is_answering, "a gateway answers", seconds=START_SECONDS_MAX)

    def beside(self, *arguments: str, **settings: object) -> subprocess.Popen[bytes]:
        """Run another part beside the others, in the same home: `beside("serve", port=…)`. Ends with the system."""
        more = {f"TOLLHOUSE_{name.upper()}": str(value) for name, value in settings.items()}
        with (self.folder / "beside.log").open("ab") as log:
            process = subprocess.Popen(
                [PROGRAM, *arguments], env=self.environment | more, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._beside.append(process)
        return process

    def end_beside(self) -> None:
        """End with -9 what runs beside."""
        for process in self._beside:
            process.kill()
            process.wait()

    def run(self, *arguments: str, code: int = 0, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command of ours against it and expect this exit code."""
        more = {f"TOLLHOUSE_{name.upper()}": str(value) for name, value in settings.items()}
        ended = subprocess.run(
            [PROGRAM, *arguments], env=self.environment | more, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == code, f"tollhouse {' '.join(arguments)}: {ended}"
        return ended

    def json(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        found: list[tuple[Any, ...]] = run_apart(fetch(self.dsn, query))
        return found

    def destroy(self) -> None:
        """End whatever still runs and remove what lies outside of the test's folder."""
        self.end_beside()
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.stop()
        remove_database(self.home)
        for holder in self._holders:
            holder.close()
