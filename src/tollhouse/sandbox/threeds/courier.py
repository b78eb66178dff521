"""HTTP to the 3DS server: one POST of JSON, its answer, or why there is none."""

from __future__ import annotations

import aiohttp

from tollhouse.sandbox.threeds.messages import TIMEOUT, TRANSIENT, UNREACHABLE

ANSWER_BYTES_MAX = 64 * 1024
HEADERS = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Tollhouse-Sandbox/1"}


class NotTaken(Exception):
    """No answer came; `code` is the Erro code for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Courier:
    """Posts what the directory server has to say to 3DS servers."""

    def __init__(self, answer_seconds: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=answer_seconds)
        self._client: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes) -> bytes:
        """The answer's body. Raises `NotTaken`."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=self._timeout, headers=HEADERS)
        try:
            async with self._client.post(url, data=body, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise NotTaken(TRANSIENT)
                return await answer.content.read(ANSWER_BYTES_MAX + 1)
        except TimeoutError:
            raise NotTaken(TIMEOUT) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise NotTaken(UNREACHABLE) from None

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.close()
