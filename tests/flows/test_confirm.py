"""`session/confirm`: the decision, made once, whoever else decides at the same time."""

from __future__ import annotations

import pytest

from tests.builders import announced, call, confirmed, driven, held, prepared, succeeded
from tests.worlds import ANSWER_LOST, TWO_STAGE, declined, memory_world, second_node
from tollhouse.flows.cancel import cancel
from tollhouse.flows.confirm import confirm
from tollhouse.operation import Kind, State
from tollhouse.payment import Decision, Phase
from tollhouse.refusal import SessionUnknown, StateForbids


async def test_confirm_plans_the_charge() -> None:
    """Confirming decides, plans a sale and leases the session to this node; nothing has left yet."""
    world = memory_world()
    session = await confirmed(world)
    (payment,) = session.payments
    assert (payment.phase, payment.decision) == (Phase.CONFIRMED, Decision.CONFIRMED)
    assert payment.decision_deadline_at is None
    assert [(o.kind, o.state, o.amount_minor) for o in session.operations] == [(Kind.SALE, State.PLANNED, 4990)]
    assert session.lease_owner == world.node
    assert world.link.sent == []


async def test_two_stages_plan_an_authorization() -> None:
    """In a two-stage project the charge is an authorization."""
    world = memory_world()
    session = await confirmed(world, project=TWO_STAGE)
    assert [o.kind for o in session.operations] == [Kind.AUTHORIZATION]


@pytest.mark.parametrize("build", [confirmed, succeeded, held])
async def test_same_decision_again(build: object) -> None:
    """Confirming again answers with the session as it stands and writes nothing (P4)."""
    world = memory_world()
    session = await build(world)  # type: ignore[operator]
    settled = await confirm(world, call(world.books.projects[session.project]), session.id)
    assert not settled.is_written
    assert settled.answer == world.session(session) == session


async def test_confirm_after_a_decline() -> None:
    """A confirmed payment that was declined still answers the same decision with success."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [declined("05")]
    await driven(world, session)
    assert not (await confirm(world, call(), session.id)).is_written


async def test_confirm_after_cancel() -> None:
    """The contrary decision is refused, naming the one that stands (P4)."""
    world = memory_world()
    session = await prepared(world)
    await cancel(world, call(), session.id)
    with pytest.raises(StateForbids, match="cancelled by the merchant"):
        await confirm(world, call(), session.id)


async def test_race_of_confirm_and_cancel() -> None:
    """Whoever commits first wins; the loser reads again and is refused (P4)."""
    world = memory_world()
    session = await prepared(world)
    rival = second_node(world)
    find = world.store.find_session

    async def find_before_rival(project: str, session_id: str) -> object:
        found = await find(project, session_id)
        world.store.find_session = find  # type: ignore[method-assign]
        await cancel(rival, call(), session_id)
        return found

    world.store.find_session = find_before_rival  # type: ignore[assignment,method-assign]
    with pytest.raises(StateForbids):
        await confirm(world, call(), session.id)
    assert world.session(session).payments[0].decision is Decision.CANCELLED
    assert announced(world, session) == ["ready_to_confirm", "payment_finished"]


async def test_unknown_session() -> None:
    """A session that does not exist, or is another project's, is not found (P12)."""
    world = memory_world()
    session = await prepared(world)
    for project, session_id in ((TWO_STAGE, session.id), (TWO_STAGE, "ps_0")):
        with pytest.raises(SessionUnknown):
            await confirm(world, call(project), session_id)


async def test_confirm_while_the_outcome_is_unknown() -> None:
    """A confirmed payment with an unknown outcome answers the same decision with success."""
    world = memory_world()
    session = await confirmed(world)
    world.link.script += [ANSWER_LOST, ANSWER_LOST]
    after = await driven(world, session)
    assert after.payments[0].phase is Phase.UNKNOWN
    assert not (await confirm(world, call(), session.id)).is_written
