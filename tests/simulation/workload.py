"""Merchants: impatient ones that repeat calls with the same key, decide twice and contrarily, and refund too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.door import BUSY, Refused, Reply, Wish, serve, serve_token, serve_tokenizing
from tests.simulation.scheduler import Box, Pause
from tests.simulation.shown import FAILURE, SUCCESS
from tests.simulation.truth import Violation
from tests.simulation.windows import Window
from tests.simulation.world import Simulation
from tollhouse.card import CVV, CardDetails, Expiry, GivenCard, TokenizedCard, luhn_digit, parse_pan
from tollhouse.exemption import Exemption
from tollhouse.merchant import CaptureMode, IdempotencyMode, Project, Settings, WebhookOrder
from tollhouse.money import Money
from tollhouse.payment import Details, HoldExpiry, Payment, Phase
from tollhouse.public_token import FormOptions
from tollhouse.session import Offer, PaymentSession, Status
from tollhouse.verdict import Policy

PATIENCE_SECONDS = 30
POLICIES = (Policy.ALWAYS, Policy.AUTO, Policy.AUTO, Policy.AUTO, Policy.NEVER)
EXEMPTIONS = (Exemption.LOW_VALUE, Exemption.TRA, Exemption.CORPORATE)
CALLS_MAX = 40
NEXT_DECISIONS = ("confirm", "confirm", "confirm", "confirm twice", "race", "race", "cancel", "nothing", "late", "late")
NEXT_CAPTURES = ("whole", "whole", "part", "race", "twice", "cancel", "nothing", "late")


def draw_projects(random: random.Random) -> list[Project]:
    """Three projects: one stage, two stages, either; with settings of all sorts."""
    return [
        _draw_project(random, "alpha", CaptureMode.ONE_STAGE),
        _draw_project(random, "beta", CaptureMode.TWO_STAGE),
        _draw_project(random, "gamma", random.choice(tuple(CaptureMode))),
    ]


def _draw_project(random: random.Random, name: str, mode: CaptureMode) -> Project:
    settings = Settings(
        idempotency=random.choice(tuple(IdempotencyMode)),
        auto_confirm=random.random() < 0.15,
        capture_mode=mode,
        hold_period=random.choice((3600, 6 * 3600, 2 * 86400)),
        hold_expiry=random.choice(tuple(HoldExpiry)),
        partial_refunds=random.random() < 0.9,
        webhook_order=random.choice(tuple(WebhookOrder)),
        threeds=random.choice(POLICIES),
        threeds_exemptions=tuple(one for one in EXEMPTIONS if random.random() < 0.2),
    )
    is_silent = name == "gamma" and random.random() < 0.3
    return Project(name=name, settings=settings, webhook_url=None if is_silent else f"http://{name}.test/hook")


@dataclass
class Merchant:
    """One purchase at one merchant, from the first call to the last refund."""

    simulation: Simulation
    project: Project
    others: list[Project]
    number: int

    def __post_init__(self) -> None:
        random = self.simulation.random
        self.cards = 0
        self.card = self._new_card(f"{self.number:09d}")
        minor = random.randrange(2, 5000) if random.random() < 0.9 else random.randrange(5000, 40_000)
        self.money = Money(minor, random.choice(("eur", "usd")))
        self.offer = Offer(money=self.money, details=self._details())

    def _new_card(self, number: str) -> CardDetails:
        random = self.simulation.random
        digits = random.choice(("400012", "520012")) + number
        pan = digits + luhn_digit(digits)
        self.simulation.issuer.issue(pan)
        return CardDetails(
            pan=parse_pan(pan),
            expiry=Expiry(2031, 8),
            cvv=CVV("417") if random.random() < 0.8 else None,
        )

    def _details(self) -> Details:
        """What the merchant sends along; some payers are companies, some offers do not stand for long."""
        random = self.simulation.random
        options = {"return_url": "https://shop.test/back"}
        if random.random() < 0.1:
            until = self.simulation.database_clock.now() + timedelta(seconds=random.choice((300, 1200, 3000)))
            options["expiration_at"] = until.isoformat()
        return Details(
            customer={"reference": "u"},
            participants={"sender": {"company_name": "Kai & Co"}} if random.random() < 0.1 else None,
            options=options,
            metadata=self.number,
        )

    async def live(self) -> None:
        """The whole purchase."""
        random = self.simulation.random
        await Pause(random.uniform(0, 60))
        session_id = await self._begin()
        if session_id is None:
            return
        if random.random() < 0.2:
            await self._pry(session_id)
        await self._decide(session_id)
        payment = await self._wait(session_id, lambda one: one.phase in (Phase.HELD, Phase.SUCCEEDED, Phase.FAILED))
        if payment is not None and payment.phase is Phase.HELD:
            await self._capture(session_id, payment)
            payment = await self._wait(session_id, lambda one: one.is_final)
        if payment is not None and payment.phase is Phase.SUCCEEDED:
            await self._refund(session_id, payment)

    # The first calls

    async def _begin(self) -> str | None:
        random = self.simulation.random
        if random.random() < 0.25:
            return await self._begin_by_form()
        card: GivenCard = self.card
        if random.random() < 0.15:
            made = await self._tokenize()
            if made is None:
                return None
            if random.random() < 0.3:
                self._beside(self._steal, made)
            card = made
        if random.random() < 0.6:
            init = self._wish("init/payment", key=f"init-{self.number}", offer=self.offer, card=card)
            if random.random() < 0.1:
                return (await self._ask_once(replace(init, key=None))).session_id or None
            return await self._same(init, times=random.choice((1, 1, 2)))
        at_start = random.random() < 0.5
        kept, given = (None, card) if at_start else (card, None)
        create = self._wish("create", key=f"create-{self.number}", offer=self.offer, card=kept)
        session_id = await self._same(create, times=random.choice((1, 1, 2)))
        if session_id is None or random.random() < 0.1:
            return None  # never started
        if random.random() < 0.1:
            self._beside(self._ask, self._wish("cancel", session_id))
        start = self._wish("start/payment", session_id, key=f"start-{self.number}", card=given)
        if random.random() < 0.3:  # and once more as another call: one of them must lose
            self._beside(self._ask, replace(start, key=f"start-again-{self.number}", card=card))
        reply = await self._ask(start)
        return session_id if reply.code in ("ok", "session_wrong_state") else None

    async def _begin_by_form(self) -> str | None:
        """The payer starts it, in one window or in many; sometimes the merchant does, by open parameters."""
        random = self.simulation.random
        create = self._wish("create", key=f"create-{self.number}", offer=self.offer)
        session_id = await self._same(create, times=1)
        if session_id is None:
            return None
        tokens = [await self._token(session_id, self._form_options()) for _ in range(random.choice((1, 1, 2)))]
        texts = [text for text in tokens if text is not None]
        for _ in range(random.choice((1, 1, 2, 3)) if texts else 0):
            card = self.card if random.random() < 0.7 else self._another_card()
            self._beside(Window(self.simulation, random.choice(texts), card).live)
        if random.random() < 0.2:
            await Pause(random.uniform(0, 30))
            start = self._wish("start/payment", session_id, key=f"start-{self.number}", card=self._another_card())
            self._beside(self._ask, start)
        return session_id

    def _form_options(self) -> FormOptions:
        random = self.simulation.random
        return FormOptions(
            success_return_url=SUCCESS if random.random() < 0.5 else None,
            failure_return_url=FAILURE if random.random() < 0.5 else None,
            succeeds_on_hold=random.random() < 0.3,
        )

    async def _token(self, session_id: str | None, options: FormOptions) -> str | None:
        """A public token; None when the session was started meanwhile, or nobody answers."""
        for _ in range(CALLS_MAX):
            node, box = self.simulation.any_node(), Box(self.simulation.scheduler)
            node.start("serve token", serve_token, node, self.project, session_id, options, box)
            answer = await box.take(within_seconds=PATIENCE_SECONDS if node.house.is_alive else 0.1)
            if isinstance(answer, Refused):
                return None
            if answer not in (None, BUSY):
                return str(answer)
            await Pause(self.simulation.random.uniform(0.05, 3))
        return None

    async def _tokenize(self) -> TokenizedCard | None:
        """The card as its token, for which a browser may ask twice at once; None when the other got it."""
        random = self.simulation.random
        text = await self._token(None, FormOptions())
        if text is None:
            return None
        if random.random() < 0.3:
            self._beside(self._exchange, text)
        made = await self._exchange(text)
        if made is not None:
            await Pause(random.choice((0, 60, 2990, 3010, 40_000)))
        return made

    async def _exchange(self, text: str) -> TokenizedCard | None:
        for _ in range(CALLS_MAX):
            node, box = self.simulation.any_node(), Box(self.simulation.scheduler)
            node.start("tokenize", serve_tokenizing, node, text, self.card, box)
            answer = await box.take(within_seconds=PATIENCE_SECONDS if node.house.is_alive else 0.1)
            if isinstance(answer, TokenizedCard):
                return answer
            if isinstance(answer, Refused):
                return None
            await Pause(self.simulation.random.uniform(0.05, 3))
        return None

    async def _steal(self, token: TokenizedCard) -> None:
        """Another project would pay with the card's token."""
        stranger = self.simulation.random.choice([other for other in self.others if other.name != self.project.name])
        wish = self._wish("init/payment", key=f"steal-{self.number}", offer=self.offer, card=token)
        reply = await self._ask(replace(wish, project=stranger))
        if reply.code != "token_not_found" and reply.is_done:
            raise Violation("P12", f"{stranger.name} pays with a card token of {self.project.name}: {reply.code}")

    def _another_card(self) -> CardDetails:
        """Another card of the same payer."""
        self.cards += 1
        return self._new_card(f"{self.cards:03d}{self.number:06d}")

    async def _same(self, wish: Wish, *, times: int) -> str | None:
        """The same call several times at once: the answers name one session."""
        for _ in range(times - 1):
            self._beside(self._ask, wish)
        reply = await self._ask(wish)
        return reply.session_id if reply.code == "ok" else None

    async def _pry(self, session_id: str) -> None:
        """Another project's hands on this session."""
        random = self.simulation.random
        stranger = random.choice([other for other in self.others if other.name != self.project.name])
        for name in random.sample(("status", "confirm", "cancel", "capture", "refund"), 2):
            wish = replace(self._wish(name, session_id), project=stranger)
            reply = await self._ask(wish)
            if reply.is_done and reply.code != "session_not_found":
                raise Violation("P12", f"{stranger.name} may {name} a session of {self.project.name}", session_id)

    # Decisions

    async def _decide(self, session_id: str) -> None:
        payment = await self._wait(session_id, lambda one: one.phase is not Phase.ROUTING)
        if payment is None or payment.phase is not Phase.AWAIT_CONFIRM:
            return
        random = self.simulation.random
        confirm, cancel = self._wish("confirm", session_id), self._wish("cancel", session_id)
        match random.choice(NEXT_DECISIONS):
            case "confirm":
                if random.random() < 0.5:
                    confirm = replace(confirm, key=f"confirm-{self.number}")
                await self._ask(confirm)
            case "confirm twice":
                self._beside(self._ask, confirm)
                await self._ask(confirm)
            case "race":
                self._beside(self._ask, confirm)
                await Pause(random.choice((0, 0, 0.01, 0.05)))
                await self._ask(cancel)
            case "cancel":
                await self._ask(cancel)
                if random.random() < 0.3:
                    await self._ask(confirm)
            case "late":  # in the very moment when the deadline passes
                await self._until(payment.decision_deadline_at)
                await self._ask(random.choice((confirm, cancel)))
            case _:
                return

    async def _capture(self, session_id: str, payment: Payment) -> None:
        random = self.simulation.random
        part = Money(random.randint(1, payment.held_minor), payment.money.currency)
        whole, cancel = self._wish("capture", session_id), self._wish("cancel", session_id)
        match random.choice(NEXT_CAPTURES):
            case "whole":
                await self._ask(whole)
            case "part":
                await self._ask(replace(whole, money=part, key=f"capture-{self.number}"))
            case "race":
                self._beside(self._ask, cancel)
                await self._ask(replace(whole, money=part))
            case "twice":
                self._beside(self._ask, whole)
                await self._ask(replace(whole, money=part))
            case "cancel":
                await self._ask(cancel)
            case "late":
                await self._until(payment.hold_deadline_at)
                await self._ask(random.choice((whole, cancel)))
            case _:
                return

    async def _refund(self, session_id: str, payment: Payment) -> None:
        """Several at once, often more than there is; each repeated with its key until it is answered."""
        random = self.simulation.random
        asking: list[Box] = []
        for number in range(random.choice((0, 1, 2, 3, 4))):
            part = random.randint(1, max(1, payment.captured_minor // 2))
            minor = random.choice((payment.captured_minor, part, part))
            key = f"refund-{self.number}-{number}"
            wish = self._wish("refund", session_id, key=key)
            money = None if random.random() < 0.2 else Money(minor, payment.money.currency)
            wish = replace(wish, money=money, metadata=key, body_hash=key.encode())
            if random.random() < 0.4:
                asking.append(self._beside(self._ask_once, replace(wish, key=None)))
            else:
                asking += [self._beside(self._ask, wish) for _ in range(random.choice((1, 1, 2)))]
            await Pause(random.choice((0, 0.01, 5, 20)))
        for box in asking:
            await box.take(within_seconds=86400)

    # How they ask

    def _wish(
        self,
        name: str,
        session_id: str = "",
        *,
        key: str | None = None,
        offer: Offer = Offer(),  # noqa: B008 - a frozen value
        card: GivenCard | None = None,
    ) -> Wish:
        return Wish(project=self.project, name=name, session_id=session_id, key=key, offer=offer, card=card)

    async def _ask_once(self, wish: Wish) -> Reply:
        """Call without a key and leave it at that: whatever is answered, it is done once at most."""
        return await self._ask(wish, calls_max=1)

    async def _ask(self, wish: Wish, *, calls_max: int = CALLS_MAX) -> Reply:
        """Call until somebody answers, whichever process it is."""
        simulation = self.simulation
        reply = Reply(code="no answer")
        for attempt in range(calls_max):
            node = simulation.any_node()
            box = Box(simulation.scheduler)
            node.start(f"serve {wish.name}", serve, node, wish, box)
            heard = await box.take(within_seconds=PATIENCE_SECONDS if node.house.is_alive else 0.1)
            reply = heard or reply
            simulation.record(None, f"  {wish.project.name} {wish.name} {wish.session_id} {wish.key}: {reply.code}")
            if heard is not None and heard.is_done:
                break
            await Pause(simulation.random.uniform(0.05, 3 + attempt))
        if reply.session_id or wish.session_id:
            key = (wish.project.name, reply.session_id or wish.session_id)
            simulation.answers.setdefault(key, []).append((wish.name, reply.code))
        return reply

    def _beside(self, what: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Box:
        """Do it at the same time; the box gets the answer."""
        box = Box(self.simulation.scheduler)

        async def run() -> None:
            box.put(await what(*arguments) or True)
            self.simulation.merchants -= 1

        self.simulation.merchants += 1
        self.simulation.scheduler.spawn("merchant", run())
        return box

    async def _wait(self, session_id: str, is_it: Callable[[Payment], bool]) -> Payment | None:
        """Look into the session, ever more seldom, until the payment is as wanted; None when it never will be."""
        gap = 0.5
        while True:
            session = self._session(session_id)
            if session is None or session.status is Status.CANCELLED:
                return None
            if session.payments and is_it(session.payments[0]):
                return session.payments[0]
            if gap > 86400:
                return None
            await Pause(gap)
            gap *= 1.7

    async def _until(self, deadline_at: datetime | None) -> None:
        """Until the moment when a deadline passes, by the true time."""
        assert deadline_at is not None
        seconds = (deadline_at - self.simulation.database_clock.now()).total_seconds()
        await Pause(max(0.0, seconds + self.simulation.random.uniform(-1, 1)))

    def _session(self, session_id: str) -> PaymentSession | None:
        return self.simulation.books.sessions.get((self.project.name, session_id))


def open_merchants(simulation: Simulation) -> None:
    """Projects, and so many purchases."""
    projects = draw_projects(simulation.random)
    for project in projects:
        simulation.books.add_project(project)
    for number in range(simulation.random.choice((3, 5, 8))):
        merchant = Merchant(simulation, simulation.random.choice(projects), projects, number + 1)
        merchant._beside(merchant.live)
