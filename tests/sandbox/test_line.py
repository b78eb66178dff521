"""The line itself: framing, sign-on, many requests at once, and messages that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.conftest import SHORT, Bank, Dial, open_bank
from tests.sandbox.gateway import Gateway, charge, frame, network, refund
from tollhouse.acquirers.iso8583.fields import match_key, pack_tags
from tollhouse.sandbox.cards import compose
from tollhouse.sandbox.faults import Delays

GOOD = "4242424242424242"


@pytest.mark.parametrize(("code", "answer"), [("001", "00"), ("002", "00"), ("301", "00"), ("999", "12")])
async def test_network_messages(gateway: Gateway, code: str, answer: str) -> None:
    """Sign-on, sign-off and echo are answered 0810 with 00 and their own code; others with 12."""
    asked = network(code)
    heard = await gateway.exchange("0800", asked)
    assert (heard["t"], heard["39"], heard["70"]) == ("0810", answer, code)
    assert match_key(heard) == match_key(asked)


async def test_after_sign_off(bank: Bank, gateway: Gateway) -> None:
    """Between sign-off and the next sign-on a request is refused with 58 and not booked."""
    await gateway.exchange("0800", network("002"))
    assert (await gateway.exchange("0200", charge(GOOD)))["39"] == "58"
    assert len(bank.books) == 0
    await gateway.exchange("0800", network("001"))
    assert (await gateway.exchange("0200", charge(GOOD)))["39"] == "00"


async def test_many_in_flight(bank: Bank, gateway: Gateway) -> None:
    """Requests written together are all answered, each with its own references, whatever happens to the others."""
    asked = [charge(compose(answer="51" if number % 3 else "00"), amount=100 + number) for number in range(60)]
    slow, lost = charge(compose(fault=6)), charge(compose(fault=1))
    await gateway.send(("0200", slow), ("0200", lost), *(("0200", fields) for fields in asked))
    heard = [await gateway.receive() for _ in range(len(asked) + 1)]
    assert {match_key(answer): answer["4"] for answer in heard} == {
        match_key(fields): fields["4"] for fields in [slow, *asked]
    }
    assert len(bank.books) == len(asked) + 2


async def test_messages_in_pieces(gateway: Gateway) -> None:
    """A message may arrive byte by byte, and two may arrive with the second cut in half."""
    first, second = charge(GOOD), charge(GOOD)
    content = frame("0200", first) + frame("0200", second)
    for byte in content[:40]:
        await gateway.send_bytes(bytes([byte]))
    await gateway.send_bytes(content[40:-30])
    assert (await gateway.receive())["11"] == first["11"]
    await gateway.send_bytes(content[-30:])
    assert (await gateway.receive())["11"] == second["11"]


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x00",
        b"\x00\x04\xff\xff\xff\xff",
        b"\x00\x040200",
        b"\x00\x0c0200" + b"\xff" * 8,
        frame("0210", {"39": "00"}),
        frame("0300", {"41": "TERM0001"}),
        frame("0204", {"41": "TERM0001"}),
    ],
)
async def test_what_is_no_request_is_ignored(bank: Bank, gateway: Gateway, content: bytes) -> None:
    """Garbage, answers and unknown messages are passed over; the next request on the connection is answered."""
    await gateway.send_bytes(content)
    assert (await gateway.exchange("0200", charge(GOOD)))["39"] == "00"
    assert len(bank.books) == 1


@pytest.mark.parametrize(
    ("mti", "field", "value"),
    [
        ("0200", "2", None),
        ("0100", "2", None),
        ("0200", "2", "42424242"),
        ("0200", "2", "42424242ABCD4242"),
        ("0200", "3", None),
        ("0200", "3", "010000"),
        ("0100", "3", "200000"),
        ("0200", "4", None),
        ("0200", "4", "00000000-001"),
        ("0200", "7", None),
        ("0200", "11", None),
        ("0200", "37", None),
        ("0200", "37", " " * 12),
        ("0200", "41", None),
        ("0200", "49", None),
        ("0200", "49", "000"),
        ("0200", "48", "92"),
        ("0200", "48", "9299123"),
        ("0220", "48", pack_tags({"92": "123"})),
        ("0400", "90", None),
        ("0400", "90", "0200" + "x" * 38),
    ],
)
async def test_format_errors(bank: Bank, gateway: Gateway, mti: str, field: str, value: str | None) -> None:
    """A missing or misshapen field is answered with 30 and nothing is booked."""
    asked = charge(GOOD) | {field: value or ""}
    if value is None:
        del asked[field]
    await gateway.send((mti, asked))
    assert (await gateway.receive())["39"] == "30"
    assert len(bank.books) == 0


async def test_a_refund_must_name_its_original(bank: Bank, gateway: Gateway) -> None:
    """A refund without tag 37 is a format error."""
    asked = refund(charge(GOOD))
    del asked["48"]
    assert (await gateway.exchange("0200", asked))["39"] == "30"


async def test_a_refused_terminal_is_welcome_again(tmp_path: Path, dial: Dial) -> None:
    """When its time is over, the terminal signs on and pays again."""
    delays = Delays(late_seconds=SHORT.late_seconds, refused_seconds=0.05)
    async with open_bank(tmp_path, delays) as bank:
        gateway = await dial(bank.port)
        await gateway.send(("0200", charge(compose(fault=9))))
        assert await gateway.is_cut_off()
        answer = "91"
        while answer == "91":
            await gateway.close()
            gateway = await dial(bank.port)
            answer = (await gateway.exchange("0800", network("001")))["39"]
        assert (answer, (await gateway.exchange("0200", charge(GOOD)))["39"]) == ("00", "00")


async def test_a_gateway_that_hangs_up_disturbs_nobody(bank: Bank, gateway: Gateway, dial: Dial) -> None:
    """Answers for a connection that is gone are dropped; what was asked is booked."""
    gone, asked = await dial(bank.port), charge(GOOD, terminal="TERM0007")
    await gone.send(("0200", asked), ("0200", charge(compose(fault=3), terminal="TERM0007")))
    await gone.close()
    assert (await gateway.exchange("0200", charge(GOOD)))["39"] == "00"
    again = await dial(bank.port)
    assert (await again.exchange("0201", asked))["39"] == "00"
