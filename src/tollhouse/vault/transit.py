"""The keyholder that is a key server: the transit engine of OpenBao or Vault. The key never leaves the server.

Wraps that are asked for at once go as one request. HTTP itself is spoken by whoever gives `Ask`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tollhouse.vault.box import CannotOpen
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.outside import Item, OutsideKeys

KEY_TYPE = "aes256-gcm96"

# Method, path below /v1/ and members; gives the status and the members of the answer. Raises `OSError`.
Ask = Callable[[str, str, Mapping[str, Any] | None], Awaitable[tuple[int, Mapping[str, Any]]]]


class TransitKeys(OutsideKeys):
    """A named key of a transit engine; its versions are the server's own."""

    kind = "transit"

    def __init__(self, ask: Ask, close: Callable[[], Awaitable[None]], *, mount: str, key: str) -> None:
        super().__init__(
            name=f"transit key {mount}/{key}",
            cure="set TOLLHOUSE_VAULT_TRANSIT_KEY to the key of this database, or restore it on the server",
        )
        self._ask_server = ask
        self._hang_up = close
        self._mount = mount
        self._key = key

    async def latest(self) -> int:
        """The server's latest version; 0 when the key is to be made yet."""
        status, data = await self._ask("GET", f"keys/{self._key}", accepted=(404,))
        if status == 404:
            return 0
        if data.get("type") != KEY_TYPE or data.get("derived") or data.get("exportable"):
            raise KeysRefused(
                f"{self._name}: a key of type {KEY_TYPE}, not derived and not exportable, is needed;"
                " set TOLLHOUSE_VAULT_TRANSIT_KEY to another name"
            )
        return int(data["latest_version"])

    async def make(self, version: int) -> None:
        """Make the key, or rotate it, until the server has this version."""
        latest = await self.latest()
        if latest == 0:
            await self._ask("POST", f"keys/{self._key}", {"type": KEY_TYPE, "exportable": False})
            latest = 1
        for _ in range(latest, version):
            await self._ask("POST", f"keys/{self._key}/rotate")

    async def destroy(self, version: int) -> None:
        """Have the server forget this version and those before it; with its last one the key goes."""
        latest = await self.latest()
        if latest <= version:
            if latest:
                await self._ask("POST", f"keys/{self._key}/config", {"deletion_allowed": True})
                await self._ask("DELETE", f"keys/{self._key}")
            return
        least = {"min_decryption_version": version + 1, "min_encryption_version": version + 1}
        await self._ask("POST", f"keys/{self._key}/config", least)
        await self._ask("POST", f"keys/{self._key}/trim", {"min_available_version": version + 1})

    def forget(self, version: int) -> None:
        """Nothing of it is here."""

    async def close(self) -> None:
        """Finish what was asked for, and hang up."""
        await super().close()
        await self._hang_up()

    async def _seal_all(self, items: Sequence[Item]) -> list[bytes]:
        results = await self._batch("encrypt", [_plain(item) for item in items])
        sealed: list[bytes] = []
        for item, result in zip(items, results, strict=True):
            head, _, text = str(result.get("ciphertext", "")).rpartition(":")
            if result.get("error") or head != f"vault:v{item.version}":
                raise KeysRefused(f"{self._name}: version {item.version} seals nothing: {result.get('error') or head}")
            sealed.append(b64decode(text))
        return sealed

    async def _open_all(self, items: Sequence[Item]) -> list[bytes | CannotOpen]:
        results = await self._batch("decrypt", [_sealed(item) for item in items])
        return [
            CannotOpen(f"the key server says: {result['error']}")
            if result.get("error")
            else b64decode(result["plaintext"])
            for result in results
        ]

    async def _batch(self, verb: str, items: list[dict[str, object]]) -> list[dict[str, Any]]:
        # An item that does not open makes the whole answer a 400 that holds the results of all.
        _, data = await self._ask("POST", f"{verb}/{self._key}", {"batch_input": items}, accepted=(400,))
        results = data.get("batch_results")
        if not isinstance(results, list) or len(results) != len(items):
            raise KeysUnreachable(f"{self._name}: the key server answers {verb} with something else")
        return results

    async def _ask(
        self, method: str, path: str, members: Mapping[str, Any] | None = None, *, accepted: Sequence[int] = ()
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            status, answer = await self._ask_server(method, f"{self._mount}/{path}", members)
        except OSError as lost:
            raise KeysUnreachable(f"{self._name}: {lost or type(lost).__name__}") from None
        errors = " ".join("; ".join(map(str, answer.get("errors") or ())).split()) or f"status {status}"
        data = answer.get("data")
        if status == 403:
            raise KeysRefused(f"{self._name}: {errors}; the token of TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE may not")
        if status in (429, 500, 502, 503):
            raise KeysUnreachable(f"{self._name}: the key server is not ready: {errors}")
        if status == 404 and 404 in accepted and not answer.get("errors"):
            return status, {}
        if status >= 300 and not (status in accepted and data):
            raise KeysRefused(f"{self._name}: {errors}; look at TOLLHOUSE_VAULT_TRANSIT_MOUNT and _KEY")
        return status, data or {}


def _plain(item: Item) -> dict[str, object]:
    return {"plaintext": _text(item.content), "associated_data": _text(item.context), "key_version": item.version}


def _sealed(item: Item) -> dict[str, object]:
    named = f"vault:v{item.version}:{_text(item.content)}"
    return {"ciphertext": named, "associated_data": _text(item.context)}


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
