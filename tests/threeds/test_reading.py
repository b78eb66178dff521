"""Reading a message: by the cases of the tables, and what no table says."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.threeds.samples import EXTENSION, PAN, Case, cases, sample
from tollhouse.authentication import VERSIONS
from tollhouse.threeds.message import DESCRIPTIONS, Component, MessageRefused, MessageType
from tollhouse.threeds.reading import BYTES_MAX, accept, check, read
from tollhouse.threeds.tables import TABLES
from tollhouse.threeds.writing import compose_erro

EVERY = tuple(MessageType)
CANARIES = ("4000001234567899", "never-told")
ID = "0b9f3c52-6a1d-4d0e-8f33-2c5d1e7a9b10"


def refusal(body: bytes | str, expects: tuple[MessageType, ...] = EVERY, **limits: Any) -> MessageRefused:
    """How a body is refused."""
    with pytest.raises(MessageRefused) as caught:
        read(body, expects=expects, **limits)
    return caught.value


def outcome(body: bytes | str) -> MessageRefused | None:
    """How a body is refused, if it is."""
    try:
        read(body, expects=EVERY)
    except MessageRefused as refused:
        return refused
    return None


def heard(case: Case) -> tuple[str, tuple[str, ...]]:
    """Code and names with which a case is received; no code where it is accepted."""
    refused = outcome(json.dumps(case.members))
    return (refused.code, tuple(refused.detail.split(","))) if refused else ("", ())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("type", MessageType)
def test_every_case_is_received_as_it_must_be(type: MessageType, version: str) -> None:
    """Each missing field is named with 201, each broken one with 203, and what is right is accepted."""
    found = [(case.name, case.code, case.names, heard(case)) for case in cases(type, version)]
    assert [one for one in found if (one[1], one[2]) != one[3]] == []


def test_cases_are_many() -> None:
    """The tables yield at least a thousand cases."""
    counted = {(type, version): sum(1 for _ in cases(type, version)) for type, version in TABLES}
    assert sum(counted.values()) >= 1000
    assert all(counted.values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe{}",
        b'{"messageType": "ARes", "x": NaN}',
        b'{"messageType": "ARes", "x": Infinity}',
        b'{"messageType": "ARes", "x": ' + b"9" * 5000 + b"}",
        b'{"messageType": "ARes"} {}',
        '\ufeff{"messageType": "ARes"}',
        b'{"x":' + b"[" * 17 + b"]" * 17 + b"}",
        b"[" * 30_000,
        b'{"x":' * 10_000,
        b'{"messageType": "ARes", "x": "' + b"x" * BYTES_MAX + b'"}',
        "ж" * (BYTES_MAX - 1),
    ],
    ids=lambda body: f"{body[:20]!r} {len(body)}",
)
def test_what_is_no_message_is_101(body: bytes | str) -> None:
    """What is no JSON object, too long, or nested too deep is refused with 101, before anything else."""
    assert refusal(body).code == "101"


def test_the_limit_of_bytes_can_be_raised() -> None:
    """A long list of ranges is read by who expects one; by default it is too long."""
    long = sample(MessageType.PRES, "2.2.0", optional=True)
    long["cardRangeData"] = long["cardRangeData"] * 400
    assert refusal(json.dumps(long)).code == "101"
    assert len(read(json.dumps(long), expects=EVERY, bytes_max=1024 * 1024)["cardRangeData"]) == 400


def test_a_message_that_is_not_expected_is_101() -> None:
    """A well-formed message of another type than expected is refused with 101."""
    refused = refusal(json.dumps(sample(MessageType.RREQ, "2.2.0")), (MessageType.ARES, MessageType.ERRO))
    assert (refused.code, refused.detail) == ("101", "messageType")


def test_a_version_that_is_not_wanted_is_102() -> None:
    """A version that we speak but not here is refused with 102, which names those spoken here."""
    refused = refusal(json.dumps(sample(MessageType.CREQ, "2.3.1")), versions={"2.2.0"})
    assert (refused.code, refused.detail) == ("102", "2.2.0")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ('{"messageType":"CReq","messageType":"CReq"}', "messageType"),
        ('{"messageType":"CReq","acsTransID":1,"acsTransID":2,"x":{"cc":1,"cc":1}}', "cc,acsTransID"),
        ('{"messageType":"CReq","4000001234567899":1,"4000001234567899":2}', "(a name of no message)"),
    ],
)
def test_an_element_given_twice_is_204(body: str, names: str) -> None:
    """A name given twice, at any depth, is refused with 204, before anything else is looked at."""
    refused = refusal(body)
    assert (refused.code, refused.detail) == ("204", names)


def test_missing_comes_before_critical_before_wrong() -> None:
    """Of several faults, 201 is told first, then 202, then 203, each with all names it applies to."""
    message = sample(MessageType.RRES, "2.2.0") | {"messageExtension": [EXTENSION | {"criticalityIndicator": True}]}
    message |= {"acsTransID": "?", "dsTransID": "", "resultsStatus": None}
    assert (refusal(json.dumps(message)).code, refusal(json.dumps(message)).detail) == (
        "201",
        "dsTransID,resultsStatus",
    )
    message |= {"dsTransID": "?", "resultsStatus": "01"}
    assert refusal(json.dumps(message)).code == "202"
    del message["messageExtension"]
    assert (refusal(json.dumps(message)).code, refusal(json.dumps(message)).detail) == ("203", "acsTransID,dsTransID")


def test_only_what_a_table_has_comes_through() -> None:
    """Unknown members are dropped at every depth, and so are fields of another channel."""
    message = sample(MessageType.AREQ, "2.2.0", channel="03", optional=True)
    more = message | {"browserIP": "no address", "unheardOf": 1, "homePhone": message["homePhone"] | {"unheardOf": 2}}
    assert read(json.dumps(more), expects=EVERY) == message


def test_blank_fields_count_as_there() -> None:
    """Fields that are filled later are neither missing nor wrong, and conditions see them."""
    message = sample(MessageType.AREQ, "2.2.0")
    del message["acctNumber"]
    with pytest.raises(MessageRefused, match="201"):
        check(message)
    check(message, blank={"acctNumber"})
    check(message | {"acctNumber": "slot"}, blank={"acctNumber"})


def test_another_id_is_301() -> None:
    """Ids that differ from those known are named with 301."""
    message = sample(MessageType.RREQ, "2.2.0")
    known = {name: message[name] for name in ("threeDSServerTransID", "acsTransID", "dsTransID")}
    accept(message, known)
    with pytest.raises(MessageRefused) as caught:
        accept(message, known | {"acsTransID": ID, "dsTransID": ID})
    assert (caught.value.code, caught.value.detail) == ("301", "acsTransID,dsTransID")


def test_a_refusal_keeps_what_an_erro_repeats() -> None:
    """Ids, type and version are kept where well formed, and nothing else."""
    message = sample(MessageType.ARES, "2.3.1") | {"transStatus": "Z", "dsTransID": "x"}
    assert refusal(json.dumps(message)).members == {
        name: message[name] for name in ("threeDSServerTransID", "acsTransID", "messageType", "messageVersion")
    }


@pytest.mark.parametrize("type", MessageType)
def test_no_value_is_told(type: MessageType) -> None:
    """Whatever is in the wrong place, no text of a refusal, its traceback or its Erro holds it."""
    full = sample(type, "2.3.1", optional=True)
    canaries = (*CANARIES, [CANARIES[0]], {CANARIES[0]: CANARIES[1]})
    bodies = [json.dumps(full | {name: canary}) for name in full for canary in canaries]
    bodies += [body.replace("{", f'{{"{CANARIES[0]}": 1, "{CANARIES[0]}": 2, ', 1) for body in bodies]
    bodies += [body + CANARIES[0] for body in bodies]
    refusals = [refused for body in bodies if (refused := outcome(body))]
    assert len(refusals) > len(bodies) // 2
    for refused in refusals:
        erro = compose_erro(refused, component=Component.SERVER)
        told = (str(refused), repr(refused), json.dumps(erro), *traceback.format_exception(refused))
        assert [text for text in told if PAN in text or any(canary in text for canary in CANARIES)] == []
        assert refused.__context__ is None
        assert refused.description == DESCRIPTIONS[refused.code]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_nothing_but_a_refusal_comes_of_any_json(data: st.DataObject) -> None:
    """Any JSON in any places of any message is read or refused; nothing else is raised."""
    type = data.draw(st.sampled_from(EVERY))
    version = data.draw(st.sampled_from(VERSIONS))
    message = sample(type, version, optional=True)
    for name in data.draw(st.lists(st.sampled_from(sorted(message)), unique=True, max_size=4)):
        message[name] = data.draw(JSON)
    refused = outcome(json.dumps(message))
    assert refused is None or refused.code in DESCRIPTIONS


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | st.text(max_size=200) | JSON.map(json.dumps))
def test_nothing_but_a_refusal_comes_of_any_body(body: bytes | str) -> None:
    """Any bytes and any text are refused, and nothing else is raised."""
    assert refusal(body).code in DESCRIPTIONS
