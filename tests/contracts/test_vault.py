"""The vault as nodes have it keeps one contract: inside a node, behind a unix socket, behind mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tests.contracts.vaults import WAYS, Running, running
from tests.vault.samples import CARD, PAN_TEXT, REFERENCES, a_full_disk, request
from tollhouse.acquirers.iso8583.fields import unpack_tags
from tollhouse.acquirers.message import CardUse, CVVGone, NotSent, Request, Slot
from tollhouse.audit import DONE, REFUSED, Act
from tollhouse.card import CVV, CardDetails, Expiry, parse_pan
from tollhouse.ports import StoreUnreachable
from tollhouse.store.postgres import open_pool
from tollhouse.vault.box import CannotOpen
from tollhouse.vault.cvv import slot_name
from tollhouse.vault.frames import SHRED_MAX
from tollhouse.vault.port import NodeAudit, NodeVault, sweep_cvvs
from tollhouse.vault.remote_audit import RemoteAudit
from tollhouse.vault.shredding import BATCH_SIZE
from tollhouse.vault.slots import SLOT_BYTES


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """The pool of a vault on a fresh database."""
    opened = await open_pool(database)
    yield opened
    await opened.close()


@pytest.fixture(params=WAYS)
async def place(
    request: pytest.FixtureRequest, pool: asyncpg.Pool, home: Path, tmp_path: Path
) -> AsyncIterator[Running]:
    """A vault for each way to it."""
    async with running(request.param, pool, home, tmp_path) as one:
        yield one


@pytest.fixture
async def vault(place: Running) -> NodeVault:
    """The vault as a node has it."""
    return (await place.node())[0]


@pytest.fixture
async def audit(place: Running) -> NodeAudit:
    """The audit log as a node has it."""
    return (await place.node())[1]


def filled_cvv(fields: dict[str, str]) -> str | None:
    """The security code in a filled request."""
    return unpack_tags(fields.get("48", "")).get("92")


async def test_a_card_is_kept_and_filled_in(vault: NodeVault) -> None:
    """What comes back may be shown; the filled request has PAN, expiry and CVV in their fields."""
    kept = await vault.keep("shop", replace(CARD, cvv=CVV("999"), holder="A. Holder"))
    assert (kept.bin, kept.last4, kept.brand, kept.expiry) == ("400005", "5556", "visa", Expiry(2031, 12))
    filled = await vault.fill(request("shop", kept.token, await vault.seal_cvv("shop", CVV("123"))))
    assert (filled["2"], filled["14"], filled["4"], filled_cvv(filled)) == (PAN_TEXT, "3112", "000000002590", "123")
    assert PAN_TEXT not in repr(filled)


async def test_a_filled_text_has_its_slots_only(vault: NodeVault) -> None:
    """Values come under the names that were asked for."""
    kept = await vault.keep("shop", CARD)
    use = CardUse(project="shop", card_token=kept.token)
    filled = await vault.fill_text(use, {"acctNumber": Slot.PAN, "cardExpiryDate": Slot.EXPIRY})
    assert dict(filled) == {"acctNumber": PAN_TEXT, "cardExpiryDate": "3112"}
    assert PAN_TEXT not in repr(filled)


async def test_a_security_code_dies_when_it_left(vault: NodeVault) -> None:
    """After `left` or `erase_cvv` the same request goes without it; both may be said twice."""
    kept = await vault.keep("shop", CARD)
    asked = request("shop", kept.token, await vault.seal_cvv("shop", CVV("123")))
    other = request("shop", kept.token, sealed := await vault.seal_cvv("shop", CVV("4321")))
    assert filled_cvv(await vault.fill(asked)) == "123"
    for _ in range(2):
        await vault.left(asked)
    assert filled_cvv(await vault.fill(asked)) is None
    assert filled_cvv(await vault.fill(other)) == "4321"
    for _ in range(2):
        await vault.erase_cvv(sealed)
    assert filled_cvv(await vault.fill(other)) is None


async def test_a_request_without_slots_is_left_as_it_is(vault: NodeVault) -> None:
    """A sign-on names no card and needs none."""
    sign_on = Request(mti="0800", fields={"70": "001"}, slots={}, card=None, references=REFERENCES)
    assert await vault.fill(sign_on) == {"70": "001"}
    await vault.left(sign_on)


async def test_what_cannot_be_filled_is_not_sent(vault: NodeVault) -> None:
    """Another project's card, an unknown token, a request with slots that names no card: `NotSent`, with the reason."""
    kept = await vault.keep("shop", CARD)
    with pytest.raises(NotSent, match="no card"):
        await vault.fill(request("other", kept.token))
    with pytest.raises(NotSent, match="no card"):
        await vault.fill_text(CardUse(project="shop", card_token="card_none"), {"pan": Slot.PAN})
    with pytest.raises(NotSent, match="names no card"):
        await vault.fill(Request(mti="0100", fields={}, slots={"2": Slot.PAN}, card=None, references=REFERENCES))
    stolen = request("other", kept.token, await vault.seal_cvv("shop", CVV("123")), slots={"48": Slot.CVV})
    with pytest.raises(NotSent, match="does not open"):
        await vault.fill(stolen)


