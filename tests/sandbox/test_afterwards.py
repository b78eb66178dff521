"""Completions, refunds and reversals: what the books allow, and every fault that comes later on."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import Bank
from tests.sandbox.gateway import Fields, Gateway, charge, completion, refund, reversal
from tollhouse.sandbox.books import State
from tollhouse.sandbox.cards import compose

GOOD = "4242424242424242"


async def approved(gateway: Gateway, mti: str, fields: Fields) -> Fields:
    """The fields of a request that the host approved."""
    assert (await gateway.exchange(mti, fields))["39"] == "00"
    return fields


async def code_of(gateway: Gateway, mti: str, fields: Fields) -> str:
    """The response code of the answer."""
    return (await gateway.exchange(mti, fields))["39"]


async def test_completions(bank: Bank, gateway: Gateway) -> None:
    """An authorization may be captured in parts, never beyond its amount."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    assert await code_of(gateway, "0220", completion(authorization, amount=600)) == "00"
    assert await code_of(gateway, "0220", completion(authorization, amount=401)) == "61"
    assert await code_of(gateway, "0220", completion(authorization, amount=400)) == "00"
    assert await code_of(gateway, "0220", completion(authorization, amount=1)) == "61"
    booked = bank.operation(authorization)
    assert (booked.state, booked.captured_minor) == (State.CAPTURED, 1000)


async def test_a_repeated_completion_is_booked_once(bank: Bank, gateway: Gateway) -> None:
    """0221 repeats 0220: the same answer, the same money; it is also taken when the first was lost."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    capture = completion(authorization, amount=600)
    first = await gateway.exchange("0220", capture)
    again = await gateway.exchange("0221", capture)
    assert (first["t"], again["t"]) == ("0230", "0230")
    assert again["38"] == first["38"]
    assert await code_of(gateway, "0221", completion(authorization, amount=400)) == "00"
    assert bank.operation(authorization).captured_minor == 1000


async def test_completions_that_cannot_be(bank: Bank, gateway: Gateway) -> None:
    """12 without an authorization of this RRN and currency, or for one that was declined or reversed; 13 for zero."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    sale = await approved(gateway, "0200", charge(GOOD))
    declined = charge(compose(answer="51"))
    await gateway.exchange("0100", declined)
    unknown = charge(GOOD)
    for original in (sale, declined, unknown):
        assert await code_of(gateway, "0220", completion(original)) == "12"
    assert await code_of(gateway, "0220", completion(authorization, currency="840")) == "12"
    assert await code_of(gateway, "0220", completion(authorization, amount=0)) == "13"
    await approved(gateway, "0400", reversal(authorization, mti="0100"))
    assert await code_of(gateway, "0220", completion(authorization)) == "12"
    assert bank.operation(authorization).captured_minor == 0


async def test_refunds(bank: Bank, gateway: Gateway) -> None:
    """A sale may be refunded in parts, never beyond what was captured."""
    sale = await approved(gateway, "0200", charge(GOOD))
    assert await code_of(gateway, "0200", refund(sale, amount=600)) == "00"
    assert await code_of(gateway, "0200", refund(sale, amount=401)) == "61"
    assert await code_of(gateway, "0200", refund(sale, amount=400)) == "00"
    assert await code_of(gateway, "0200", refund(sale, amount=1)) == "61"
    booked = bank.operation(sale)
    assert (booked.captured_minor, booked.refunded_minor, booked.state) == (1000, 1000, State.APPROVED)


async def test_a_refund_of_a_completion(bank: Bank, gateway: Gateway) -> None:
    """A completion is refunded by its own RRN; the authorization shows the refund too."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    capture = await approved(gateway, "0220", completion(authorization, amount=600))
    assert await code_of(gateway, "0200", refund(capture, amount=601)) == "61"
    assert await code_of(gateway, "0200", refund(capture, amount=500)) == "00"
    assert bank.operation(capture).refunded_minor == 500
    assert bank.operation(authorization).refunded_minor == 500


async def test_refunds_that_cannot_be(bank: Bank, gateway: Gateway) -> None:
    """12 without a sale or completion of this RRN and currency, or for one that was reversed; 13 for zero."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    sale = await approved(gateway, "0200", charge(GOOD))
    for original in (authorization, charge(GOOD)):
        assert await code_of(gateway, "0200", refund(original)) == "12"
    assert await code_of(gateway, "0200", refund(sale, currency="840")) == "12"
    assert await code_of(gateway, "0200", refund(sale, amount=0)) == "13"
    await approved(gateway, "0400", reversal(sale))
    assert await code_of(gateway, "0200", refund(sale)) == "12"


