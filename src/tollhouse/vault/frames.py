"""The protocol between a node and the vault's process: calls, answers, and how they become bytes.

    frame: length 4 bytes big endian · msgpack
    node → vault: ["hello", ...], then [id, [call, argument, ...]] as often as wanted, many at a time
    vault → node: ["welcome", ...] or ["refused", ...], then [id, kind, value] in any order

PANs and CVVs become text here and nowhere else on this way. Kinds are names of errors; their texts hold no card data.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

import msgspec

from tollhouse.acquirers.message import CardUse, CVVGone, NotSent, Request, Slot
from tollhouse.audit import Act
from tollhouse.card import CVV, CVV_DIGITS_MAX, CVV_DIGITS_MIN, PAN, CardDetails, KeptCard, parse_pan
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.keys import KeysRefused, KeysUnreachable
from tollhouse.vault.port import KeptRow

PROTOCOL = 1
LENGTH_BYTES = 4
FRAME_BYTES_MAX = 1024 * 1024
GREETING_BYTES_MAX = 1024  # before it is known who speaks
GREETING_SECONDS_MAX = 5.0
SHRED_MAX = 200

OK, FAILED = "ok", "failed"
# What the vault may raise, by the name that travels. Whatever else it is travels as `failed`.
KINDS: Mapping[str, type[Exception]] = {
    "not_sent": NotSent,
    "cvv_gone": CVVGone,
    "unreachable": StoreUnreachable,
    "cannot_open": CannotOpen,
    "keys_refused": KeysRefused,
    "keys_unreachable": KeysUnreachable,
}

T = TypeVar("T")


class FrameBroken(Exception):
    """What came is not of this protocol. The text never holds any of it."""


class VaultFailed(StoreUnreachable):
    """The vault did not do what it was asked, for a reason that only its own log tells."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first frame of a node. `node` is what it calls itself; who it is, its certificate or its user says."""

    protocol: int
    node: str


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The vault takes calls. `node` is who it takes the caller for."""

    protocol: int
    node: str


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The vault takes no calls from this one."""

    why: str


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What a node asks for. Its `repr` shows no argument."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Check(Call, frozen=True, array_like=True, tag="check"):
    """Can cards be kept and opened?"""


class IdempotencySecret(Call, frozen=True, array_like=True, tag="idempotency_secret"):
    """The one key that nodes are given."""


class Keep(Call, frozen=True, array_like=True, tag="keep"):
    """`NodeVault.keep`"""

    project: str
    card: CardDetails


class SealCvv(Call, frozen=True, array_like=True, tag="seal_cvv"):
    """`NodeVault.seal_cvv`"""

    project: str
    cvv: CVV


class EraseCvv(Call, frozen=True, array_like=True, tag="erase_cvv"):
    """`NodeVault.erase_cvv`, and `left`"""

    sealed: str


class OldCvvSlots(Call, frozen=True, array_like=True, tag="old_cvv_slots"):
    """`NodeVault.old_cvv_slots`"""

    after: str


class EraseCvvSlots(Call, frozen=True, array_like=True, tag="erase_cvv_slots"):
    """`NodeVault.erase_cvv_slots`"""

    names: list[str]


class NextCards(Call, frozen=True, array_like=True, tag="next_cards"):
    """`NodeVault.next_cards`"""

    after: tuple[str, str]
    project: str | None


class Shred(Call, frozen=True, array_like=True, tag="shred"):
    """`NodeVault.shred`"""

    cards: Annotated[list[tuple[str, str]], msgspec.Meta(max_length=SHRED_MAX)]
    why: str


class Fill(Call, frozen=True, array_like=True, tag="fill"):
    """`NodeVault.fill`"""

    request: Request


class FillText(Call, frozen=True, array_like=True, tag="fill_text"):
    """`NodeVault.fill_text`"""

    card: CardUse
    slots: dict[str, Slot]


class OpenSecrets(Call, frozen=True, array_like=True, tag="open_secrets"):
    """`NodeVault.open_secrets`"""

    project: str
    sealed: bytes


class Record(Call, frozen=True, array_like=True, tag="record"):
    """Entries of the node's own for the audit log."""

    acts: list[Act]


AnyCall = (
    Check
    | IdempotencySecret
    | Keep
    | SealCvv
    | EraseCvv
    | OldCvvSlots
    | EraseCvvSlots
    | NextCards
    | Shred
    | Fill
    | FillText
    | OpenSecrets
    | Record
)

