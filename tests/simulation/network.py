"""Between the nodes and the bank: messages are lost, late, doubled and garbled; the bank's books are not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tests.bank import Asked, Bank, Entry, Key, Standing, answer, asked_of, key_of
from tests.simulation import moments
from tests.simulation.scheduler import Box, Pause
from tollhouse.acquirers.iso8583.fields import match_key
from tollhouse.acquirers.message import CVVGone, NoAnswer, NotSent, Request, Response

if TYPE_CHECKING:
    from tests.simulation.world import Node, Simulation

SLOW_SECONDS = (2, 4.5, 4.9, 8)
LATE_SECONDS = (2, 14, 25, 40, 60)  # the last is the in-flight limit
GARBAGE = Response(mti="", fields={})


class Link:
    """`ports.Link` of one node."""

    def __init__(self, simulation: Simulation, node: Node) -> None:
        self._simulation = simulation
        self._node = node
        self.waiting: dict[Key, Box] = {}

    async def exchange(self, request: Request, *, send_before: float) -> Response:
        """As `ports.Link` promises: nothing is awaited between the last look at the deadline and the bytes."""
        simulation = self._simulation
        await Pause(simulation.random.choice(SLOW_SECONDS) if simulation.chance("slow_link") else 0.005)
        if simulation.chance("not_sent") or simulation.network.is_away():
            raise NotSent("connection refused")
        if simulation.scheduler.now > send_before:
            raise NotSent("the time in which it had to be sent has passed")
        if simulation.chance("cvvs_lost"):
            simulation.record(None, "    the vault lost the keys of all security codes")
            simulation.vault.cvvs.clear()
        card = request.card
        if card is not None and card.demands_cvv and card.sealed_cvv not in simulation.vault.cvvs:
            raise CVVGone("the security code is gone")
        moments.at_sending(simulation, self._node, request)
        key, box = match_key(request.fields), Box(simulation.scheduler)
        self.waiting[key] = box
        simulation.network.carry(self._node, request)
        if card is not None and card.sealed_cvv is not None:
            await self._node.ports.vault.erase_cvv(card.sealed_cvv)
        response = await box.take(within_seconds=self._node.ports.limits.answer_seconds)
        if self.waiting.get(key) is box:
            del self.waiting[key]
        if response is None or response is GARBAGE:
            raise NoAnswer("no answer within 15 s" if response is None else "the connection was lost")
        assert isinstance(response, Response)
        return response


class Network:
    """The way to the bank and back, and the bank."""

    def __init__(self, simulation: Simulation) -> None:
        self.bank = Bank(issuer=simulation.issuer)
        self.on_the_way: dict[Key, int] = {}
        self.pending = 0  # messages and mistakes of the bank that are still to come
        self._simulation = simulation
        self.mistaken: set[Key] = set()
        self._asked: dict[Key, Request] = {}
        random = simulation.random
        self.away_from = self.away_until = 0.0
        if random.random() < simulation.weather.acquirer_away:
            self.away_from = random.uniform(0, 600)
            self.away_until = self.away_from + random.uniform(20, 40) * 3600

    def is_away(self) -> bool:
        """Whether the acquirer refuses every connection now, also when the rest of the storm is over."""
        return self.away_from <= self._simulation.scheduler.now < self.away_until

    def carry(self, node: Node, request: Request) -> None:
        """The bytes have left."""
        simulation = self._simulation
        key = key_of(request)
        self._asked.setdefault(key, request)
        if simulation.chance("request_lost"):
            simulation.record(None, f"    {request.mti} {key[0]}/{key[1]} is lost on its way")
            return
        delay = simulation.random.uniform(0.02, 0.3)
        if simulation.chance("lands_late"):
            delay = simulation.random.choice(LATE_SECONDS) * simulation.random.uniform(0.97, 1)
        self.on_the_way[key] = self.on_the_way.get(key, 0) + 1
        self._later(delay, self._land, node, request)

    async def _land(self, node: Node, request: Request) -> None:
        simulation = self._simulation
        key = key_of(request)
        self.on_the_way[key] -= 1
        reversed_entry = self._reversed_by(request)
        response = self.bank.decide(request, code=self._verdict(request))
        simulation.record(None, f"    bank: {request.mti} {key[0]}/{key[1]} is answered {response.fields['39']}")
        moments.at_bank(simulation, request)
        if reversed_entry is not None and reversed_entry.standing is Standing.REVERSED:
            self._perhaps_mistake(reversed_entry)
        if simulation.chance("foreign_answer"):
            fields = {**response.fields, "11": "999999"}
            foreign = Response(mti=response.mti, fields=fields)
            self._later(0.1, self._arrive, node, foreign, match_key(fields))
        if simulation.chance("answer_lost"):
            simulation.record(None, f"    the answer to {key[0]}/{key[1]} is lost")
            return
        delay = simulation.random.uniform(0.02, 0.3)
        if simulation.chance("answer_late"):
            delay = simulation.random.uniform(8, 90)
        self._later(delay, self._arrive, node, GARBAGE if simulation.chance("garbage") else response, key)
        if simulation.chance("answer_twice"):
            self._later(delay + simulation.random.uniform(0, 100), self._arrive, node, response, key)

    def _verdict(self, request: Request) -> str:
        simulation = self._simulation
        match asked_of(request):
            case Asked.SALE | Asked.AUTHORIZATION:
                if simulation.chance("partial"):
                    return "10"
                return simulation.random.choice(("05", "51", "09", "65")) if simulation.chance("declines") else "00"
            case Asked.COMPLETION:
                return "05" if simulation.chance("capture_declined") else "00"
            case Asked.REFUND:
                return "05" if simulation.chance("refund_declined") else "00"
            case Asked.REVERSAL:
                return "96" if simulation.chance("reversal_refused") else "00"

    async def _arrive(self, node: Node, response: Response, key: Key) -> None:
        """An answer comes back: to whoever waits for it, or to nobody, or to a process that is no more."""
        box = node.link.waiting.get(key) if node.house.is_alive else None
        if box is not None:
            box.put(response)
        elif response is not GARBAGE and (node.house.is_alive or self._simulation.random.random() < 0.5):
            (node if node.house.is_alive else self._simulation.any_node()).hear(response)

    def _reversed_by(self, request: Request) -> Entry | None:
        """The approved charge that this reversal names."""
        if asked_of(request) is not Asked.REVERSAL:
            return None
        named = request.fields["90"]
        entry = self.bank.entries.get((request.fields["37"], named[4:10], named[10:20], request.fields["41"]))
        return entry if entry is not None and entry.is_charge and entry.is_live else None

    def _perhaps_mistake(self, entry: Entry) -> None:
        """Once per charge the bank may come to approve what it had reversed, and say so until somebody listens.

        Only after we have heard its acknowledgement: the rest is for the acquirer's daily file (money-safety 2).
        """
        if entry.key not in self.mistaken and self._simulation.chance("approved_again"):
            self.mistaken.add(entry.key)
            self._later(self._simulation.random.uniform(1, 120), self._mistake, entry)

    async def _mistake(self, entry: Entry) -> None:
        simulation = self._simulation
        while not simulation.has_heard_of_reversal(entry.key):
            await Pause(20)
        if entry.standing is not Standing.REVERSED:
            return
        self.bank.approve_again(entry)
        simulation.record(None, f"    bank: {entry.key[0]} is approved again after its reversal")
        response = answer(self._asked[entry.key], "00", entry.approval_code)
        heard = None
        while heard is None:
            box = Box(simulation.scheduler)
            simulation.any_node().hear(response, box)
            heard = await box.take(within_seconds=60)

    def _later(self, delay: float, what: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        async def run() -> None:
            await what(*arguments)
            self.pending -= 1

        self.pending += 1
        self._simulation.scheduler.spawn("network", run(), after=delay)
