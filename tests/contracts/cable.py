"""A cable between a store and its Postgres that can be cut at a chosen moment: real sockets, real loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

SOCKET = ".s.PGSQL.5432"
BYTES_MAX = 65536


class Cut(StrEnum):
    """When the cable breaks."""

    BEFORE = "before the server hears of it"
    AFTER = "after the server has done it"


class Cable:
    """Carries bytes both ways until it is told to break."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._next: list[Cut] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0

    def cut(self, *moments: Cut) -> None:
        """Break the connections over which the next requests go, one after the other, at these moments."""
        self._next += moments

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it or it is cut."""
        above, below = await asyncio.open_unix_connection(str(self._server))
        mine = {writer, below}
        self._writers |= mine
        there = asyncio.create_task(self._pass_on(reader, below, Cut.BEFORE))
        back = asyncio.create_task(self._pass_on(above, writer, Cut.AFTER))
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        for one in mine:
            one.close()
        self._writers -= mine

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, breaks: Cut) -> None:
        while data := await reader.read(BYTES_MAX):
            if self._next and self._next[0] is breaks:
                self._next.pop(0)
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()

    def close(self) -> None:
        """Let every connection go."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def cable_to(dsn: str, folder: Path) -> AsyncIterator[tuple[str, Cable]]:
    """A DSN that leads to the same database over a cable."""
    address = urlsplit(dsn)
    (host,) = parse_qs(address.query)["host"]
    cable = Cable(Path(host) / SOCKET)
    server = await asyncio.start_unix_server(cable.carry, str(folder / SOCKET))
    yield urlunsplit(address._replace(query=f"host={quote(str(folder), safe='/')}")), cable
    server.close()
    cable.close()
    await server.wait_closed()
