"""The supervisor of `tollhouse up`: one log, restarts, and an end for every child."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from tests.cli.programs import free_ports
from tollhouse.cli.failure import Failure
from tollhouse.cli.supervise import Kept, MergedLog, Part

SERVER = """
import http.server, os, signal, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404); self.end_headers()
    def log_message(self, *words): pass
def leave(*_):
    print("leaving", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
print("born as", os.environ["TOLLHOUSE_NODE"], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""
Keep = Callable[..., Kept]


@pytest.fixture
def written() -> io.StringIO:
    """What was logged."""
    return io.StringIO()


@pytest.fixture
async def keep(written: io.StringIO) -> AsyncIterator[Keep]:
    """Makes kept processes from Python programs, stopped after the test."""
    made: list[Kept] = []

    def make(program: str, *words: str, ready_at: tuple[str, int, str] | None = None) -> Kept:
        command = [sys.executable, "-c", program, *words]
        environment = {**os.environ, "TOLLHOUSE_NODE": "here"}
        part = Part(name="gateway", command=command, environment=environment, ready_at=ready_at)
        made.append(Kept(part, MergedLog("text", written)))
        return made[-1]

    yield make
    for kept in made:
        await kept.stop()


async def test_ready_restarted_stopped(keep: Keep, written: io.StringIO) -> None:
    """A process is ready when it answers 200, is started again under a new name when it dies, and stops when asked."""
    [port] = free_ports(1)
    server = keep(SERVER, str(port), ready_at=("127.0.0.1", port, "/ready"))
    await server.start()
    await server.wait_until_ready()
    first = server.pid
    os.kill(first, signal.SIGKILL)
    while server.starts < 2:
        await asyncio.sleep(0.01)
    await server.wait_until_ready()
    assert server.pid != first
    await server.stop()
    assert written.getvalue().splitlines() == [
        "gateway  | born as here-gateway-1",
        "up       | the gateway was ended by SIGKILL unexpectedly; starting it again in 0.5 s",
        "gateway  | born as here-gateway-2",
        "gateway  | leaving",
    ]


async def test_death_before_ready_ends_the_start(keep: Keep, written: io.StringIO) -> None:
    """A process that dies before it ever was ready is not restarted; its last words are in the log."""
    [port] = free_ports(1)
    server = keep("import sys; print('no money', end=''); sys.exit(3)", ready_at=("127.0.0.1", port, "/ready"))
    await server.start()
    with pytest.raises(
        Failure, match="the gateway ended with exit code 3 before it was ready; its last lines are above"
    ):
        await server.wait_until_ready()
    assert written.getvalue() == "gateway  | no money\n"


async def test_stop_while_waiting_to_start_again(keep: Keep, written: io.StringIO) -> None:
    """A process that has died and waits to be started again is simply not started."""
    server = keep("import time; time.sleep(600)")
    await server.start()
    await server.wait_until_ready()
    os.kill(server.pid, signal.SIGTERM)
    while "starting it again" not in written.getvalue():
        await asyncio.sleep(0.01)
    await server.stop()
    assert server.starts == 1


def test_log_masks_whoever_wrote() -> None:
    """A card number that a part printed without a logger does not reach the log."""
    stream = io.StringIO()
    MergedLog("text", stream).write("work", "4242 4242 4242 4242")
    assert stream.getvalue() == "work     | 424242******4242\n"


def test_log_of_json_lines() -> None:
    """Where lines are JSON the part is a field of them, and what is no JSON becomes a line of JSON."""
    stream = io.StringIO()
    log = MergedLog("json", stream)
    log.write("work", '{"event": "done", "n": 1}')
    log.write("work", 'Traceback "quoted"')
    log.say("stopping")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"part": "work", "event": "done", "n": 1},
        {"part": "work", "event": 'Traceback "quoted"'},
        {"part": "up", "event": "stopping"},
    ]
