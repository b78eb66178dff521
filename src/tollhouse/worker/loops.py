"""The loops: deliver what is announced, recover what is due, erase what nobody names any more."""

from __future__ import annotations

import asyncio

from tollhouse.flows.deliver import deliver
from tollhouse.flows.recover import CLAIMS_MAX, claim, recover
from tollhouse.ports import ClaimedDelivery, StoreUnreachable, World
from tollhouse.worker.tasks import Tasks

CONCURRENT_MAX = 200
POLL_SECONDS = 1.0
RECOVER_SECONDS = 0.5
AWAY_SECONDS = 1.0


class Deliverer:
    """Sends webhooks: at once for sessions it is told of, and (if it polls) for whatever is due anywhere."""

    def __init__(self, world: World, tasks: Tasks, *, polls: bool) -> None:
        self._world = world
        self._tasks = tasks
        self._polls = polls
        self._told: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._sending = 0

    def tell(self, project: str, session_id: str) -> None:
        """This session has something to announce."""
        self._told.add((project, session_id))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS if self._polls else None)
                sessions = list(self._told)
            except TimeoutError:
                sessions = None
            room = CONCURRENT_MAX - self._sending
            if room <= 0:
                self._wake.clear()
                continue
            self._wake.clear()
            self._told.clear()
            try:
                claimed = await self._world.store.claim_deliveries(
                    self._world.clock.now(), sessions=sessions, limit=room
                )
            except StoreUnreachable:
                self._told.update(sessions or ())
                await asyncio.sleep(AWAY_SECONDS)
                self._wake.set()
                continue
            for one in claimed:
                self._sending += 1
                self._tasks.start(self._send(one))
            if len(claimed) == room and sessions is not None:
                self._told.update(sessions)

    async def _send(self, claimed: ClaimedDelivery) -> None:
        try:
            await deliver(self._world, claimed)
        finally:
            self._sending -= 1
            self.tell(claimed.delivery.project, claimed.delivery.session_id)


async def recover_loop(world: World, tasks: Tasks) -> None:
    """Take up what is due and what others left, until cancelled."""
    while True:
        try:
            found = await claim(world)
        except StoreUnreachable as problem:
            world.log.warning("waiting for the database", why=str(problem))
            found = []
        for project, session_id in found:
            tasks.start(recover(world, project, session_id))
        if len(found) < CLAIMS_MAX or len(tasks) > CONCURRENT_MAX:
            await asyncio.sleep(RECOVER_SECONDS)