@pytest.mark.parametrize(("later", "code", "refunded"), [(1, "05", 0), (2, "00", 1000)])
async def test_refund_faults(bank: Bank, gateway: Gateway, later: int, code: str, refunded: int) -> None:
    """Later 1 declines the refund; later 2 books it and loses the answer, and a repetition is answered."""
    sale = await approved(gateway, "0200", charge(compose(later=later)))
    asked, other = refund(sale), charge(GOOD)
    await gateway.send(("0200", asked), ("0200", other))
    expected = [asked, other] if later == 1 else [other]
    for fields in expected:
        assert (await gateway.receive())["11"] == fields["11"]
    assert bank.operation(asked).response_code == code
    assert bank.operation(sale).refunded_minor == refunded
    assert await code_of(gateway, "0201", asked) == code
    assert bank.operation(sale).refunded_minor == refunded


@pytest.mark.parametrize(("later", "code", "captured"), [(3, "05", 0), (4, "00", 1000)])
async def test_capture_faults(bank: Bank, gateway: Gateway, later: int, code: str, captured: int) -> None:
    """Later 3 declines the capture; later 4 books it and loses the answer, and 0221 is answered."""
    authorization = await approved(gateway, "0100", charge(compose(later=later)))
    asked, other = completion(authorization), charge(GOOD)
    await gateway.send(("0220", asked), ("0200", other))
    expected = [asked, other] if later == 3 else [other]
    for fields in expected:
        assert (await gateway.receive())["11"] == fields["11"]
    assert bank.operation(asked).response_code == code
    assert await code_of(gateway, "0221", asked) == code
    assert bank.operation(authorization).captured_minor == captured


@pytest.mark.parametrize("fault", [0, 1, 3, 4, 6])
@pytest.mark.parametrize(("mti", "undo"), [("0200", "0400"), ("0100", "0420"), ("0100", "0421")])
async def test_reversal(bank: Bank, gateway: Gateway, mti: str, undo: str, fault: int) -> None:
    """A reversal undoes what was approved, whatever became of its answer; repeated, it is answered 00 again."""
    asked = charge(compose(fault=fault))
    back = reversal(asked, mti=mti)
    await gateway.send((mti, asked), (undo, back), ("0421", back))
    reversals: list[tuple[str, str]] = []
    while len(reversals) < 2:
        answer = await gateway.receive()
        if answer["11"] == back["11"]:
            reversals.append((answer["t"], answer["39"]))
    assert reversals == [("0410" if undo == "0400" else "0430", "00"), ("0430", "00")]
    booked = bank.operation(asked)
    assert (booked.state, booked.captured_minor) == (State.REVERSED, 0)
    entries = [operation for operation in bank.books.select(rrn=asked["37"]) if operation is not booked]
    assert [(entry.kind, entry.original_rrn, entry.card) for entry in entries] == [
        ("reversal", asked["37"], booked.card)
    ]


async def test_reversal_of_a_declined_operation(bank: Bank, gateway: Gateway) -> None:
    """There is nothing to undo: 00, and it stays declined."""
    asked = charge(compose(answer="51", fault=1))
    await gateway.send(("0200", asked))
    assert await code_of(gateway, "0400", reversal(asked)) == "00"
    assert bank.operation(asked).state is State.DECLINED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"37": "RRN999999999"}, "25"),
        ({"41": "TERM0002"}, "25"),
        ({"90": "0200" + "999999" + "1122131415" + "0" * 22}, "25"),
        ({"90": "0200" + "000001" + "1122131499" + "0" * 22}, "25"),
        ({"4": "000000000999"}, "13"),
        ({"49": "840"}, "13"),
    ],
)
async def test_reversal_must_name_its_original(bank: Bank, gateway: Gateway, change: Fields, code: str) -> None:
    """RRN, terminal, STAN and time of the original find it (else 25); amount and currency must be its own (else 13)."""
    sale = await approved(gateway, "0200", charge(GOOD))
    assert await code_of(gateway, "0400", reversal(sale) | change) == code
    assert bank.operation(sale).state is State.APPROVED


