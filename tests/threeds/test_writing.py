"""Writing a message: what is composed is read again, and nothing goes out that a table has no place for."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.threeds.samples import sample
from tollhouse.authentication import VERSIONS
from tollhouse.threeds.field import Table
from tollhouse.threeds.message import Component, MessageRefused, MessageType
from tollhouse.threeds.nesting import Array, Object
from tollhouse.threeds.reading import read
from tollhouse.threeds.tables import TABLES
from tollhouse.threeds.writing import compose, compose_erro, pack, unpack

SITUATIONS = [(type, version) for type in MessageType for version in VERSIONS]


@pytest.mark.parametrize("channel", ["02", "03"])
@pytest.mark.parametrize(("type", "version"), SITUATIONS)
def test_what_is_composed_is_read(type: MessageType, version: str, channel: str) -> None:
    """A composed message is read as it was offered."""
    for optional in (False, True):
        offered = sample(type, version, channel=channel, optional=optional)
        composed = compose(type, version, offered)
        assert composed == offered
        assert read(json.dumps(composed), expects={type}) == offered


def _names(table: Table) -> set[str]:
    return {row.name for row in table}


@pytest.mark.parametrize(
    ("version", "other"), [("2.2.0", "2.3.1"), ("2.3.1", "2.2.0")], ids=["from 2.3.1", "from 2.2.0"]
)
@pytest.mark.parametrize("type", MessageType)
def test_what_the_other_version_has_is_left_out(type: MessageType, version: str, other: str) -> None:
    """Fields that only the other version has are left out of what is offered."""
    offered = {**sample(type, other, optional=True), **sample(type, version, optional=True)}
    composed = compose(type, version, offered)
    assert set(composed) <= _names(TABLES[type, version])
    assert composed == sample(type, version, optional=True)


def test_a_member_of_an_object_is_left_out_where_the_version_lacks_it() -> None:
    """What 2.3.1 added to an object of 2.2.0 does not go out in 2.2.0."""
    offered = sample(MessageType.AREQ, "2.2.0") | {"acctInfo": {"chAccReqID": "x", "chAccAgeInd": "01"}}
    assert compose(MessageType.AREQ, "2.2.0", offered)["acctInfo"] == {"chAccAgeInd": "01"}


def test_nothing_of_a_browser_goes_out_without_one() -> None:
    """An AReq without the payer (3RI) holds no field of the browser, whatever is offered."""
    offered = {**sample(MessageType.AREQ, "2.3.1", optional=True), "deviceChannel": "03", "threeRIInd": "01"}
    composed = compose(MessageType.AREQ, "2.3.1", offered)
    assert [name for name in composed if name.startswith("browser")] == []
    assert "notificationURL" not in composed


def test_none_is_left_out() -> None:
    """What is offered as None is left out."""
    offered = sample(MessageType.AREQ, "2.2.0") | {"email": None, "browserIP": None}
    assert {"email", "browserIP"}.isdisjoint(compose(MessageType.AREQ, "2.2.0", offered))


@pytest.mark.parametrize(("version", "expected"), [("2.2.0", "04"), ("2.3.1", ["04"])])
@pytest.mark.parametrize("offered", ["04", ["04"]])
def test_one_value_and_a_list_of_one_are_the_same(version: str, expected: object, offered: object) -> None:
    """A field that became a list in 2.3.1 may be offered in either shape."""
    message = sample(MessageType.AREQ, version) | {"threeDSRequestorChallengeInd": offered}
    assert compose(MessageType.AREQ, version, message)["threeDSRequestorChallengeInd"] == expected


def test_a_message_of_ours_that_breaks_its_table_is_a_bug() -> None:
    """Composing what the table refuses fails at once, and the failure names fields and no value."""
    with pytest.raises(AssertionError, match="203 .*acctNumber") as caught:
        compose(MessageType.AREQ, "2.2.0", sample(MessageType.AREQ, "2.2.0") | {"acctNumber": "40000012345678990000"})
    assert "4000001234" not in str(caught.value)


def test_blank_fields_may_hold_anything() -> None:
    """A field that is filled later may hold a mark, or be left away."""
    offered = sample(MessageType.AREQ, "2.2.0")
    blank = {"acctNumber", "cardExpiryDate"}
    marked = compose(
        MessageType.AREQ, "2.2.0", offered | {"acctNumber": "pan", "cardExpiryDate": "expiry"}, blank=blank
    )
    assert (marked["acctNumber"], marked["cardExpiryDate"]) == ("pan", "expiry")
    del offered["acctNumber"]
    assert "acctNumber" not in compose(MessageType.AREQ, "2.2.0", offered, blank=blank)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_erro_repeats_what_it_is_about(version: str) -> None:
    """An Erro has the ids, type and version of the message it is about, and is well formed."""
    broken = sample(MessageType.ARES, version) | {"transStatus": "?"}
    with pytest.raises(MessageRefused) as caught:
        read(json.dumps(broken), expects={MessageType.ARES})
    erro = compose_erro(caught.value, component=Component.SERVER)
    assert read(json.dumps(erro), expects={MessageType.ERRO}) == erro
    assert (erro["errorCode"], erro["errorComponent"], erro["errorDetail"]) == ("203", "S", "transStatus")
    assert (erro["errorMessageType"], erro["messageVersion"]) == ("ARes", version)
    assert erro["dsTransID"] == broken["dsTransID"]


@pytest.mark.parametrize(
    ("body", "version", "code"),
    [("{", None, "101"), ('{"messageType":"AReq","messageVersion":"2.1.0"}', None, "102"), ("{", "2.2.0", "101")],
)
def test_an_erro_is_in_a_version_we_speak(body: str, version: str | None, code: str) -> None:
    """About a message without a version that we speak, an Erro is in our newest version, or in the one asked for."""
    with pytest.raises(MessageRefused) as caught:
        read(body, expects=MessageType)
    erro = compose_erro(caught.value, component=Component.ISSUER, version=version)
    assert (erro["errorCode"], erro["messageVersion"]) == (code, version or "2.3.1")


def test_an_erro_about_an_erro_names_no_type() -> None:
    """`errorMessageType` has no value for an Erro; it is left out."""
    refused = MessageRefused("203", "errorCode", {"messageType": "Erro", "messageVersion": "2.2.0"})
    assert "errorMessageType" not in compose_erro(refused, component=Component.DIRECTORY)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")) | st.booleans()))
def test_what_is_packed_is_unpacked(members: dict[str, object]) -> None:
    """base64url carries any members, and no padding goes out."""
    packed = pack(members)
    assert "=" not in packed
    assert json.loads(unpack(packed)) == members


def test_padding_is_tolerated() -> None:
    """Padded and unpadded base64url are read alike."""
    for text in (b"{}", b"{ }", b'{"a"}', "жжж".encode()):
        padded = base64.urlsafe_b64encode(text).decode()
        assert unpack(padded) == unpack(padded.rstrip("=")) == text


@pytest.mark.parametrize("text", ["", "=", "a", "a+b/", "abc$", "YWJj\n", "ab=c", "жжжж", "abcde", "YQ==="])
def test_what_is_no_base64url_is_101(text: str) -> None:
    """Other characters, and lengths that no bytes have, are refused with 101."""
    with pytest.raises(MessageRefused) as caught:
        unpack(text)
    assert caught.value.code == "101"


def test_tables_have_each_field_once() -> None:
    """No table of one version has two rows for a field, at any depth."""

    def doubled(table: Table) -> list[str]:
        names = [row.name for row in table]
        found = [name for name in names if names.count(name) > 1]
        for row in table:
            inner = row.format.item if isinstance(row.format, Array) else row.format
            found += doubled(inner.table) if isinstance(inner, Object) else []
        return found

    assert {key: doubled(table) for key, table in TABLES.items() if doubled(table)} == {}
