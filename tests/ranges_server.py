"""A directory server on loopback that knows card ranges and no cards: for tests of what is asked for them.

with ranges_server(CardRange(...)) as server:      # serial "0"
    server.move_to(CardRange(...), CardRange(...)) # serial "1"
    server.script.append({"messageType": ...})     # what the next request is answered instead
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tollhouse.card_range import CardRange, Ranges

DS_ID = "d5000000-0000-4000-8000-000000000001"
ACTIONS = {"added": "A", "changed": "M", "removed": "D"}


class RangesServer:
    """Its ranges as they stand and as they stood, by serial number, and what it was asked."""

    def __init__(self, *ranges: CardRange) -> None:
        self.states = [Ranges(ranges)]
        self.versions: tuple[str, ...] = ("2.2.0", "2.3.1")
        self.asked: list[dict[str, Any]] = []
        self.script: deque[Mapping[str, Any] | bytes] = deque()
        self._gates: deque[threading.Event] = deque()
        self._held: list[threading.Event] = []
        self.url = ""

    @property
    def serial(self) -> str:
        """That of the ranges as they stand."""
        return str(len(self.states) - 1)

    def move_to(self, *ranges: CardRange) -> None:
        """These are the ranges from now on."""
        self.states.append(Ranges(ranges))

    def hold(self, count: int = 1) -> threading.Event:
        """The next so many requests are answered, as the ranges stand when they arrive, only after this is set."""
        gate = threading.Event()
        self._held.append(gate)
        self._gates.extend([gate] * count)
        return gate

    def let_go(self) -> None:
        """Of whatever is held."""
        for gate in self._held:
            gate.set()

    def answer(self, body: bytes) -> bytes:
        """To one request."""
        request = json.loads(body)
        said = self.script.popleft() if self.script else self._said(request)
        gate = self._gates.popleft() if self._gates else None
        self.asked.append(request)
        if gate is not None:
            gate.wait()
        return said if isinstance(said, bytes) else json.dumps(said).encode()

    def _said(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["messageType"] != "PReq":
            return {}
        serial = request.get("serialNum")
        if request["messageVersion"] not in self.versions:
            return self.erro(request, "102")
        if serial is not None and not (serial.isdigit() and int(serial) < len(self.states)):
            return self.erro(request, "307")
        before = Ranges() if serial is None else self.states[int(serial)]
        difference = before.difference(self.states[-1])
        entries = [
            _entry(one, action, request["messageVersion"])
            for action in ("removed", "changed", "added")
            for one in getattr(difference, action)
        ]
        return self.answered(request, entries)

    def answered(self, request: Mapping[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
        """A PRes with these entries."""
        spoken: dict[str, Any] = {"dsProtocolVersions": list(self.versions)}
        if request["messageVersion"] == "2.2.0":
            spoken = {"dsStartProtocolVersion": self.versions[0], "dsEndProtocolVersion": self.versions[-1]}
        return {
            "messageType": "PRes",
            "messageVersion": request["messageVersion"],
            "threeDSServerTransID": request["threeDSServerTransID"],
            "dsTransID": DS_ID,
            "serialNum": self.serial,
            **spoken,
            **({"cardRangeData": entries} if entries else {}),
        }

    def erro(self, request: Mapping[str, Any], code: str) -> dict[str, Any]:
        """An error message."""
        return {
            "messageType": "Erro",
            "messageVersion": "2.2.0",
            "threeDSServerTransID": request["threeDSServerTransID"],
            "errorCode": code,
            "errorComponent": "D",
            "errorDescription": "The test says so",
            "errorDetail": "nothing",
        }


def _entry(one: CardRange, action: str, version: str) -> dict[str, Any]:
    limits = {"startRange": one.first, "endRange": one.last}
    more: dict[str, Any] = {"acsInfoInd": list(one.info)} if one.info else {}
    if one.method_url:
        more["threeDSMethodURL"] = one.method_url
    if version == "2.2.0":
        spoken = {"acsStartProtocolVersion": one.versions[0], "acsEndProtocolVersion": one.versions[-1]}
        return {**limits, "actionInd": ACTIONS[action], **spoken, **more}
    versions = [{"version": version, **more} for version in one.versions]
    return {"ranges": [limits], "actionInd": ACTIONS[action], "acsProtocolVersions": versions}


@contextmanager
def ranges_server(*ranges: CardRange, port: int = 0) -> Iterator[RangesServer]:
    """A directory server with these ranges, in threads of its own."""
    knows = RangesServer(*ranges)

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer = knows.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    server.daemon_threads = True
    knows.url = f"http://127.0.0.1:{server.server_port}/ds"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield knows
    finally:
        knows.let_go()
        server.shutdown()
        thread.join()
        server.server_close()
