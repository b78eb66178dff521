"""The messages of 3-D Secure: what we say fits the tables, what breaks them is answered, and all of it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import (
    BROWSER,
    asked,
    awaiting_payer,
    challenged,
    heard,
    link_of,
    recovered,
    view_of,
)
from tests.issuer import ACS_ID, DS_ID, NOT_SENT, SILENT, Turn, answer, answering, result
from tests.worlds import TWO_STAGE, MemoryWorld, memory_world, second_node
from tollhouse.authentication import State
from tollhouse.flows.authenticate import Showing, ask, look, take_return
from tollhouse.outcome import Reason
from tollhouse.session import PaymentSession, Status
from tollhouse.threeds.reading import check
from tollhouse.threeds.writing import pack

UNKNOWN_ID = "99999999-0000-4000-8000-000000000000"
PAN = "4242424242424242"
TRANS_ID = "threeDSServerTransID"


def kept(world: MemoryWorld, session: PaymentSession) -> list[tuple[str, Mapping[str, Any]]]:
    """Direction and message of everything that is kept of 3-D Secure, oldest first."""
    notes = [note for _, note in world.books.histories[session.project, session.id].notes]
    told = [note.data for note in notes if note.kind == "threeds"]
    assert all(one["payment"] == session.payments[0].id for one in told)
    return [(one["direction"], one.get("message", {"silence": one.get("silence")})) for one in told]


def types(world: MemoryWorld, session: PaymentSession) -> list[str]:
    """The same as words: which message went where."""
    return [f"{direction} {message.get('messageType', 'silence')}" for direction, message in kept(world, session)]


# --- what breaks the tables -------------------------------------------------------------------------------------------


BROKEN = {
    "not JSON": (b"<html>", "101"),
    "nothing": (b"", "101"),
    "a list": (b"[]", "101"),
    "another message": (json.dumps({"messageType": "PRes", "messageVersion": "2.2.0"}).encode(), "101"),
    "no version": (json.dumps({"messageType": "ARes"}).encode(), "201"),
    "an old version": (json.dumps({"messageType": "ARes", "messageVersion": "2.1.0"}).encode(), "102"),
    "nothing in it": (json.dumps({"messageType": "ARes", "messageVersion": "2.2.0"}).encode(), "201"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_malformed_answer(name: str) -> None:
    """The directory server is told what was wrong, and it is as if nobody had answered: the policy decides."""
    body, code = BROKEN[name]
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(Turn(body=body))
    await asked(world, session)
    (complaint,) = world.directory.told
    assert (complaint["messageType"], complaint["errorCode"], complaint["errorComponent"]) == ("Erro", code, "S")
    assert complaint["messageVersion"] == "2.2.0"
    check(complaint)
    after = world.session(session)
    assert (after.authentications[0].state, after.status) == (State.LAPSED, Status.ACCEPTED)
    assert "48" not in world.link.sent[0].fields
    assert [one.split()[0] for one in types(world, session)] == ["out", "in", "out"]
    assert types(world, session)[2] == "out Erro"


ALTERED = [
    ({TRANS_ID: UNKNOWN_ID}, "301", TRANS_ID),
    ({"transStatus": "X"}, "203", "transStatus"),
    ({"dsTransID": None, "acsTransID": ""}, "201", "acsTransID,dsTransID"),
    ({"authenticationValue": None}, "201", "authenticationValue"),
    ({"transStatus": "C"}, "201", ""),
]


@pytest.mark.parametrize(("changed", "code", "detail"), ALTERED)
async def test_an_answer_that_does_not_fit(changed: Mapping[str, Any], code: str, detail: str) -> None:
    """The fields are named; nothing of it counts."""
    world = memory_world()
    session = await awaiting_payer(world)
    authentication = session.authentications[0].id
    offered = {**answer({"messageVersion": "2.2.0", TRANS_ID: authentication}, answering("Y")), **changed}
    body = json.dumps({name: value for name, value in offered.items() if value is not None}).encode()
    world.directory.script.append(Turn(body=body))
    await asked(world, session)
    (complaint,) = world.directory.told
    assert complaint["errorCode"] == code
    assert set(filter(None, detail.split(","))) <= set(complaint["errorDetail"].split(","))
    after = world.session(session)
    assert after.authentications[0].state is State.LAPSED
    assert after.authentications[0].ds_transaction_id is None


ERRO = {
    "messageType": "Erro",
    "messageVersion": "2.2.0",
    "errorCode": "203",
    "errorComponent": "D",
    "errorDescription": "wrong",
    "errorDetail": "mcc",
    "errorMessageType": "AReq",
}


async def test_the_directory_server_complains() -> None:
    """Its error message is kept and not answered with another; the policy decides."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(Turn(body=json.dumps(ERRO).encode()))
    assert (await asked(world, session)).showing is Showing.OVER
    assert (world.directory.told, types(world, session)) == ([], ["out AReq", "in Erro"])
    assert world.session(session).status is Status.ACCEPTED


