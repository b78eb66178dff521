"""The world of one seed: durable books, nodes that crash and come back under new names, clocks, and a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from tests.bank import Key
from tests.simulation import moments
from tests.simulation.issuer import Directory, Issuer
from tests.simulation.network import Link, Network
from tests.simulation.payer import Payers
from tests.simulation.receivers import Herald, Receivers
from tests.simulation.scheduler import Box, House, Pause, Scheduler, Task
from tests.simulation.tokens import Tokens
from tests.simulation.weather import Weather
from tests.worlds import START, CountedIds, CountedNaming, FakeLog, FakeVault
from tollhouse.acquirers import ACQUIRERS
from tollhouse.acquirers.message import Response
from tollhouse.api.wire.answers import JsonWire
from tollhouse.card import CVV, CardDetails, KeptCard
from tollhouse.change import Change
from tollhouse.event import EventType
from tollhouse.flows.deliver import deliver
from tollhouse.flows.hear import hear_late
from tollhouse.flows.recover import claim, recover
from tollhouse.operation import Limits, State
from tollhouse.ports import CommitUnclear, KeyTaken, Stale, StoreUnreachable, World
from tollhouse.session import PaymentSession
from tollhouse.store.memory import MemoryBooks, MemoryStore, SessionKey
from tollhouse.webhook import Attempt, Delivery, DeliveryState

DATABASE_SECONDS = 0.002
CLAIMS_MAX = 20
HELD_BACK_SECONDS = 5
LOOPS = 2
DEMANDING = 0.3  # of the worlds have a route that demands the security code
NAP_SECONDS_MAX = 86400
PUBLIC_URL = "https://pay.test"


@dataclass(slots=True)
class Clock:
    """A node's clock: its `now` may be wrong, its `monotonic` is not."""

    scheduler: Scheduler
    offset_seconds: float = 0.0

    def now(self) -> datetime:
        """What this node takes for the time."""
        return START + timedelta(seconds=self.scheduler.now + self.offset_seconds)

    def monotonic(self) -> float:
        """Seconds that have really passed."""
        return self.scheduler.now

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await Pause(seconds)


class Vault(FakeVault):
    """The fake with a pause in each call, where a process may die."""

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        await Pause(DATABASE_SECONDS)
        return await super().keep(project, card)

    async def seal_cvv(self, project: str, cvv: CVV) -> str:
        await Pause(DATABASE_SECONDS)
        return await super().seal_cvv(project, cvv)

    async def erase_cvv(self, sealed: str) -> None:
        await Pause(DATABASE_SECONDS)
        await super().erase_cvv(sealed)


class Store(MemoryStore):
    """The memory store of one node with a connection that gets lost, and the invariants at every commit."""

    def __init__(self, simulation: Simulation, node: Node) -> None:
        super().__init__(simulation.books, node=node.name, clock=simulation.database_clock, pause=self._wait)
        self._simulation = simulation
        self._owner = node

    async def _wait(self, moment: str) -> None:
        await Pause(DATABASE_SECONDS)
        if self._simulation.chance("read_lost"):
            raise StoreUnreachable(f"the connection was lost at {moment}")

    async def commit(self, change: Change) -> None:
        """Commit; a lost connection leaves open whether it was written before, never, or will be in a moment."""
        await Pause(DATABASE_SECONDS)
        if not self._simulation.chance("commit_lost"):
            self.write(change)
            await Pause(DATABASE_SECONDS)
            return
        match self._simulation.random.choice(("written", "written", "never", "later")):
            case "written":
                self.write(change)
            case "later":
                delay = self._simulation.random.uniform(0, 3)
                self._simulation.scheduler.spawn("late commit", self._write_later(change), after=delay)
        self._simulation.record(change.session, f"    {self.node}: connection lost around {change.id}")
        await Pause(0.01)
        raise CommitUnclear("the connection was lost around the commit")

    async def _write_later(self, change: Change) -> None:
        try:
            self.write(change)
        except (Stale, KeyTaken):
            self._simulation.record(change.session, f"    {change.id} comes too late")

    def write(self, change: Change) -> None:
        key = (change.session.project, change.session.id)
        before = self.books.sessions.get(key)
        super().write(change)
        self._simulation.committed(self.node, before, change)

    async def finish_delivery(self, delivery: Delivery, attempt: Attempt) -> None:
        await super().finish_delivery(delivery, attempt)
        self._simulation.rouse_deliverers()


