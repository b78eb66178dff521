"""Sealed CVVs: open in their project while their key lives, and are noise afterwards."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollhouse.card import CVV
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.cvv import SealedCvvs, slot_name
from tollhouse.vault.slots import SlotFolder


@pytest.fixture
async def cvvs(tmp_path: Path) -> AsyncIterator[SealedCvvs]:
    """Sealed CVVs over a folder of their own, slots used again at once."""
    slots = SlotFolder.open(tmp_path, "node", reuse_after_seconds=0)
    yield SealedCvvs(slots)
    await slots.close()


def only_file(folder: Path) -> bytes:
    """What the folder's one slot file holds."""
    (path,) = folder.glob("*.slots")
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.from_regex(r"[0-9]{3,4}", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"])))
async def test_round_trip(cvvs: SealedCvvs, digits: str, project: str) -> None:
    """What was sealed opens in its project, as often as needed."""
    sealed = await cvvs.seal(project, CVV(digits))
    assert cvvs.open(project, sealed) == CVV(digits)
    assert cvvs.open(project, sealed) == CVV(digits)


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    """A CVV sealed before a restart opens after it."""
    before = SlotFolder.open(tmp_path, "node")
    sealed = await SealedCvvs(before).seal("shop", CVV("123"))
    await before.close()
    after = SlotFolder.open(tmp_path, "another node")
    assert SealedCvvs(after).open("shop", sealed) == CVV("123")
    await after.close()


async def test_an_erased_cvv_is_gone(cvvs: SealedCvvs) -> None:
    """After erase it reads as gone, also when its slot was used again; erasing again is no error."""
    sealed = await cvvs.seal("shop", CVV("123"))
    await cvvs.erase(sealed)
    other = await cvvs.seal("shop", CVV("456"))
    assert cvvs.open("shop", sealed) is None
    await cvvs.erase(sealed)
    assert cvvs.open("shop", other) == CVV("456")


async def test_a_cvv_whose_files_are_lost_is_gone(cvvs: SealedCvvs, tmp_path: Path) -> None:
    """A home without the key file, as after a restored backup, reads it as gone."""
    sealed = await cvvs.seal("shop", CVV("123"))
    elsewhere = SlotFolder.open(tmp_path / "restored", "node")
    assert SealedCvvs(elsewhere).open("shop", sealed) is None
    await elsewhere.close()


async def test_another_project_cannot_open_it(cvvs: SealedCvvs) -> None:
    """The project is bound."""
    sealed = await cvvs.seal("shop", CVV("123"))
    with pytest.raises(CannotOpen):
        cvvs.open("other shop", sealed)


async def test_another_cvvs_slot_does_not_open_it(cvvs: SealedCvvs) -> None:
    """The ciphertext of one with the address of another does not open."""
    one, other = [(await cvvs.seal("shop", CVV("123"))).split(".") for _ in range(2)]
    with pytest.raises(CannotOpen):
        cvvs.open("shop", ".".join([one[0], other[1], one[2]]))


async def test_a_changed_text_does_not_open(cvvs: SealedCvvs) -> None:
    """No character of the text can change: it is refused, or its slot reads as gone."""
    sealed = await cvvs.seal("shop", CVV("123"))
    changed = [f"{sealed[:at]}{'A' if old != 'A' else 'B'}{sealed[at + 1 :]}" for at, old in enumerate(sealed)]
    assert [text for text in changed if does_open(cvvs, text)] == []


def does_open(cvvs: SealedCvvs, text: str) -> bool:
    """Whether a CVV comes out."""
    try:
        return cvvs.open("shop", text) is not None
    except CannotOpen:
        return False


@pytest.mark.parametrize(
    "noise", ["", "123", "cvv1", "cvv1..", "cvv2.AAAA.AAAA", "cvv1.!.!", "cvv1.AAAA.AAAA", "a.b.c.d"]
)
async def test_noise_is_refused(cvvs: SealedCvvs, noise: str) -> None:
    """What is no sealed CVV is refused by every call, without being repeated in the text."""
    with pytest.raises(CannotOpen) as refusal:
        cvvs.open("shop", noise)
    assert len(noise) < 5 or noise not in str(refusal.value)
    with pytest.raises(CannotOpen):
        await cvvs.erase(noise)
    with pytest.raises(CannotOpen):
        slot_name(noise)


async def test_the_text_shows_neither_cvv_nor_key(cvvs: SealedCvvs, tmp_path: Path) -> None:
    """The row that holds the text and the file that holds the key are each useless alone."""
    sealed = await cvvs.seal("shop", CVV("CANARY-739"))
    file = only_file(tmp_path)
    key = file[20:52]
    assert b"CANARY-739" not in file
    assert "CANARY-739" not in sealed
    assert urlsafe_b64encode(key)[:40].decode() not in sealed


async def test_a_sweep_leaves_young_keys_alone(cvvs: SealedCvvs) -> None:
    """A key is written before the row that names it: it is not named to a sweep in between."""
    sealed = await cvvs.seal("shop", CVV("123"))
    assert await cvvs.old_slots() == []
    assert await cvvs.old_slots(older_than_seconds=0) == [slot_name(sealed)]
    assert slot_name(sealed) == sealed.split(".")[1]


async def test_a_sweep_reaches_the_files_of_others(cvvs: SealedCvvs, tmp_path: Path) -> None:
    """What a dead or living neighbour left is named and erased too."""
    neighbour = SlotFolder.open(tmp_path, "neighbour")
    sealed = await SealedCvvs(neighbour).seal("shop", CVV("123"))
    names = await cvvs.old_slots(older_than_seconds=0)
    assert names == [slot_name(sealed)]
    await cvvs.erase_slots(names)
    assert SealedCvvs(neighbour).open("shop", sealed) is None
    await neighbour.close()