# --- results ----------------------------------------------------------------------------------------------------------


async def test_a_result_for_nobody() -> None:
    """An id that we never drew, or whose directory server was never asked, is not recognised: 301."""
    world = memory_world()
    session = await awaiting_payer(world)
    for id in (UNKNOWN_ID, session.authentications[0].id):
        found = await heard(world, result({"messageVersion": "2.2.0", TRANS_ID: id}, "Y"))
        assert (found["messageType"], found["errorCode"], found["errorDetail"]) == ("Erro", "301", TRANS_ID)
        assert found[TRANS_ID] == id
        check(found)
    assert world.session(session) == session


@pytest.mark.parametrize("names", [["acsTransID"], ["dsTransID"], ["acsTransID", "dsTransID"]])
async def test_a_result_with_strange_ids(names: list[str]) -> None:
    """The ids of the answer must come back: 301 names those that differ, and nothing follows."""
    world = memory_world()
    session = await challenged(world)
    found = await heard(world, result(world.directory.asked[0], "Y", **dict.fromkeys(names, UNKNOWN_ID)))
    assert (found["errorCode"], found["errorDetail"]) == ("301", ",".join(names))
    assert world.session(session) == session


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"transStatus": "C"}, "203"),
        ({"transStatus": "D"}, "203"),
        ({"authenticationValue": "short"}, "203"),
        ({"messageType": "RRes"}, "101"),
        ({"messageType": "AReq"}, "101"),
        ({"messageVersion": "2.1.0"}, "102"),
        ({"interactionCounter": None}, "201"),
    ],
)
async def test_a_malformed_result(changed: Mapping[str, Any], code: str) -> None:
    """It is answered with what was wrong, and the challenge goes on."""
    world = memory_world()
    session = await challenged(world)
    found = await heard(world, result(world.directory.asked[0], "Y", **changed))
    assert (found["messageType"], found["errorCode"]) == ("Erro", code)
    check(found)
    assert world.session(session) == session
    await heard(world, result(world.directory.asked[0], "Y"))
    assert world.session(session).status is Status.ACCEPTED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps).map(str.encode)
)
async def test_anything_as_a_result(body: bytes) -> None:
    """Bytes from anywhere are answered with an error message that fits its table."""
    found = await heard(memory_world(), body)
    assert found["messageType"] == "Erro"
    check(found)


@pytest.mark.parametrize("wrong", [{}, {"dsTransID": UNKNOWN_ID}, {"dsTransID": DS_ID, "acsTransID": UNKNOWN_ID}])
async def test_an_error_that_anybody_may_have_sent(wrong: Mapping[str, str]) -> None:
    """Without the directory server's id, which no browser sees, or with strange ones, it ends nothing."""
    world = memory_world()
    session = await challenged(world)
    found = await heard(world, json.dumps({**ERRO, TRANS_ID: session.authentications[0].id, **wrong}).encode())
    assert found["errorCode"] == "301"
    assert world.session(session) == session


async def test_an_error_in_place_of_a_result() -> None:
    """Server to server it ends the challenge: nobody will prove anything any more."""
    world = memory_world()
    session = await challenged(world)
    ids = {TRANS_ID: session.authentications[0].id, "acsTransID": ACS_ID, "dsTransID": DS_ID}
    await heard(world, json.dumps({**ERRO, **ids, "errorMessageType": "RReq"}).encode())
    assert world.session(session).reason is Reason.NOT_AUTHENTICATED
    assert types(world, session)[-1] == "in Erro"


# --- what is kept -----------------------------------------------------------------------------------------------------


async def test_every_message_is_kept() -> None:
    """In the order in which they passed, both directions, also repetitions and what the browser brings."""
    world = memory_world()
    session = await challenged(world)
    body = result(world.directory.asked[0], "Y")
    attempt = session.authentications[0]
    back = {"messageType": "CRes", "messageVersion": "2.2.0", TRANS_ID: attempt.id, "acsTransID": ACS_ID}
    await take_return(world, link_of(session), pack({**back, "transStatus": "Y"}))
    await heard(world, body)
    await heard(world, body)
    passed = ["out AReq", "in ARes", "in CRes", "in RReq", "out RRes", "in RReq", "out RRes"]
    assert types(world, session) == passed
    assert kept(world, session)[1][1] == answer(world.directory.asked[0], answering("C"))


