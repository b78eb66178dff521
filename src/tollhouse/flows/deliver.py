"""Announce one event to its merchant and write down what became of it."""

from __future__ import annotations

from tollhouse.ports import ClaimedDelivery, World
from tollhouse.webhook import Attempt, after_attempt


async def deliver(world: World, claimed: ClaimedDelivery) -> None:
    """One attempt. The bytes and the body's signature are the same on every attempt; the timestamp is not."""
    delivery = claimed.delivery
    signature = delivery.signature or await world.herald.sign(delivery.project, delivery.body)
    at = world.clock.now()
    posted = await world.herald.post(claimed, signature, at)
    attempt = Attempt(
        number=delivery.attempts + 1,
        at=at,
        status=posted.status,
        error=posted.error,
        excerpt=posted.excerpt,
        duration_seconds=posted.duration_seconds,
    )
    after = after_attempt(
        delivery,
        attempt,
        window_seconds=claimed.window_seconds,
        jitter_percent=world.herald.jitter_percent(),
        signature=signature,
    )
    await world.store.finish_delivery(after, attempt)
