"""A gateway as the acquirer sees it: real sockets, hand-made messages, every answer in the order it came."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

from tests.sandbox.threeds import KEY
from tollhouse.acquirers.iso8583.fields import pack, pack_tags, unpack
from tollhouse.sandbox.threeds.values import Strength, Values, indicators_of

AUTHENTICATION_ID = "7c1b1a5e-0d1c-4a6b-9b1d-000000000001"  # a DS transaction id
_numbers = itertools.count(1)
WAIT_SECONDS = 30  # only so that a broken host fails a test instead of hanging it

Fields = dict[str, str]


def charge(pan: str, *, amount: int = 1000, terminal: str = "TERM0001", tags: Fields | None = None) -> Fields:
    """The fields of a sale or an authorization with references of its own."""
    number = next(_numbers)
    fields = {
        "2": pan,
        "3": "000000",
        "4": f"{amount:012d}",
        "7": "1122131415",
        "11": f"{number:06d}",
        "12": "131415",
        "13": "1122",
        "14": "3012",
        "22": "812",
        "25": "59",
        "37": f"RRN{number:09d}",
        "41": terminal,
        "42": "SHOP".ljust(15),
        "49": "978",
    }
    return fields | {"48": pack_tags({"92": "123"} | (tags or {}))}


def proof(pan: str, strength: Strength = Strength.FULL, **changes: str | None) -> Fields:
    """The tags of an authentication; tags changed to None are left out."""
    value = Values(KEY).make(strength, pan=pan, authentication_id=AUTHENTICATION_ID)
    tags = {"42": indicators_of(pan).of(strength), "43": value, "44": AUTHENTICATION_ID, "45": "2.3.1"}
    changed = tags | {name.removeprefix("tag"): text for name, text in changes.items()}
    return {tag: text for tag, text in changed.items() if text is not None}


def completion(authorization: Fields, *, amount: int = 1000, currency: str = "978") -> Fields:
    """The fields that capture an authorization, whole or in part."""
    fields = charge("", amount=amount, terminal=authorization["41"])
    del fields["2"], fields["14"]
    return fields | {"48": pack_tags({"37": authorization["37"]}), "49": currency}


def refund(original: Fields, *, amount: int = 1000, currency: str = "978") -> Fields:
    """The fields that refund a sale or a completion, whole or in part."""
    fields = charge(original.get("2", "4242424242424242"), amount=amount, terminal=original["41"])
    return fields | {"3": "200000", "48": pack_tags({"37": original["37"]}), "49": currency}


def reversal(original: Fields, *, mti: str = "0200") -> Fields:
    """The fields that undo an operation: named by RRN, terminal and field 90; a STAN of its own."""
    named = f"{mti}{original['11']}{original['7']}" + "0" * 22
    own = {"3": original["3"], "7": "1122131500", "11": f"{next(_numbers):06d}", "90": named}
    return own | {number: original[number] for number in ("4", "37", "41", "42", "49")}


def network(code: str, *, terminal: str = "TERM0001") -> Fields:
    """The fields of a sign-on, sign-off or echo."""
    return {"7": "1122131415", "11": f"{next(_numbers):06d}", "41": terminal, "70": code}


def frame(mti: str, fields: Fields) -> bytes:
    """The message as it goes over the line."""
    raw = pack(mti, fields)
    return len(raw).to_bytes(2, "big") + raw


@dataclass
class Gateway:
    """One connection to the host."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[Fields] = field(default_factory=list)

    async def send(self, *messages: tuple[str, Fields]) -> None:
        """Write all messages at once."""
        await self.send_bytes(b"".join(frame(mti, fields) for mti, fields in messages))

    async def send_bytes(self, content: bytes) -> None:
        """Write just these bytes."""
        self.writer.write(content)
        await self.writer.drain()

    async def receive_bytes(self) -> bytes:
        """The next frame without its length; empty when the host has closed the connection."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                length = await self.reader.readexactly(2)
                return await self.reader.readexactly(int.from_bytes(length, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def receive(self) -> Fields:
        """The next answer."""
        raw = await self.receive_bytes()
        assert raw, "the host closed the connection"
        return unpack(raw)

    async def exchange(self, mti: str, fields: Fields) -> Fields:
        """Send one message and take the next answer, which must be its own."""
        await self.send((mti, fields))
        answer = await self.receive()
        assert (answer["11"], answer["7"]) == (fields["11"], fields["7"])
        return answer

    async def is_cut_off(self) -> bool:
        """Whether the host closes the connection without another word."""
        return await self.receive_bytes() == b""

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def connect(port: int) -> Gateway:
    """A new connection to the host."""
    return Gateway(*await asyncio.open_connection("127.0.0.1", port))
