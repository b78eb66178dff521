"""The first answer of the issuer: every digit a, every alias, both versions, and what is asked besides."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from tests.sandbox.threeds import VERSIONS, Server
from tollhouse.sandbox.cards import ALIASES, BINS, Authentication, compose
from tollhouse.sandbox.threeds.issuer import STATUSES

UNASKED = {Authentication.NONE, Authentication.UNANSWERED}
DIGITS = [digit for digit in Authentication if digit not in UNASKED]
ENROLLED = {pan: asked for pan, asked in ALIASES.items() if asked.authentication not in UNASKED}
FULL = {"mastercard": "02", "mastercard_2": "02"}
DECOUPLED = {"threeDSRequestorDecReqInd": "Y", "threeDSRequestorDecMaxTime": "00010"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("digit", DIGITS)
async def test_digit_a(server: Server, digit: Authentication, version: str) -> None:
    """Each digit a gets its status, in both versions; a reason goes with N, U, R and a value with Y, A."""
    answer = await server.ask(compose(authentication=digit, challenge=4), version, **DECOUPLED)
    assert (answer["messageType"], answer["messageVersion"]) == ("ARes", version)
    assert answer["transStatus"] == STATUSES[digit]
    assert ("authenticationValue" in answer) is (answer["transStatus"] in "YA")
    assert ("transStatusReason" in answer) is (answer["transStatus"] in "NUR")
    assert ("acsURL" in answer) is (answer["transStatus"] == "C")
    assert ("acsDecConInd" in answer) is (answer["transStatus"] == "D")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pan", ENROLLED)
async def test_alias(server: Server, pan: str, version: str) -> None:
    """Each familiar number that takes part gets the status it is listed with."""
    answer = await server.ask(pan, version)
    assert answer["transStatus"] == STATUSES[ENROLLED[pan].authentication]


@pytest.mark.parametrize("pan", [pan for pan in ALIASES if ALIASES[pan].authentication is Authentication.NONE])
async def test_alias_that_takes_no_part(server: Server, pan: str) -> None:
    """A familiar number that takes no part is in no range, also where other digits around it are."""
    answer = await server.ask(pan)
    assert (answer["messageType"], answer["errorCode"], answer["errorDetail"]) == ("Erro", "101", "acctNumber")
    assert answer["errorComponent"] == "D"


@pytest.mark.parametrize("digit", [Authentication.NONE, Authentication.UNANSWERED])
@pytest.mark.parametrize("version", VERSIONS)
async def test_digits_without_answer(server: Server, digit: Authentication, version: str) -> None:
    """a = 0 is in no range. a = 8 is held, and its connection closed without a byte."""
    pan = compose(authentication=digit)
    if digit is Authentication.UNANSWERED:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.ask(pan, version)
    else:
        assert (await server.ask(pan, version))["errorCode"] == "101"


@pytest.mark.parametrize("brand", BINS)
async def test_indicator_of_a_scheme(server: Server, brand: str) -> None:
    """A full authentication has ECI 02 for Mastercard and 05 for all others; its value is 20 bytes of base64."""
    answer = await server.ask(compose(brand=brand, authentication=1), "2.2.0")
    assert answer["eci"] == FULL.get(brand, "05")
    assert len(base64.b64decode(answer["authenticationValue"], validate=True)) == 20


async def test_a_range_of_the_old_version(server: Server) -> None:
    """Discover's ranges speak 2.2.0 only: 2.3.1 is refused with 102 and the versions they speak."""
    answer = await server.ask(compose(brand="discover", authentication=1), "2.3.1")
    assert (answer["errorCode"], answer["errorDetail"], answer["errorComponent"]) == ("102", "2.2.0", "D")


@pytest.mark.parametrize(("version", "wish"), [("2.2.0", "04"), ("2.3.1", ["01", "04"])])
@pytest.mark.parametrize("digit", [1, 2])
async def test_mandate(server: Server, digit: int, version: str, wish: object) -> None:
    """A mandate (challenge indicator 04) makes a challenge of what would go without."""
    pan = compose(authentication=digit, fault=8)
    assert (await server.ask(pan, version))["transStatus"] in "YA"
    answer = await server.ask(pan, version, threeDSRequestorChallengeInd=wish)
    assert (answer["transStatus"], answer["acsChallengeMandated"]) == ("C", "Y")


@pytest.mark.parametrize(("digit", "status"), [(3, "N"), (4, "U"), (5, "R"), (6, "I")])
async def test_mandate_changes_no_refusal(server: Server, digit: int, status: str) -> None:
    """A mandate changes nothing where the issuer refuses or knows nothing."""
    answer = await server.ask(compose(authentication=digit), threeDSRequestorChallengeInd=["04"])
    assert answer["transStatus"] == status