async def test_a_code_that_is_demanded_and_gone(vault: NodeVault) -> None:
    """Is told from what may still be sent later."""
    kept = await vault.keep("shop", CARD)
    asked = request("shop", kept.token, await vault.seal_cvv("shop", CVV("123")))
    assert asked.card is not None
    demanding = replace(asked, card=replace(asked.card, demands_cvv=True))
    assert filled_cvv(await vault.fill(demanding)) == "123"
    await vault.left(demanding)
    with pytest.raises(CVVGone):
        await vault.fill(demanding)


async def test_the_same_card_is_found_again(vault: NodeVault, place: Running) -> None:
    """By its number, within its project, oldest first; by the vault, and not by nodes."""
    first, again = await vault.keep("shop", CARD), await vault.keep("shop", CARD)
    assert await place.inside.find_same("shop", CARD.pan) == [first.token, again.token]
    assert await place.inside.find_same("other", CARD.pan) == []
    assert await place.inside.find_same("shop", parse_pan("4242424242424242")) == []
    assert first.fingerprint == again.fingerprint


async def test_many_at_once(vault: NodeVault) -> None:
    """A thousand calls under way at once are each answered with their own answer."""
    details = [CardDetails(pan=CARD.pan, expiry=Expiry(2030 + n % 60, 1 + n % 12)) for n in range(300)]
    kept = await asyncio.gather(*(vault.keep("shop", card) for card in details))
    sealed = await asyncio.gather(*(vault.seal_cvv("shop", CVV(f"{n:03d}")) for n in range(300)))
    asked = [request("shop", card.token, cvv) for card, cvv in zip(kept, sealed, strict=True)]
    filled = await asyncio.gather(*map(vault.fill, asked))
    assert [fields["14"] for fields in filled] == [card.expiry.yymm for card in details]
    assert [filled_cvv(fields) for fields in filled] == [f"{n:03d}" for n in range(300)]


async def test_secrets_of_a_project(vault: NodeVault, place: Running) -> None:
    """They open for their project, and for no other."""
    sealed = await place.inside.seal_secrets("shop", b"webhook keys")
    assert await vault.open_secrets("shop", sealed) == b"webhook keys"
    with pytest.raises(CannotOpen):
        await vault.open_secrets("other", sealed)
    with pytest.raises(CannotOpen):
        await vault.open_secrets("shop", sealed[:-1])


async def test_the_idempotency_secret_is_the_same_for_all(vault: NodeVault, place: Running) -> None:
    """Every node keys its digests alike."""
    assert vault.idempotency_secret == place.keys.idempotency_secret
    assert len(vault.idempotency_secret) == 32


async def test_noise_is_no_security_code(vault: NodeVault) -> None:
    """A text that was never sealed is told so."""
    with pytest.raises(CannotOpen):
        await vault.erase_cvv("noise")
    with pytest.raises(CannotOpen):
        await vault.erase_cvv_slots(["noise"])


