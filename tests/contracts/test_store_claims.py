"""The port `Store`: sessions that are due are leased to one node at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.contracts.shelf import Shelf, commit_all, following, opened, started
from tests.ground.story import NOON
from tests.lives import cancelled, paid
from tollhouse.change import Change
from tollhouse.ports import Stale, Store
from tollhouse.session import Lease

LEASE_SECONDS_MAX = 60  # whatever a claim's lease is, by then it is over
LATER = NOON + timedelta(days=365)


def due(number: int, at: datetime = NOON, project: str = "shop") -> Change:
    """A session that is due at this instant."""
    change = started(number, project)
    (payment,) = change.session.payments
    session = change.session.with_payment(replace(payment, decision_deadline_at=at))
    assert session.due_at == at
    return replace(change, session=session)


def leased(change: Change, owner: str, seconds: float) -> Change:
    """The change, after which its committer goes on working on the session."""
    return replace(
        change, session=replace(change.session, lease_owner=owner), lease=Lease(owner=owner, seconds=seconds)
    )


def name_of(change: Change) -> tuple[str, str]:
    """As `claim_due` names a session."""
    return change.session.project, change.session.id


async def test_only_what_is_due(store: Store) -> None:
    """A session is claimed from the instant on at which it is due, not before."""
    now, soon = due(1, NOON), due(2, NOON + timedelta(microseconds=1))
    await commit_all(store, [now, soon])
    assert await store.claim_due(NOON - timedelta(microseconds=1), limit=10) == []
    assert await store.claim_due(NOON, limit=10) == [name_of(now)]
    assert await store.claim_due(NOON + timedelta(seconds=1), limit=10) == [name_of(soon)]


async def test_what_has_ended_is_never_due(store: Store) -> None:
    """Paid and cancelled sessions need nobody any more."""
    for story in (paid(1), cancelled(2)):
        await commit_all(store, story.changes)
    assert await store.claim_due(LATER, limit=10) == []


async def test_claim_moves_version_and_owner(store: Store) -> None:
    """A claimed session is one version further and belongs to the claimer; nothing else of it moves."""
    change = due(1)
    await store.commit(change)
    await store.claim_due(NOON, limit=1)
    found = await store.find_session(*name_of(change))
    assert found == replace(change.session, version=2, lease_owner="n1")


async def test_former_holder_is_stale(store: Store, shelf: Shelf) -> None:
    """Whoever held the session before a claim cannot commit any more; the claimer can."""
    change = leased(due(1), "n1", 30)
    await store.commit(change)
    other = await shelf.open("n2")
    await shelf.let_pass(31)
    assert await other.claim_due(NOON, limit=1) == [name_of(change)]
    with pytest.raises(Stale):
        await store.commit(following(change))
    found = await other.find_session(*name_of(change))
    assert found is not None
    await other.commit(replace(following(change), session=replace(found, version=found.version + 1)))


async def test_claimed_is_not_claimed_again(store: Store, shelf: Shelf) -> None:
    """While the lease of a claim lasts nobody claims the session, its holder neither; then anybody does."""
    change = due(1)
    await store.commit(change)
    other = await shelf.open("n2")
    assert await store.claim_due(NOON, limit=10) == [name_of(change)]
    assert await store.claim_due(LATER, limit=10) == []
    assert await other.claim_due(LATER, limit=10) == []
    await shelf.let_pass(LEASE_SECONDS_MAX)
    assert await other.claim_due(NOON, limit=10) == [name_of(change)]


async def test_lease_of_a_commit_is_respected(store: Store, shelf: Shelf) -> None:
    """Who commits and goes on keeps the session for as long as it said, to the second."""
    change = leased(due(1), "n1", 100)
    await store.commit(change)
    other = await shelf.open("n2")
    await shelf.let_pass(90)
    assert await other.claim_due(LATER, limit=10) == []
    await shelf.let_pass(11)
    assert await other.claim_due(NOON, limit=10) == [name_of(change)]


async def test_commit_without_a_lease_frees(store: Store, shelf: Shelf) -> None:
    """Who commits and leaves nothing to do frees the session at once."""
    first = leased(due(1), "n1", 100)
    await commit_all(store, [first, following(replace(first, session=replace(first.session, lease_owner=None)))])
    other = await shelf.open("n2")
    assert await other.claim_due(NOON, limit=10) == [name_of(first)]


async def test_lease_is_renewed_by_a_commit(store: Store, shelf: Shelf) -> None:
    """Each commit of the holder begins the lease anew."""
    first = leased(due(1), "n1", 30)
    await store.commit(first)
    await shelf.let_pass(25)
    await store.commit(leased(following(first), "n1", 30))
    await shelf.let_pass(25)
    assert await (await shelf.open("n2")).claim_due(LATER, limit=10) == []


async def test_limit_takes_the_earliest(store: Store) -> None:
    """No more than asked for, those first that are due for longest."""
    changes = [due(number, NOON - timedelta(seconds=number)) for number in range(10)]
    await commit_all(store, changes)
    assert set(await store.claim_due(NOON, limit=3)) == {name_of(changes[number]) for number in (9, 8, 7)}
    assert len(await store.claim_due(NOON, limit=100)) == 7


async def test_every_project_has_its_turn(store: Store) -> None:
    """Sessions of all projects are claimed, also under the same id."""
    changes = [due(1, NOON, "shop"), due(1, NOON, "inn"), due(2, NOON, "quiet")]
    await commit_all(store, changes)
    assert set(await store.claim_due(NOON, limit=10)) == {name_of(change) for change in changes}


async def test_nodes_never_claim_the_same(shelf: Shelf) -> None:
    """Nodes that claim at the same moment share the work: each session goes to exactly one of them."""
    nodes = [await shelf.open(f"n{number}") for number in range(3)]
    changes = [due(number, NOON - timedelta(seconds=number % 5)) for number in range(60)]
    await commit_all(nodes[0], changes)
    found = await asyncio.gather(*(node.claim_due(NOON, limit=7) for _ in range(4) for node in nodes))
    claimed = [name for names in found for name in names]
    assert len(claimed) == len(set(claimed))
    claimed += await nodes[0].claim_due(NOON, limit=100)
    assert sorted(claimed) == sorted(name_of(change) for change in changes)


async def test_what_was_created_is_due_once(store: Store) -> None:
    """A created session is due when its card has been kept for a day."""
    change = opened(1)
    await store.commit(change)
    day = timedelta(days=1)
    assert await store.claim_due(NOON + day - timedelta(seconds=1), limit=10) == []
    assert await store.claim_due(NOON + day, limit=10) == [name_of(change)]