@pytest.mark.parametrize("turn", [SILENT, NOT_SENT], ids=["silent", "not sent"])
async def test_silence_is_kept_too(turn: Turn) -> None:
    """With why, and of which attempt."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(turn)
    await asked(world, session)
    assert kept(world, session)[1] == ("in", {"silence": "the script says so"})


async def test_an_answer_that_comes_too_late_is_kept() -> None:
    """Another node had given it up; the answer stands in the session's history all the same."""
    world = memory_world()
    session = await awaiting_payer(world)

    async def be_given_up() -> None:
        world.clock.move(26)
        await recovered(second_node(world), session)

    world.directory.script.append(Turn(status="C", meanwhile=be_given_up))
    await asked(world, session)
    assert types(world, session) == ["out AReq", "in ARes"]
    assert world.session(session).authentications[0].state is State.LAPSED


async def test_no_card_is_kept() -> None:
    """Of the number the first six and last four digits, of the expiry nothing, wherever somebody puts them (P11)."""
    world = memory_world()
    session = await challenged(world)
    asked_with = kept(world, session)[0][1]
    assert (asked_with["acctNumber"], asked_with["cardExpiryDate"]) == ("424242******4242", "<expiry>")
    leak = result(world.directory.asked[0], "N", transStatusReasonInfo=f"card {PAN}", messageExtension=[])
    await heard(world, leak)
    odd = {"messageType": "CRes", "messageVersion": "2.2.0", "acsTransID": ACS_ID, "transStatus": PAN}
    await take_return(world, link_of(session), pack(odd))
    await heard(world, json.dumps({**ERRO, TRANS_ID: session.authentications[0].id, "errorDetail": PAN}).encode())
    assert PAN not in repr(world.books)
    assert PAN not in repr(world.log.lines)


@pytest.mark.parametrize("text", ["", "!", "e30", "eyJ", "x" * 5000, "\u043a"])
async def test_whatever_a_browser_brings(text: str) -> None:
    """What is no message is kept as our complaint about it, and nothing follows."""
    world = memory_world()
    session = await challenged(world)
    await take_return(world, link_of(session), text)
    assert world.session(session) == session
    direction, complaint = kept(world, session)[-1]
    assert (direction, complaint["messageType"], complaint["errorCode"]) == ("out", "Erro", "101")
    assert (await view_of(world, session)).showing is Showing.CHALLENGE


async def test_a_browser_brings_a_load() -> None:
    """A message that is longer than any issuer's is not kept, only our complaint about it."""
    world = memory_world()
    session = await challenged(world)
    attempt = session.authentications[-1]
    load = {"name": "load", "id": "load", "criticalityIndicator": False, "data": {"text": "x" * 8000}}
    named = {TRANS_ID: attempt.id, "acsTransID": ACS_ID}
    brought = {"messageType": "CRes", "messageVersion": attempt.version, **named, "transStatus": "Y"}
    await take_return(world, link_of(session), pack({**brought, "messageExtension": [load, load]}))
    direction, complaint = kept(world, session)[-1]
    assert (direction, complaint["messageType"], complaint["errorCode"]) == ("out", "Erro", "101")
    await take_return(world, link_of(session), pack(brought))
    assert kept(world, session)[-1] == ("in", brought)


async def test_a_browser_comes_back_before_anything_was_asked() -> None:
    """Somebody posts to a link that waits: it is kept, and the page still begins."""
    world = memory_world()
    session = await awaiting_payer(world)
    await take_return(world, link_of(session), "e30")
    view = await look(world, link_of(session))
    assert view is not None
    assert view.showing is Showing.BEGIN


async def test_merchants_do_not_share_links() -> None:
    """Each payment has its own; the same payer and card at another merchant is another page (P12)."""
    world = memory_world()
    mine, other = await awaiting_payer(world), await awaiting_payer(world, project=TWO_STAGE)
    assert link_of(mine) != link_of(other)
    assert ((await view_of(world, mine)).merchant, (await view_of(world, other)).merchant) == ("shop", "inn")
    await ask(world, link_of(mine), BROWSER, "U")
    assert world.session(other) == other
