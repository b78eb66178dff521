"""What is kept of the conversation with an acquirer, and answers that leave no doubt."""

from __future__ import annotations

import pytest

from tests.builders import OFFER, announced, asked, awaiting_payer, call, card, confirmed, created, driven, prepared
from tests.issuer import DS_ID, VALUE
from tests.worlds import ANSWER_LOST, TWO_STAGE, MemoryWorld, declined, memory_world
from tollhouse.change import Note
from tollhouse.flows.cancel import cancel
from tollhouse.flows.start_payment import init_payment
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.session import PaymentSession, Status


def notes(world: MemoryWorld, session: PaymentSession) -> list[Note]:
    """Everything noted of a session, oldest first."""
    return [note for _, note in world.books.histories[session.project, session.id].notes]


async def test_both_sides_of_the_conversation_are_kept() -> None:
    """Each message to and from the acquirer is noted under its operation, in order; a silence leaves no note."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST]
    after = await driven(world, session)
    sale, reversal = after.operations
    said = [(n.kind, n.data["operation"], n.data["mti"]) for n in notes(world, session) if n.kind != "request"]
    assert said == [
        ("message_out", sale.id, "0200"),
        ("message_out", reversal.id, "0400"),
        ("message_in", reversal.id, "0410"),
    ]


async def test_notes_hold_no_card() -> None:
    """What is kept of a message names the places of card data and holds none of it (P11)."""
    world = memory_world()
    session = await driven(world, await confirmed(world))
    sent = next(note for note in notes(world, session) if note.kind == "message_out")
    fields = sent.data["fields"]
    assert (fields["2"], fields["14"], fields["48"]) == ("<pan>", "<expiry>", "<cvv>")
    assert "4242424242424242" not in repr(world.books)


async def test_notes_show_what_was_proved() -> None:
    """Beside the place of the security code stand the tags of 3-D Secure, as they were sent."""
    world = memory_world()
    session = await awaiting_payer(world)
    await asked(world, session)
    sent = next(note for note in notes(world, session) if note.kind == "message_out")
    assert sent.data["fields"]["48"] == f"4202054328{VALUE}4436{DS_ID}45052.2.0<cvv>"


async def test_every_call_leaves_a_note() -> None:
    """The calls of a merchant stand in the session's history beside what they led to."""
    world = memory_world()
    session = await confirmed(world)
    assert [note.kind for note in notes(world, session)] == ["request", "request"]


@pytest.mark.parametrize("code", ["65", "1A"])
async def test_soft_decline_is_final_without_authentication(code: str) -> None:
    """A soft decline ends the payment as any other: without 3-D Secure there is no second authorization."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [declined(code)]
    after = await driven(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACTIVITY_EXCEEDED)
    assert [(o.kind, o.state) for o in after.operations] == [(Kind.SALE, State.DECLINED)]
    assert world.link.types == ["0200"]
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]
    assert world.vault.cvvs == set()


async def test_declined_hold() -> None:
    """A declined authorization leaves nothing to capture and nothing in the ledger."""
    world = memory_world()
    session = await confirmed(world, project=TWO_STAGE)
    world.link.script += [declined("51")]
    after = await driven(world, session)
    assert (after.status, after.next_action, after.reason) == (Status.CANCELLED, None, Reason.INSUFFICIENT_FUNDS)
    assert world.books.transfers_of(("inn", session.id)) == []


async def test_card_without_a_security_code() -> None:
    """A payment without a code is sent without one; nothing is sealed and nothing is left to erase."""
    world = memory_world()
    session = await prepared(world, cvv=None)
    assert session.payments[0].sealed_cvv is None
    assert world.vault.cvvs == set()
    await cancel(world, call(), session.id)
    assert world.vault.erased == []


async def test_webhooks_keep_the_version_of_their_session() -> None:
    """A session's events are spelled in the version it was created in, whichever version later calls use."""
    world = memory_world()
    session = (await init_payment(world, call(api_version=1), OFFER, card())).session
    await cancel(world, call(api_version=2), session.id)
    bodies = [delivery.body for delivery in world.books.deliveries["shop", session.id].values()]
    assert len(bodies) == 2
    assert all(b'"acquiring_payments"' in body for body in bodies)  # the first version's word


async def test_what_is_created_keeps_its_owner_free() -> None:
    """A session that only waits for its merchant is nobody's: no node holds a lease on it."""
    world = memory_world()
    assert (await created(world)).lease_owner is None
    assert (await prepared(world)).lease_owner is None
