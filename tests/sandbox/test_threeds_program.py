"""3-D Secure in the program `tollhouse sandbox`: started with the rest, its key kept, no card number left anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.sandbox.conftest import Dial
from tests.sandbox.gateway import charge
from tests.sandbox.program import Program, running
from tests.sandbox.threeds import Browser, Server, serve_server
from tollhouse.sandbox.cards import compose
from tollhouse.sandbox.threeds.values import indicators_of

CARDS = [compose(authentication=digit, free="91") for digit in (0, 1, 7)]


async def proof_of(server: Server, pan: str) -> dict[str, str]:
    """The tags of field 48 after an authentication without challenge."""
    answer = await server.ask(pan)
    return {"42": answer["eci"], "43": answer["authenticationValue"], "44": answer["dsTransID"], "45": "2.3.1"}


async def hold(server: Server) -> None:
    """Ask what is never answered, until the sandbox stops."""
    try:
        await server.ask(compose(authentication=8))
    except aiohttp.ServerDisconnectedError:
        return
    raise AssertionError("it was answered")


async def test_key_survives(tmp_path: Path, dial: Dial) -> None:
    """A proof from before a crash is taken after it, because the key stands in a file that only its owner reads."""
    pan = CARDS[1]
    async with running(tmp_path) as program, serve_server(program.url) as server:
        tags = await proof_of(server, pan)
        await program.kill()
    assert (tmp_path / "sandbox" / "authentication.key").stat().st_mode & 0o777 == 0o600
    async with running(tmp_path) as program:
        gateway = await dial(program.port)
        assert (await gateway.exchange("0200", charge(pan, tags=tags)))["39"] == "00"
        assert tags["42"] == indicators_of(pan).full


async def test_no_pan_is_left(tmp_path: Path, dial: Dial) -> None:
    """No file, line of output or answer holds a PAN; an orderly stop lets go of held requests."""
    async with running(tmp_path) as program, serve_server(program.url) as server:
        shown = await talk(program, server, dial)
        held = asyncio.create_task(hold(server))
        await server.get("/acs/challenges")
        program.process.terminate()
        printed, errors = await program.process.communicate()
        assert (program.process.returncode, errors) == (0, b"")
        await held
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for pan in CARDS:
        for text in [*written, printed, shown.encode()]:
            at = text.find(pan.encode())
            assert at < 0, text[max(0, at - 150) : at + 60].replace(pan.encode(), b"<PAN>")


async def talk(program: Program, server: Server, dial: Dial) -> str:
    """Say to the sandbox all there is to say with a card number, right and wrong. Returns all that it answers."""
    shown, browser = [], Browser(server)
    for pan in CARDS:
        for changes in ({}, {"mcc": "wrong"}, {"merchantName": f"Shop {pan}"}, {"messageVersion": "9.9.9"}):
            request = server.request(pan, **changes)
            shown.append(str(await server.post("/ds", request)))
            shown.append(str(await server.post("/acs", request)))
            shown.append(str(await server.get(f"/ds/messages?threeDSServerTransID={request['threeDSServerTransID']}")))
        gateway = await dial(program.port)
        shown.append(str((await gateway.exchange("0200", charge(pan, tags={"43": pan})))["39"]))
    page = await browser.open(await server.ask(CARDS[2]))
    shown += [page.text, (await browser.act(page, "submit", CARDS[2])).text]
    shown += [str(await server.get(path)) for path in ("/acs/challenges", "/books")]
    return "\n".join(shown)
