"""PReq and PRes to and from card ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tollhouse.card_range import Action, CardRange
from tollhouse.threeds.message import MessageRefused, MessageType
from tollhouse.threeds.ranges import ErrorAnswered, ask_ranges, read_ranges, refuse_ranges
from tollhouse.threeds.reading import check, read

ID = "8a880dc0-d2d2-4067-bcb1-b08d1690b26e"
OLD = {"messageType": "PRes", "messageVersion": "2.2.0", "threeDSServerTransID": ID, "dsTransID": ID}
NEW = {**OLD, "messageVersion": "2.3.1", "dsProtocolVersions": ["2.2.0", "2.3.1"]}
OLD = {**OLD, "dsStartProtocolVersion": "2.1.0", "dsEndProtocolVersion": "2.3.1"}
FIRST, LAST = "4000120000000000", "4000129999999999"
LIMITS = {"startRange": FIRST, "endRange": LAST}
OLD_ENTRY = {**LIMITS, "acsStartProtocolVersion": "2.1.0", "acsEndProtocolVersion": "2.2.0"}
METHOD, OTHER_METHOD = "https://acs.test/method", "https://acs.test/old"
NEW_ENTRY = {
    "ranges": [LIMITS, {"startRange": "340000000000000", "endRange": "340000000000009"}],
    "acsProtocolVersions": [
        {"version": "2.2.0", "threeDSMethodURL": OTHER_METHOD},
        {"version": "2.3.1", "threeDSMethodURL": METHOD, "acsInfoInd": ["01", "03"]},
        {"version": "2.4.0"},
    ],
}


def said(members: Mapping[str, Any], *entries: Mapping[str, Any]) -> tuple[tuple[Action, CardRange], ...]:
    """What a PRes with these entries says."""
    return read_ranges(json.dumps({**members, "cardRangeData": entries}).encode(), id=ID).said


@pytest.mark.parametrize("version", ["2.2.0", "2.3.1"])
def test_what_is_asked(version: str) -> None:
    """A PReq that fits its table, with a serial number only when there is one."""
    asked = ask_ranges(version, id=ID, serial="17")
    check(asked)
    assert (asked["messageType"], asked["messageVersion"], asked["serialNum"]) == ("PReq", version, "17")
    assert "serialNum" not in ask_ranges(version, id=ID, serial=None)


def test_the_shape_of_2_2_0() -> None:
    """One range in each entry, versions from one to another of which we take those we speak."""
    entries = [{**OLD_ENTRY, "actionInd": action} for action in "AMD"]
    assert said(OLD, OLD_ENTRY, *entries) == tuple(
        (action, CardRange(FIRST, LAST, ("2.2.0",)))
        for action in (Action.ADDED, Action.ADDED, Action.CHANGED, Action.REMOVED)
    )
    entry = {**OLD_ENTRY, "acsEndProtocolVersion": "2.10.0", "threeDSMethodURL": METHOD, "acsInfoInd": ["02"]}
    assert said(OLD, entry) == ((Action.ADDED, CardRange(FIRST, LAST, ("2.2.0", "2.3.1"), METHOD, ("02",))),)


def test_the_shape_of_2_3_1() -> None:
    """Several alike ranges in an entry; method page and information are those of the version that will be spoken."""
    both = ("2.2.0", "2.3.1")
    assert [one for _, one in said(NEW, NEW_ENTRY)] == [
        CardRange(FIRST, LAST, both, METHOD, ("01", "03")),
        CardRange("340000000000000", "340000000000009", both, METHOD, ("01", "03")),
    ]
    assert said(NEW, {**NEW_ENTRY, "actionInd": "D"})[0][0] is Action.REMOVED


def test_the_directory_server_must_speak_the_version_too() -> None:
    """As the whole message says, or an entry of its own: a range in which nobody understands us has no version."""
    narrow = {**NEW, "dsProtocolVersions": ["2.2.0"]}
    assert said(narrow, NEW_ENTRY)[0][1] == CardRange(FIRST, LAST, ("2.2.0",), OTHER_METHOD)
    assert said(NEW, {**NEW_ENTRY, "dsProtocolVersions": ["2.2.0"]})[0][1].versions == ("2.2.0",)
    assert said({**OLD, "dsEndProtocolVersion": "2.1.0"}, OLD_ENTRY)[0][1].versions == ()
    own = {**OLD_ENTRY, "dsStartProtocolVersion": "2.3.1", "dsEndProtocolVersion": "2.3.1"}
    assert said(OLD, own)[0][1].versions == ()


def test_nothing_changed() -> None:
    """An answer without entries says its serial number."""
    answer = read_ranges(json.dumps({**NEW, "serialNum": "18"}).encode(), id=ID)
    assert (answer.serial, answer.said) == ("18", ())


def test_an_error_is_told_by_its_code() -> None:
    """With what it says of itself, cut short."""
    erro = {"messageType": "Erro", "messageVersion": "2.2.0", "errorCode": "307", "errorComponent": "D"}
    body = json.dumps({**erro, "errorDescription": "x" * 500, "errorDetail": "serialNum"}).encode()
    with pytest.raises(ErrorAnswered, match="^the directory server answered error 307: x{100}$") as refusal:
        read_ranges(body, id=ID)
    assert refusal.value.code == "307"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>", "101"),
        (json.dumps({**NEW, "threeDSServerTransID": "8a880dc0-d2d2-4067-bcb1-000000000000"}).encode(), "301"),
        (json.dumps({**NEW, "cardRangeData": [{**NEW_ENTRY, "ranges": [{"startRange": FIRST}]}]}).encode(), "201"),
        (json.dumps({**OLD, "cardRangeData": [{**OLD_ENTRY, "startRange": "4"}]}).encode(), "203"),
    ],
)
def test_what_breaks_the_table_is_refused(body: bytes, code: str) -> None:
    """With the code for an error message, which itself fits its table."""
    with pytest.raises(MessageRefused) as refusal:
        read_ranges(body, id=ID)
    assert refusal.value.code == code
    erro = json.dumps(refuse_ranges(refusal.value, "2.2.0"))
    assert read(erro, expects={MessageType.ERRO})["errorCode"] == code


def test_a_long_list_is_read() -> None:
    """Far more than any other message may be long."""
    entries = [{**OLD_ENTRY, "startRange": f"{n:016d}", "endRange": f"{n:016d}"} for n in range(5000)]
    assert len(said(OLD, *entries)) == 5000
