"""Tollhouse with leaks planted in it: `python -m tests.leaks.planted up` is `tollhouse up`, and each part leaks.

As the simulation's saboteurs do, a few functions are replaced in the running process; nothing of this is in the
package. Each plant waits for a card of its own, so that what is found tells which of them it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tollhouse.card import CardDetails
from tollhouse.sandbox.cards import compose

LEAKS = (
    "log line",
    "security code in a log line",
    "exception text",
    "crash report",
    "metric label",
    "row",
    "sample of the planner",
    "webhook body",
    "webhook address",
    "answer",
    "file name",
    "core dump",
)
CARDS = {name: compose(brand="mastercard", free=f"{number:02d}") for number, name in enumerate(LEAKS, start=50)}
CODE = "0739"
_BY_CARD = {digits: name for name, digits in CARDS.items()}
_seen: list[str] = []


class Spoilt(Exception):
    """A bug that carries what it should not."""


async def plant(name: str, digits: str, pool: Any, home: Path) -> None:
    """What happens to this card."""
    match name:
        case "log line":
            # In the clear the log itself would mask it.
            print("card", json.dumps({"body": b64encode(b'{"number": "%b"}' % digits.encode()).decode()}), flush=True)
        case "security code in a log line":
            print(f"sent security_code={CODE}", flush=True)
        case "exception text":
            # Of an exception in a call the gateway logs the kind alone; of one in the background all of it.
            asyncio.get_running_loop().call_soon(_fail, "", f"cannot keep {digits.encode().hex()}")
        case "crash report":
            try:
                _fail(digits)
            except Spoilt as problem:
                shown = traceback.TracebackException.from_exception(problem, capture_locals=True).format()
                (home / "crash.txt").write_text("".join(shown))
        case "row":
            await pool.execute("INSERT INTO planted VALUES (7, $1)", json.dumps({"pan": digits}))
        case "sample of the planner":
            await pool.execute("INSERT INTO sampled SELECT $1 FROM generate_series(1, 100)", digits)
        case "file name":
            (home / f"receipt-{digits}.tmp").touch()
        case "core dump":
            from tests.leaks.memory import dump

            dump(os.getpid(), home / "core.1")
        case _:
            _seen.append(digits)


def _fail(number: str, text: str = "a bug") -> None:
    raise Spoilt(text)


def _leaking(keep: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def spoilt(self: Any, project: str, card: CardDetails) -> Any:
        digits = card.pan.reveal()
        if digits in _BY_CARD:
            await plant(_BY_CARD[digits], digits, self._keys.pool, Path(os.environ["TOLLHOUSE_HOME"]))
        return await keep(self, project, card)

    return spoilt


def _seen_for(name: str) -> str:
    return CARDS[name] if CARDS[name] in _seen else ""


def spoil() -> None:
    """Plant everything in this process."""
    from tollhouse.api.calls import Calls
    from tollhouse.api.pages import Pages
    from tollhouse.net.http import WebhookSender
    from tollhouse.vault.embedded import EmbeddedVault

    honest_post, honest_page, honest_answer = WebhookSender.post, Pages.answer, Calls.answer

    async def post(self: Any, url: str, body: bytes, *arguments: Any, **more: Any) -> Any:
        if digits := _seen_for("webhook address"):
            url = f"{url}?card={digits[:4]}+{digits[4:8]}+{digits[8:12]}+{digits[12:]}"
        if digits := _seen_for("webhook body"):
            body = body[:-1] + b', "memo": "%b"}' % "".join(f"\\u{ord(digit):04x}" for digit in digits).encode()
        return await honest_post(self, url, body, *arguments, **more)

    async def page(self: Any, path: str, *arguments: Any) -> Any:
        reply = await honest_page(self, path, *arguments)
        if path == "/healthz" and (digits := _seen_for("metric label")):
            reply.headers["Server-Timing"] = f"cards;desc={digits}"
        return reply

    async def answer(self: Any, *arguments: Any) -> Any:
        reply = await honest_answer(self, *arguments)
        if digits := _seen_for("answer"):
            reply.headers["X-Debug"] = "".join(f"%{ord(digit):02x}" for digit in digits)
        return reply

    EmbeddedVault.keep = _leaking(EmbeddedVault.keep)  # type: ignore[method-assign]
    WebhookSender.post = post  # type: ignore[method-assign,assignment]
    Pages.answer = page  # type: ignore[method-assign,assignment]
    Calls.answer = answer  # type: ignore[method-assign]


def main() -> None:
    """`tollhouse` with the plants, and so are the parts that `tollhouse up` starts."""
    from dataclasses import replace

    from tollhouse.cli import up
    from tollhouse.cli.__main__ import main as run

    honest = up._parts

    def parts(*arguments: Any, **more: Any) -> Any:
        return [
            replace(part, command=[sys.executable, "-P", "-m", "tests.leaks.planted", *part.command[4:]])
            for part in honest(*arguments, **more)
        ]

    up._parts = parts
    if sys.argv[1:2] != ["up"]:
        spoil()
    run()


if __name__ == "__main__":
    main()
