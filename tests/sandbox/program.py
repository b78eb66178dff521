"""The sandbox as a program of its own: started, killed and started again."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """
import resource, sys, uvloop
from pathlib import Path
from tollhouse.sandbox.main import run
home, http_port, acquirer_port, file_bytes_max = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if file_bytes_max:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
uvloop.run(run(Path(home), "127.0.0.1", http_port, acquirer_port, 15))
"""
READY = re.compile(r"sandbox ready: acquirer at 127\.0\.0\.1:(\d+), books at (http://127\.0\.0\.1:\d+)/books")


@dataclass
class Program:
    """One running sandbox."""

    process: asyncio.subprocess.Process
    port: int
    url: str

    async def kill(self) -> None:
        """End it without a word, as a crash does."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to end. Returns its exit code."""
        self.process.terminate()
        return await self.process.wait()


async def start(home: Path, *, http_port: int = 0, acquirer_port: int = 0, file_bytes_max: int = 0) -> Program:
    """Start it and wait for its ready line; fails with what it says on stderr."""
    process = await spawn(home, http_port=http_port, acquirer_port=acquirer_port, file_bytes_max=file_bytes_max)
    assert process.stdout is not None
    assert process.stderr is not None
    line = (await process.stdout.readline()).decode()
    found = READY.match(line)
    assert found, line + (await process.stderr.read()).decode()
    return Program(process, int(found[1]), found[2])


async def spawn(
    home: Path, *, http_port: int = 0, acquirer_port: int = 0, file_bytes_max: int = 0
) -> asyncio.subprocess.Process:
    """Start it without waiting for anything."""
    arguments = [str(home), str(http_port), str(acquirer_port), str(file_bytes_max)]
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments, stdout=PIPE, stderr=PIPE)


@asynccontextmanager
async def running(home: Path, *, file_bytes_max: int = 0) -> AsyncIterator[Program]:
    """A sandbox that is gone when the block ends."""
    program = await start(home, file_bytes_max=file_bytes_max)
    try:
        yield program
    finally:
        if program.process.returncode is None:
            await program.kill()
