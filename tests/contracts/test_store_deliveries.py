"""The port `Store`: which events may go out, to whom they are leased, and in which order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.contracts.shelf import INN, QUIET, SHOP, Shelf, opened
from tests.ground.story import NOON
from tollhouse.change import Change
from tollhouse.event import Event, EventType
from tollhouse.merchant import Settings, WebhookOrder
from tollhouse.ports import ClaimedDelivery, Store
from tollhouse.webhook import Attempt, Delivery, DeliveryState, after_attempt

LEASE_SECONDS_MAX = 60  # whatever the lease of a claim is, by then it is over
READY, FINISHED, ACTION = EventType.READY_TO_CONFIRM, EventType.PAYMENT_FINISHED, EventType.ACTION_REQUIRED
NEVER = NOON + timedelta(days=365)


def announcing(*types: EventType, number: int = 1, project: str = "shop") -> Change:
    """A new session with events of these types, `evt_<number>_<sequence>` where it is the shop's."""
    change = opened(number, project)
    mark = "" if project == "shop" else f"_{project}"
    events = tuple(
        Event(
            id=f"evt{mark}_{number}_{sequence}",
            type=type,
            sequence=sequence,
            session=change.session,
            created_at=NOON,
            body=f'{{"sequence": {sequence}, "é": "\\u0000"}}'.encode(),
        )
        for sequence, type in enumerate(types, 1)
    )
    return replace(change, session=replace(change.session, events_count=len(events)), events=events)


async def claim(store: Store, now: datetime = NOON, *, limit: int = 100) -> list[ClaimedDelivery]:
    """What may go out now, of any session."""
    return await store.claim_deliveries(now, sessions=None, limit=limit)


async def claim_ids(store: Store, now: datetime = NOON, *, limit: int = 100) -> list[str]:
    """The ids of what may go out now."""
    return [one.delivery.event_id for one in await claim(store, now, limit=limit)]


async def finish(
    store: Store, claimed: ClaimedDelivery, status: int | None, at: datetime = NOON, window_seconds: int = 1800
) -> Delivery:
    """Write down that this event was posted and answered so."""
    made = Attempt(
        number=claimed.delivery.attempts + 1,
        at=at,
        status=status,
        error=None if status else "no answer",
        excerpt="ok é",
        duration_seconds=0.25,
    )
    after = after_attempt(
        claimed.delivery, made, window_seconds=window_seconds, jitter_percent=0, signature="signature"
    )
    await store.finish_delivery(after, made)
    return after


async def ordered(shelf: Shelf, order: WebhookOrder) -> None:
    """From now on the shop wants its events in this order."""
    await shelf.keep(replace(SHOP, settings=Settings(webhook_order=order)))


# --- claims -----------------------------------------------------------------------------------------------------------


async def test_event_comes_with_all_that_it_needs(store: Store) -> None:
    """A claim has the event's very bytes, where it goes, whether that is live, and for how long it is tried."""
    await store.commit(announcing(READY, project="inn"))
    assert INN.webhook_url is not None
    assert await claim(store) == [
        ClaimedDelivery(
            delivery=Delivery(
                project="inn",
                session_id=opened().session.id,
                event_id="evt_inn_1_1",
                type=READY,
                sequence=1,
                body=b'{"sequence": 1, "\xc3\xa9": "\\u0000"}',
                next_attempt_at=NOON,
            ),
            url=INN.webhook_url,
            is_live=True,
            window_seconds=1800,
        )
    ]


async def test_event_waits_for_its_time(store: Store) -> None:
    """Before its next attempt is due an event does not go out."""
    await store.commit(announcing(READY))
    assert await claim_ids(store, NOON - timedelta(microseconds=1)) == []
    await finish(store, (await claim(store))[0], 500)
    assert await claim_ids(store, NOON + timedelta(seconds=4.9)) == []
    assert await claim_ids(store, NOON + timedelta(seconds=5)) == ["evt_1_1"]


