"""Sales and authorizations: every response code and every fault, over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.conftest import Bank, Dial, open_bank
from tests.sandbox.gateway import Fields, Gateway, charge, network, proof, refund, reversal
from tollhouse.acquirers.iso8583.fields import Garbled, unpack
from tollhouse.sandbox.books import State
from tollhouse.sandbox.cards import ALIASES, PLAIN, Later, compose
from tollhouse.sandbox.faults import Delays

GOOD = "4242424242424242"


@pytest.mark.parametrize(("mti", "answer_mti"), [("0200", "0210"), ("0100", "0110")])
async def test_approval(bank: Bank, gateway: Gateway, mti: str, answer_mti: str) -> None:
    """An approval echoes the request and bears 00 and an approval code of six alphanumerics."""
    asked = charge(GOOD)
    answer = await gateway.exchange(mti, asked)
    assert answer["t"] == answer_mti
    assert {field: answer[field] for field in ("3", "4", "7", "11", "37", "41", "42", "49")} == {
        field: asked[field] for field in ("3", "4", "7", "11", "37", "41", "42", "49")
    }
    assert answer["39"] == "00"
    assert len(answer["38"]) == 6
    assert answer["38"].isalnum()
    assert not {"2", "14", "48"} & answer.keys()
    booked = bank.operation(asked)
    assert (booked.state, booked.approval_code, booked.amount_minor) == (State.APPROVED, answer["38"], 1000)
    assert booked.captured_minor == (1000 if mti == "0200" else 0)
    assert (booked.card, booked.currency, booked.terminal) == ("424242******4242", "eur", "TERM0001")


@pytest.mark.parametrize("code", [f"{number:02d}" for number in range(100)])
async def test_response_codes(bank: Bank, gateway: Gateway, code: str) -> None:
    """The two digits rr come back as the response code; 00 and 10 are approvals, all else is declined in the books."""
    asked = charge(compose(answer=code))
    answer = await gateway.exchange("0100", asked)
    booked = bank.operation(asked)
    assert answer["39"] == booked.response_code == code
    is_approved = code in ("00", "10")
    assert ("38" in answer) == is_approved
    assert booked.state is (State.APPROVED if is_approved else State.DECLINED)
    assert booked.captured_minor == 0


@pytest.mark.parametrize(("pan", "code"), [(pan, asks.response_code) for pan, asks in ALIASES.items()])
async def test_familiar_numbers(bank: Bank, gateway: Gateway, pan: str, code: str) -> None:
    """A familiar number is answered with its code, through the wire and in the books."""
    asked = charge(pan)
    assert (await gateway.exchange("0200", asked))["39"] == code
    assert bank.operation(asked).response_code == code


async def test_part_approval(bank: Bank, gateway: Gateway) -> None:
    """Code 10 approves half of the amount, names it in field 4, and is reversed by the amount asked for."""
    asked = charge(compose(answer="10"), amount=1001)
    answer = await gateway.exchange("0200", asked)
    assert (answer["39"], answer["4"]) == ("10", "000000000500")
    assert bank.operation(asked).captured_minor == 500
    assert (await gateway.exchange("0400", reversal(asked)))["39"] == "00"
    assert (bank.operation(asked).state, bank.operation(asked).captured_minor) == (State.REVERSED, 0)


async def test_amount_of_zero(bank: Bank, gateway: Gateway) -> None:
    """Nothing to charge is declined with 13."""
    assert (await gateway.exchange("0200", charge(GOOD, amount=0)))["39"] == "13"


@pytest.mark.parametrize(("fault", "code"), [(1, "00"), (1, "51"), (5, "00"), (7, "00")])
async def test_done_but_the_answer_is_lost(bank: Bank, fault: int, code: str, dial: Dial) -> None:
    """Fault 1, 5 and 7 book what rr says, though the gateway hears nothing that it could use."""
    gateway, asked, other = await dial(bank.port), charge(compose(fault=fault, answer=code)), charge(GOOD)
    await gateway.send(("0200", asked), ("0200", other))
    raw = await gateway.receive_bytes()
    if fault == 1:
        assert unpack(raw)["11"] == other["11"]
    elif fault == 5:
        assert raw == b""
    else:
        with pytest.raises(Garbled):
            unpack(raw)
    assert bank.operation(asked).response_code == code
    assert "fault" in bank.operation(asked).history[-1].what


async def test_request_lost(bank: Bank, gateway: Gateway) -> None:
    """Fault 2 neither answers nor books; its reversal finds no original."""
    lost, other = charge(compose(fault=2)), charge(GOOD)
    await gateway.send(("0200", lost), ("0200", other))
    assert (await gateway.receive())["11"] == other["11"]
    assert bank.books.find_rrn(lost["37"]) is None
    assert (await gateway.exchange("0400", reversal(lost)))["39"] == "25"
    assert (await gateway.exchange("0421", reversal(lost)))["39"] == "25"


@pytest.mark.parametrize("fault", [3, 6])
async def test_answer_late_or_slow(bank: Bank, gateway: Gateway, fault: int) -> None:
    """Fault 3 and 6 are overtaken by the next answer and come in the end; the books knew from the beginning."""
    asked, other = charge(compose(fault=fault)), charge(GOOD)
    await gateway.send(("0200", asked), ("0200", other))
    assert (await gateway.receive())["11"] == other["11"]
    assert bank.operation(asked).state is State.APPROVED
    late = await gateway.receive()
    assert (late["11"], late["39"]) == (asked["11"], "00")


async def test_a_late_answer_takes_the_terminals_next_connection(tmp_path: Path, dial: Dial) -> None:
    """An answer that comes late goes to the connection that the terminal uses by then."""
    async with open_bank(tmp_path, Delays(late_seconds=1.5)) as bank:
        first, second, asked = await dial(bank.port), await dial(bank.port), charge(compose(fault=3))
        await first.send(("0200", asked), ("0200", charge(GOOD)))
        await first.receive()
        await second.exchange("0800", network("001"))
        await first.close()
        assert (await second.receive())["11"] == asked["11"]


async def test_answer_twice(bank: Bank, gateway: Gateway) -> None:
    """Fault 4 answers twice and books once."""
    asked = charge(compose(fault=4))
    answer = await gateway.exchange("0200", asked)
    assert await gateway.receive() == answer
    assert len(bank.books) == 1


@pytest.mark.parametrize(("brand", "code"), [("visa", "1A"), ("mastercard", "65"), ("jcb", "65")])
async def test_soft_decline(bank: Bank, gateway: Gateway, brand: str, code: str) -> None:
    """Fault 8 declines with 1A for Visa and 65 for others, until the message proves an authentication."""
    pan = compose(brand=brand, fault=8)
    assert (await gateway.exchange("0100", charge(pan)))["39"] == code
    assert (await gateway.exchange("0100", charge(pan, tags=proof(pan))))["39"] == "00"


async def test_terminal_refused(bank: Bank, dial: Dial) -> None:
    """Fault 9 books nothing, cuts off this terminal and refuses its sign-on and requests; other terminals go on."""
    refused, other = await dial(bank.port), await dial(bank.port)
    asked = charge(compose(fault=9), terminal="TERM0009")
    await refused.send(("0200", asked))
    assert await refused.is_cut_off()
    assert bank.books.find_rrn(asked["37"]) is None
    assert (await other.exchange("0200", charge(GOOD, terminal="TERM0001")))["39"] == "00"

    again = await dial(bank.port)
    assert (await again.exchange("0800", network("001", terminal="TERM0009")))["39"] == "91"
    assert await again.is_cut_off()
    unsigned, next_asked = await dial(bank.port), charge(GOOD, terminal="TERM0009")
    await unsigned.send(("0200", next_asked))
    assert await unsigned.is_cut_off()
    assert bank.books.find_rrn(next_asked["37"]) is None


@pytest.mark.parametrize(("digit", "name"), [(8, "chargeback"), (9, "payout_returned")])
async def test_what_comes_later_by_callback_is_recorded(bank: Bank, gateway: Gateway, digit: int, name: str) -> None:
    """Later 8 and 9 approve, and the books say what is to come."""
    asked = charge(compose(later=digit))
    assert (await gateway.exchange("0200", asked))["39"] == "00"
    assert bank.operation(asked).later == name == list(Later)[digit].name.lower()


@pytest.mark.parametrize("authentication", range(1, 10))
async def test_digits_of_threeds_change_nothing_yet(bank: Bank, gateway: Gateway, authentication: int) -> None:
    """A card that takes part in 3DS is answered by rr, f and o alone."""
    pan = compose(authentication=authentication, method=1, challenge=2, answer="51")
    assert (await gateway.exchange("0200", charge(pan)))["39"] == "51"


@pytest.mark.parametrize("pan", [GOOD, compose(answer="51"), compose(fault=1), compose(fault=5), compose(fault=7)])
@pytest.mark.parametrize("mti", ["0200", "0201"])
async def test_a_repeated_request_is_answered_from_the_books(bank: Bank, pan: str, mti: str, dial: Dial) -> None:
    """The same references again are answered promptly with what was booked, and booked once."""
    first, asked = await dial(bank.port), charge(pan)
    await first.send(("0200", asked), ("0200", charge(GOOD)))
    await first.receive_bytes()
    second = await dial(bank.port)
    answer = await second.exchange(mti, asked)
    booked = bank.operation(asked)
    assert (answer["39"], answer.get("38")) == (booked.response_code, booked.approval_code)
    assert len(bank.books) == 2


async def test_another_rrn_is_another_sale(bank: Bank, gateway: Gateway) -> None:
    """Two sales of one card and one amount are two when their RRNs differ."""
    answers = [await gateway.exchange("0200", charge(GOOD)) for _ in range(2)]
    assert [answer["39"] for answer in answers] == ["00", "00"]
    assert bank.books.totals()["currencies"]["eur"]["captured_minor"] == 2000


@pytest.mark.parametrize("change", [{"11": "999999"}, {"7": "1122131416"}, {"4": "000000000999"}, {"49": "840"}])
async def test_an_rrn_is_used_once(bank: Bank, gateway: Gateway, change: Fields) -> None:
    """Another request that bears a used RRN is refused with 94 and not booked."""
    asked = charge(GOOD)
    await gateway.exchange("0200", asked)
    assert (await gateway.exchange("0200", asked | change))["39"] == "94"
    assert len(bank.books) == 1
    assert bank.operation(asked).captured_minor == 1000


async def test_a_used_rrn_is_no_refund(bank: Bank, gateway: Gateway) -> None:
    """A refund under the references of its sale is refused with 94."""
    asked = charge(GOOD)
    await gateway.exchange("0200", asked)
    assert (await gateway.exchange("0200", refund(asked) | {name: asked[name] for name in ("11", "37")}))["39"] == "94"


async def test_cards_without_meaning_are_approved(bank: Bank, gateway: Gateway) -> None:
    """A merchant's own test number is approved and asks for nothing."""
    asked = charge("4917610000000000")
    assert (await gateway.exchange("0200", asked))["39"] == "00"
    assert bank.operation(asked).later == PLAIN.later.name.lower()
