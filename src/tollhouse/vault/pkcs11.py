"""The keyholder that is an HSM: AES keys inside a PKCS#11 token, which seal there (AES-GCM) and never come out.

Each version is an object named <label>-v<version>: sensitive, not extractable, for sealing and opening alone. A thread
of its own speaks with the token, and what waits meanwhile goes as one piece of work.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from tollhouse.vault.box import KEY_BYTES, NONCE_BYTES, CannotOpen
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.outside import Item, OutsideKeys

TAG_BITS = 128
TEMPLATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
}
# What a token says of bytes that do not open. SoftHSM has no better word for a wrong tag than a general error.
NOT_OPENED = (
    pkcs11.exceptions.EncryptedDataInvalid,
    pkcs11.exceptions.EncryptedDataLenRange,
    pkcs11.exceptions.DataInvalid,
    pkcs11.exceptions.DataLenRange,
    pkcs11.exceptions.ArgumentsBad,
    pkcs11.exceptions.GeneralError,
    pkcs11.exceptions.FunctionFailed,
)
# The session is gone (the token was taken out, its daemon started anew): the next use logs in again.
SESSION_LOST = (
    pkcs11.exceptions.SessionHandleInvalid,
    pkcs11.exceptions.SessionClosed,
    pkcs11.exceptions.KeyHandleInvalid,
    pkcs11.exceptions.ObjectHandleInvalid,
    pkcs11.exceptions.UserNotLoggedIn,
)

# A PKCS#11 library belongs to the whole process, and ours is initialised without locks of its own: two threads in it at
# once may find a key that is not there whole.
_LIBRARY = threading.Lock()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where the token is and how to log in."""

    module: str
    label: str
    pin: str = field(repr=False)


class Pkcs11Keys(OutsideKeys):
    """A named key of a token."""

    kind = "pkcs11"

    def __init__(self, token: Token, *, key: str) -> None:
        super().__init__(
            name=f"PKCS#11 key {key} of token {token.label}",
            cure="set TOLLHOUSE_VAULT_PKCS11_TOKEN and _KEY to those of this database, or restore the token",
        )
        self._token = token
        self._key = key
        self._session: Any = None
        self._found: dict[int, Any] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pkcs11")

    async def latest(self) -> int:
        """The greatest version among the objects of the token."""
        return await self._run(self._latest)

    async def make(self, version: int) -> None:
        """Have the token make a key of this version, unless it has one."""
        await self._run(lambda: self._make(version))

    async def destroy(self, version: int) -> None:
        """Destroy the object."""
        await self._run(lambda: self._destroy(version))

    def forget(self, version: int) -> None:
        """Keep no handle."""
        self._found.pop(version, None)

    async def close(self) -> None:
        """Finish what was asked for and log out."""
        await super().close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._alone, self._end)
        self._thread.shutdown(wait=False)

    async def _seal_all(self, items: Sequence[Item]) -> list[bytes]:
        return await self._run(lambda: [self._seal(item) for item in items])

    async def _open_all(self, items: Sequence[Item]) -> list[bytes | CannotOpen]:
        return await self._run(lambda: [self._open(item) for item in items])

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._alone, work)

    def _alone(self, work: Callable[[], T]) -> T:
        with _LIBRARY:
            return self._translated(work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            try:
                return work()
            except SESSION_LOST:
                self._end()
                return work()
        except pkcs11.exceptions.PKCS11Error as problem:
            why = " ".join(str(problem).split()) or type(problem).__name__
            raise KeysUnreachable(f"{self._name}: the token does not answer: {why}") from None

    def _open_session(self) -> Any:
        if self._session is None:
            self._session = log_in(self._token)
        return self._session

    def _end(self) -> None:
        session, self._session = self._session, None
        self._found.clear()
        if session is not None:
            try:
                session.close()
            except pkcs11.exceptions.PKCS11Error:
                return  # it was gone already

    def _objects(self, label: str | None = None) -> list[Any]:
        wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES}
        return list(self._open_session().get_objects(wanted | ({} if label is None else {Attribute.LABEL: label})))

    def _latest(self) -> int:
        start = f"{self._key}-v"
        ends = [key.label.removeprefix(start) for key in self._objects() if key.label.startswith(start)]
        return max((int(end) for end in ends if end.isdecimal()), default=0)

    def _find(self, version: int) -> Any:
        if version not in self._found:
            objects = self._objects(f"{self._key}-v{version}")
            if len(objects) > 1:
                raise KeysRefused(f"{self._name}: {len(objects)} objects are version {version}; remove all but one")
            if not objects:
                raise CannotOpen(f"the token has no {self._key}-v{version}")
            self._found[version] = objects[0]
        return self._found[version]

    def _make(self, version: int) -> None:
        label = f"{self._key}-v{version}"
        if not self._objects(label):
            self._open_session().generate_key(KeyType.AES, KEY_BYTES * 8, label=label, store=True, template=TEMPLATE)

    def _destroy(self, version: int) -> None:
        self._found.pop(version, None)
        for key in self._objects(f"{self._key}-v{version}"):
            key.destroy()

    def _seal(self, item: Item) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        key = self._find(item.version)
        sealed: bytes = key.encrypt(item.content, mechanism=Mechanism.AES_GCM, mechanism_param=_how(nonce, item))
        return nonce + sealed

    def _open(self, item: Item) -> bytes | CannotOpen:
        nonce, sealed = item.content[:NONCE_BYTES], item.content[NONCE_BYTES:]
        if len(sealed) < TAG_BITS // 8:
            return CannotOpen("changed bytes: too few")
        try:
            key = self._find(item.version)
            plain: bytes = key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=_how(nonce, item))
        except CannotOpen as problem:
            return problem
        except NOT_OPENED:
            return CannotOpen("wrong key, wrong place or changed bytes")
        return plain


def log_in(token: Token) -> Any:
    """A session with the token. Raises `KeysRefused` naming the setting that is wrong, and PKCS#11's own errors."""
    try:
        library = pkcs11.lib(token.module)
    except pkcs11.exceptions.PKCS11Error as problem:
        raise KeysRefused(f"TOLLHOUSE_VAULT_PKCS11_MODULE={token.module}: is no PKCS#11 library: {problem}") from None
    try:
        found = library.get_token(token_label=token.label)
        try:
            return found.open(rw=True, user_pin=token.pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            return found.open(rw=True)  # another session of this process did
    except pkcs11.exceptions.NoSuchToken:
        raise KeysRefused(
            f"TOLLHOUSE_VAULT_PKCS11_TOKEN={token.label}: the module has no such token; `softhsm2-util --show-slots`"
            " or its like lists them"
        ) from None
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinInvalid, pkcs11.exceptions.PinLenRange):
        raise KeysRefused("TOLLHOUSE_VAULT_PKCS11_PIN_FILE: the token refuses its PIN; write the right one") from None
    except pkcs11.exceptions.PinLocked:
        raise KeysRefused(f"token {token.label}: its PIN is locked; its security officer unlocks it") from None


def _how(nonce: bytes, item: Item) -> GCMParams:
    return GCMParams(nonce, item.context, TAG_BITS)
