"""Payers who are authenticated: what the gateway adds to each message of 3-D Secure, without the issuer's time.

The directory server is played here, so that the moment at which a request arrives and the moment at which its answer
leaves are known: what is left of the payer's waiting is the gateway's.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.merchant import Merchant
from tollhouse.sandbox.cards import compose as compose_card
from tollhouse.sandbox.threeds.values import Strength, Values, load_key
from tollhouse.threeds.message import MessageType
from tollhouse.threeds.writing import compose

# Visa, first answer 7 (challenge), no method page: the sandbox's acquirer knows it, its directory server is not asked.
PAN = compose_card(authentication=7, method=1)
RANGE = ("4000127000000000", "4000127999999999")
CARD = {"number": PAN, "expiration_month": "08", "expiration_year": "31", "security_code": "417"}
BROWSER = {
    "completion": "U",
    "language": "en",
    "java": False,
    "color_depth": 24,
    "screen_height": 900,
    "screen_width": 1440,
    "timezone_minutes": -60,
}


@dataclass
class Server:
    """The directory server: every request is answered at once with a challenge."""

    asked_seconds: dict[str, float] = field(default_factory=dict)  # by id: how long we had the request
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def listen(self) -> str:
        """Serve on a port of the system's choice; the address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ds"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = await read_message(reader)
                began = time.perf_counter()
                message = json.loads(body)
                writer.write(written(b"HTTP/1.1 200 OK", json.dumps(self._answer(message)).encode()))
                self.asked_seconds[message["threeDSServerTransID"]] = time.perf_counter() - began
        except asyncio.IncompleteReadError:
            writer.close()

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        version, id = message["messageVersion"], message["threeDSServerTransID"]
        if message["messageType"] == "PReq":
            return compose(MessageType.PRES, version, {**ranges(version), "threeDSServerTransID": id})
        self.asked[id] = message
        offered = {
            "threeDSServerTransID": id,
            "acsTransID": str(uuid.uuid4()),
            "dsTransID": str(uuid.uuid4()),
            "acsReferenceNumber": "BENCH-ACS",
            "dsReferenceNumber": "BENCH-DS",
            "acsOperatorID": "BENCH",
            "acsURL": "http://127.0.0.1/acs",
            "acsChallengeMandated": "Y",
            "authenticationType": "02",
            "authenticationMethod": ["02"],
            "transStatus": "C",
        }
        answer = compose(MessageType.ARES, version, offered)
        self.asked[id] = {**message, "acsTransID": answer["acsTransID"], "dsTransID": answer["dsTransID"]}
        return answer


def ranges(version: str) -> dict[str, Any]:
    """One range, in the shape of either version."""
    first, last = RANGE
    known: dict[str, Any] = {
        "serialNum": "1",
        "dsTransID": str(uuid.uuid4()),
        "dsStartProtocolVersion": "2.2.0",
        "dsEndProtocolVersion": "2.3.1",
        "dsProtocolVersions": ["2.2.0", "2.3.1"],
    }
    old = {"startRange": first, "endRange": last, "acsStartProtocolVersion": "2.2.0", "acsEndProtocolVersion": "2.3.1"}
    new = {
        "ranges": [{"startRange": first, "endRange": last}],
        "acsProtocolVersions": [{"version": "2.2.0"}, {"version": "2.3.1"}],
    }
    return {**known, "cardRangeData": [{**(old if version == "2.2.0" else new), "actionInd": "A"}]}


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """The body of an HTTP message that says how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return await reader.readexactly(int(found[1])) if found else b""


def written(first: bytes, body: bytes, kind: bytes = b"application/json; charset=utf-8", more: bytes = b"") -> bytes:
    """An HTTP message."""
    return b"%s\r\nHost: bench\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (
        first,
        kind,
        more,
        len(body),
        body,
    )


@dataclass
class Payers:
    """Payers of one gateway, over kept connections, and how long each message took it, in milliseconds."""

    merchant: Merchant
    server: Server
    values: Values
    took_ms: dict[str, list[float]] = field(default_factory=lambda: {"page": [], "request": [], "result": []})
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    @classmethod
    def of(cls, merchant: Merchant, server: Server, home: Path) -> Payers:
        """With the key under which the sandbox's acquirer checks authentication values."""
        return cls(merchant, server, Values(load_key(home / "sandbox" / "authentication.key")))

    async def pay(self, init_body: bytes, init_signature: bytes) -> str:
        """One payment with a challenge, to its end: the session's status."""
        return await self.merchant.pay_authenticated(init_body, init_signature, self._authenticate)

    async def _authenticate(self, link: str) -> None:
        path = "/3ds/" + link.rpartition("/")[2]
        page = await self._ask("page", "GET", path, b"")
        assert b"payer-status" in page, "no page"
        body = json.dumps(BROWSER).encode()
        began = time.perf_counter()
        await self._ask("", "POST", path + "/browser", body)
        whole = time.perf_counter() - began
        id = self._id_of(path)
        self.took_ms["request"].append((whole - self.server.asked_seconds[id]) * 1000)
        message = self.server.asked[id]
        value = self.values.make(Strength.FULL, pan=PAN, authentication_id=message["dsTransID"])
        result = compose(
            MessageType.RREQ,
            message["messageVersion"],
            {
                **{name: message[name] for name in ("threeDSServerTransID", "acsTransID", "dsTransID")},
                "messageCategory": "01",
                "authenticationType": "02",
                "authenticationMethod": ["02"],
                "interactionCounter": "01",
                "transStatus": "Y",
                "eci": "05",
                "authenticationValue": value,
            },
        )
        answer = await self._ask("result", "POST", "/3ds/results", json.dumps(result).encode())
        assert json.loads(answer)["messageType"] == "RRes", answer

    def _id_of(self, path: str) -> str:
        """The authentication of this link: its notification address holds it."""
        link = path.rpartition("/")[2]
        return next(id for id, message in self.server.asked.items() if f"/{link}/" in message["notificationURL"])

    async def _ask(self, what: str, verb: str, path: str, body: bytes) -> bytes:
        merchant = self.merchant
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(merchant.host, merchant.port)
        began = time.perf_counter()
        first = f"{verb} {path} HTTP/1.1".encode()
        writer.write(written(first, body, b"application/json", b"User-Agent: bench\r\nAccept: text/html\r\n"))
        answer = await read_message(reader)
        if what:
            self.took_ms[what].append((time.perf_counter() - began) * 1000)
        self._idle.append((reader, writer))
        return answer


def init_body(merchant: Merchant) -> tuple[bytes, bytes]:
    """A payment whose payer is authenticated, signed once."""
    body = json.dumps(
        {
            "payment_details": {"type": "card", "card": {"type": "bank_card", "bank_card": CARD}},
            "amount_details": {"amount": 2590, "currency": "eur"},
            "customer": {"reference": "bench", "contacts": [{"email": "kai@example.org"}]},
        }
    ).encode()
    return body, merchant.sign(body)


Authenticate = Callable[[str], Awaitable[None]]


async def authenticate_gently(payers: Payers, rate: int, seconds: int) -> int:
    """So many authenticated payments a second; how many did not succeed. The times are in `payers.took_ms`."""
    body, signature = init_body(payers.merchant)
    failed = 0

    async def one() -> None:
        nonlocal failed
        failed += await payers.pay(body, signature) != "accepted"

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        begin = time.perf_counter()
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            group.create_task(one())
    return failed
