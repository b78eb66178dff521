"""The challenge: every digit c, the order of result and return, reloads, time limits, and answers without a browser."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.sandbox.threeds import SHORT, VERSIONS, WAIT_SECONDS, Browser, Server, open_threeds
from tollhouse.sandbox.cards import Challenge, compose
from tollhouse.sandbox.threeds.values import Strength, Values

BY_ITSELF = [(Challenge.PASSES, "Y", None), (Challenge.FAILS, "N", None), (Challenge.CANCELLED, "N", "01")]


def card(challenge: Challenge = Challenge.PAGE) -> str:
    """A card that is challenged so."""
    return compose(authentication=7, challenge=challenge)


def key_facts(result: dict[str, Any]) -> tuple[Any, ...]:
    """What matters of a result."""
    return result["transStatus"], result.get("transStatusReason"), result.get("challengeCancel")


@pytest.mark.parametrize("version", VERSIONS)
async def test_code(server: Server, browser: Browser, version: str) -> None:
    """The code 1234 passes: the result goes out with value and ECI, then the browser goes back with Y and its data."""
    answer = await server.ask(card(), version)
    page = await browser.open(answer, session_data="from the shop")
    assert (page.status, server.results) == (200, [])
    assert page.shown("challenge-merchant") == "Bücher & <Tee>"
    assert page.shown("challenge-amount") == "25.90 EUR"
    assert page.shown("challenge-card") == f"•••• {card()[-4:]}"
    back = await browser.act(page, "submit", " 1234 ")
    (result,) = server.results
    assert key_facts(result) == ("Y", None, None)
    ids = ("threeDSServerTransID", "acsTransID", "dsTransID")
    assert {name: result[name] for name in ids} == {name: answer[name] for name in ids}
    assert (result["eci"], result["interactionCounter"], result["messageVersion"]) == ("05", "01", version)
    values = Values(bytes(range(32)))
    value, known = result["authenticationValue"], answer["dsTransID"]
    assert values.strength_of(value, pan=card(), authentication_id=known) is Strength.FULL
    assert values.strength_of(value, pan=compose(authentication=7, free="01"), authentication_id=known) is None
    assert back.action == server.return_url
    assert back.fields["threeDSSessionData"] == "from the shop"
    assert back.taken_back()["transStatus"] == "Y"
    assert "=" not in back.fields["cres"]


async def test_wrong_codes(server: Server, browser: Browser) -> None:
    """Two wrong codes are told, the third fails; an empty one does not count, a new one can be sent."""
    page = await browser.open(await server.ask(card()))
    for code, text in (("", "first"), ("1111", "wrong"), ("1112", "wrong")):
        page = await browser.act(page, "submit", code)
        assert text in page.shown("challenge-error")
        assert page.shown("challenge-notice") == ""
    page = await browser.act(page, "resend")
    assert (page.shown("challenge-error"), page.shown("challenge-notice")) == ("", "A new code was sent.")
    assert server.results == []
    page = await browser.act(page, "submit", "1113")
    assert page.taken_back()["transStatus"] == "N"
    assert key_facts(server.results[0]) == ("N", "01", None)
    assert server.results[0]["interactionCounter"] == "03"


async def test_failing_code(server: Server, browser: Browser) -> None:
    """The code 3333 fails at once."""
    page = await browser.open(await server.ask(card(), "2.2.0"))
    page = await browser.act(page, "submit", "3333")
    assert page.taken_back()["transStatus"] == "N"
    assert key_facts(server.results[0]) == ("N", "01", None)


async def test_payer_cancels(server: Server, browser: Browser) -> None:
    """The payer's cancelling is a result N with challengeCancel 01."""
    page = await browser.open(await server.ask(card()))
    page = await browser.act(page, "cancel")
    assert page.taken_back()["transStatus"] == "N"
    assert key_facts(server.results[0]) == ("N", "01", "01")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("digit", "status", "cancel"), BY_ITSELF)
async def test_by_itself(
    server: Server, browser: Browser, digit: Challenge, status: str, cancel: str | None, version: str
) -> None:
    """c = 1 passes, 2 fails, 3 is cancelled, each as soon as the page loads."""
    page = await browser.open(await server.ask(card(digit), version))
    assert page.taken_back()["transStatus"] == status
    (result,) = server.results
    assert (result["transStatus"], result.get("challengeCancel")) == (status, cancel)


