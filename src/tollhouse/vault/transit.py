"""The keyholder that is a key server: the transit engine of OpenBao or Vault. The key never leaves the server.

Wraps that are asked for at once go as one request. HTTP itself is spoken by whoever gives `Ask`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollhouse.grouping import Grouped
from tollhouse.vault.box import CannotOpen, bind
from tollhouse.vault.keys import KeysRefused, KeysUnreachable

KEY_TYPE = "aes256-gcm96"
# OpenBao refuses JSON of more than about a thousand texts; an item has five.
GROUP_SIZE_MAX = 100
CHECK = bind("tollhouse key check")

# Method, path below /v1/ and members; gives the status and the members of the answer. Raises `OSError`.
Ask = Callable[[str, str, Mapping[str, Any] | None], Awaitable[tuple[int, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class _Item:
    version: int
    content: bytes = field(repr=False)
    context: bytes

    def plain(self) -> dict[str, object]:
        return {"plaintext": _text(self.content), "associated_data": _text(self.context), "key_version": self.version}

    def sealed(self) -> dict[str, object]:
        return {"ciphertext": f"vault:v{self.version}:{_text(self.content)}", "associated_data": _text(self.context)}


class TransitKeys:
    """A named key of a transit engine; its versions are the server's own."""

    kind = "transit"

    def __init__(self, ask: Ask, close: Callable[[], Awaitable[None]], *, mount: str, key: str) -> None:
        self._ask_server = ask
        self._close = close
        self._mount = mount
        self._key = key
        self._seals: Grouped[_Item, bytes] = Grouped(self._seal_all, group_size_max=GROUP_SIZE_MAX)
        self._opens: Grouped[_Item, bytes | CannotOpen] = Grouped(self._open_all, group_size_max=GROUP_SIZE_MAX)

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

    async def check_value(self, version: int) -> bytes:
        """A known text, sealed: only the same key opens it."""
        return await self.seal(version, CHECK, CHECK)

    async def take_up(self, version: int, check_value: bytes, held: bytes | None) -> None:
        """Let the server open the check value. Raises `KeysRefused`."""
        try:
            await self.unseal(version, check_value, CHECK)
        except CannotOpen as problem:
            raise KeysRefused(
                f"{self._name}: version {version} is not the one of this database ({problem});"
                " set TOLLHOUSE_VAULT_TRANSIT_KEY to the key of this database, or restore it on the server"
            ) from None

    async def seal(self, version: int, plain: bytes, context: bytes) -> bytes:
        """Seal on the server, with others that wait."""
        return await self._seals.ask(_Item(version, plain, context))

    async def unseal(self, version: int, sealed: bytes, context: bytes) -> bytes:
        """Open on the server, with others that wait. Raises `CannotOpen`."""
        opened = await self._opens.ask(_Item(version, sealed, context))
        if isinstance(opened, CannotOpen):
            raise opened
        return opened

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
        await self._seals.close()
        await self._opens.close()
        await self._close()

    @property
    def _name(self) -> str:
        return f"transit key {self._mount}/{self._key}"

    async def _seal_all(self, items: Sequence[_Item]) -> list[bytes]:
        results = await self._batch("encrypt", [item.plain() for item in items])
        sealed: list[bytes] = []
        for item, result in zip(items, results, strict=True):
            head, _, text = str(result.get("ciphertext", "")).rpartition(":")
            if result.get("error") or head != f"vault:v{item.version}":
                raise KeysRefused(f"{self._name}: version {item.version} seals nothing: {result.get('error') or head}")
            sealed.append(b64decode(text))
        return sealed

    async def _open_all(self, items: Sequence[_Item]) -> list[bytes | CannotOpen]:
        results = await self._batch("decrypt", [item.sealed() for item in items])
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


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
