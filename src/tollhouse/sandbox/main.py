"""The sandbox as a program: the acquirer's host, and over HTTP its books and 3-D Secure, in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from tollhouse.sandbox.books import Books
from tollhouse.sandbox.faults import delays_for
from tollhouse.sandbox.host import Host
from tollhouse.sandbox.http import HangingUp, make_app
from tollhouse.sandbox.journal import Journal, JournalUnusable
from tollhouse.sandbox.threeds.routes import ThreeDS
from tollhouse.sandbox.threeds.timers import Timers
from tollhouse.sandbox.threeds.values import KeyUnusable, Values, load_key

BACKLOG = 1024
STOP_SECONDS_MAX = 5  # for requests under way
USUAL = Timers()


class CannotStart(Exception):
    """Something outside stands in the way; the text is one line for a person."""


class _Server(uvicorn.Server):
    """Leaves the signals to us: one stop for both servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run(
    home: Path,
    host: str,
    http_port: int,
    acquirer_port: int,
    answer_limit_seconds: float,
    timers: Timers = USUAL,
) -> None:
    """Serve until SIGTERM or SIGINT. What stands in the way is one line on stderr and exit code 1.

    Port 0 takes a free port; the line that says *ready* names both.
    """
    try:
        await _run(home, host, http_port, acquirer_port, answer_limit_seconds, timers)
    except (CannotStart, JournalUnusable, KeyUnusable) as problem:
        print(f"tollhouse sandbox: {problem}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


async def _run(
    home: Path, host: str, http_port: int, acquirer_port: int, answer_limit_seconds: float, timers: Timers
) -> None:
    with contextlib.ExitStack() as opened:
        acquirer_socket = opened.enter_context(_listen(host, acquirer_port, "TOLLHOUSE_ACQUIRER_PORT"))
        http_socket = opened.enter_context(_listen(host, http_port, "TOLLHOUSE_SANDBOX_PORT"))
        journal = Journal(home / "sandbox" / "books.jsonl")
        try:
            books = Books(journal)
            failure = _failure_of(journal)
            values = Values(load_key(home / "sandbox" / "authentication.key"))
            acquirer = Host(books, delays_for(answer_limit_seconds), values)
            threeds = ThreeDS(values, timers)
            server = await acquirer.listen(acquirer_socket)
            web = _web_server(make_app(books, threeds.routes))
            with _stop_signal() as stop:
                serving = asyncio.create_task(web.serve(sockets=[http_socket]))
                at = f"acquirer at {_address(acquirer_socket)}, books at http://{_address(http_socket)}/books"
                print(f"sandbox ready: {at} ({len(books)} operations)", flush=True)
                await asyncio.wait((stop, failure, serving), return_when=asyncio.FIRST_COMPLETED)
                server.close()
                acquirer.close()
                await threeds.close()
                web.should_exit = True
                await serving
        finally:
            await journal.close()
        if failure.done():
            raise failure.result()


def _web_server(app: Starlette) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=HangingUp,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS_MAX,
        )
    )


def _listen(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as problem:
        reason = os.strerror(problem.errno) if problem.errno and problem.errno > 0 else problem.strerror
        raise CannotStart(f"{variable}: cannot listen on {host}:{port} ({reason}); choose another") from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _failure_of(journal: Journal) -> asyncio.Future[JournalUnusable]:
    failure: asyncio.Future[JournalUnusable] = asyncio.get_running_loop().create_future()
    journal.on_failure = failure.set_result
    return failure


@contextlib.contextmanager
def _stop_signal() -> Generator[asyncio.Future[None], None, None]:
    """Done at the first SIGTERM or SIGINT; later ones change nothing."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()
    signals = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in signals:
        loop.add_signal_handler(number, end)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