async def test_a_sweep_erases_what_no_row_names(vault: NodeVault) -> None:
    """The node says which slots its rows name; the others are erased, and nothing else."""
    kept = await vault.keep("shop", CARD)
    *living, dead = [await vault.seal_cvv("shop", CVV(code)) for code in ("111", "222", "333")]
    told: list[int] = []

    async def is_live(names: Sequence[str]) -> list[str]:
        told.append(len(names))
        return [slot_name(text) for text in living]

    assert await sweep_cvvs(vault, is_live, settle_seconds=0) == 1
    assert await sweep_cvvs(vault, is_live, settle_seconds=0) == 0
    found = [filled_cvv(await vault.fill(request("shop", kept.token, text))) for text in (*living, dead)]
    assert found == ["111", "222", None]
    assert told == [3, 3, 2]


async def test_a_code_that_comes_back_into_its_row_lives(vault: NodeVault) -> None:
    """While its message is on its way no row names it; one that could not be sent is sent with it later."""
    kept, sealed = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV("111"))
    looks: list[bool] = []

    async def is_live(names: Sequence[str]) -> list[str]:
        looks.append(slot_name(sealed) in names)
        return [] if len(looks) == 1 else [slot_name(sealed)]

    assert await sweep_cvvs(vault, is_live, settle_seconds=0) == 0
    assert looks == [True, True]
    assert filled_cvv(await vault.fill(request("shop", kept.token, sealed))) == "111"


async def test_a_code_sealed_during_a_sweep_lives(vault: NodeVault) -> None:
    """What comes into a slot while the node asks its rows is not what the vault named: it is not erased."""
    kept, first = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV("111"))
    sealed: list[str] = []

    async def is_live(names: Sequence[str]) -> list[str]:
        assert names == [slot_name(first)]
        await vault.erase_cvv(first)
        sealed.append(await vault.seal_cvv("shop", CVV("222")))
        return []

    page = await vault.old_cvv_slots("")
    await vault.erase_cvv_slots([name for name in page if name not in await is_live(page)])
    assert filled_cvv(await vault.fill(request("shop", kept.token, sealed[0]))) == "222"


async def test_a_reveal_stands_in_the_audit_log(vault: NodeVault, place: Running) -> None:
    """With the card, the message, and who asked: the name that the node has proven."""
    kept = await vault.keep("shop", CARD)
    await vault.fill(request("shop", kept.token))
    with pytest.raises(NotSent):
        await vault.fill(request("shop", "card_none"))
    granted, failed = (await place.entries("card.reveal"))[0], (await place.entries("card.reveal"))[-1]
    assert (granted["subject"], granted["outcome"]) == (f"shop/{kept.token}", "granted")
    assert failed["outcome"] == "failed"
    expected = {"embedded": "vault", "unix": "user ", "tls": "node node-1"}[place.way]
    for entry in (granted, failed):
        assert entry["who"].startswith(expected)
        assert PAN_TEXT not in str(dict(entry))
    assert len(await place.entries("card.reveal")) == 3


async def test_cards_are_named_and_erased(vault: NodeVault, place: Running) -> None:
    """Page after page, of all projects or of one; each that goes stands in the audit log under the caller's name."""
    kept = [(project, (await vault.keep(project, CARD)).token) for project in ("shop", "other", "shop")]
    rows = await vault.next_cards(("", ""), None)
    assert [row[:2] for row in rows] == sorted(kept)
    assert all(row.created_at.tzinfo is not None for row in rows)
    assert [row[:2] for row in await vault.next_cards(sorted(kept)[1], None)] == sorted(kept)[2:]
    assert {row.project for row in await vault.next_cards(("", ""), "other")} == {"other"}
    assert await vault.shred([*kept[:2], ("shop", "card_none")], "no longer needed") == 2
    assert await vault.shred(kept[:2], "no longer needed") == 0
    assert [row[:2] for row in await vault.next_cards(("", ""), None)] == kept[2:]
    with pytest.raises(NotSent, match="no card"):
        await vault.fill(request(*kept[0]))
    entries = await place.entries("card.shred")
    assert {entry["subject"] for entry in entries} >= {"/".join(card) for card in kept[:2]}
    expected = {"embedded": "vault", "unix": "user ", "tls": "node node-1"}[place.way]
    assert all(entry["who"].startswith(expected) for entry in entries)


