"""The sandbox as a program: ready, killed, started again, stopped, and refused with one clear line."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.sandbox.conftest import Dial
from tests.sandbox.gateway import charge, network
from tests.sandbox.program import running, spawn, start
from tollhouse.acquirers.iso8583.fields import unpack

GOOD = "4242424242424242"


async def read(url: str) -> tuple[int, Any]:
    """Status and JSON of a page."""

    def fetch() -> tuple[int, Any]:
        try:
            with urlopen(url) as page:
                return page.status, json.load(page)
        except HTTPError as problem:
            with problem:
                return problem.code, json.load(problem)

    return await asyncio.to_thread(fetch)


async def test_books_over_http(tmp_path: Path, dial: Dial) -> None:
    """GET /books shows operations and totals, by RRN or the newest; /healthz answers."""
    async with running(tmp_path) as program:
        gateway = await dial(program.port)
        assert (await gateway.exchange("0800", network("001")))["39"] == "00"
        first, second = charge(GOOD, amount=2590), charge(GOOD)
        answer = await gateway.exchange("0200", first)
        await gateway.exchange("0100", second)

        status, books = await read(f"{program.url}/books")
        assert status == 200
        assert [operation["rrn"] for operation in books["operations"]] == [first["37"], second["37"]]
        assert books["totals"]["operations"] == 2
        shown = books["operations"][0]
        history = shown.pop("history")
        assert shown == {
            "kind": "sale",
            "rrn": first["37"],
            "stan": first["11"],
            "transmitted_at": first["7"],
            "terminal": "TERM0001",
            "acceptor": "SHOP".ljust(15),
            "card": "424242******4242",
            "currency": "eur",
            "amount_minor": 2590,
            "requested_minor": 2590,
            "response_code": "00",
            "approval_code": answer["38"],
            "state": "approved",
            "original_rrn": None,
            "captured_minor": 2590,
            "refunded_minor": 0,
            "later": "none",
            "reversals_refused": 0,
            "was_approved_again": False,
            "authentication_id": None,
        }
        assert [entry["what"] for entry in history] == ["approved"]

        assert len((await read(f"{program.url}/books?rrn={first['37']}"))[1]["operations"]) == 1
        assert (await read(f"{program.url}/books?limit=1"))[1]["operations"][0]["rrn"] == second["37"]
        assert await read(f"{program.url}/books?limit=-1") == (400, {"error": "limit: a whole number from 0 expected"})
        assert await read(f"{program.url}/healthz") == (200, {"status": "ok"})


async def test_killed_and_started_again(tmp_path: Path, dial: Dial) -> None:
    """Whatever was answered before kill -9 stands in the books afterwards."""
    answered: set[str] = set()
    for _ in range(3):
        async with running(tmp_path) as program:
            _, books = await read(f"{program.url}/books")
            booked = [operation["rrn"] for operation in books["operations"]]
            assert answered <= set(booked)
            assert len(booked) == len(set(booked))
            gateway = await dial(program.port)
            await gateway.send(*(("0200", charge(GOOD)) for _ in range(200)))
            for _ in range(50):
                answered.add((await gateway.receive())["37"])
            await program.kill()
            while raw := await gateway.receive_bytes():
                answered.add(unpack(raw)["37"])
    async with running(tmp_path) as program:
        _, books = await read(f"{program.url}/books")
        assert answered <= {operation["rrn"] for operation in books["operations"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_clean_stop(tmp_path: Path, dial: Dial, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with exit code 0 and nothing on stderr, with connections open."""
    program = await start(tmp_path)
    gateway = await dial(program.port)
    await gateway.exchange("0200", charge(GOOD))
    program.process.send_signal(number)
    _, errors = await program.process.communicate()
    assert (program.process.returncode, errors) == (0, b"")
    assert await gateway.is_cut_off()


@pytest.mark.parametrize(
    ("which", "variable"), [("http_port", "TOLLHOUSE_SANDBOX_PORT"), ("acquirer_port", "TOLLHOUSE_ACQUIRER_PORT")]
)
async def test_a_taken_port(tmp_path: Path, which: str, variable: str) -> None:
    """A taken port is one line on stderr that names the setting, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await spawn(tmp_path, **{which: port})
        printed, errors = await process.communicate()
    assert process.returncode == 1
    assert printed == b""
    assert errors.decode() == (
        f"tollhouse sandbox: {variable}: cannot listen on 127.0.0.1:{port} (Address already in use); choose another\n"
    )


async def test_two_on_one_home(tmp_path: Path) -> None:
    """A second sandbox on the same home is refused with one line and exit code 1."""
    async with running(tmp_path):
        process = await spawn(tmp_path)
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"another sandbox keeps its books here" in errors
        assert errors.count(b"\n") == 1


async def test_a_full_disk(tmp_path: Path, dial: Dial) -> None:
    """When the books cannot be written nothing more is answered: one line on stderr, exit code 1, no half entry."""
    async with running(tmp_path, file_bytes_max=8000) as program:
        gateway = await dial(program.port)
        await gateway.send(*(("0200", charge(GOOD)) for _ in range(20)))
        answered = 0
        while await gateway.receive_bytes():
            answered += 1
        _, errors = await program.process.communicate()
    assert program.process.returncode == 1
    assert b"cannot be written" in errors
    assert errors.count(b"\n") == 1
    async with running(tmp_path) as program:
        _, books = await read(f"{program.url}/books")
        assert answered <= books["totals"]["operations"] < 20