async def test_claimed_event_is_leased(store: Store, shelf: Shelf) -> None:
    """While a node sends an event nobody else does, the node itself neither; when the lease is out anybody may."""
    other = await shelf.open("n2")
    await store.commit(announcing(READY))
    assert await claim_ids(store) == ["evt_1_1"]
    assert await claim_ids(other, NEVER) == []
    assert await claim_ids(store, NEVER) == []
    await shelf.let_pass(LEASE_SECONDS_MAX)
    assert await claim_ids(other) == ["evt_1_1"]


async def test_nodes_never_claim_the_same(shelf: Shelf) -> None:
    """Nodes that claim at the same moment share the events: each goes to exactly one of them."""
    nodes = [await shelf.open(f"n{number}") for number in range(3)]
    for number in range(40):
        await nodes[0].commit(announcing(READY, number=number))
    found = await asyncio.gather(*(claim_ids(node, limit=5) for _ in range(3) for node in nodes))
    claimed = [id for ids in found for id in ids]
    assert len(claimed) == len(set(claimed))
    assert len(claimed) + len(await claim_ids(nodes[0])) == 40


async def test_limit(store: Store) -> None:
    """No more than asked for; the rest is there for the next claim."""
    for number in range(10):
        await store.commit(announcing(READY, number=number))
    found = [await claim_ids(store, limit=4) for _ in range(4)]
    assert [len(ids) for ids in found] == [4, 4, 2, 0]
    assert len({id for ids in found for id in ids}) == 10


async def test_sessions_that_are_named(store: Store) -> None:
    """Of named sessions only theirs; the same id under another project is another session; of none: nothing."""
    for project in ("shop", "inn"):
        for number in (1, 2, 3):
            await store.commit(announcing(READY, number=number, project=project))
    wanted = [("shop", opened(1).session.id), ("inn", opened(3).session.id)]
    assert await store.claim_deliveries(NOON, sessions=[], limit=100) == []
    found = await store.claim_deliveries(NOON, sessions=wanted, limit=100)
    assert {(one.delivery.project, one.delivery.session_id) for one in found} == set(wanted)
    assert len(await claim(store)) == 4


async def test_project_without_an_address(store: Store, shelf: Shelf) -> None:
    """Its events are silent: they stay so also when the project gets an address later."""
    await store.commit(announcing(READY, project="quiet"))
    assert await claim_ids(store) == []
    await shelf.keep(replace(QUIET, webhook_url="http://127.0.0.1:9/quiet"))
    assert await claim_ids(store, NEVER) == []
    (event,) = (await shelf.kept("quiet", opened().session.id)).events
    assert event.state is DeliveryState.SILENT


async def test_address_that_was_taken_away(store: Store, shelf: Shelf) -> None:
    """An event that waits stays where it is while there is no address, and goes to the new one."""
    await store.commit(announcing(READY))
    await shelf.keep(replace(SHOP, webhook_url=None))
    assert await claim_ids(store) == []
    await shelf.keep(replace(SHOP, webhook_url="http://127.0.0.1:9/new"))
    assert [one.url for one in await claim(store)] == ["http://127.0.0.1:9/new"]


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [WebhookOrder.SESSION, WebhookOrder.STRICT])
async def test_later_event_waits_for_the_receipt(store: Store, shelf: Shelf, order: WebhookOrder) -> None:
    """One after the other: the next goes out when the earlier one is delivered."""
    await ordered(shelf, order)
    await store.commit(announcing(READY, FINISHED, FINISHED))
    for sequence in (1, 2, 3):
        (claimed,) = await claim(store)
        assert claimed.delivery.sequence == sequence
        assert await claim(store) == []
        await finish(store, claimed, 200)
    assert await claim(store, NEVER) == []


async def test_first_attempt_that_is_under_way_holds_back(store: Store, shelf: Shelf) -> None:
    """An event whose first attempt nobody has finished holds the next one back, however long it takes."""
    await store.commit(announcing(READY, FINISHED))
    assert await claim_ids(store) == ["evt_1_1"]
    await shelf.let_pass(LEASE_SECONDS_MAX)
    assert await claim_ids(store, NEVER) == ["evt_1_1"]


