"""The loops: deliver what is announced, recover what is due, erase what nobody names any more."""

from __future__ import annotations

import asyncio
from collections import Counter

from tollhouse.flows.deliver import deliver
from tollhouse.flows.recover import CLAIMS_MAX, claim, recover
from tollhouse.ports import ClaimedDelivery, StoreUnreachable, World
from tollhouse.worker.tasks import Tasks

RECOVERING_MAX = 200
# No more than the sender sends at once: what waited for a place there would outlive the lease of its delivery.
SENDING_MAX = 100
# One merchant whose receivers hang takes no more places than this, plus what one claim may bring at once.
PROJECT_SENDING_MAX = 30
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
        self._sending: Counter[str] = Counter()
        self._polled_at = 0.0

    def tell(self, project: str, session_id: str) -> None:
        """This session has something to announce."""
        self._told.add((project, session_id))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong is told and tried again: without this loop no webhook leaves."""
        self._polled_at = _now()
        while True:
            await self._wait()
            room = SENDING_MAX - self._sending.total()
            self._wake.clear()
            if room <= 0:
                await self._wake.wait()  # the next that ends says so
                continue
            busy = [project for project, count in self._sending.items() if count >= PROJECT_SENDING_MAX]
            is_poll = self._polls and _now() >= self._polled_at + POLL_SECONDS
            sessions = None if is_poll else [session for session in self._told if session[0] not in busy]
            if sessions == []:
                continue
            self._told = {session for session in self._told if session[0] in busy}
            limit = min(room, PROJECT_SENDING_MAX)
            try:
                claimed = await self._world.store.claim_deliveries(
                    self._world.clock.now(), sessions=sessions, limit=limit, busy=busy
                )
            except Exception as problem:  # noqa: BLE001 - see above
                self._world.log.warning("webhooks are delayed", why=_why(problem))
                self._told.update(sessions or ())
                await asyncio.sleep(AWAY_SECONDS)
                self._wake.set()
                continue
            for one in claimed:
                self._sending[one.delivery.project] += 1
                self._tasks.start(self._send(one))
            is_all = len(claimed) < limit
            if sessions is None:
                self._polled_at = _now() if is_all else self._polled_at
            elif not is_all:
                self._told.update(sessions)
                self._wake.set()

    async def _wait(self) -> None:
        """Until somebody tells of a session, or a poll is due: a busy node must not forget what nobody tells of."""
        try:
            async with asyncio.timeout_at(self._polled_at + POLL_SECONDS if self._polls else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, claimed: ClaimedDelivery) -> None:
        try:
            await deliver(self._world, claimed)
        finally:
            project = claimed.delivery.project
            self._sending[project] -= 1
            if not self._sending[project]:
                del self._sending[project]
            self.tell(claimed.delivery.project, claimed.delivery.session_id)


async def recover_loop(world: World, tasks: Tasks) -> None:
    """Take up what is due and what others left, until cancelled."""
    while True:
        try:
            found = await claim(world)
        except Exception as problem:  # noqa: BLE001 - without this loop nothing that was left behind goes on
            world.log.warning("recovery is delayed", why=_why(problem))
            found = []
        for project, session_id in found:
            tasks.start(recover(world, project, session_id))
        if len(found) < CLAIMS_MAX or len(tasks) > RECOVERING_MAX:
            await asyncio.sleep(RECOVER_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _why(problem: Exception) -> str:
    """What a failure may be called in a log: the text of what is not ours to know stays out."""
    return str(problem) if isinstance(problem, StoreUnreachable) else type(problem).__name__