async def test_low_risk_is_challenged_all_the_same(server: Server) -> None:
    """Low risk (challenge indicator 05) does not keep a card with a = 7 from its challenge."""
    answer = await server.ask(compose(authentication=7), "2.2.0", threeDSRequestorChallengeInd="05")
    assert (answer["transStatus"], answer["acsChallengeMandated"]) == ("C", "N")


async def test_decoupled_only_where_offered(server: Server) -> None:
    """a = 9 is N with reason 23 for a 3DS server that does not offer to wait."""
    answer = await server.ask(compose(authentication=9))
    assert (answer["transStatus"], answer["transStatusReason"]) == ("N", "23")


async def test_no_challenge_without_browser(server: Server) -> None:
    """Without a browser (3RI) a card with a = 7 is U with reason 21, one with a = 1 stays Y also by mandate."""
    browserless = dict.fromkeys(
        [name for name in server.request("4") if name.startswith("browser")]
        + ["threeDSCompInd", "threeDSRequestorAuthenticationInd", "notificationURL", "acceptLanguage"]
    )
    third = {"deviceChannel": "03", "threeRIInd": "04", "threeDSRequestorChallengeInd": ["04"]}
    answer = await server.ask(compose(authentication=7), **browserless, **third)
    assert (answer["transStatus"], answer["transStatusReason"]) == ("U", "21")
    assert (await server.ask(compose(authentication=1), **browserless, **third))["transStatus"] == "Y"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("component", "path"), [("D", "/ds"), ("A", "/acs")])
async def test_erro(server: Server, version: str, component: str, path: str) -> None:
    """Both refuse with their own letter: a missing field 201, a wrong one 203, an old version 102, nonsense 101."""
    good = server.request(compose(authentication=1), version)

    async def refused(**changes: object) -> tuple[str, str]:
        body = {name: value for name, value in (good | changes).items() if value is not None}
        _, answer = await server.post(path, body)
        assert (answer["messageType"], answer["errorComponent"]) == ("Erro", component)
        return answer["errorCode"], answer["errorDetail"]

    assert await refused(mcc=None, merchantName=None) == ("201", "mcc,merchantName")
    assert await refused(purchaseExponent="xx") == ("203", "purchaseExponent")
    assert (await refused(messageVersion="2.1.0"))[0] == "102"
    assert (await refused(messageType="XReq"))[0] == "101"
    assert (await refused(messageType="CRes"))[0] == "101"
    assert (await server.post(path, [1]))[1]["errorCode"] == "101"


async def test_the_issuer_wants_what_the_directory_adds(server: Server) -> None:
    """An AReq that comes to the issuer past the directory server lacks what that one adds."""
    _, answer = await server.post("/acs", server.request(compose(authentication=1)))
    assert (answer["errorCode"], answer["errorDetail"]) == ("201", "dsTransID,dsReferenceNumber,dsURL")
    added = {
        "dsTransID": "7c1b1a5e-0d1c-4a6b-9b1d-000000000001",
        "dsReferenceNumber": "DS",
        "dsURL": f"{server.base}/ds",
    }
    _, answer = await server.post("/acs", server.request(compose(authentication=1)) | added)
    assert (answer["transStatus"], answer["dsTransID"]) == ("Y", added["dsTransID"])


async def test_an_erro_is_not_answered(server: Server) -> None:
    """An Erro that a 3DS server posts is taken with 204."""
    erro = {
        "messageType": "Erro",
        "messageVersion": "2.3.1",
        "errorCode": "203",
        "errorComponent": "S",
        "errorDescription": "d",
        "errorDetail": "eci",
    }
    assert await server.post("/ds", erro) == (204, None)


async def test_messages_are_kept_without_the_pan(server: Server) -> None:
    """GET /ds/messages shows what was said in order, the PAN masked wherever it stands."""
    pan = compose(authentication=1, free="77")
    answer = await server.ask(pan, merchantName=f"Shop {pan}")
    kept = await server.get(f"/ds/messages?threeDSServerTransID={answer['threeDSServerTransID']}")
    said = [(one["from"], one["to"], one["message"]["messageType"]) for one in kept["messages"]]
    assert said == [("S", "D", "AReq"), ("D", "A", "AReq"), ("A", "D", "ARes"), ("D", "S", "ARes")]
    masked = f"{pan[:6]}******{pan[-4:]}"
    assert kept["messages"][0]["message"]["acctNumber"] == masked
    assert pan not in str(kept)
    assert kept["messages"][0]["message"]["merchantName"] == f"Shop {masked}"
    assert kept["messages"][3]["message"] == answer
    assert await server.get("/ds/messages?threeDSServerTransID=none") == {"messages": []}