async def test_failing_event_holds_back_for_a_minute(store: Store) -> None:
    """By default an event that fails lets the next one go 60 seconds after its first attempt, not before."""
    await store.commit(announcing(READY, FINISHED))
    after = NOON
    for gap in (5, 15, 30):
        (claimed,) = await claim(store, after)
        await finish(store, claimed, 500, after)
        after += timedelta(seconds=gap)
    assert await claim_ids(store, NOON + timedelta(seconds=59.999)) == ["evt_1_1"]
    assert await claim_ids(store, NOON + timedelta(seconds=60)) == ["evt_1_2"]


async def test_strict_order_waits_until_the_end(store: Store, shelf: Shelf) -> None:
    """In strict order an event that fails holds the next one back until it is given up."""
    await ordered(shelf, WebhookOrder.STRICT)
    await store.commit(announcing(READY, FINISHED))
    await finish(store, (await claim(store))[0], None)
    late = NOON + timedelta(minutes=29)
    (again,) = await claim(store, late)
    assert again.delivery.sequence == 1
    assert (await finish(store, again, 503, late, window_seconds=60)).state is DeliveryState.ABANDONED
    assert await claim_ids(store, late) == ["evt_1_2"]


async def test_no_order(store: Store, shelf: Shelf) -> None:
    """Without an order all events of a session go out at once."""
    await ordered(shelf, WebhookOrder.NONE)
    await store.commit(announcing(READY, FINISHED, FINISHED))
    assert await claim_ids(store) == ["evt_1_1", "evt_1_2", "evt_1_3"]


@pytest.mark.parametrize("order", WebhookOrder)
async def test_action_required_never_waits(store: Store, shelf: Shelf, order: WebhookOrder) -> None:
    """The payer's minutes are running: this event goes out beside an earlier one, which still holds back the rest."""
    await ordered(shelf, order)
    await store.commit(announcing(READY, ACTION, FINISHED))
    held_back = [] if order is WebhookOrder.NONE else ["evt_1_3"]
    assert {*await claim_ids(store), *held_back} == {"evt_1_1", "evt_1_2", "evt_1_3"}


async def test_sessions_never_wait_for_each_other(store: Store) -> None:
    """What one session announces does not hold back another."""
    await store.commit(announcing(READY, FINISHED, number=1))
    await store.commit(announcing(READY, FINISHED, number=2))
    await store.commit(announcing(READY, FINISHED, number=1, project="inn"))
    assert sorted(await claim_ids(store)) == ["evt_1_1", "evt_2_1", "evt_inn_1_1"]


# --- what became of it ------------------------------------------------------------------------------------------------


async def test_delivered_event_is_over(store: Store, shelf: Shelf) -> None:
    """A delivered event stays with its attempt, and never goes out again."""
    await store.commit(announcing(READY))
    await finish(store, (await claim(store))[0], 204, NOON + timedelta(seconds=1))
    assert await claim_ids(store, NEVER) == []
    (event,) = (await shelf.kept("shop", opened().session.id)).events
    assert (event.state, event.next_attempt_at) == (DeliveryState.DELIVERED, None)
    assert event.attempts == (
        Attempt(
            number=1,
            at=NOON + timedelta(seconds=1),
            status=204,
            error=None,
            excerpt="ok é",
            duration_seconds=0.25,
        ),
    )


async def test_failed_event_is_tried_again(store: Store, shelf: Shelf) -> None:
    """The next claim knows how often it failed, since when, and the signature of the first attempt."""
    await store.commit(announcing(READY))
    (first,) = await claim(store)
    after = await finish(store, first, None)
    (second,) = await claim(store, NOON + timedelta(seconds=5))
    assert second.delivery == after
    assert (after.attempts, after.first_attempt_at, after.signature) == (1, NOON, "signature")
    assert after.body == first.delivery.body
    await finish(store, second, 200, NOON + timedelta(seconds=5))
    (event,) = (await shelf.kept("shop", opened().session.id)).events
    assert [(one.number, one.status, one.error) for one in event.attempts] == [(1, None, "no answer"), (2, 200, None)]


