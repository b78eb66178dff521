"""Payers with the payment form: several windows of one session, at any process, with calls lost and repeated.

What a form shows is held against the bank's books each time: see `shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.door import BUSY, Refused, serve_form
from tests.simulation.scheduler import Box, Pause
from tests.simulation.truth import Violation
from tollhouse.card import CardDetails
from tollhouse.progress import FINAL, Progress, Stage
from tollhouse.refusal import PublicTokenInvalid, RequestInvalid, StateForbids

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

PATIENCE_SECONDS = 25
CALLS_MAX = 5
FOLLOWS_SECONDS_MAX = 3 * 3600
DAY_SECONDS = 24 * 3600


@dataclass
class Window:
    """One window with the form, opened by a public token, and the card that is typed into it."""

    simulation: Simulation
    text: str
    card: CardDetails

    async def live(self) -> None:
        """Look, pay, follow; and perhaps come back the day after."""
        random = self.simulation.random
        await Pause(random.uniform(0, 30))
        shown = await self._call("look")
        was_refused = False
        for _ in range(random.choice((1, 1, 1, 2, 3))):  # a payer who clicks again, or whose answer was lost
            if shown is not None and (shown.stage is Stage.READY or random.random() < 0.1):
                paid = await self._call("pay")
                was_refused = was_refused or paid is None
                shown = paid or await self._call("look")
        await self._follow()
        if random.random() < 0.1:
            await Pause(DAY_SECONDS + random.uniform(-60, 600))
            await self._call(random.choice(("look", "pay")))

    async def _follow(self) -> None:
        """Until the end, or until the payer has enough of it."""
        gap, seconds_max = 0.5, self.simulation.random.choice((5, 60, FOLLOWS_SECONDS_MAX))
        while gap < seconds_max:
            shown = await self._call("look")
            if shown is None or shown.stage in FINAL:
                return
            await Pause(gap)
            gap *= 2.5

    async def _call(self, step: str) -> Progress | None:
        """Ask any process until one answers; None when none does, or when it refuses."""
        simulation = self.simulation
        for _ in range(CALLS_MAX):
            node, box = simulation.any_node(), Box(simulation.scheduler)
            node.start(f"form {step}", serve_form, node, step, self.text, self.card, box)
            answer = await box.take(within_seconds=PATIENCE_SECONDS if node.house.is_alive else 0.1)
            if isinstance(answer, Progress):
                return answer
            if isinstance(answer, Refused):
                self._was_refused(step, answer.code)
                return None
            assert answer in (None, BUSY)
            await Pause(simulation.random.uniform(0.2, 4))
        return None

    def _was_refused(self, step: str, code: str) -> None:
        """P1: a form is refused when its session was started before, when its day is over, and without a code."""
        self.simulation.tally[f"forms refused: {code}"] += 1
        issued = self.simulation.tokens.issued(self.text)
        session = self.simulation.books.sessions[issued.project, str(issued.session_id)]
        is_right = code == PublicTokenInvalid.code or (step == "pay" and code == StateForbids.code)
        lacks_code = self.card.cvv is None and bool(self.simulation.demand_cvv)
        is_right = is_right or (step == "pay" and lacks_code and code == RequestInvalid.code)
        if not is_right:
            raise Violation("P1", f"a form that would {step} is refused with {code}", session.id)
        if code == StateForbids.code and not session.payments and session.dropped is None:
            raise Violation("P1", "a form is refused and nobody has paid", session.id)
