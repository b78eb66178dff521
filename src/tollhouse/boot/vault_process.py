"""The vault's process: `serve` takes calls of nodes until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import structlog
import uvloop

from tollhouse.boot.config import Config
from tollhouse.boot.vaults import serve_vault, vault_database
from tollhouse.store.migrate import check


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SchemaNotCurrent`, `DatabaseUnreachable`, `KeysRefused`."""
    uvloop.run(_serve(config))


async def _serve(config: Config) -> None:
    await check(vault_database(config))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve_vault(config, stop=stop) as place:
        structlog.get_logger().info("vault ready", listens=str(place), node=config.node)
        await stop.wait()