async def test_reversal_of_a_completion(bank: Bank, gateway: Gateway) -> None:
    """The money is authorized again, not captured, and may be captured or reversed anew."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    capture = await approved(gateway, "0220", completion(authorization))
    assert await code_of(gateway, "0400", reversal(authorization, mti="0100")) == "12"
    await approved(gateway, "0400", reversal(capture, mti="0220"))
    assert bank.operation(capture).state is State.REVERSED
    booked = bank.operation(authorization)
    assert (booked.state, booked.captured_minor) == (State.APPROVED, 0)
    await approved(gateway, "0400", reversal(authorization, mti="0100"))


async def test_reversal_of_a_refund(bank: Bank, gateway: Gateway) -> None:
    """The refund never was; while it stood, its sale could not be reversed."""
    sale = await approved(gateway, "0200", charge(GOOD))
    back = await approved(gateway, "0200", refund(sale, amount=400))
    assert await code_of(gateway, "0400", reversal(sale)) == "12"
    await approved(gateway, "0400", reversal(back))
    assert (bank.operation(back).state, bank.operation(sale).refunded_minor) == (State.REVERSED, 0)
    await approved(gateway, "0400", reversal(sale))


async def test_reversal_of_a_refund_of_a_completion(bank: Bank, gateway: Gateway) -> None:
    """Completion and authorization both lose the refund again."""
    authorization = await approved(gateway, "0100", charge(GOOD))
    capture = await approved(gateway, "0220", completion(authorization))
    back = await approved(gateway, "0200", refund(capture))
    await approved(gateway, "0400", reversal(back))
    assert [bank.operation(fields).refunded_minor for fields in (authorization, capture)] == [0, 0]


async def test_reversal_refused_twice(bank: Bank, gateway: Gateway) -> None:
    """Later 5 refuses with 96 twice, then takes the reversal, also under the same references."""
    asked = charge(compose(fault=1, later=5))
    back = reversal(asked)
    await gateway.send(("0200", asked))
    assert [await code_of(gateway, mti, back) for mti in ("0400", "0420", "0421")] == ["96", "96", "00"]
    assert bank.operation(asked).state is State.REVERSED
    reversals = [operation for operation in bank.books.select(rrn=asked["37"]) if operation.kind == "reversal"]
    assert [(operation.state, operation.response_code) for operation in reversals] == [(State.APPROVED, "00")]


async def test_reversal_unanswered(bank: Bank, gateway: Gateway) -> None:
    """Later 6 never answers a reversal and never books it."""
    asked, other = charge(compose(fault=1, later=6)), charge(GOOD)
    back = reversal(asked)
    await gateway.send(("0200", asked), ("0400", back), ("0420", back), ("0421", back), ("0200", other))
    assert (await gateway.receive())["11"] == other["11"]
    assert bank.operation(asked).state is State.APPROVED
    assert [operation.kind for operation in bank.books.select(rrn=asked["37"])] == ["sale"]


@pytest.mark.parametrize("fault", [1, 2])
@pytest.mark.parametrize(("mti", "answer_mti"), [("0200", "0210"), ("0100", "0110")])
async def test_approval_after_the_reversal(bank: Bank, gateway: Gateway, mti: str, answer_mti: str, fault: int) -> None:
    """Later 7 sends the approval after the reversal and stands approved again; the next reversal is for good.

    With fault 2 the request itself arrives then, after the reversal had found nothing.
    """
    asked = charge(compose(fault=fault, later=7))
    await gateway.send((mti, asked))
    assert await code_of(gateway, "0400", reversal(asked, mti=mti)) == ("00" if fault == 1 else "25")
    late = await gateway.receive()
    assert (late["t"], late["39"]) == (answer_mti, "00")
    assert {field: late[field] for field in ("3", "4", "7", "11", "37", "41", "42", "49")} == {
        field: asked[field] for field in ("3", "4", "7", "11", "37", "41", "42", "49")
    }
    booked = bank.operation(asked)
    assert (booked.state, booked.captured_minor) == (State.APPROVED, 1000 if mti == "0200" else 0)
    assert late["38"] == booked.approval_code
    assert await code_of(gateway, "0400", reversal(asked, mti=mti)) == "00"
    assert await code_of(gateway, "0421", reversal(asked, mti=mti)) == "00"
    assert (booked.state, booked.captured_minor) == (State.REVERSED, 0)
    assert bank.operation(asked).was_approved_again


async def test_reversal_of_a_lost_request(bank: Bank, gateway: Gateway) -> None:
    """Later 5 and 6 refuse and ignore the reversal of a request that never arrived (fault 2), too."""
    stubborn, silent, other = charge(compose(fault=2, later=5)), charge(compose(fault=2, later=6)), charge(GOOD)
    back = reversal(stubborn)
    await gateway.send(("0200", stubborn), ("0200", silent))
    assert [await code_of(gateway, mti, back) for mti in ("0400", "0420", "0421")] == ["96", "96", "25"]
    await gateway.send(("0400", reversal(silent)), ("0200", other))
    assert (await gateway.receive())["11"] == other["11"]
    assert {operation.kind for operation in bank.books.select()} == {"reversal", "sale"}
    assert bank.books.find_rrn(stubborn["37"]) is None


async def test_a_declined_operation_is_not_approved_later(bank: Bank, gateway: Gateway) -> None:
    """Later 7 changes nothing for a card that is declined."""
    asked = charge(compose(answer="51", fault=1, later=7))
    await gateway.send(("0200", asked))
    assert await code_of(gateway, "0400", reversal(asked)) == "00"
    assert not bank.operation(asked).was_approved_again
    assert bank.operation(asked).state is State.DECLINED
