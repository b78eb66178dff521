"""Which cards take part: the ranges of a PRes, whole and since a serial number, and the method page of each."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.sandbox.threeds import VERSIONS, Browser, Server
from tollhouse.sandbox.cards import ALIASES, BINS, Authentication, Method, behaviour_of, compose
from tollhouse.sandbox.threeds.ranges import CardRanges
from tollhouse.threeds.reading import BYTES_MAX
from tollhouse.threeds.writing import pack, unpack

RANGE = {"startRange": "4900000000000000", "endRange": "4900009999999999"}


def spread(answer: dict[str, Any]) -> dict[tuple[str, str], tuple[str, tuple[str, ...], str | None]]:
    """Bounds of each range to what became of it, its versions and its method page, as either version says it."""
    found = {}
    for row in answer.get("cardRangeData", []):
        if "ranges" in row:
            spoken = tuple(one["version"] for one in row["acsProtocolVersions"])
            said = (row["actionInd"], spoken, row["acsProtocolVersions"][0].get("threeDSMethodURL"))
        else:
            spoken = tuple(sorted({row["acsStartProtocolVersion"], row["acsEndProtocolVersion"]}))
            said = (row["actionInd"], spoken, row.get("threeDSMethodURL"))
        for bounds in row.get("ranges", [row]):
            found[bounds["startRange"], bounds["endRange"]] = said
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_ranges(server: Server, version: str) -> None:
    """A PReq without serial number gets every range once, sorted apart by version and method page."""
    answer = await server.prepare(version)
    assert (answer["messageType"], answer["messageVersion"]) == ("PRes", version)
    assert len(json.dumps(answer, separators=(",", ":"))) < BYTES_MAX
    found = spread(answer)
    bounds = sorted(found)
    assert all(len(a[1]) != len(b[0]) or a[1] < b[0] for a, b in pairwise(bounds))
    for brand in BINS:
        for authentication in Authentication:
            for method in Method:
                pan = compose(brand=brand, authentication=authentication, method=method)
                rows = [
                    said for (first, last), said in found.items() if len(first) == len(pan) and first <= pan <= last
                ]
                assert len(rows) == (authentication is not Authentication.NONE)
                for action, spoken, url in rows:
                    assert (action, spoken) == ("A", VERSIONS[:1] if brand == "discover" else VERSIONS)
                    assert (url is None) is (method is Method.NONE)


def test_familiar_numbers() -> None:
    """A familiar number is in a range exactly when it takes part; numbers beside it are in theirs."""
    ranges = CardRanges()
    for pan, behaviour in ALIASES.items():
        assert (ranges.find(pan) is not None) is (behaviour.authentication is not Authentication.NONE)
    inside = "2223003122003222"  # its digits would say a = 3
    assert behaviour_of(inside).authentication is Authentication.NONE
    assert ranges.find(str(int(inside) - 1)) is not None
    assert ranges.find(str(int(inside) + 1)) is not None
    assert ranges.find("400012") is None
    assert ranges.find("") is None


@pytest.mark.parametrize("version", VERSIONS)
async def test_changes(server: Server, version: str) -> None:
    """Since a serial number come the ranges added, modified and deleted; since the newest nothing."""
    first = await server.prepare(version)
    nothing = await server.prepare(version, serialNum=first["serialNum"])
    assert "cardRangeData" not in nothing
    assert nothing["serialNum"] == first["serialNum"]
    gone = next(iter(spread(first)))
    status, changed = await server.post(
        "/ds/ranges", {"add": [RANGE], "remove": [{"startRange": gone[0], "endRange": gone[1]}]}
    )
    assert (status, changed["ranges"]) == (200, len(spread(first)))
    second = await server.prepare(version, serialNum=first["serialNum"])
    assert second["serialNum"] == changed["serialNum"] != first["serialNum"]
    bounds = (RANGE["startRange"], RANGE["endRange"])
    assert {key: said[0] for key, said in spread(second).items()} == {gone: "D", bounds: "A"}
    await server.post("/ds/ranges", {"add": [RANGE | {"versions": ["2.2.0"], "method": "prompt"}]})
    third = await server.prepare(version, serialNum=second["serialNum"])
    assert spread(third) == {bounds: ("M", ("2.2.0",), f"{server.base}/acs/method")}
    both = await server.prepare(version, serialNum=first["serialNum"])
    assert {key: said[0] for key, said in spread(both).items()} == {gone: "D", bounds: "A"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_unknown_serial(server: Server, version: str) -> None:
    """A serial number that was never given out is refused with 307."""
    answer = await server.prepare(version, serialNum="none")
    assert (answer["errorCode"], answer["errorDetail"], answer["errorComponent"]) == ("307", "serialNum", "D")


def test_serial_survives_a_restart() -> None:
    """Equal ranges at the same address have the same serial number, at another address another one."""
    here = CardRanges().serial("http://one")
    assert here == CardRanges().serial("http://one") != CardRanges().serial("http://two")


async def test_a_range_decides(server: Server) -> None:
    """A card without digits takes part as soon as its range is added (Y), and no more when it is removed."""
    pan = "4900000000000086"
    assert (await server.ask(pan))["errorCode"] == "101"
    await server.post("/ds/ranges", {"add": [RANGE]})
    assert (await server.ask(pan))["transStatus"] == "Y"
    await server.post("/ds/ranges", {"remove": [RANGE]})
    assert (await server.ask(pan))["errorCode"] == "101"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"remove": [RANGE]}, "remove: no range has these bounds"),
        ({"add": [RANGE, RANGE | {"startRange": "4900005000000000"}]}, "add: a range overlaps another"),
        ({"add": [RANGE | {"endRange": "4899999999999999"}]}, "endRange: as long as startRange"),
        ({"add": [RANGE | {"startRange": "49"}]}, "startRange, endRange: 13 to 19 digits"),
        ({"add": [RANGE | {"versions": ["2.1.0"]}]}, "versions: some of 2.2.0, 2.3.1"),
        ({"add": [RANGE | {"method": "slow"}]}, "method: prompt, none, unanswered"),
        ({"put": []}, "unknown field"),
    ],
)
async def test_changes_that_make_no_sense(server: Server, change: dict[str, Any], text: str) -> None:
    """A change that cannot be is refused with a reason, and nothing changes."""
    before = (await server.prepare())["serialNum"]
    status, answer = await server.post("/ds/ranges", change)
    assert status == 400
    assert text in answer["error"]
    assert (await server.prepare())["serialNum"] == before


@pytest.mark.parametrize(
    ("method", "testids"), [(Method.PROMPT, {"method-form", "method-continue"}), (Method.UNANSWERED, set())]
)
async def test_method_page(server: Server, browser: Browser, method: Method, testids: set[str]) -> None:
    """m = 0 posts back by itself, m = 2 never does; m = 1 has no page."""
    pan = compose(authentication=1, method=method)
    (url,) = [url for (first, last), (_, _, url) in spread(await server.prepare()).items() if first <= pan <= last]
    assert url is not None
    back = f"{server.base}/back?a=1&b=2"
    data = pack({"threeDSServerTransID": "t1", "threeDSMethodNotificationURL": back})
    page = await browser.post(url, threeDSMethodData=data)
    assert (page.status, page.testids) == (200, testids)
    if testids:
        assert page.action == back
        assert json.loads(unpack(page.fields["threeDSMethodData"])) == {"threeDSServerTransID": "t1"}


async def test_method_page_asked_wrongly(server: Server, browser: Browser) -> None:
    """Without data, or with an address that is none, the method page says so and leads nowhere."""
    assert (await browser.post("/acs/method")).status == 400
    data = pack({"threeDSServerTransID": "t1", "threeDSMethodNotificationURL": "javascript:alert(1)"})
    page = await browser.post("/acs/method", threeDSMethodData=data)
    assert (page.status, "javascript" in page.text) == (400, False)