async def test_never_ends(tmp_path: Path) -> None:
    """c = 4 says that the bank is thinking, and no result ever goes out: no time limit ends it."""
    timers = replace(SHORT, first_request_seconds=0.01, payer_seconds=0.01)
    async with open_threeds(tmp_path, timers) as server:
        browser = Browser(server)
        answer, other = await server.ask(card(Challenge.ENDLESS)), await server.ask(card())
        page = await browser.open(answer)
        assert "The bank is thinking" in page.text
        assert "cres-form" not in page.testids | (await browser.open(answer)).testids
        await server.wait_for_result()
        assert [one["acsTransID"] for one in server.results] == [other["acsTransID"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("act", "status"), [("approve", "Y"), ("decline", "N")])
async def test_out_of_band(server: Server, browser: Browser, act: str, status: str, version: str) -> None:
    """c = 5 has buttons that play the bank's app, and no field for a code."""
    answer = await server.ask(card(Challenge.OUT_OF_BAND), version)
    page = await browser.open(answer)
    assert {"oob-approve", "oob-decline", "challenge-cancel"} <= page.testids
    assert "challenge-code" not in page.testids
    page = await browser.act(page, "submit", "1234")
    page = await browser.act(page, act)
    assert page.taken_back()["transStatus"] == status
    (result,) = server.results
    assert result["transStatus"] == status
    assert result.get("authenticationType", "03") == "03"
    assert result.get("authenticationMethod", ["09"]) == ["09"]


@pytest.mark.parametrize("seconds", [WAIT_SECONDS * 10, 0.01])
async def test_browser_first(tmp_path: Path, seconds: float) -> None:
    """c = 6 sends the browser back without waiting for the result, which goes out a while later."""
    async with open_threeds(tmp_path, replace(SHORT, browser_first_seconds=seconds)) as server:
        browser = Browser(server)
        answer = await server.ask(card(Challenge.BROWSER_FIRST))
        page = await browser.act(await browser.open(answer), "submit", "1234")
        assert page.taken_back()["transStatus"] == "Y"
        assert (await browser.open(answer)).fields == page.fields
        if seconds < 1:
            assert (await server.wait_for_result())["transStatus"] == "Y"
        else:
            assert server.results == []


async def test_browser_lost(server: Server, browser: Browser) -> None:
    """c = 7 sends the result, and the browser stays where it is, also when it asks again."""
    answer = await server.ask(card(Challenge.BROWSER_LOST))
    page = await browser.act(await browser.open(answer), "submit", "1234")
    assert page.testids == set()
    assert (await browser.open(answer)).testids == set()
    assert [one["transStatus"] for one in server.results] == ["Y"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_erro_instead_of_a_result(server: Server, browser: Browser, version: str) -> None:
    """c = 8 sends the 3DS server an Erro 404 in place of the result, and the browser back with `erro`."""
    answer = await server.ask(card(Challenge.ERROR), version)
    page = await browser.act(await browser.open(answer), "submit", "1234")
    (erro,) = server.results
    assert (erro["messageType"], erro["errorCode"], erro["errorComponent"]) == ("Erro", "404", "A")
    assert erro["acsTransID"] == answer["acsTransID"]
    assert "cres" not in page.fields
    assert page.taken_back("erro") == erro


async def test_result_twice(server: Server, browser: Browser) -> None:
    """c = 9 sends the same result twice before the browser goes back."""
    page = await browser.open(await server.ask(card(Challenge.TWICE)))
    page = await browser.act(page, "submit", "1234")
    assert page.taken_back()["transStatus"] == "Y"
    first, second = server.results
    assert first == second


async def test_result_goes_first(server: Server, browser: Browser) -> None:
    """The browser hears nothing until the 3DS server has answered the result; a second tab waits with it."""
    answer = await server.ask(card())
    page = await browser.open(answer)
    server.may_answer.clear()
    tabs = [asyncio.create_task(browser.act(page, "submit", "1234")) for _ in range(2)]
    tabs.append(asyncio.create_task(browser.open(answer)))
    await server.wait_for_result()
    await server.get("/acs/challenges")
    assert not any(tab.done() for tab in tabs)
    server.may_answer.set()
    pages = await asyncio.gather(*tabs)
    assert [page.taken_back()["transStatus"] for page in pages] == ["Y"] * 3
    assert len(server.results) == 1


async def test_result_is_sent_again(server: Server, browser: Browser) -> None:
    """A result that the 3DS server could not take is sent up to three times more; then the browser goes back."""
    server.refusals = 3
    page = await browser.act(await browser.open(await server.ask(card())), "submit", "1234")
    assert page.taken_back()["transStatus"] == "Y"
    assert len(server.results) == 4
    server.refusals = 9
    page = await browser.act(await browser.open(await server.ask(card())), "submit", "1234")
    assert page.taken_back()["transStatus"] == "Y"
    assert len(server.results) == 8


async def test_reload(server: Server, browser: Browser) -> None:
    """A repeated CReq shows the challenge again, and after its end takes the same CRes back again."""
    answer = await server.ask(card())
    page = await browser.open(answer)
    again = await browser.open(answer)
    assert (again.testids, again.action) == (page.testids, page.action)
    back = await browser.act(page, "submit", "1234")
    assert (await browser.open(answer)).fields == back.fields
    assert (await browser.act(again, "submit", "3333")).fields == back.fields
    assert len(server.results) == 1


async def test_never_begun(tmp_path: Path) -> None:
    """Without a CReq in time the result is N with challengeCancel 05; a later CReq is sent back with N."""
    async with open_threeds(tmp_path, replace(SHORT, first_request_seconds=0.05)) as server:
        answer = await server.ask(card())
        assert key_facts(await server.wait_for_result()) == ("N", "14", "05")
        page = await Browser(server).open(answer)
        assert page.taken_back()["transStatus"] == "N"
        assert len(server.results) == 1


async def test_payer_does_nothing(tmp_path: Path) -> None:
    """Without a word of the payer in time the result is N with challengeCancel 04."""
    async with open_threeds(tmp_path, replace(SHORT, payer_seconds=0.05)) as server:
        await Browser(server).open(await server.ask(card()))
        assert key_facts(await server.wait_for_result()) == ("N", "14", "04")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("challenge", "status"), [(Challenge.PAGE, "Y"), (Challenge.FAILS, "N")])
async def test_decoupled(server: Server, challenge: Challenge, status: str, version: str) -> None:
    """A decoupled authentication sends its result by itself; c = 2 fails it. It counts no interactions."""
    pan = compose(authentication=9, challenge=challenge)
    wish = {"threeDSRequestorDecReqInd": "Y", "threeDSRequestorDecMaxTime": "00010"}
    answer = await server.ask(pan, version, **wish)
    assert answer["transStatus"] == "D"
    result = await server.wait_for_result()
    assert (result["transStatus"], "interactionCounter" in result) == (status, False)


async def test_decoupled_without_end(server: Server) -> None:
    """c = 4 of a decoupled authentication is never decided; its challenge cannot be opened either."""
    wish = {"threeDSRequestorDecReqInd": "Y", "threeDSRequestorDecMaxTime": "00010"}
    endless = await server.ask(compose(authentication=9, challenge=4), **wish)
    other = await server.ask(compose(authentication=9), **wish)
    assert (await server.wait_for_result())["acsTransID"] == other["acsTransID"]
    waiting = (await server.get("/acs/challenges"))["challenges"]
    assert [one["acsTransID"] for one in waiting] == [endless["acsTransID"]]
    page = await Browser(server).open({**endless, "acsURL": f"{server.base}/acs/challenge"})
    assert page.taken_back("erro")["errorCode"] == "301"


@pytest.mark.parametrize("status", ["Y", "N", "U", "A", "R"])
async def test_answered_without_a_browser(server: Server, browser: Browser, status: str) -> None:
    """A challenge is answered by HTTP: the result goes out, and the answer says what became of it."""
    answer = await server.ask(card())
    (listed,) = (await server.get("/acs/challenges"))["challenges"]
    assert (listed["acsTransID"], listed["state"], listed["amount"]) == (answer["acsTransID"], "waiting", "25.90 EUR")
    assert listed["card"] == f"{card()[:6]}******{card()[-4:]}"
    path = f"/acs/challenges/{answer['acsTransID']}"
    said = await server.post(path, {"transStatus": status})
    ids = {name: answer[name] for name in ("threeDSServerTransID", "acsTransID", "dsTransID")}
    assert said == (200, {**ids, "transStatus": status, "resultsStatus": "01"})
    assert server.results[0]["transStatus"] == status
    assert (await server.post(path, {"transStatus": "Y"}))[0] == 409
    page = await browser.open(answer)
    assert page.taken_back()["transStatus"] == ("Y" if status in "YA" else "N")
    assert (await server.get("/acs/challenges"))["challenges"] == []


async def test_answers_that_make_no_sense(server: Server) -> None:
    """Answering an unknown challenge is 404, with an unknown status or other JSON 400, each with a reason."""
    answer = await server.ask(card())
    path = f"/acs/challenges/{answer['acsTransID']}"
    assert await server.post("/acs/challenges/none", {"transStatus": "Y"}) == (
        404,
        {"error": "acsTransID: no challenge has this id"},
    )
    assert await server.post(path, {"transStatus": "C"}) == (400, {"error": "transStatus: Y, N, U, A, R expected"})
    assert (await server.post(path, {"status": "Y"}))[0] == 400
    assert server.results == []


async def test_creq_refused(server: Server, browser: Browser) -> None:
    """A CReq with an unknown id, another version or a wrong field is refused: back to the shop, or on a page."""
    answer = await server.ask(card(), "2.3.1")
    page = await browser.open(answer, acsTransID="7c1b1a5e-0d1c-4a6b-9b1d-000000000001")
    assert (page.status, page.testids) == (400, {"challenge-forgotten", "challenge-refused"})
    assert page.shown("challenge-refused").startswith("301 ")
    page = await browser.open(answer, threeDSServerTransID="7c1b1a5e-0d1c-4a6b-9b1d-000000000001")
    erro = page.taken_back("erro")
    assert (erro["errorCode"], erro["errorDetail"], erro["errorComponent"]) == ("301", "threeDSServerTransID", "A")
    assert page.action == server.return_url
    page = await browser.open(answer, messageVersion="2.2.0")
    assert page.taken_back("erro")["errorDetail"] == "messageVersion"
    page = await browser.open(answer, challengeWindowSize="09")
    assert page.shown("challenge-refused").startswith("203 ")
    page = await browser.post("/acs/challenge", creq="%%%")
    assert page.shown("challenge-refused").startswith("101 ")
    async with server.client.post(
        server.base + "/acs/challenge", data={"creq": "e30"}, headers={"Accept": "application/json"}
    ) as said:
        assert (await said.json())["errorComponent"] == "A"


async def test_a_restarted_issuer_says_so(tmp_path: Path) -> None:
    """What it was asked before is forgotten: its page says what happened and what helps, its log has a line each."""
    async with open_threeds(tmp_path) as server:
        answer = await server.ask(card())
        page = await Browser(server).open(answer)
        act = page.action
    async with open_threeds(tmp_path) as server:
        answer["acsURL"] = f"{server.base}/acs/challenge"
        with capture_logs() as lines:
            pages = [await Browser(server).open(answer), await Browser(server).post(act, act="submit", code="1234")]
        for page in pages:
            assert page.status == 400
            assert "restarted" in page.shown("challenge-forgotten")
            assert "Try again" in page.shown("challenge-forgotten")
        said = await server.get(f"/ds/messages?threeDSServerTransID={answer['threeDSServerTransID']}")
    logged = [(line["event"], line["log_level"], line["acs_id"]) for line in lines]
    assert logged == [("sandbox.challenge_forgotten", "warning", answer["acsTransID"])] * 2
    assert [one["message"].get("errorCode") for one in said["messages"]] == [None, "301"]


async def test_results_that_nobody_asked_for(server: Server, browser: Browser) -> None:
    """A result that names an unknown authentication, or mixes two, is refused by the directory server with 301."""
    answer = await server.ask(card())
    page = await browser.act(await browser.open(answer), "submit", "1234")
    assert page.taken_back()["transStatus"] == "Y"
    (result,) = server.results
    for name in ("threeDSServerTransID", "acsTransID", "dsTransID"):
        _, refused = await server.post("/ds", result | {name: "7c1b1a5e-0d1c-4a6b-9b1d-000000000001"})
        assert (refused["errorCode"], refused["errorDetail"], refused["errorComponent"]) == ("301", name, "D")
    assert (await server.post("/ds", result))[1]["resultsStatus"] == "01"


async def test_closing_lets_go(tmp_path: Path) -> None:
    """Whoever waits for a directory server that does not answer is let go when the sandbox stops."""
    async with open_threeds(tmp_path, replace(SHORT, unanswered_seconds=WAIT_SECONDS)) as server:
        sent = server.request(compose(authentication=8))
        held = asyncio.create_task(server.post("/ds", sent))
        assert server.threeds is not None
        while not server.threeds.messages.of(sent["threeDSServerTransID"]):
            await asyncio.sleep(0)
        await server.threeds.close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await held
