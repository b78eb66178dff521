"""What every `Store` promises of commits, keys, look-ups and constraints: in memory and in Postgres alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.contracts.sessions import NOW, change, claim_of, fresh, operation, payment, written
from tests.contracts.shelf import Shelf
from tollhouse.bookkeeping import transfers_of
from tollhouse.change import Alarm
from tollhouse.operation import Kind, State
from tollhouse.payment import Phase
from tollhouse.ports import KeyTaken, Stale, Store
from tollhouse.session import PaymentSession


async def test_new_session(store: Store) -> None:
    """A committed session is found by its project and id, and not by another project's (P12)."""
    session = await written(store, fresh())
    assert await store.find_session("shop", "ps_1") == session
    assert await store.find_session("inn", "ps_1") is None
    assert await store.find_session("shop", "ps_2") is None


async def test_session_exists_already(store: Store, shelf: Shelf) -> None:
    """A second beginning of the same session is stale, on whichever node."""
    await written(store, fresh())
    other = await shelf.open("n2")
    with pytest.raises(Stale):
        await other.commit(change(fresh(), id="ch_other"))


async def test_next_version(store: Store) -> None:
    """Version follows version; one that somebody else moved is stale, and nothing of it is written."""
    first = await written(store, fresh())
    second = await written(store, replace(first, api_version=2, updated_at=NOW + timedelta(seconds=1)))
    late = change(replace(first, events_count=9), id="ch_late", alarms=(Alarm(subject="ps_1", what="no"),))
    with pytest.raises(Stale):
        await store.commit(late)
    assert await store.find_session("shop", "ps_1") == second
    assert not await store.find_change("shop", "ps_1", "ch_late")


async def test_session_that_is_not_there(store: Store) -> None:
    """A later version of a session that was never begun is stale."""
    with pytest.raises(Stale):
        await store.commit(change(replace(fresh(), version=4)))
    assert await store.find_session("shop", "ps_1") is None


async def test_same_change_again(store: Store) -> None:
    """A change that stands is stale when it is committed again, and can be looked up by its id."""
    one = change(fresh(), claim=claim_of("k"))
    await store.commit(one)
    with pytest.raises(Stale):
        await store.commit(one)
    assert await store.find_change("shop", "ps_1", one.id)
    assert not await store.find_change("shop", "ps_2", one.id)
    assert not await store.find_change("inn", "ps_1", one.id)
    assert not await store.find_change("shop", "ps_1", "ch_other")


