"""Applications on ports of their own, for browsers of tests that have no event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import uvicorn

from tollhouse.api.app import App

GOODBYE_SECONDS_MAX, STOP_SECONDS_MAX = 1, 30


class Doors:
    """Serves from a thread of its own until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers: list[tuple[uvicorn.Server, Future[None]]] = []

    def open(self, app: App, listener: socket.socket | None = None) -> str:
        """Serve one more application. Returns its address."""
        listener = listener or socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=GOODBYE_SECONDS_MAX,  # whatever a browser may keep open
        )
        server = uvicorn.Server(config)
        serving = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listener]), self._loop)
        self._servers.append((server, serving))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns, in the loop that serves."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STOP_SECONDS_MAX)

    def close(self) -> None:
        """Stop everything."""
        for server, serving in self._servers:
            server.should_exit = True
            serving.result(STOP_SECONDS_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS_MAX)
        self._loop.close()