class Nap:
    """The sleep of a loop between two looks: it may be told to wake earlier."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._until = float("inf")
        self._box = Box(scheduler)

    async def sleep(self, seconds: float) -> None:
        """So long at most."""
        self._until = self._scheduler.now + seconds
        self._box = Box(self._scheduler)
        await self._box.take(within_seconds=seconds)

    def end_by(self, at: float) -> None:
        """Not longer than until then."""
        if at < self._until and self._box.waiting is not None:
            self._until = at
            self._scheduler.wake(self._box.waiting, after=at - self._scheduler.now)


class Node:
    """One process of the gateway: it serves calls, drives what is due, and announces."""

    def __init__(self, simulation: Simulation, number: int) -> None:
        self.name = f"n{number}"
        self.house = House(self.name)
        self.simulation = simulation
        self.clock = Clock(simulation.scheduler)
        self.link = Link(simulation, self)
        self.due_nap = Nap(simulation.scheduler)
        self.delivery_nap = Nap(simulation.scheduler)
        self.keys_in_flight: set[tuple[str, str]] = set()
        self.ports = World(
            node=self.name,
            store=Store(simulation, self),
            tokens=simulation.tokens,
            vault=simulation.vault,
            acquirers=ACQUIRERS,
            links={"sandbox": self.link},
            directory=Directory(simulation, self),
            clock=self.clock,
            ids=simulation.ids,
            naming=CountedNaming(f"T{number:07d}", simulation.message_numbers),
            wire=simulation.wire,
            herald=Herald(simulation),
            log=simulation.log,
            limits=Limits(),
            public_url=PUBLIC_URL,
            demand_cvv=simulation.demand_cvv,
        )
        self.start("recover", self._recover_loop)
        self.start("deliver", self._deliver_loop)

    def start(self, name: str, what: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Run it in this process; what the database breaks off is left to recovery."""

        async def run() -> None:
            try:
                await what(*arguments)
            except StoreUnreachable:
                self.simulation.record(None, f"    {self.name}: {name} is left for recovery")

        self.simulation.scheduler.spawn(f"{self.name} {name}", run(), house=self.house)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs but the loops."""
        return len(self.house.tasks) <= LOOPS

    def hear(self, response: Response, heard: Box | None = None) -> None:
        """An answer that nobody waits for; `heard` is told when it was taken in."""

        async def run() -> None:
            await hear_late(self.ports, "sandbox", response)
            if heard is not None:
                heard.put(self.name)

        self.start("hear", run)

    async def _recover_loop(self) -> None:
        while True:
            try:
                found = await claim(self.ports)
            except StoreUnreachable:
                found = []
            for key in found:
                self.start(f"recover {key[1]}", recover, self.ports, *key)
            now = self.simulation.scheduler.now
            due = [self.simulation.wakes_at(key, self.clock) for key in self.simulation.books.due_at]
            await self.due_nap.sleep(max(0.5, min(due, default=now + NAP_SECONDS_MAX) - now))

    async def _deliver_loop(self) -> None:
        while True:
            try:
                claimed = await self.ports.store.claim_deliveries(self.clock.now(), sessions=None, limit=CLAIMS_MAX)
            except StoreUnreachable:
                claimed = []
            for one in claimed:
                self.start(f"deliver {one.delivery.event_id}", deliver, self.ports, one)
            await self.delivery_nap.sleep(self.simulation.seconds_to_delivery(self.clock))


class Simulation:
    """Everything of one seed."""

    def __init__(self, seed: int, weather: Weather, scheduler: Scheduler) -> None:
        self.seed = seed
        self.weather = weather
        self.scheduler = scheduler
        self.random = scheduler.random
        self.is_storm = True
        self.calm_at = float("inf")
        self.crashes = 0
        self.merchants = 0  # at work
        self.commits = 0
        self.tally: Counter[str] = Counter()  # what happened, for whoever reads the summary
        self.challenged: set[str] = set()  # authentications whose payer the issuer wanted to see
        self.trace: list[tuple[float, str | None, str]] = []
        self.versions: dict[SessionKey, dict[int, Change]] = {}
        self.books = MemoryBooks()
        self.database_clock = Clock(scheduler)
        self.ids = CountedIds()
        self.message_numbers = count(1)
        self.vault = Vault()
        self.demand_cvv = frozenset({"sandbox"} if self.random.random() < DEMANDING else ())
        self.tokens = Tokens(self)
        self.wire = JsonWire(PUBLIC_URL)
        self.log = FakeLog()
        self.issuer = Issuer(self)
        self.payers = Payers(self)
        self.network = Network(self)
        self.receivers = Receivers(self)
        self.answers: dict[SessionKey, list[tuple[str, str]]] = {}
        self._nodes_count = 0
        self.nodes: list[Node] = []
        scheduler.before_step = self._before_step

    def chance(self, fault: str) -> bool:
        """Whether this fault happens now."""
        if not self.is_storm:
            return False
        rate: float = getattr(self.weather, fault)
        return rate > 0 and self.random.random() < rate

    def open_nodes(self, count: int) -> None:
        """Start this many processes."""
        for _ in range(count):
            self._open_node()

    def _open_node(self) -> None:
        self._nodes_count += 1
        node = Node(self, self._nodes_count)
        if self.is_storm and self.weather.clock_jump and self.random.random() < 0.3:
            node.clock.offset_seconds = self.random.choice((-600, -30, 30, 600))
        self.nodes.append(node)

    def any_node(self) -> Node:
        """A process that lives; there is always one."""
        return self.random.choice(self.nodes)

    def calm(self) -> None:
        """From now on nothing fails."""
        self.is_storm = False
        self.calm_at = self.scheduler.now
        for node in self.nodes:
            node.house.stopped_until = 0.0
        self.record(None, "-- the storm is over --")

    def record(self, session: PaymentSession | None, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append((self.scheduler.now, session.id if session else None, text))

    def committed(self, node: str, before: PaymentSession | None, change: Change) -> None:
        """A change became true: note it, check it, and let loops know that there is something to do."""
        session = change.session
        key = (session.project, session.id)
        self.commits += 1
        self.versions.setdefault(key, {})[session.version] = change
        steps = ", ".join(f"{s.subject} {s.before or '·'} -{s.heard}-> {s.after}" for s in change.steps)
        events = "".join(f" !{event.type}" for event in change.events)
        alarms = "".join(f" ALARM {alarm.what}" for alarm in change.alarms)
        self.record(
            session, f"{node} {session.id} v{session.version} {change.id}: {steps or 'no step'}{events}{alarms}"
        )
        moments.at_commit(self, node, before, change)
        if any(event.type is EventType.ACTION_REQUIRED for event in change.events):
            for payment in session.payments:
                assert payment.action_link is not None
                self.payers.summon(payment.action_link)
        for other in self.nodes:
            if key in self.books.due_at:
                other.due_nap.end_by(self.wakes_at(key, other.clock))
            if change.events:
                other.delivery_nap.end_by(self.scheduler.now)

    def rouse_deliverers(self) -> None:
        """An attempt is over: a later event may go now."""
        for node in self.nodes:
            node.delivery_nap.end_by(self.scheduler.now + node.ports.herald.jitter_percent() / 100)

    def has_heard_of_reversal(self, key: Key) -> bool:
        """Whether every reversal of what has these references was acknowledged to us."""
        project, session_id, operation_id = self.books.references[key[0], key[1], key[3]]
        session = self.books.sessions[project, session_id]
        return (
            session.operation(operation_id).state is not State.REVERSING and session.reversal_of(operation_id) is None
        )

    def wakes_at(self, key: SessionKey, clock: Clock) -> float:
        """When a node with this clock may take the session up."""
        due = (self.books.due_at[key] - START).total_seconds() - clock.offset_seconds
        until = self.books.leased_until.get(key)
        free = (until - START).total_seconds() if until is not None else 0.0
        return max(due, free) + self.random.random() * 0.5

    def seconds_to_delivery(self, clock: Clock) -> float:
        """How long a deliverer has nothing to do."""
        soonest = float(NAP_SECONDS_MAX)
        now = clock.now()
        for one in self.waiting_deliveries():
            assert one.next_attempt_at is not None
            seconds = (one.next_attempt_at - now).total_seconds()
            soonest = min(soonest, seconds if seconds > 0 else HELD_BACK_SECONDS)
        return soonest

    def waiting_deliveries(self) -> list[Delivery]:
        """Events not yet delivered and not given up."""
        every = self.books.deliveries.values()
        return [one for events in every for one in events.values() if one.state is DeliveryState.WAITING]

    def _before_step(self, task: Task) -> None:
        """Before any step of a process it may die, fall asleep, or have its clock put."""
        weather = self.weather
        if not self.is_storm or task.house is None or len(task.house.tasks) <= LOOPS:
            return  # an idle process is not worth it
        roll = self.random.random()
        if roll < weather.crash:
            self._crash(task.house)
        elif roll < weather.crash + weather.stop:
            seconds = self.random.choice((3.0, 8.0, 30.0, 60.0, 200.0))
            task.house.stopped_until = self.scheduler.now + seconds
            self.record(None, f"-- {task.house.name} sleeps for {seconds:g} s --")
        elif roll < weather.crash + weather.stop + weather.clock_jump:
            node = next(node for node in self.nodes if node.house is task.house)
            node.clock.offset_seconds += self.random.choice((-600, -30, 2, 30, 600))
            self.record(None, f"-- the clock of {node.name} is now {node.clock.offset_seconds:+g} s --")

    def _crash(self, house: House) -> None:
        self.crashes += 1
        self.record(None, f"-- {house.name} dies --")
        self.scheduler.kill(house)
        self.nodes = [node for node in self.nodes if node.house is not house]
        self._open_node()
