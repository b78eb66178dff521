"""The conformance matrix: every case that the tables give, sent to each of the three components in both versions.

Each required element missing is answered with Erro 201 naming it, each broken one with 203 naming it, unknown types
with 101, versions with 102, critical extensions with 202, unknown ids with 301; unknown further members are accepted.
The directory server and the issuer are asked over HTTP; the 3DS server is given what they would answer or post.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import call, card, driven
from tests.issuer import Turn
from tests.sandbox.threeds import Server, open_threeds
from tests.threeds.samples import Case, cases
from tests.worlds import MemoryWorld, memory_world
from tollhouse.authentication import VERSIONS, Enrolment
from tollhouse.flows.authenticate import ask, hear_results, take_return
from tollhouse.flows.confirm import confirm
from tollhouse.flows.start_payment import init_payment
from tollhouse.money import Money
from tollhouse.payment import Details
from tollhouse.session import Offer, PaymentSession
from tollhouse.threeds.message import MessageRefused, MessageType
from tollhouse.threeds.ranges import read_ranges, refuse_ranges
from tollhouse.threeds.translate import Browser

Send = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
M = MessageType
CASES_MIN = 600
PAN = "4000120000000008"
BROWSER = Browser(accept_header="*/*", user_agent="test", language="en", ip=None, has_script=False)
OFFER = Offer(money=Money(4990, "eur"), details=Details(customer={"reference": "u"}))
# An Erro that says that the message itself was fine: its ids, its card or its range are not known there.
UNKNOWN_HERE = {"301", "101 acctNumber", "201 dsTransID,dsReferenceNumber,dsURL", "201 dsReferenceNumber,dsURL", "307"}
TO_DIRECTORY = (M.AREQ, M.PREQ, M.RREQ)
TO_ISSUER = (M.AREQ, M.CREQ)
TO_SERVER = (M.ARES, M.RREQ, M.CRES, M.PRES)


def _flaws(case: Case, answer: dict[str, Any], component: str) -> list[str]:
    """What is wrong with an answer to a case."""
    is_erro = answer.get("messageType") == M.ERRO
    said = f"{answer.get('errorCode')} {answer.get('errorDetail')}"
    if not case.code:
        fine = not is_erro or answer["errorCode"] in UNKNOWN_HERE or said in UNKNOWN_HERE
        return [] if fine else [f"{case.name}: refused with {said}"]
    if not is_erro:
        return [f"{case.name}: accepted"]
    names = set(answer["errorDetail"].split(","))
    if (answer["errorCode"], names) != (case.code, set(case.names)):
        return [f"{case.name}: {said}, and {case.code} {','.join(case.names)} was expected"]
    return [] if answer["errorComponent"] == component else [f"{case.name}: told by {answer['errorComponent']}"]


async def _run(type: MessageType, version: str, component: str, send: Send) -> int:
    """All cases of a message; how many there were."""
    told = list(cases(type, version))
    flaws = [flaw for case in told for flaw in _flaws(case, await send(case.members), component)]
    assert not flaws, f"{len(flaws)} of {len(told)}:\n" + "\n".join(flaws[:20])
    return len(told)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("type", TO_DIRECTORY)
async def test_directory_server(type: MessageType, version: str, tmp_path: Path) -> None:
    """The directory server tells what is wrong with requests, results and questions for ranges."""
    async with open_threeds(tmp_path) as server:

        async def send(members: dict[str, Any]) -> dict[str, Any]:
            return dict((await server.post("/ds", members))[1])

        assert await _run(type, version, "D", send) > 80


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("type", TO_ISSUER)
async def test_issuer(type: MessageType, version: str, tmp_path: Path) -> None:
    """The issuer tells what is wrong with requests and with what browsers bring."""
    async with open_threeds(tmp_path) as server:

        async def send(members: dict[str, Any]) -> dict[str, Any]:
            if type is M.AREQ:
                return dict((await server.post("/acs", members))[1])
            return await _bring(server, _packed(members))

        assert await _run(type, version, "A", send) > 80


def _packed(members: dict[str, Any]) -> str:
    """As a browser carries it, also what no UTF-8 can hold."""
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode()


async def _bring(server: Server, creq: str) -> dict[str, Any]:
    url, headers = f"{server.base}/acs/challenge", {"Accept": "application/json"}
    async with server.client.post(url, data={"creq": creq}, headers=headers) as answer:
        return dict(json.loads(await answer.text()))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("type", TO_SERVER)
async def test_server(type: MessageType, version: str) -> None:
    """The 3DS server tells what is wrong with answers, results, returns of browsers and card ranges."""
    sends: dict[MessageType, Callable[[str], Send]] = {
        M.ARES: _answered,
        M.RREQ: _posted,
        M.CRES: _brought_back,
        M.PRES: _prepared,
    }
    assert await _run(type, version, "S", sends[type](version)) > 80


def _answered(version: str) -> Send:
    async def send(members: dict[str, Any]) -> dict[str, Any]:
        world, link, _ = await _waiting(version)
        world.directory.script.append(Turn(body=json.dumps(members).encode()))
        await ask(world, link, BROWSER, "U")
        return dict(world.directory.told[0]) if world.directory.told else {}

    return send


def _posted(version: str) -> Send:
    async def send(members: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads((await hear_results(memory_world(), json.dumps(members).encode())).body))

    return send


def _brought_back(version: str) -> Send:
    async def send(members: dict[str, Any]) -> dict[str, Any]:
        world, link, session = await _waiting(version)
        await take_return(world, link, _packed(members))
        notes = [note for _, note in world.books.histories[session.project, session.id].notes if note.kind == "threeds"]
        answers = [note.data["message"] for note in notes if note.data["direction"] == "out"]
        return dict(answers[-1]) if answers else {}

    return send


def _prepared(version: str) -> Send:
    async def send(members: dict[str, Any]) -> dict[str, Any]:
        try:
            read_ranges(json.dumps(members).encode(), id=members.get("threeDSServerTransID", ""))
        except MessageRefused as refused:
            return refuse_ranges(refused, version)
        return {}

    return send


async def _waiting(version: str) -> tuple[MemoryWorld, str, PaymentSession]:
    """A payment that waits for its payer, and the payer's link."""
    world = memory_world()
    world.directory.enrolled[PAN] = Enrolment(version=version)
    started = await init_payment(world, call(), OFFER, card(pan=PAN))
    session = (await confirm(world, call(), started.session.id)).session
    link = session.payments[0].action_link
    assert link is not None
    return world, link, await driven(world, session)


def test_it_is_as_large_as_it_says() -> None:
    """At least six hundred cases for the three components together, counted once each."""
    sent = [(type, version) for type in (*TO_DIRECTORY, *TO_ISSUER, *TO_SERVER) for version in VERSIONS]
    assert sum(len(list(cases(type, version))) for type, version in sent) >= CASES_MIN