async def test_abandoned_event_stays(store: Store, shelf: Shelf) -> None:
    """An event whose time is over is kept, and does not go out by itself."""
    await store.commit(announcing(READY))
    await finish(store, (await claim(store))[0], 500, window_seconds=0)
    assert await claim_ids(store, NEVER) == []
    (event,) = (await shelf.kept("shop", opened().session.id)).events
    assert (event.state, len(event.attempts)) == (DeliveryState.ABANDONED, 1)


async def test_attempt_is_written_down_once(store: Store, shelf: Shelf) -> None:
    """What is reported twice, because the first report's answer was lost, stands once."""
    await store.commit(announcing(READY))
    (claimed,) = await claim(store)
    for _ in range(2):
        after = await finish(store, claimed, 500)
    (event,) = (await shelf.kept("shop", opened().session.id)).events
    assert len(event.attempts) == 1
    assert [one.delivery for one in await claim(store, NOON + timedelta(seconds=5))] == [after]


async def test_many_attempts_at_once(store: Store, shelf: Shelf) -> None:
    """Attempts that end in the same moment are all written down."""
    for number in range(30):
        await store.commit(announcing(READY, number=number))
    claimed = await claim(store)
    await asyncio.gather(*(finish(store, one, 500 if at % 3 else 200) for at, one in enumerate(claimed)))
    assert len(await claim(store, NOON + timedelta(seconds=5))) == 20
    for number in range(30):
        (event,) = (await shelf.kept("shop", opened(number).session.id)).events
        assert len(event.attempts) == 1


# --- a node that slept over its lease ---------------------------------------------------------------------------------


async def taken_over(store: Store, shelf: Shelf) -> tuple[ClaimedDelivery, Store, ClaimedDelivery]:
    """An event claimed by this node, whose lease ran out, and then by another one."""
    await store.commit(announcing(READY))
    (slept,) = await claim(store)
    await shelf.let_pass(LEASE_SECONDS_MAX)
    other = await shelf.open("n2")
    (awake,) = await claim(other)
    return slept, other, awake


async def test_sleeper_takes_nothing_back(store: Store, shelf: Shelf) -> None:
    """What another node has delivered meanwhile stays delivered when the sleeper reports its failure."""
    slept, other, awake = await taken_over(store, shelf)
    await finish(other, awake, 200)
    await finish(store, slept, None, NOON + timedelta(seconds=70))
    assert await claim_ids(store, NEVER) == []
    (event,) = (await shelf.kept("shop", opened().session.id)).events
    assert event.state is DeliveryState.DELIVERED


async def test_sleeper_does_not_turn_back_the_count(store: Store, shelf: Shelf) -> None:
    """The schedule goes on from the latest attempt, not from the sleeper's."""
    slept, other, awake = await taken_over(store, shelf)
    await finish(other, awake, 500)
    (again,) = await claim(other, NOON + timedelta(seconds=5))
    latest = await finish(other, again, 500, NOON + timedelta(seconds=5))
    await finish(store, slept, 500, NOON + timedelta(seconds=6))
    assert [one.delivery for one in await claim(store, NOON + timedelta(seconds=20))] == [latest]
    assert latest.attempts == 2


async def test_sleeper_does_not_revive(store: Store, shelf: Shelf) -> None:
    """An event that was given up stays so when the sleeper reports a failure."""
    slept, other, awake = await taken_over(store, shelf)
    await finish(other, awake, 500, window_seconds=0)
    await finish(store, slept, 500)
    assert await claim_ids(store, NEVER) == []


async def test_sleeper_does_not_free_what_another_sends(store: Store, shelf: Shelf) -> None:
    """The lease of whoever sends now is not ended by the sleeper's report."""
    slept, _, _ = await taken_over(store, shelf)
    await finish(store, slept, 500)
    assert await claim_ids(store, NEVER) == []


async def test_receipt_of_a_sleeper_counts(store: Store, shelf: Shelf) -> None:
    """What was received is received, whoever reports it: the event does not go out again."""
    slept, other, awake = await taken_over(store, shelf)
    await finish(other, awake, 500)
    await finish(store, slept, 200)
    assert await claim_ids(store, NEVER) == []
