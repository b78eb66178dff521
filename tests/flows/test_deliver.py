"""One webhook: the same bytes on every attempt, until it is received or its window is over."""

from __future__ import annotations

import json

from tests.builders import prepared, succeeded
from tests.worlds import MemoryWorld, memory_world
from tollhouse.flows.deliver import deliver
from tollhouse.ports import ClaimedDelivery
from tollhouse.webhook import Delivery, DeliveryState


async def claimed(world: MemoryWorld) -> list[ClaimedDelivery]:
    """What may go out now."""
    return await world.store.claim_deliveries(world.clock.now(), sessions=None, limit=10)


def deliveries(world: MemoryWorld) -> list[Delivery]:
    """Every event, in order."""
    return [one for events in world.books.deliveries.values() for one in events.values()]


async def test_received() -> None:
    """A 2xx ends it: one attempt is recorded, and nothing is left to send."""
    world = memory_world()
    session = await prepared(world)
    (one,) = await claimed(world)
    await deliver(world, one)
    (delivery,) = deliveries(world)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)
    assert await claimed(world) == []
    ((event_id, attempt),) = world.books.histories["shop", session.id].attempts
    assert (event_id, attempt.number, attempt.status) == (delivery.event_id, 1, 200)
    (posted, _, at) = world.herald.posts[0]
    body = json.loads(posted.delivery.body)
    assert (body["type"], body["event_id"], body["sequence"]) == ("ready_to_confirm", delivery.event_id, 1)
    assert at == world.clock.now()


async def test_failing_attempts_keep_to_the_schedule() -> None:
    """Attempts start at 0, 5, 20, 50, 110, 230, 530 and 1430 seconds; then the event is kept and not sent any more."""
    world = memory_world()
    await prepared(world)
    world.herald.statuses += [500] * 20
    began = world.clock.now()
    for _ in range(40 * 60):
        for one in await claimed(world):
            await deliver(world, one)
        world.clock.move(1)
    starts = [(at - began).total_seconds() for _, _, at in world.herald.posts]
    assert starts == [0, 5, 20, 50, 110, 230, 530, 1430]
    (delivery,) = deliveries(world)
    assert delivery.state is DeliveryState.ABANDONED


async def test_same_bytes_and_signature() -> None:
    """The body is rendered and signed once; every attempt carries both, with a time of its own."""
    world = memory_world()
    await prepared(world)
    world.herald.statuses += [None, 503, 200]
    for _ in range(40):
        for one in await claimed(world):
            await deliver(world, one)
        world.clock.move(1)
    posts = world.herald.posts
    assert len(posts) == 3
    assert len({(post.delivery.body, signature) for post, signature, _ in posts}) == 1
    assert len({at for _, _, at in posts}) == 3
    assert world.herald.signed == 1


async def test_redirect_is_no_receipt() -> None:
    """A 3xx counts as a failure."""
    world = memory_world()
    await prepared(world)
    world.herald.statuses += [301]
    (one,) = await claimed(world)
    await deliver(world, one)
    assert deliveries(world)[0].state is DeliveryState.WAITING


async def test_later_event_waits() -> None:
    """The second event goes out after the first was received."""
    world = memory_world()
    await succeeded(world)
    for expected in (1, 2):
        (one,) = await claimed(world)
        assert one.delivery.sequence == expected
        await deliver(world, one)
    assert await claimed(world) == []
