"""Keeps processes running: starts them, merges what they say into one log, restarts what dies, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from tollhouse.cli.failure import Failure
from tollhouse.masking import mask_cards
from tollhouse.store.tether import tethered

_STOP_SECONDS_MAX = 20.0
_READY_POLL_SECONDS = 0.02
_PROBE_SECONDS_MAX = 2.0
_BACK_OFF_SECONDS_MIN, _BACK_OFF_SECONDS_MAX = 0.5, 30.0
# Who has lived that long starts again at once when it dies.
_STEADY_SECONDS = 60.0
# A process of its own that outlives it may hold its output open.
_LAST_WORDS_SECONDS = 1.0
_LINE_BYTES_MAX = 1_000_000
_NAME_WIDTH = 8
_COLOURS = {
    "up": "white",
    "postgres": "blue",
    "sandbox": "yellow",
    "gateway": "green",
    "work": "cyan",
    "vault": "magenta",
}


class MergedLog:
    """One log for all parts: each line begins with its part's name, or holds it as a field where lines are JSON."""

    def __init__(self, log_format: str, stream: TextIO = sys.stderr) -> None:
        self._json = log_format == "json"
        self._stream = stream

    def write(self, part: str, line: str) -> None:
        """Adds one line, card numbers masked whoever wrote it."""
        text = mask_cards(line)
        if not self._json:
            prefix = f"{part:<{_NAME_WIDTH}} |"
            if self._stream.isatty():
                prefix = click.style(prefix, fg=_COLOURS.get(part))
            text = f"{prefix} {text}"
        elif text.startswith('{"'):
            text = f'{{"part": {json.dumps(part)}, {text[1:]}'
        else:
            text = json.dumps({"part": part, "event": text}, ensure_ascii=False)
        with contextlib.suppress(BrokenPipeError):  # whoever read the log has gone; payments go on
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def say(self, line: str) -> None:
        """A line of the supervisor itself."""
        self.write("up", line)


Ready = tuple[str, int, str] | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process to keep running.

    It is ready when this place answers an HTTP GET with 200, or this socket takes connections, else when it lives.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready_at: Ready = None


class Kept:
    """A part that was started. One that dies before it was ready once ends the start; afterwards it is restarted."""

    def __init__(self, part: Part, log: MergedLog) -> None:
        self._part = part
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._was_ready = False
        self._stopping = False
        self.starts = 0

    @property
    def pid(self) -> int:
        """The process id of its present life."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts the process and from now on keeps it."""
        await self._spawn()
        self._keeping = asyncio.create_task(self._keep())

    async def _spawn(self) -> None:
        self.starts += 1
        node = f"{self._part.environment.get('TOLLHOUSE_NODE', 'node')}-{self._part.name}-{self.starts}"
        self._process = await asyncio.create_subprocess_exec(
            *tethered(self._part.command, last_signal=signal.SIGKILL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Each life has a name of its own, so that it never takes an earlier one's leases for its own.
            env={**self._part.environment, "TOLLHOUSE_NODE": node},
            # Ctrl-C in a terminal reaches everything in its group; the order of stopping is ours.
            start_new_session=True,
        )

    async def _keep(self) -> None:
        wait_seconds = _BACK_OFF_SECONDS_MIN
        while True:
            assert self._process is not None and self._process.stdout is not None
            born = time.monotonic()
            merging = asyncio.create_task(self._merge(self._process.stdout))
            code = await self._process.wait()
            await asyncio.wait([merging], timeout=_LAST_WORDS_SECONDS)
            if self._stopping:
                return
            if not self._was_ready:
                raise Failure(f"the {self._part.name} {_end(code)} before it was ready; its last lines are above")
            if time.monotonic() - born > _STEADY_SECONDS:
                wait_seconds = _BACK_OFF_SECONDS_MIN
            self._log.say(f"the {self._part.name} {_end(code)} unexpectedly; starting it again in {wait_seconds:g} s")
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, _BACK_OFF_SECONDS_MAX)
            await self._spawn()

    async def _merge(self, said: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await said.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._log.write(self._part.name, line.decode(errors="replace"))
        if rest:
            self._log.write(self._part.name, rest.decode(errors="replace"))

    async def wait_until_ready(self) -> None:
        """Returns once it answers; raises a `Failure` if it ends before."""
        assert self._keeping is not None
        while not await self._answers():
            if self._keeping.done():
                self._keeping.result()
            await asyncio.sleep(_READY_POLL_SECONDS)
        self._was_ready = True

    async def keep(self) -> None:
        """Returns only when it was stopped; raises if it cannot be kept running."""
        assert self._keeping is not None
        await asyncio.shield(self._keeping)

    async def _answers(self) -> bool:
        assert self._keeping is not None
        if self._part.ready_at is None:
            return not self._keeping.done()
        try:
            async with asyncio.timeout(_PROBE_SECONDS_MAX):
                if isinstance(self._part.ready_at, Path):
                    return await _takes_connections(self._part.ready_at)
                return await _is_ready(*self._part.ready_at)
        except (OSError, TimeoutError):
            return False

    async def stop(self) -> None:
        """Asks it to end, and makes it end if it does not."""
        self._stopping = True
        if self._process is None or self._keeping is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        else:
            self._keeping.cancel()  # it waits to start again
        done, _ = await asyncio.wait([self._keeping], timeout=_STOP_SECONDS_MAX)
        if not done:
            self._log.say(f"the {self._part.name} does not stop; killing it")
            self._process.kill()
            await asyncio.wait([self._keeping])
        if not self._keeping.cancelled():
            self._keeping.exception()  # told by `wait_until_ready` or `keep`, or of no interest any more


def _end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


async def _takes_connections(path: Path) -> bool:
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    return True


async def _is_ready(host: str, port: int, path: str) -> bool:
    """Whether this address answers a GET with 200."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    finally:
        writer.close()
