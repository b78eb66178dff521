"""What a charge proves about its payer: the acquirer checks each tag, and books why it declines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.conftest import Bank, Dial, open_bank
from tests.sandbox.gateway import AUTHENTICATION_ID, Fields, Gateway, charge, proof, reversal
from tollhouse.sandbox.cards import BINS, compose
from tollhouse.sandbox.threeds.values import KEY_BYTES, KeyUnusable, Strength, load_key

PAN = compose()
OTHER_ID = "7c1b1a5e-0d1c-4a6b-9b1d-000000000002"


async def notes(bank: Bank, asked: Fields) -> list[str]:
    """What the books say of a charge."""
    return [entry.what for entry in bank.operation(asked).history]


@pytest.mark.parametrize("strength", Strength)
@pytest.mark.parametrize("brand", BINS)
async def test_a_good_proof(bank: Bank, gateway: Gateway, brand: str, strength: Strength) -> None:
    """An authentication or an attempt is taken from every scheme, and lifts the soft decline."""
    pan = compose(brand=brand, fault=8)
    asked = charge(pan)
    assert (await gateway.exchange("0200", asked))["39"] == ("1A" if brand == "visa" else "65")
    asked = charge(pan, tags=proof(pan, strength))
    assert (await gateway.exchange("0100", asked))["39"] == "00"
    assert bank.operation(asked).authentication_id == AUTHENTICATION_ID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tag43": None}, "tag 43: authentication value missing"),
        ({"tag44": None}, "tag 44: DS transaction id missing"),
        ({"tag45": None}, "tag 45: version missing"),
        ({"tag42": None}, "tag 42: ECI missing"),
        ({"tag45": "2.1.0"}, "tag 45: 2.2.0 or 2.3.1 expected"),
        ({"tag44": OTHER_ID}, "tag 43: not the authentication value of this card"),
        ({"tag43": "AQ" + "A" * 25 + "="}, "tag 43: not the authentication value of this card"),
        ({"tag42": "02"}, "tag 42: not an ECI of this card's scheme"),
        ({"tag42": "06"}, "tag 42: the authentication value is one for ECI 05"),
        ({"tag42": "07"}, "tag 42: this ECI goes without authentication value"),
        ({"tag46": "99"}, "tag 46: 05 or 10 or 11 expected"),
    ],
)
async def test_a_bad_proof(bank: Bank, gateway: Gateway, changes: dict[str, str | None], reason: str) -> None:
    """A tag that is missing or wrong is declined with 05, and the books say which and why."""
    asked = charge(PAN, tags=proof(PAN, **changes))
    assert (await gateway.exchange("0200", asked))["39"] == "05"
    assert any(note.startswith(reason) for note in await notes(bank, asked))
    assert bank.operation(asked).authentication_id is None


async def test_a_proof_of_another_card(bank: Bank, gateway: Gateway) -> None:
    """The value of one card proves nothing for another, and an attempt is no authentication."""
    other = charge(compose(free="01"), tags=proof(PAN))
    assert (await gateway.exchange("0200", other))["39"] == "05"
    raised = charge(PAN, tags=proof(PAN, strength=Strength.ATTEMPT, tag42="05"))
    assert (await gateway.exchange("0200", raised))["39"] == "05"
    assert "tag 42: the authentication value is one for ECI 06" in await notes(bank, raised)


async def test_a_proof_is_used_once(bank: Bank, gateway: Gateway) -> None:
    """A proof goes with one approved charge; declined and reversed ones do not use it up."""
    poor = compose(answer="51")
    for _ in range(2):
        assert (await gateway.exchange("0200", charge(poor, tags=proof(poor))))["39"] == "51"
    first, second = charge(PAN, tags=proof(PAN)), charge(PAN, tags=proof(PAN))
    assert (await gateway.exchange("0200", first))["39"] == "00"
    assert (await gateway.exchange("0200", second))["39"] == "05"
    assert f"this authentication was used for the charge with RRN {first['37']}" in str(await notes(bank, second))
    assert (await gateway.exchange("0200", first))["39"] == "00"  # the same request again
    assert (await gateway.exchange("0400", reversal(first)))["39"] == "00"
    assert (await gateway.exchange("0200", charge(PAN, tags=proof(PAN))))["39"] == "00"


async def test_use_is_remembered(tmp_path: Path, dial: Dial) -> None:
    """After a restart a used proof is known as used."""
    async with open_bank(tmp_path) as bank:
        gateway = await dial(bank.port)
        assert (await gateway.exchange("0200", charge(PAN, tags=proof(PAN))))["39"] == "00"
        await gateway.close()
    async with open_bank(tmp_path) as bank:
        gateway = await dial(bank.port)
        assert (await gateway.exchange("0200", charge(PAN, tags=proof(PAN))))["39"] == "05"


@pytest.mark.parametrize("tags", [{}, {"42": "07"}, {"42": "07", "46": "10"}, {"46": "05"}])
async def test_no_proof(bank: Bank, gateway: Gateway, tags: Fields) -> None:
    """Without authentication a charge goes by its card; a claimed exemption is noted and lifts no soft decline."""
    asked = charge(PAN, tags=tags)
    assert (await gateway.exchange("0200", asked))["39"] == "00"
    assert any("exemption claimed" in note for note in await notes(bank, asked)) is ("46" in tags)
    assert (await gateway.exchange("0200", charge(compose(fault=8), tags=tags)))["39"] == "1A"


async def test_a_bad_proof_is_not_soft(gateway: Gateway) -> None:
    """A bad proof of a card that declines softly is declined hard: it was authenticated in vain."""
    pan = compose(fault=8)
    assert (await gateway.exchange("0200", charge(pan, tags=proof(PAN))))["39"] == "05"


def test_key(tmp_path: Path) -> None:
    """The key is drawn once, readable by its owner only; what is no key is refused with one line."""
    path = tmp_path / "sandbox" / "authentication.key"
    key = load_key(path)
    assert (len(key), path.stat().st_mode & 0o777) == (KEY_BYTES, 0o600)
    assert load_key(path) == key
    path.write_bytes(b"short")
    with pytest.raises(KeyUnusable, match=r"authentication\.key: 32 bytes expected"):
        load_key(path)
    with pytest.raises(KeyUnusable, match="cannot be opened"):
        load_key(path / "below")
