"""ISO 8583: golden requests of each kind and attempt, meanings of answers, and packing there and back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ground.story import DS_ID, ENROLLED, NOON, TWO_STAGE, VALUE, Story, asked_for, confirmed, held
from tests.strategies import messages, tags
from tollhouse.acquirers import ACQUIRERS
from tollhouse.acquirers.iso8583.fields import Garbled, match_key, pack, pack_tags, unpack, unpack_tags
from tollhouse.acquirers.iso8583.translate import ANSWER_MTIS, FIRST_MTI, outcome, request
from tollhouse.acquirers.message import CardUse, Request, Response, Slot
from tollhouse.exemption import Exemption
from tollhouse.operation import Kind, Operation, References
from tollhouse.outcome import Approved, Declined, PartlyApproved, Unknown
from tollhouse.routing import SANDBOX

COMMON = {
    "4": "000000002590",
    "7": "0302120000",
    "12": "120000",
    "13": "0302",
    "22": "812",
    "25": "59",
    "41": "TERM0001",
    "42": "SHOP           ",
    "49": "978",
}
CARD_SLOTS = {"2": Slot.PAN, "14": Slot.EXPIRY}


def _last_attempt(story: Story, kind: Kind, attempts: int = 1) -> Request:
    """The request of so many attempts of the newest operation of this kind."""
    for _ in range(attempts):
        before = story.session
        operation = story.send(kind)
    payment = before.payment(operation.payment_id)  # its sealed code leaves the row with this commit
    return request(story.session.with_payment(payment), operation)


# Of field 48: ECI, authentication value, the directory server's id, version.
PROOF = f"4202054328{VALUE}4436{DS_ID}45052.2.0"


def _exempt(exemption: Exemption) -> Story:
    return Story().start(ENROLLED, exemption).confirm()


def _captured() -> Story:
    return held().capture(2000).answered("00")


GOLDEN: dict[str, tuple[Callable[[], Request], str, dict[str, str], dict[str, Slot]]] = {
    "sale": (
        lambda: _last_attempt(confirmed(), Kind.SALE),
        "0200",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001"},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    "authorization": (
        lambda: _last_attempt(Story(TWO_STAGE).start().confirm(), Kind.AUTHORIZATION),
        "0100",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001"},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    "sale with proof": (
        lambda: _last_attempt(asked_for().ask().reply("Y"), Kind.SALE),
        "0200",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001", "48": PROOF},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    "authorization with proof of an attempt, after a challenge": (
        lambda: _last_attempt(asked_for(TWO_STAGE).ask().reply("C").result("A", eci="06"), Kind.AUTHORIZATION),
        "0100",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001", "48": PROOF.replace("420205", "420206")},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    "sale the issuer could not vouch for": (
        lambda: _last_attempt(asked_for().ask().reply("U"), Kind.SALE),
        "0200",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001", "48": "420207"},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    "sale after silence": (
        lambda: _last_attempt(asked_for().ask().reply(""), Kind.SALE),
        "0200",
        {**COMMON, "3": "000000", "11": "000001", "37": "000000000001"},
        {**CARD_SLOTS, "48": Slot.CVV},
    ),
    **{
        f"exempt sale, {exemption}": (
            lambda exemption=exemption: _last_attempt(_exempt(exemption), Kind.SALE),
            "0200",
            {**COMMON, "3": "000000", "11": "000001", "37": "000000000001", "48": f"4202074602{code}"},
            {**CARD_SLOTS, "48": Slot.CVV},
        )
        for exemption, code in ((Exemption.TRA, "05"), (Exemption.LOW_VALUE, "10"), (Exemption.CORPORATE, "11"))
    },
    "sale after a soft decline": (
        lambda: _last_attempt(_exempt(Exemption.TRA).answered("1A").ask().reply("Y"), Kind.SALE),
        "0200",
        {**COMMON, "3": "000000", "11": "000002", "37": "000000000002", "48": PROOF},
        CARD_SLOTS,
    ),
    "completion with proof before it": (
        lambda: _last_attempt(asked_for(TWO_STAGE).ask().reply("Y").answered("00").capture(2000), Kind.CAPTURE),
        "0220",
        {**COMMON, "3": "000000", "4": "000000002000", "11": "000002", "37": "000000000002", "48": "3712000000000001"},
        CARD_SLOTS,
    ),
    "reversal of a sale with proof": (
        lambda: _last_attempt(asked_for().ask().reply("Y").answered(""), Kind.REVERSAL),
        "0400",
        {**COMMON, "3": "000000", "11": "000002", "37": "000000000001", "90": "02000000010302120000" + "0" * 22},
        CARD_SLOTS,
    ),
    "completion": (
        lambda: _last_attempt(held().capture(2000), Kind.CAPTURE),
        "0220",
        {**COMMON, "3": "000000", "4": "000000002000", "11": "000002", "37": "000000000002", "48": "3712000000000001"},
        CARD_SLOTS,
    ),
    "completion repeated": (
        lambda: _last_attempt(held().capture(2000), Kind.CAPTURE, attempts=3),
        "0221",
        {**COMMON, "3": "000000", "4": "000000002000", "11": "000002", "37": "000000000002", "48": "3712000000000001"},
        CARD_SLOTS,
    ),
    "refund of a sale": (
        lambda: _last_attempt(confirmed().answered("00").refund(), Kind.REFUND),
        "0200",
        {**COMMON, "3": "200000", "11": "000002", "37": "000000000002", "48": "3712000000000001"},
        CARD_SLOTS,
    ),
    "refund of a completion": (
        lambda: _last_attempt(_captured().refund(500), Kind.REFUND),
        "0200",
        {**COMMON, "3": "200000", "4": "000000000500", "11": "000003", "37": "000000000003", "48": "3712000000000002"},
        CARD_SLOTS,
    ),
    **{
        f"reversal of a sale, attempt {attempt}": (
            lambda attempt=attempt: _last_attempt(confirmed().answered(""), Kind.REVERSAL, attempts=attempt),
            mti,
            {
                **COMMON,
                "3": "000000",
                "11": "000002",
                "37": "000000000001",
                "90": "02000000010302120000" + "0" * 22,
            },
            CARD_SLOTS,
        )
        for attempt, mti in ((1, "0400"), (2, "0420"), (3, "0421"), (4, "0421"))
    },
    "reversal of an authorization": (
        lambda: _last_attempt(held().cancel(), Kind.REVERSAL),
        "0400",
        {**COMMON, "3": "000000", "11": "000002", "37": "000000000001", "90": "01000000010302120000" + "0" * 22},
        CARD_SLOTS,
    ),
    "reversal of a refund": (
        lambda: _last_attempt(confirmed().answered("00").refund(500).answered(""), Kind.REVERSAL),
        "0400",
        {
            **COMMON,
            "3": "200000",
            "4": "000000000500",
            "11": "000003",
            "37": "000000000002",
            "90": "02000000020302120000" + "0" * 22,
        },
        CARD_SLOTS,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_request(name: str) -> None:
    """Each kind and attempt has exactly these fields; where card data belongs there is a slot and nothing else."""
    make, mti, fields, slots = GOLDEN[name]
    made = make()
    assert (made.mti, dict(made.fields), dict(made.slots)) == (mti, fields, slots)
    assert not made.fields.keys() & made.slots.keys() - {"48"}
    assert made.card is not None
    assert (made.card.project, made.card.card_token) == ("shop", "ct_1")


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_request_fits_the_dialect(name: str) -> None:
    """Every golden request, its slots filled, is packed and read back unchanged."""
    made = GOLDEN[name][0]()
    filled = {"2": "4242424242424242", "14": "3108", "48": pack_tags({"92": "417"})}
    fields = {**{field: filled[field] for field in made.slots}, **made.fields}
    assert unpack(pack(made.mti, fields)) == {"t": made.mti, **fields}


def test_every_kind_is_golden() -> None:
    """The golden requests meet every message type of the dialect."""
    assert {row[1] for row in GOLDEN.values()} == {*FIRST_MTI.values(), "0221", "0420", "0421"}
    assert set(FIRST_MTI) == set(ANSWER_MTIS) == set(Kind)


def test_security_code_goes_with_the_charge_only() -> None:
    """Only a charge whose payment still has a sealed code asks for it; the vault is told which."""
    made = _last_attempt(confirmed(), Kind.SALE)
    assert made.card == CardUse(project="shop", card_token="ct_1", sealed_cvv="sealed-1")
    later = _last_attempt(_captured().refund(500), Kind.REFUND)
    assert later.card == CardUse(project="shop", card_token="ct_1", sealed_cvv=None)
    story = confirmed()
    story.session = story.session.with_payment(replace(story.payment, sealed_cvv=None))
    assert _last_attempt(story, Kind.SALE).slots == CARD_SLOTS


@pytest.mark.parametrize(
    ("brand", "indicator"), [("mastercard", "02"), ("maestro", "02"), ("visa", "05"), (None, "05")]
)
def test_proof_speaks_the_schemes_language(brand: str | None, indicator: str) -> None:
    """The same outcome is 02 for Mastercard and 05 for the others."""
    assert ENROLLED.card is not None
    offer = replace(ENROLLED, card=replace(ENROLLED.card, brand=brand))
    made = _last_attempt(Story().start(offer).confirm().ask().reply("Y"), Kind.SALE)
    assert unpack_tags(made.fields["48"])["42"] == indicator


def test_times_are_utc() -> None:
    """Fields 7, 12 and 13 are UTC, whatever zone the references were named in."""
    story = confirmed()
    operation = story.last(Kind.SALE)
    at = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    named = References(rrn="R" * 12, stan="123456", terminal="TERM0001", transmitted_at=at)
    made = request(story.session, replace(operation, references=named))
    assert (made.fields["7"], made.fields["12"], made.fields["13"]) == ("0101013000", "013000", "0101")


def test_long_project_names_are_cut() -> None:
    """Field 42 has fifteen characters, in capitals."""
    story = confirmed()
    story.session = replace(story.session, project="a-rather-long-name")
    assert _last_attempt(story, Kind.SALE).fields["42"] == "A-RATHER-LONG-N"


def test_request_without_references_is_a_bug() -> None:
    """No message is built before its references are committed."""
    story = confirmed()
    with pytest.raises(AssertionError):
        request(story.session, story.last(Kind.SALE))


# --- answers ----------------------------------------------------------------------------------------------------------

MTIS_OF = {
    Kind.SALE: {"0210"},
    Kind.AUTHORIZATION: {"0110"},
    Kind.CAPTURE: {"0230"},
    Kind.REFUND: {"0210"},
    Kind.REVERSAL: {"0410", "0430"},
}
ALL_MTIS = [f"0{family}{form}0" for family in "1248" for form in range(8)] + ["", "02", "garbage"]


def _operation(kind: Kind) -> Operation:
    return Operation(id="op_1", kind=kind, payment_id="pm_1", amount_minor=2590, planned_at=NOON)


@pytest.mark.parametrize("kind", Kind)
def test_answers_have_their_own_type(kind: Kind) -> None:
    """Only an answer of the right message type is one; any other says nothing, whatever its code."""
    for mti in ALL_MTIS:
        heard = outcome(_operation(kind), Response(mti=mti, fields={"39": "00"}))
        assert isinstance(heard, Approved) == (mti in MTIS_OF[kind]), mti
        assert isinstance(heard, Approved | Unknown)


@pytest.mark.parametrize("kind", Kind)
def test_answer_without_a_code_says_nothing(kind: Kind) -> None:
    """Without field 39 the outcome stays unknown."""
    for mti in MTIS_OF[kind]:
        assert isinstance(outcome(_operation(kind), Response(mti=mti, fields={})), Unknown)


@pytest.mark.parametrize(("text", "approval_code"), [("7K20QX", "7K20QX"), ("7K2   ", "7K2"), ("      ", None)])
def test_approval_code(text: str, approval_code: str | None) -> None:
    """Field 38 without its padding; blanks are none."""
    heard = outcome(_operation(Kind.SALE), Response(mti="0210", fields={"39": "00", "38": text}))
    assert heard == Approved(response_code="00", approval_code=approval_code)


def test_reversal_answers_have_meanings_of_their_own() -> None:
    """25 declines a refund and, of a reversal, says that nothing was found; 12 declines one and not the other."""
    found = outcome(_operation(Kind.REVERSAL), Response(mti="0410", fields={"39": "25"}))
    assert isinstance(found, Unknown)
    assert found.is_not_found
    assert isinstance(outcome(_operation(Kind.REVERSAL), Response(mti="0430", fields={"39": "12"})), Unknown)
    assert isinstance(outcome(_operation(Kind.REFUND), Response(mti="0210", fields={"39": "25"})), Declined)


def test_every_route_has_a_translator() -> None:
    """Whatever routing may answer, there is an acquirer of that name."""
    assert SANDBOX in ACQUIRERS
    assert all(name == acquirer.name for name, acquirer in ACQUIRERS.items())


# --- packing ----------------------------------------------------------------------------------------------------------


@given(messages)
def test_pack_and_unpack(message: tuple[str, dict[str, str]]) -> None:
    """What is packed is read back unchanged."""
    mti, fields = message
    assert unpack(pack(mti, fields)) == {"t": mti, **fields}


@given(tags)
def test_tags_pack_and_unpack(tags: dict[str, str]) -> None:
    """The tags of field 48 are read back unchanged."""
    assert unpack_tags(pack_tags(tags)) == tags


@given(st.binary(max_size=300))
def test_garbage_is_garbled(raw: bytes) -> None:
    """Bytes from the wire are a message or `Garbled`, never another failure."""
    try:
        text = unpack(raw)["t"]
    except Garbled as garbled:
        text = str(garbled)
    assert len(text) == 4 or (len(text) < 60 and text.startswith(("field ", "not a message")))


@given(st.text(max_size=40))
def test_garbage_in_tags_is_garbled(text: str) -> None:
    """Field 48 is tags or `Garbled`."""
    with suppress(Garbled):
        assert all(tag in text and value in text for tag, value in unpack_tags(text).items())


@pytest.mark.parametrize(
    ("fields", "names"),
    [({"4": "12345"}, "field 4"), ({"2": "4" * 20}, "field 2"), ({"48": "9" * 1000}, "field 48")],
)
def test_misfit_is_garbled(fields: dict[str, str], names: str) -> None:
    """A field that does not fit is named, without its value."""
    with pytest.raises(Garbled, match=names) as garbled:
        pack("0200", fields)
    assert next(iter(fields.values())) not in str(garbled.value)


def test_match_key() -> None:
    """Answers are matched on fields 7, 11, 37 and 41, the terminal without its padding."""
    assert match_key({"7": "1", "11": "2", "37": "3", "41": "T1   ", "39": "00"}) == ("1", "2", "3", "T1")
    assert match_key({}) == ("", "", "", "")


def test_approval_of_another_amount_is_not_what_was_agreed() -> None:
    """Code 00 with another amount than asked is treated as a partial approval: it is undone."""
    sale = _operation(Kind.SALE)
    asked, other = f"{sale.amount_minor:012d}", f"{sale.amount_minor - 1:012d}"
    fields = {"39": "00", "38": "7K20QX"}
    assert isinstance(outcome(sale, Response(mti="0210", fields={**fields, "4": asked})), Approved)
    assert isinstance(outcome(sale, Response(mti="0210", fields=fields)), Approved)
    assert outcome(sale, Response(mti="0210", fields={**fields, "4": other})) == PartlyApproved(response_code="00")