async def test_group_with_one_that_is_stale(store: Store) -> None:
    """Of changes committed at once each is refused alone; the others stand."""
    known = await written(store, fresh("ps_0"))
    group = [change(fresh(f"ps_{number}")) for number in range(1, 6)]
    group.insert(2, change(replace(known, version=0), id="ch_stale"))
    outcomes = await asyncio.gather(*(store.commit(one) for one in group), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [Stale] + [type(None)] * 3
    for number in range(1, 6):
        assert await store.find_session("shop", f"ps_{number}") is not None


async def test_group_for_one_session(store: Store, shelf: Shelf) -> None:
    """Of several changes to one version of a session exactly one stands."""
    other = await shelf.open("n2")
    session = await written(store, fresh())
    rivals = [change(replace(session, events_count=number), id=f"ch_{number}") for number in range(6)]
    outcomes = await asyncio.gather(
        *((store, other)[place % 2].commit(one) for place, one in enumerate(rivals)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + ["Stale"] * 5
    (winner,) = [one for one, outcome in zip(rivals, outcomes, strict=True) if outcome is None]
    assert await store.find_session("shop", "ps_1") == winner.session


async def test_key(store: Store) -> None:
    """A key is kept with what later calls compare and are answered, for its project alone."""
    claim = claim_of("k ~!")
    await written(store, fresh(), claim=claim)
    used = await store.find_key("shop", "k ~!")
    assert used is not None
    assert (used.path, used.body_hash, used.session_id, used.answer) == (
        claim.path,
        claim.body_hash,
        "ps_1",
        claim.answer,
    )
    assert await store.find_key("inn", "k ~!") is None
    assert await store.find_key("shop", "k") is None


async def test_key_is_taken(store: Store) -> None:
    """A key that is used up refuses the whole change; another project may use the same key (P5)."""
    await written(store, fresh(), claim=claim_of("k"))
    rival = change(fresh("ps_2"), claim=replace(claim_of("k"), answer=None))
    with pytest.raises(KeyTaken):
        await store.commit(rival)
    assert await store.find_session("shop", "ps_2") is None
    assert not await store.find_change("shop", "ps_2", rival.id)
    await written(store, fresh("ps_2", "inn"), claim=claim_of("k"))


async def test_key_in_one_group(store: Store, shelf: Shelf) -> None:
    """Of changes at once that claim one key exactly one stands, on any node (P5)."""
    stores = (store, await shelf.open("n2"))
    rivals = [change(fresh(f"ps_{number}"), claim=claim_of("k")) for number in range(6)]
    outcomes = await asyncio.gather(
        *(stores[place % 2].commit(one) for place, one in enumerate(rivals)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyTaken"] * 5 + ["NoneType"]


async def test_stale_before_key(store: Store) -> None:
    """A change that is stale and whose key is taken is stale: its decision is made again first."""
    session = await written(store, fresh(), claim=claim_of("k"))
    await written(store, session)
    with pytest.raises(Stale):
        await store.commit(change(session, id="ch_late", claim=claim_of("k")))


async def test_operation_by_references(store: Store) -> None:
    """An operation is found by RRN, STAN and terminal; a reversal bears its target's RRN and its own STAN."""
    sale = operation("op_1", Kind.SALE, number=1, state=State.REVERSING)
    assert sale.references is not None
    named = replace(sale.references, stan="000002")
    reversal = operation("op_2", Kind.REVERSAL, number=2, target_id="op_1", state=State.SUBMITTED, references=named)
    session = replace(fresh(), payments=(payment(phase=Phase.UNKNOWN),), operations=(sale, reversal))
    await written(store, session)
    find = store.find_operation
    assert await find(rrn="R00000000001", stan="000001", terminal="T0000001") == ("shop", "ps_1", "op_1")
    assert await find(rrn="R00000000001", stan="000002", terminal="T0000001") == ("shop", "ps_1", "op_2")
    assert await find(rrn="R00000000001", stan="000003", terminal="T0000001") is None
    assert await find(rrn="R00000000002", stan="000002", terminal="T0000001") is None
    assert await find(rrn="R00000000001", stan="000001", terminal="T0000002") is None


async def test_rrn_names_one_operation(store: Store) -> None:
    """A second operation under a used RRN is stale: it is decided again, with new references."""
    sale = operation("op_1", Kind.SALE, number=1, state=State.SUBMITTED)
    await written(store, replace(fresh(), payments=(payment(phase=Phase.AUTHORIZING),), operations=(sale,)))
    twin = replace(sale, id="op_2", payment_id="pm_2")
    session = replace(fresh("ps_2"), payments=(payment("pm_2", phase=Phase.AUTHORIZING),), operations=(twin,))
    with pytest.raises(Stale):
        await store.commit(change(session))


def sold(**parts: Any) -> PaymentSession:
    """A paid session, with something in it that a rule would never write."""
    paid = payment(phase=Phase.SUCCEEDED, held_minor=4990, captured_minor=4990)
    sale = operation("op_1", Kind.SALE, number=1, state=State.APPROVED)
    return replace(fresh(), **{"payments": (paid,), "operations": (sale,), **parts})


@pytest.mark.parametrize(
    "broken",
    [
        lambda: sold(payments=(payment(phase=Phase.SUCCEEDED, held_minor=4990, captured_minor=4991),)),
        lambda: sold(payments=(payment(phase=Phase.HELD, held_minor=5000),)),
        lambda: sold(
            payments=(payment(phase=Phase.SUCCEEDED, held_minor=4990, captured_minor=4990, refunded_minor=4991),)
        ),
        lambda: sold(payments=(payment(phase=Phase.FAILED),)),
        lambda: sold(payments=(payment(phase=Phase.SUCCEEDED, sealed_cvv="cvv1.A.B"),)),
        lambda: sold(
            operations=(
                operation("op_1", Kind.SALE, number=1, state=State.APPROVED),
                operation("op_2", Kind.SALE, number=2, state=State.SUBMITTED),
            )
        ),
        lambda: sold(
            operations=(replace(operation("op_1", Kind.SALE, number=1, state=State.SUBMITTED), references=None),)
        ),
    ],
    ids=[
        "captured above held",
        "held what was not asked",
        "refunded above captured",
        "failed without a reason",
        "security code at the end",
        "two live charges",
        "submitted without references",
    ],
)
async def test_constraints(store: Store, broken: Callable[[], PaymentSession]) -> None:
    """What no rule may write is refused as a bug of ours, not as something to decide again (P1, P3, P11)."""
    with pytest.raises(Exception) as refused:
        await store.commit(change(broken()))
    assert not isinstance(refused.value, Stale | KeyTaken)
    assert await store.find_session("shop", "ps_1") is None


async def test_pending_transfer_is_resolved_once(store: Store) -> None:
    """A hold is posted or voided once in the ledger, whatever is committed (P8)."""
    hold = operation("op_1", Kind.AUTHORIZATION, number=1, state=State.APPROVED)
    void = operation("op_2", Kind.REVERSAL, number=2, target_id="op_1", state=State.APPROVED)
    again = replace(void, id="op_3")
    held = payment(phase=Phase.HELD, held_minor=4990)
    first = replace(fresh(), payments=(held,), operations=(hold,))
    session = await written(store, first, transfers=transfers_of(hold, currency="eur", target=None))
    voided = transfers_of(void, currency="eur", target=hold)
    session = await written(store, replace(session, operations=(hold, void)), transfers=voided)
    twice = transfers_of(again, currency="eur", target=hold)
    with pytest.raises(Exception):  # noqa: B017 - each store has an error of its own for a bug
        await store.commit(change(replace(session, operations=(hold, void, again)), transfers=twice))
    assert await store.find_session("shop", "ps_1") == session
