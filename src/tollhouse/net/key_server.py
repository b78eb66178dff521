"""HTTP to a key server (OpenBao, Vault): JSON in, JSON out, with the token of a file that may change at any time."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

ANSWER_SECONDS_MAX = 5.0
CONNECTIONS_MAX = 8
ATTEMPTS_MAX = 2


class KeyServer:
    """A server at one address. What is asked may be asked twice: a connection that died in between is replaced."""

    def __init__(self, url: str, *, token_file: Path, ca_file: Path | None) -> None:
        self._url = url
        self._token_file = token_file
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, members: Mapping[str, Any] | None) -> tuple[int, Mapping[str, Any]]:
        """Status and members of the answer. Raises `OSError` with one clear line when there is none."""
        token = (await asyncio.to_thread(self._token_file.read_text)).strip()
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._ask(method, path, members, token)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                if attempt == ATTEMPTS_MAX:
                    raise ConnectionResetError(f"{self._url} hung up") from None
            except TimeoutError:
                raise TimeoutError(f"{self._url} did not answer in {ANSWER_SECONDS_MAX:g} s") from None
            except aiohttp.ClientError as problem:
                raise ConnectionError(f"{self._url} cannot be reached: {' '.join(str(problem).split())}") from None
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, path: str, members: Mapping[str, Any] | None, token: str
    ) -> tuple[int, Mapping[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=self._tls),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
            )
        async with self._session.request(
            method,
            f"{self._url}/v1/{path}",
            json=None if members is None else dict(members),
            headers={"X-Vault-Token": token, "X-Vault-Request": "true"},
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
        return answer.status, _members(body)


def _members(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
