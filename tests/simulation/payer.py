"""Payers: they open the link, go through the issuer's challenge, and come back; or they wander off at any step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation import permits
from tests.simulation.door import BUSY, serve_payer
from tests.simulation.scheduler import Box, Pause
from tollhouse.flows.authenticate import Showing, View

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

PATIENCE_SECONDS = 25
CALLS_MAX = 4
STEPS_MAX = 25
AWAY_SECONDS = (5, 60, 900, 3500, 3605, 4000)  # the link lives for 3600
FORGED = ("", "%%%", "bm8ganNvbg", "eyJtZXNzYWdlVHlwZSI6IkVycm8ifQ")


class Payers:
    """Everybody who was sent to a link."""

    def __init__(self, simulation: Simulation) -> None:
        self.pending = 0
        self._simulation = simulation

    def summon(self, link: str) -> None:
        """The merchant sends the payer there: a visit, sometimes in two tabs, sometimes none."""
        simulation, random = self._simulation, self._simulation.random
        if simulation.chance("payer_wanders") and random.random() < 0.3:
            return
        for _ in range(2 if random.random() < 0.2 else 1):
            self.pending += 1
            simulation.scheduler.spawn("payer", self._visit(link), after=random.uniform(0.5, 40))

    async def _visit(self, link: str) -> None:
        await Tab(self._simulation, link).live()
        self.pending -= 1


class Tab:
    """One window of a payer's browser."""

    def __init__(self, simulation: Simulation, link: str) -> None:
        self._simulation = simulation
        self._link = link
        self._returns: list[str] = []
        self._is_impatient = simulation.chance("payer_wanders")

    async def live(self) -> None:
        """From the first look to the end, or to where the payer closes it."""
        random = self._simulation.random
        for _ in range(STEPS_MAX):
            view = await self._call("look")
            if view is None:
                return
            if self._simulation.chance("payer_wanders") and not await self._wanders(view):
                return
            if self._is_impatient and view.can_retry and random.random() < 0.5:
                view = await self._call("again") or view
            match view.showing:
                case Showing.BEGIN:
                    completion = "U" if view.method_url is None else random.choice("YN")
                    await Pause(0 if view.method_url is None else random.uniform(0, 10))
                    await self._call("ask", completion)
                case Showing.WAIT | Showing.FINISH:
                    await Pause(3)
                case Showing.CHALLENGE:
                    await self._go_through(view)
                case Showing.DECOUPLED:
                    await Pause(random.choice((5, 30, 120)))
                case Showing.OVER:
                    return

    async def _wanders(self, view: View) -> bool:
        """Something that nobody should do at this point. False when the tab is closed for good."""
        random = self._simulation.random
        match random.choice(("close", "away", "again", "replay", "ask", "forge")):
            case "close":
                return False
            case "away":
                await Pause(random.choice(AWAY_SECONDS) + random.uniform(-5, 5))
            case "again":
                await self._call("again")
            case "replay" if self._returns:
                await self._call("return", random.choice(self._returns))
            case "ask":
                await self._call("ask", "N")
            case _:
                requests = list(view.challenge_requests.values())
                forged = self._simulation.issuer.forged_return(requests[0]) if requests else random.choice(FORGED)
                await self._call("return", forged)
        return True

    async def _go_through(self, view: View) -> None:
        """The issuer's page, and the way back from it: before, after or without the result."""
        simulation, random = self._simulation, self._simulation.random
        size = random.choice(sorted(view.challenge_requests))
        wanders = simulation.chance("payer_wanders")
        will = random.choice(("fail", "cancel", "leave", "leave", "pass")) if wanders else "pass"
        brought = await simulation.issuer.challenge(view.challenge_requests[size], will, random.uniform(0.5, 30))
        if brought is None:  # perhaps so long that the issuer gives up
            await Pause(random.choice((10, 650)))
            return
        self._returns.append(brought)
        await Pause(random.choice((0, 0, 3)))
        if not wanders or random.random() < 0.7:
            await self._call("return", brought)
        await Pause(random.choice((1, 5, 20)))

    async def _call(self, step: str, brought: str = "") -> View | None:
        """Ask any process until one answers; None when none does."""
        simulation = self._simulation
        for _ in range(CALLS_MAX):
            node, box = simulation.any_node(), Box(simulation.scheduler)
            node.start(f"payer {step}", serve_payer, node, step, self._link, brought, box)
            answer = await box.take(within_seconds=PATIENCE_SECONDS if node.house.is_alive else 0.1)
            if isinstance(answer, View):
                permits.at_view(simulation, self._link, answer)
                return answer
            if answer not in (None, BUSY):
                permits.at_no_page(simulation, self._link)
                return None
            await Pause(simulation.random.uniform(0.5, 5))
        return None
