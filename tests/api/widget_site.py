"""A merchant's payment form: a build of the widget that a test writes, its addresses, and its calls.

shop = open_shop(assets=fake_assets(tmp_path))
token = await form_token(shop)                     # of a session that waits to be paid
await form_call(shop, "pay", token, TYPED)         # as the form does
async with listening(shop, token) as stream: …     # how it stands, as it is streamed
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.api.client import CVV, EUROS, PAN, Answered, Shop
from tests.worlds import PROJECT, FakeLog
from tollhouse.api.widget.assets import NAMES, Assets
from tollhouse.merchant import Settings
from tollhouse.public_token import token_id

PUBLIC_URL = "https://pay.test"
NOBODY = "0" * 64
HOLDER = "KAI DOE"
SENT_CARD = {"number": PAN, "expiration_month": "08", "expiration_year": "31", "security_code": CVV}
TYPED: dict[str, Any] = {"card": SENT_CARD, "cardholder_name": HOLDER}
PATIENCE_SECONDS = 10
NDJSON = "application/x-ndjson"


def write_build(folder: Path, *, says: str = "first", bodies: Mapping[str, str] | None = None) -> str:
    """A build of the widget with a little text in each file, or with these; its version."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, whole = [], b""
    for name in sorted(NAMES):
        body = (bodies or {}).get(name, f"/* {says}: {name} ✓ */\n" * 20).encode()
        (folder / name).write_bytes(body)
        whole += body
        entries.append(
            {
                "name": name,
                "integrity": "sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode(),
                "sha256": "sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode(),
                "bytes": len(body),
                "gzip": len(body),
                "page": "form's frame",
                "reason": "It is there for tests.",
            }
        )
    version = hashlib.sha256(whole).hexdigest()[:12]
    (folder / "inventory.json").write_text(json.dumps({"version": version, "files": entries}))
    return version


def fake_assets(folder: Path, *, says: str = "first", log: FakeLog | None = None) -> Assets:
    """That build, opened, with its archive beside it."""
    write_build(folder / f"built-{says}", says=says)
    return Assets.open(folder / f"built-{says}", folder / "archive", log or FakeLog())


async def form_token(shop: Shop, *, project: str = "shop", **widget: Any) -> str:
    """A public token for the form of a new session; members are those of `acquiring_widget`."""
    created = await shop.call("session/create", {"amount_details": EUROS}, project=project)
    return await token_for(shop, str(created.session["id"]), project=project, **widget)


async def token_for(shop: Shop, session_id: str, *, project: str = "shop", **widget: Any) -> str:
    """Another public token for a session."""
    asked = {"acquiring_widget": {"session_id": session_id, **widget}}
    answered = await shop.call("token", asked, project=project)
    assert answered.status == 200, answered.body
    return str(answered.json["public_token"])


async def tokenize_token(shop: Shop) -> str:
    """A public token that turns a card into a token."""
    answered = await shop.call("token", {"tokenize_widget": {"access": True}})
    assert answered.status == 200, answered.body
    return str(answered.json["public_token"])


def session_of(shop: Shop) -> str:
    """The id of the only session."""
    ((_, session_id),) = shop.world.books.sessions
    return session_id


async def form_call(
    shop: Shop,
    step: str,
    token: str | None,
    members: Any = None,
    *,
    raw: bytes | None = None,
    verb: str = "POST",
    **headers: str,
) -> Answered:
    """A call of the form; headers are named with underscores, an empty one is left out."""
    given = {"content-type": "application/json", "host": "pay.test"}
    if token is not None:
        given["x-public-token"] = token
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = raw if raw is not None else json.dumps({} if members is None else members).encode()
    shown = {name: value for name, value in given.items() if value}
    return await shop.request(f"/widget/v1/{step}", shown, body, verb=verb)


async def read(shop: Shop, path: str, *, verb: str = "GET", **headers: str) -> Answered:
    """A page or a file, as a browser reads it; headers are named with underscores."""
    given = {"host": "pay.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await shop.request(path, given, verb=verb)


def frame_path(token: str) -> str:
    """Where the token's form is framed from."""
    return f"/widget/v1/frame/{token_id(token)}"


def policy_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The content policy by directive."""
    parts = headers["content-security-policy"].split("; ")
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


def frame_data(page: str) -> Any:
    """What the frame has for its script."""
    found = re.search(r'<script type="application/json" id="tollhouse-frame">([^<]*)</script>', page)
    assert found is not None
    return json.loads(found[1])


def admit(shop: Shop, *, is_live: bool = False, is_disabled: bool = False, **settings: Any) -> None:
    """The project `shop` as its operator has changed it."""
    changed = replace(PROJECT, is_live=is_live, is_disabled=is_disabled, settings=replace(Settings(), **settings))
    shop.admit(changed)


class Listener:
    """Whoever reads one stream."""

    def __init__(self) -> None:
        self.head: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.has_end = False
        self._hung_up = asyncio.Event()
        self._body: list[Any] = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive(self) -> Any:
        """The body, then nothing until the reader hangs up."""
        if self._body:
            return self._body.pop()
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """What the application sends."""
        if message["type"] == "http.response.start":
            self.head.set_result(message)
            return
        if message["body"]:
            self.pieces.put_nowait(message["body"])
        self.has_end = not message.get("more_body", False)

    def hang_up(self) -> None:
        """The reader goes away."""
        self._hung_up.set()

    async def headers(self) -> dict[str, str]:
        """The answer's headers."""
        head = await asyncio.wait_for(asyncio.shield(self.head), PATIENCE_SECONDS)
        assert head["status"] == 200
        return {name.decode(): value.decode() for name, value in head["headers"]}

    async def piece(self) -> bytes:
        """The next piece."""
        return await asyncio.wait_for(self.pieces.get(), PATIENCE_SECONDS)

    async def state(self) -> Any:
        """The next piece as a state: one line of JSON."""
        piece = await self.piece()
        assert piece.endswith(b"\n")
        assert piece.count(b"\n") == 1
        return json.loads(piece)


@asynccontextmanager
async def listening(shop: Shop, token: str) -> AsyncIterator[tuple[Listener, asyncio.Task[None]]]:
    """Somebody who listens to how a payment stands, and the request they make."""
    listener = Listener()
    given = {"content-type": "application/json", "x-public-token": token, "accept": NDJSON}
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": "POST", "path": "/widget/v1/status", "headers": headers}
    request = asyncio.ensure_future(shop.app(scope, listener.receive, listener.send))
    try:
        yield listener, request
    finally:
        listener.hang_up()
        await asyncio.wait_for(request, PATIENCE_SECONDS)