# What each call is answered with.
ANSWERS: Mapping[type[Call], Any] = {
    Check: None,
    IdempotencySecret: bytes,
    Keep: KeptCard,
    SealCvv: str,
    EraseCvv: None,
    OldCvvSlots: list[str],
    EraseCvvSlots: None,
    NextCards: list[KeptRow],
    Shred: int,
    Fill: dict[str, str],
    FillText: dict[str, str],
    OpenSecrets: bytes,
    Record: None,
}


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A call under the number that its answer will have."""

    id: int
    call: AnyCall


class Unread(msgspec.Struct, frozen=True, array_like=True):
    """A call that is not looked into: to refuse one that makes no sense under its number."""

    id: int
    call: msgspec.Raw

    def __repr__(self) -> str:
        return f"Unread({self.id})"


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """An answer, or the name of an error with its text."""

    id: int
    kind: str
    value: msgspec.Raw = msgspec.Raw(b"\xc0")

    def __repr__(self) -> str:
        return f"Answered({self.id}, {self.kind})"


def _uncover(value: Any) -> str:
    if isinstance(value, PAN | CVV):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} does not travel")


def _cover(kind: type, value: Any) -> Any:
    if kind is PAN:
        return parse_pan(value)
    if kind is CVV and isinstance(value, str) and CVV_DIGITS_MIN <= len(value) <= CVV_DIGITS_MAX and value.isdecimal():
        return CVV(value)
    raise ValueError("not what it is to be")


_encode = msgspec.msgpack.Encoder(enc_hook=_uncover).encode
_DECODERS = {
    kind: msgspec.msgpack.Decoder(kind, dec_hook=_cover)
    for kind in (Hello, Welcome | Refused, Asked, Unread, Answered, str, *ANSWERS.values())
}


def encode(message: object) -> bytes:
    """The bytes of a frame, without its length."""
    return _encode(message)


def decode(kind: type[T] | Any, frame: bytes | msgspec.Raw) -> T:
    """The message of a frame. Raises `FrameBroken`, which does not say with what."""
    try:
        return cast(T, _DECODERS[kind].decode(frame))
    # The text of an error may show what was in the frame.
    except (msgspec.MsgspecError, ValueError, TypeError, AssertionError, RecursionError):
        raise FrameBroken("a frame that is not of this protocol") from None


def answer(id: int, value: object) -> bytes:
    """The frame of a good answer."""
    return _encode(Answered(id, OK, msgspec.Raw(_encode(value))))


def refusal(id: int, kind: str, text: str) -> bytes:
    """The frame of an error."""
    return _encode(Answered(id, kind, msgspec.Raw(_encode(text))))


def told_or_not(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """The same future; when it fails and nobody waits for it any more, that is no error of its own."""
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
    return future


class Frames(asyncio.Protocol, ABC):
    """One connection as frames. What is sent in one turn of the event loop is written together."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._sending: list[bytes] = []
        self._bytes_max = GREETING_BYTES_MAX
        self.has_received = False

    @abstractmethod
    def on_frame(self, frame: bytes) -> None:
        """A whole frame came. Raises `FrameBroken`: then the connection ends."""

    @abstractmethod
    def on_lost(self, problem: Exception | None) -> None:
        """The connection is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._received.clear()
        self._sending.clear()
        self._transport = None
        self.on_lost(exc)

    def greeted(self) -> None:
        """From now on longer frames may come."""
        self._bytes_max = FRAME_BYTES_MAX

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.has_received = True
        received = self._received
        received += data
        start = 0
        try:
            while len(received) - start >= LENGTH_BYTES:
                begin = start + LENGTH_BYTES
                end = begin + int.from_bytes(received[start:begin], "big")
                if not begin < end <= begin + self._bytes_max:
                    raise FrameBroken("a frame that is too long or empty")
                if len(received) < end:
                    break
                start = end
                self.on_frame(bytes(received[begin:end]))
        except FrameBroken as problem:
            self.on_broken(problem)
            return
        del received[:start]

    def on_broken(self, problem: FrameBroken) -> None:
        """What came makes no sense: nothing that comes after it can."""
        self.abort()

    def send(self, frame: bytes) -> None:
        """Write a frame with all others of this turn; one that is lost with its connection is lost silently."""
        if len(frame) > FRAME_BYTES_MAX:
            raise FrameBroken("a frame that is too long")
        if not self._sending:
            self._loop.call_soon(self._flush)
        self._sending.append(len(frame).to_bytes(LENGTH_BYTES, "big"))
        self._sending.append(frame)

    def hang_up(self) -> None:
        """Write what waits, then end the connection."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._sending and self._transport is not None:
            self._transport.write(b"".join(self._sending))
        self._sending.clear()