async def test_an_unreasonable_number_of_cards_is_not_erased_at_once(vault: NodeVault, place: Running) -> None:
    """No node erases more with one call than a batch of a purge; the connection goes on."""
    if place.way == "embedded":
        assert BATCH_SIZE <= SHRED_MAX
        return
    with pytest.raises(StoreUnreachable, match="not understood"):
        await vault.shred([("shop", f"card_{number}") for number in range(SHRED_MAX + 1)], "all of them")
    await vault.check()


async def test_a_node_writes_entries_of_its_own(audit: NodeAudit, place: Running) -> None:
    """They are the node's unless they name somebody else; a refused access counts."""
    await audit.write(Act(what="process.start", outcome=DONE, details="gateway"))
    for _ in range(3):
        audit.deny(Act(what="call", outcome=REFUSED, subject="/pay", who="project shop", origin="10.0.0.1"))
    audit.note(Act(what="project.look", outcome=DONE))
    if isinstance(audit, RemoteAudit):
        await audit.close(last=Act(what="process.stop", outcome=DONE))
    (start,), (denied,) = await place.entries("process.start"), await place.entries("call")
    expected = {"embedded": "vault", "unix": "user ", "tls": "node node-1"}[place.way]
    assert start["who"].startswith(expected)
    assert start["origin"]
    assert (denied["who"], denied["origin"], denied["subject"]) == ("project shop", "10.0.0.1", "/pay")
    assert "3 times" in denied["details"]


async def test_a_disk_that_is_full(vault: NodeVault) -> None:
    """A code whose key cannot be written is not kept, and the vault not ready until one can; nothing else is amiss."""
    kept = await vault.keep("shop", CARD)
    await vault.check()
    with a_full_disk(SLOT_BYTES):
        with pytest.raises(StoreUnreachable):
            await vault.seal_cvv("shop", CVV("123"))
        with pytest.raises(StoreUnreachable, match="security codes cannot be written to .*cvv-keys: File too large"):
            await vault.check()
    await vault.check()
    sealed = await vault.seal_cvv("shop", CVV("456"))
    assert filled_cvv(await vault.fill(request("shop", kept.token, sealed))) == "456"


async def test_a_flood_of_long_words_silences_nobody(audit: NodeAudit, place: Running) -> None:
    """What strangers send is short in the log, whatever it was, and every entry after it arrives."""
    for number in range(150):
        who = f"project {number} \x00\ud800 {'A' * 7500}"
        audit.deny(Act(what="call", outcome=REFUSED, subject="/v1/x" * 2000, who=who, origin="10.0.0.1"))
    audit.note(Act(what="project.look", outcome=DONE, who="a\x00b", details="x" * 100_000))
    await audit.write(Act(what="project.set", outcome=DONE, who="c\x00d", details="y" * 3000))
    if isinstance(audit, RemoteAudit):
        await audit.close(last=Act(what="process.stop", outcome=DONE))
        assert len(await place.entries("process.stop")) == 1
    assert len(await place.entries("call")) == 150
    (looked,), (done,) = await place.entries("project.look"), await place.entries("project.set")
    assert looked["who"].startswith("a?b")
    assert done["who"].startswith("c?d")
    assert max(len(one["details"]) for one in (looked, done)) < 300


async def test_a_database_that_is_gone(vault: NodeVault, place: Running) -> None:
    """Cards are not kept and not filled in, nothing hangs, and no error tells a number."""
    kept = await vault.keep("shop", CARD)
    await vault.check()
    await place.pool.close()
    with pytest.raises(StoreUnreachable) as refused:
        await vault.keep("shop", CARD)
    for asked in (vault.check(), vault.next_cards(("", ""), None), vault.shred([("shop", kept.token)], "old")):
        with pytest.raises(StoreUnreachable):
            await asked
    with pytest.raises(NotSent) as unsent:
        await vault.fill(request("shop", kept.token))
    assert PAN_TEXT not in f"{refused.value!r} {unsent.value!r}"
