"""`python -m bench.guesses`: whether the time of an answer tells how wrong a token was.

Tokens of payment forms are asked for as anybody may, tokens of cards as a merchant may: some that never were, some that
differ from a real one in their first or their last character, some that are over or another project's. All kinds go in
turn over the same connection, one at a time, so that whatever else the machine does hits all alike.

`slower` is how often an answer of this kind took longer than one of `never was`: 0.5 says that nobody can tell.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import hashlib
import json
import os
import platform
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

from bench.__main__ import Everything, open_shop, say
from bench.merchant import CARD, Merchant
from tollhouse.store.embedded import running_dsn

RESULTS = Path(__file__).parent / "results" / "guesses.json"
ROUNDS_PER_ADDRESS = 4  # fewer wrong guesses than shut an address out
ROUNDS_PER_FORM = 30  # a form that asks more often in a minute is refused
PROJECTS, ROUNDS_PER_PROJECT = 20, 24  # a project that shows more wrong tokens of cards in a minute is refused
CARD_ROUNDS = PROJECTS * ROUNDS_PER_PROJECT
SAY_ROUNDS = 500
NAMED = "tc_"  # what every card's token begins with
NEVER, RIGHT = "never was", "right"
OLDER = "update public_token set created_at = created_at - interval '24 hours' where id = $1"

Call = tuple[bytes, bytes]  # its head's lines of its own, its body


class Line:
    """One connection to the gateway from an address of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, number: int) -> None:
        """Anew, from the next address of this machine."""
        self.close()
        source = f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))

    async def ask(self, path: str, call: Call) -> tuple[float, int]:
        """Microseconds until the answer is there, and its status."""
        assert self._writer is not None
        head, body = call
        whole = b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
        began = time.perf_counter()
        self._writer.write(whole % (path.encode(), head, len(body), body))
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return (time.perf_counter() - began) * 1_000_000, int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()


def other_at(token: str, place: int) -> str:
    """The same token but for one character."""
    characters = list(token)
    characters[place] = "0" if characters[place] != "0" else "1"
    return "".join(characters)


async def form_calls(merchant: Merchant, everything: Everything, rounds: int) -> dict[str, list[Call]]:
    """How a payment form asks for its state, with each kind of token."""
    over, *rights = [await _form_token(merchant) for _ in range(2 + rounds // ROUNDS_PER_FORM)]
    right = rights[0]
    await _make_older(everything, over)
    kinds = {
        NEVER: [secrets.token_hex(32)],
        "first character wrong": [other_at(right, 0)],
        "last character wrong": [other_at(right, -1)],
        "over": [over],
        RIGHT: rights,
    }
    head = b"X-PUBLIC-TOKEN: %s\r\n"
    return {kind: [(head % token.encode(), b"{}") for token in tokens] for kind, tokens in kinds.items()}


async def card_calls(merchants: Sequence[Merchant]) -> dict[str, list[Call]]:
    """How merchants ask what a card's token stands for, with each kind of token."""
    calls: dict[str, list[Call]] = {}
    tokens = [await _card_token(merchant) for merchant in merchants]
    for number, (merchant, right) in enumerate(zip(merchants, tokens, strict=True)):
        kinds = {
            NEVER: NAMED + secrets.token_hex(len(right))[: len(right) - len(NAMED)],
            "first character wrong": other_at(right, len(NAMED)),
            "last character wrong": other_at(right, -1),
            "another project's": tokens[number - 1],
            RIGHT: right,
        }
        for kind, token in kinds.items():
            calls.setdefault(kind, []).append(_signed(merchant, _info(token)))
    return calls


async def compare(
    port: int, path: str, calls: Mapping[str, Sequence[Call]], rounds: int, first: int
) -> dict[str, object]:
    """Each kind asked for in each round, in an order of chance. Raises SystemExit when one is answered wrongly."""
    line, took, order = Line(port), {kind: list[float]() for kind in calls}, list(calls)
    wrong = set[int]()
    for number in range(rounds):
        if number % ROUNDS_PER_ADDRESS == 0:
            await line.open(first + number // ROUNDS_PER_ADDRESS)
        if number % SAY_ROUNDS == 0:
            say(f"{path}: {number} of {rounds} rounds")
        random.shuffle(order)
        for kind in order:
            microseconds, status = await line.ask(path, calls[kind][number % len(calls[kind])])
            took[kind].append(microseconds)
            if (status == 200) is not (kind == RIGHT):
                raise SystemExit(f"{path}: a token that is {kind} was answered with {status}")
            wrong |= {status} - {200}
    line.close()
    if len(wrong) > 1:
        raise SystemExit(f"{path}: wrong tokens were answered with different codes: {sorted(wrong)}")
    never = sorted(took[NEVER])
    return {
        kind: {"median_us": round(statistics.median(times), 1), "slower": round(_how_often_slower(times, never), 3)}
        for kind, times in took.items()
    }


async def measure(rounds: int) -> dict[str, object]:
    """The whole run on a system of its own."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        folder = Path(name)
        say("starting everything …")
        async with Everything(folder) as everything:
            merchants = [Merchant("127.0.0.1", everything.port, f"bench-{number}") for number in range(PROJECTS)]
            for one in merchants:
                await open_shop(one, everything, folder)
            forms, cards = await form_calls(merchants[0], everything, rounds), await card_calls(merchants)
            addresses = rounds // ROUNDS_PER_ADDRESS + 1
            return {
                "form_tokens": await compare(everything.port, "/widget/v1/status", forms, rounds, 0),
                "card_tokens": await compare(everything.port, "/api/v2/token/info", cards, CARD_ROUNDS, addresses),
                "form_rounds": rounds,
                "card_rounds": CARD_ROUNDS,
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }


def _how_often_slower(times: Sequence[float], never: Sequence[float]) -> float:
    """Of all pairs of the two, equal ones half (the statistic of Mann and Whitney). `never` is sorted."""
    below = sum(bisect.bisect_left(never, one) + bisect.bisect_right(never, one) for one in times)
    return below / (2 * len(times) * len(never))


def _info(token: str) -> bytes:
    means = {"type": "tokenized_card", "tokenized_card": {"token": token}}
    return json.dumps({"type": "card", "card": means}).encode()


def _signed(merchant: Merchant, body: bytes) -> Call:
    head = b"X-PARTNER-PROJECT: %s\r\nX-PARTNER-SIGN: %s\r\n"
    return head % (merchant.project.encode(), merchant.sign(body)), body


async def _form_token(merchant: Merchant) -> str:
    session = await merchant.call("create", b'{"amount_details":{"amount":2590,"currency":"eur"}}')
    asked = json.dumps({"acquiring_widget": {"session_id": session["id"]}}).encode()
    return str((await merchant.ask("token", asked))["public_token"])


async def _card_token(merchant: Merchant) -> str:
    element = {"ref": "a", "type": "card_number", "card_number": CARD["number"]}
    answer = await merchant.ask("tokenize/elements", json.dumps({"elements": [element]}).encode())
    return str(answer["data"]["a"]["token"])


async def _make_older(everything: Everything, token: str) -> None:
    dsn = running_dsn(everything.home)
    assert dsn is not None
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(OLDER, hashlib.sha256(token.encode()).hexdigest())
    finally:
        await connection.close()


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.guesses", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4000, help="how often forms ask with each kind (default 4000)")
    text = json.dumps(uvloop.run(measure(parser.parse_args().rounds)), indent=2)
    RESULTS.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
